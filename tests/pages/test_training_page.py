"""The Training page: curves, slider, play, replay."""

import numpy as np
from reading import chart, panels


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
        notes = [p["note"] for p in panels(at, "training_replay_samples")[1::2]]
        assert notes == [f"{tiny.classes[p.argmax()]} {p.max():.0%}" for p in probabilities]
        maps = tiny.replay["cls_maps"][epoch - 1, 0].astype(np.float32).mean(axis=0)
        assert hovers(panels(at, "training_replay_samples")[1]) == [
            f"{value:.4f} attention" for value in maps.ravel()
        ]
    at.button_group(key="replay").set_value("rollout").run()
    rollout = tiny.replay["rollout"][0, 0].astype(np.float32)
    first = panels(at, "training_replay_samples")[1]
    assert [h.split()[0] for h in hovers(first)] == [f"{value:.4f}" for value in rollout.ravel()]


def hovers(panel) -> list[str]:
    return [cell["hover"].split(": ")[1] for row in panel["cells"] for cell in row]


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
    smoothed = decoded(chart(at, "training_loss")[3]["y"])
    np.testing.assert_allclose(smoothed[:2], [first, (0.5 * first + second) / 1.5])


def decoded(values) -> np.ndarray:
    if isinstance(values, dict):  # plotly's binary form
        import base64

        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return np.array(values)


def test_a_shorter_run_clamps_the_epoch(start):
    at = start("training")
    at.slider(key="epoch").set_value(12).run()
    at.selectbox(key="model").select("elsewhere").run()
    assert not at.exception
    assert at.slider(key="epoch").value <= 3
    assert any("fixed images are of Gone" in c.value for c in at.main if c.type == "caption")
