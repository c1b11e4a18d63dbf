"""The Training page: curves, slider, play, replay, other runs beside, a run under way."""

import os
import time

import numpy as np
import pytest
from reading import chart, complaint, complaints, hovers, panels, panels_of
from tiny_runs import add_epoch, make_live_run

from core.checkpoint import load_run
from core.resume import training_state


def loss_names(at) -> list[str]:
    return [trace["name"] for trace in chart(at, "training_loss")]


def press(at, label):
    (button,) = [b for b in at.button if b.label == label]
    button.click().run()


def test_begins_at_the_kept_epoch_and_follows_the_slider(start, tiny):
    at = start("training")
    for epoch in (3, 12, 1):
        if epoch != 3:
            at.slider(key="epoch").set_value(epoch).run()
        assert not at.exception
        row = tiny.history.set_index("epoch").loc[epoch]
        assert at.slider(key="epoch").value == epoch
        assert [m.value for m in at.metric] == [
            f"{row['train_loss']:.4f}",
            f"{row['val_loss']:.4f}",
            "25.0%",
            "25.0%",
            f"{row['images_per_second']:,.0f} images/s",
        ]
        probabilities = tiny.replay["probabilities"][epoch - 1, :12].astype(float)
        notes = [p["note"] for p in panels(at, "training_replay_samples_tiny")[1::2]]
        assert notes == [f"{tiny.classes[p.argmax()]} {p.max():.0%}" for p in probabilities]
        maps = tiny.replay["cls_maps"][epoch - 1, 0].astype(np.float32).mean(axis=0)
        first = panels(at, "training_replay_samples_tiny")[1]
        assert hovers(first) == [f"{value:.4f}" for value in maps.ravel()]
    at.button_group(key="replay").set_value("rollout").run()
    rollout = tiny.replay["rollout"][0, 0].astype(np.float32)
    first = panels(at, "training_replay_samples_tiny")[1]
    assert hovers(first) == [f"{value:.4f}" for value in rollout.ravel()]


def test_play_runs_to_the_end_and_stops(start):
    at = start("training")
    press(at, "Play")
    seen = [at.slider(key="epoch").value]
    while any(b.label == "Pause" for b in at.button):
        assert len(seen) < 20, "it plays on after the last epoch"
        at.run()
        seen.append(at.slider(key="epoch").value)
    assert seen == [*range(4, 13), 12]
    assert not at.exception
    press(at, "Play")  # from the end, it begins again
    assert at.slider(key="epoch").value in (1, 2)
    press(at, "Pause")
    epoch = at.slider(key="epoch").value
    at.run()
    assert at.slider(key="epoch").value == epoch
    press(at, "Play")
    at.slider(key="epoch").set_value(2).run()  # whoever takes the slider wants to look
    assert at.slider(key="epoch").value == 2
    assert not any(b.label == "Pause" for b in at.button)


def test_the_published_losses_go_with_the_tutorials_recipe_only(start):
    at = start("training")
    assert not at.toggle
    assert loss_names(at) == ["training", "validation"]
    at = start("training", "elsewhere")
    published = ["published: training", "published: validation"]
    assert loss_names(at) == ["training", "validation", *published]
    at.toggle(key="published").set_value(False).run()
    assert loss_names(at) == ["training", "validation"]


def test_smoothing_keeps_the_raw_values_underneath(start, tiny):
    at = start("training")
    at.slider(key="smoothing").set_value(0.5).run()
    assert loss_names(at) == ["training, raw", "training", "validation, raw", "validation"]
    first, second = tiny.history["val_loss"][:2]
    smoothed = chart(at, "training_loss")[3]["y"]
    np.testing.assert_allclose(smoothed[:2], [first, (0.5 * first + second) / 1.5])


def test_a_shorter_run_clamps_the_epoch(start):
    at = start("training")
    at.slider(key="epoch").set_value(12).run()
    at.selectbox(key="model").select("elsewhere").run()
    assert not at.exception
    assert at.slider(key="epoch").value <= 3
    assert any("fixed images are of Gone" in c.value for c in at.main if c.type == "caption")


# --- Beside other runs ------------------------------------------------------------------------


def captions(at) -> list[str]:
    return [c.value for c in at.main if c.type == "caption"]


def words(at) -> str:
    return "\n".join(m.value for m in at.markdown)


def test_another_run_beside_it(start, tiny, elsewhere):
    at = start("training", beside="elsewhere", over="minutes")
    assert not at.exception
    assert complaints(at) == []
    names = ("training", "validation (● kept: epoch 3)", "kept epoch")
    assert loss_names(at) == [f"{run}: {name}" for run in ("tiny", "elsewhere") for name in names]
    loss = chart(at, "training_loss")
    assert len({trace["line"]["color"] for trace in loss[:3]}) == 1
    assert loss[0]["line"]["color"] != loss[3]["line"]["color"]
    np.testing.assert_allclose(loss[0]["x"], np.arange(1, 13) * 0.25 / 60)
    np.testing.assert_allclose(loss[2]["y"], [1.5])
    assert any(c.startswith("Not validated on the same images: tiny on Sam") for c in captions(at))

    at.slider(key="epoch").set_value(12).run()
    assert "**tiny, after epoch 12**" in words(at)
    assert "**elsewhere, after epoch 3**" in words(at)  # its last
    for run, frame in ((tiny, 11), (elsewhere, 2)):
        chances = run.replay["probabilities"][frame, :12].astype(np.float32)
        notes = [panel["note"] for panel in panels(at, f"training_replay_samples_{run.name}")[1::2]]
        assert notes == [f"{run.classes[p.argmax()]} {p.max():.0%}" for p in chances]
    at.selectbox(key="picture").select("scene 4").run()
    bars = panels_of(at, "training_probabilities_1")["rows"]
    chances = elsewhere.replay["probabilities"][2, 3]
    assert [bar["text"] for bar in bars] == [f"{chance:.1%}" for chance in chances.astype(float)]
    at.button_group(key="over").set_value("epochs").run()
    assert chart(at, "training_loss")[3]["x"] == [1, 2, 3]


def test_a_link_to_runs_that_are_not_here(start):
    at = start("training", beside=["zebra", "elsewhere"])
    assert "zebra" in complaint(at)
    assert at.multiselect(key="beside").value == ["elsewhere"]
    at.selectbox(key="model").select("elsewhere").run()  # never beside itself
    assert not at.exception
    assert at.multiselect(key="beside").value == []
    assert "elsewhere: training" not in loss_names(at)


# --- A run under way --------------------------------------------------------------------------


@pytest.fixture
def live(runs, tmp_path):
    make_live_run(tmp_path / "runs" / "live", runs / "tiny", 10)
    return tmp_path / "runs" / "live"


def commands(at) -> list[str]:
    return [code.value for code in at.code]


def test_a_run_under_way_is_followed_until_it_ends(start, live):
    at = start("training", "live", checkpoints=live.parent)
    assert complaints(at) == []
    assert at.slider(key="epoch").value == 10
    assert "finished epoch 10 of 12" in words(at)
    resume = f"python -m core.train --recipe quick --data PATH --out {live} --resume"
    assert commands(at)[-1] == resume
    add_epoch(live)
    at.run()
    assert not at.exception
    assert at.slider(key="epoch").value == 11
    assert at.metric[1].value == "1.2500"
    assert "**live, after epoch 11**" in words(at)
    at.slider(key="epoch").set_value(5).run()
    add_epoch(live)
    at.run()
    assert at.slider(key="epoch").value == 5  # whoever looks elsewhere stays there
    assert len(chart(at, "training_loss")[0]["y"]) == 12
    assert "training now" not in words(at)
    assert resume not in commands(at)


def test_a_folder_between_two_epochs(start, live):
    """The files of an epoch come one by one."""
    replay = (live / "replay.npz").read_bytes()
    add_epoch(live)
    (live / "replay.npz").write_bytes(replay)
    at = start("training", "live", checkpoints=live.parent)
    assert not at.exception
    assert at.slider(key="epoch").value == 11
    assert "**live, after epoch 10**" in words(at)
    (live / "history.csv").write_text("epoch,tr")  # no run does this; a full disk might
    at.run()
    assert not at.exception
    assert complaint(at).startswith("live: history.csv is damaged")


def test_the_first_epoch_is_waited_for(start, live):
    history = (live / "history.csv").read_bytes()
    (live / "history.csv").unlink()
    at = start("training", "live", checkpoints=live.parent)
    assert "in its first epoch" in complaint(at)
    assert any("--resume" in command for command in commands(at))
    (live / "history.csv").write_bytes(history)
    at.run()
    assert complaints(at) == []
    assert len(loss_names(at)) == 2


def test_how_a_training_stands_is_read_off_its_files(live, runs):
    now = time.time()
    run = load_run(live)
    assert training_state(run) == "going"
    patience = 60 + 2 * run.history["seconds"].median()
    assert training_state(run, now + patience - 9) == "going"
    assert training_state(run, now + patience + 9) == "stopped"
    os.utime(live / "resume.pt", (now + 60, now + 60))  # told to stop, a minute into an epoch
    assert training_state(run, now + 60) == "stopped"
    os.utime(live / "config.json", (now + 90, now + 90))  # resumed
    assert training_state(run, now + 90) == "going"
    (live / "resume.pt").unlink()
    assert training_state(run) == "ended"
    assert training_state(load_run(runs / "tiny")) == "ended"
