import itertools
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import typer
from reference import is_one_sentence, make_pictures, png, write_folder, write_parquet
from typer.testing import CliRunner

import core.train
from core import evaluate
from core.augment import Augmentation
from core.checkpoint import HISTORY, list_runs, load_run
from core.data import CIFAR10_CLASSES, image_set, open_images
from core.errors import TrainingError
from core.optimize import TrainStep
from core.train import main, split, train

ROOT = Path(__file__).parents[1]
FILES = {
    "model.safetensors", "config.json", "history.csv", "predictions.parquet", "replay.npz",
    "README.md",
}  # fmt: skip


def run_training(plan, out, recipe=None, **options):
    options = {"device": "cpu", **options}
    train(recipe or plan.recipe, plan.train_set, plan.test_set, out, **options)
    return load_run(out)


@pytest.fixture(scope="module")
def unbroken(plan, tmp_path_factory):
    """A run that nothing interrupted."""
    return run_training(plan, tmp_path_factory.mktemp("train") / "unbroken", command="make it")


def assert_same_run(found, expected):
    """Equal in all but the time it took."""
    timed = ["seconds", "images_per_second"]
    pd.testing.assert_frame_equal(
        load_run(found).history.drop(columns=timed),
        load_run(expected).history.drop(columns=timed),
        check_exact=True,
    )
    for name in ("model.safetensors", "predictions.parquet", "replay.npz"):
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name


# --- A run ------------------------------------------------------------------------------------


def test_a_run_folder_is_complete(unbroken, plan):
    assert {path.name for path in unbroken.path.iterdir()} == FILES | {"resume.pt"}
    assert [entry.problem for entry in list_runs([unbroken.path.parent])] == [None]
    assert list(unbroken.history) == list(HISTORY)
    assert unbroken.history["epoch"].tolist() == [1, 2]
    assert (unbroken.history["lr"] == 0.02).all()
    assert (unbroken.history["images_per_second"] > 0).all()
    assert unbroken.history["train_acc"].between(0, 1).all()
    assert unbroken.classes == plan.train_set.classes
    config = unbroken.config
    assert config["recipe"]["lr"] == 0.02
    assert config["recipe"]["augmentation"]["crop"] == 0
    assert config["seed"] == 0
    assert config["command"] == "make it"
    assert config["data"]["train"] == {
        "name": "Even", "images": 100, "fingerprint": plan.train_set.fingerprint
    }  # fmt: skip
    assert config["versions"]["torch"] == torch.__version__
    assert unbroken.model.config == plan.recipe.model


def test_predictions_are_those_of_the_saved_weights(unbroken, plan):
    """Also where the test set lists its classes in another order than the training set."""
    expected = evaluate.predict(unbroken.model, plan.test_set.images)
    found = unbroken.predictions[list(unbroken.classes)].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    labels = plan.test_set.labels_in(unbroken.classes)
    assert unbroken.predictions["label"].tolist() == labels.tolist()
    assert (labels != plan.test_set.labels).all()
    assert unbroken.predictions["index"].tolist() == list(range(50))
    last = unbroken.history.iloc[-1]
    # an epoch is measured in the precision it learns in, the predictions in float32
    assert last["val_acc"] == pytest.approx((found.argmax(axis=1) == labels).mean(), abs=0.05)
    assert last["val_loss"] == pytest.approx(-np.log(found[np.arange(50), labels]).mean(), rel=0.01)


def test_the_kept_epoch_is_the_one_that_is_saved(plan, tmp_path, monkeypatch):
    losses = iter([1.0, 2.0, 3.0, 2.5])
    monkeypatch.setattr(evaluate, "cross_entropy", lambda *arguments: next(losses))
    run = run_training(plan, tmp_path / "run", replace(plan.recipe, epochs=4, keep_from=2))
    assert run.kept_epoch == 2
    probabilities = run.predictions[list(run.classes)].to_numpy()
    np.testing.assert_allclose(
        evaluate.predict(run.model, plan.test_set.images), probabilities, atol=1e-6
    )
    latest = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert latest["epochs_done"] == 4
    assert not torch.equal(latest["model"]["head.weight"], run.model.head.weight)


def test_it_learns(plan, tmp_path):
    """Fifty pictures by heart; guessing would be ln 10 = 2.303 and 10 %."""
    train_set = plan.train_set.sample(50)
    recipe = replace(plan.recipe, epochs=40, lr=0.05, batch_size=10)
    run = run_training(replace(plan, train_set=train_set, test_set=train_set), tmp_path, recipe)
    assert run.history["train_loss"].iloc[0] > 2
    assert run.history["train_loss"].iloc[-1] < 1.6
    assert run.history["val_acc"].iloc[-1] > 0.4
    assert evaluate.accuracy(train_set.labels, evaluate.predict(run.model, train_set.images)) > 0.4


def test_the_first_loss_is_that_of_guessing_and_of_every_image_once(plan, tmp_path):
    """With no learning rate an epoch only measures: its means are those over the set."""
    train_set = plan.train_set.sample(50)  # 24 + 24 + 2: the last batch counts for what it holds
    measure = replace(plan, train_set=train_set, test_set=train_set)
    run = run_training(measure, tmp_path, replace(plan.recipe, epochs=1, lr=0.0))
    (row,) = run.history.to_dict("records")
    assert row["train_loss"] == pytest.approx(row["val_loss"], rel=1e-2)  # bf16 against fp32
    assert row["train_acc"] == pytest.approx(row["val_acc"], abs=0.05)


def test_another_seed_is_another_model(plan, tmp_path, unbroken):
    run = run_training(plan, tmp_path / "run", replace(plan.recipe, epochs=1), seed=1)
    assert run.history["train_loss"][0] != unbroken.history["train_loss"][0]


def test_sets_that_do_not_fit_are_refused(plan, tmp_path):
    small = open_images("samples", 16)
    unlabelled = image_set("No labels", plan.train_set.images, None, plan.train_set.classes)
    foreign = image_set("Pets", plan.test_set.images, plan.test_set.labels, ["axolotl"] * 10)
    eleven = replace(plan.recipe, model=replace(plan.recipe.model, classes=11))
    for recipe, train_set, test_set in (
        (plan.recipe, unlabelled, plan.test_set),
        (plan.recipe, plan.train_set, unlabelled),
        (plan.recipe, small, small),
        (plan.recipe, plan.train_set, small),
        (plan.recipe, plan.train_set, foreign),
        (eleven, plan.train_set, plan.test_set),
    ):
        with pytest.raises(TrainingError) as error:
            train(recipe, train_set, test_set, tmp_path / "run")
        assert is_one_sentence(error.value)
    assert not (tmp_path / "run").exists()


def test_held_out_images_choose_the_epoch_and_the_test_set_is_looked_at_once(
    plan, tmp_path, monkeypatch
):
    looks = []
    predict = evaluate.predict
    monkeypatch.setattr(
        evaluate,
        "predict",
        lambda model, images: (looks.append(len(images)), predict(model, images))[1],
    )
    run = run_training(plan, tmp_path / "run", replace(plan.recipe, epochs=3, validation=30))
    assert looks == [10, 10, 10, 50]  # a tenth of 100 training images, at most
    assert len(run.predictions) == 50
    assert "held out" in run.card
    learned, held_out = split(100, 10)
    assert sorted([*learned, *held_out]) == list(range(100))
    assert len(held_out) == 10


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_epoch(
    plan, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    call, calls = TrainStep.__call__, itertools.count(1)

    def explode(self, images, labels, lr, *rest):
        return call(self, images, labels, 1e38 if next(calls) == 7 else lr, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "__call__", explode)
        with pytest.raises(TrainingError, match="step 3 of epoch 2") as error:
            run_training(plan, out, replace(plan.recipe, keep_from=1))
    assert is_one_sentence(error.value)
    run = load_run(out)
    assert len(run.history) == 1
    assert all(weights.isfinite().all() for weights in run.model.parameters())
    run_training(plan, out, replace(plan.recipe, keep_from=1), resume=True)
    assert len(load_run(out).history) == 2


# --- Going on from another run ----------------------------------------------------------------


def test_it_goes_on_from_another_run(plan, tmp_path, unbroken):
    recipe = replace(plan.recipe, epochs=1, lr=0.0)
    same = run_training(plan, tmp_path / "same", recipe, init_from=unbroken)
    assert_same_weights(same.model, unbroken.model)
    assert same.config["start"] == {"weights": unbroken.fingerprint, "freeze": 0}


def test_other_classes_get_a_head_of_their_own_and_frozen_blocks_stay(plan, tmp_path, unbroken):
    two = {
        name: image_set(name, images.images[:40], np.arange(40) % 2, ("even", "odd"))
        for name, images in (("train_set", plan.train_set), ("test_set", plan.test_set))
    }
    recipe = replace(plan.recipe, epochs=2, model=replace(plan.recipe.model, classes=2))
    run = run_training(replace(plan, **two), tmp_path / "run", recipe, init_from=unbroken, freeze=1)
    assert run.classes == ("even", "odd")
    before, after = unbroken.model, run.model
    assert_same_weights(after.patch_embedding, before.patch_embedding)
    assert_same_weights(after.blocks[0], before.blocks[0])
    assert not torch.equal(after.blocks[1].mlp[0].weight, before.blocks[1].mlp[0].weight)


def test_weights_of_another_size_are_refused(plan, tmp_path, unbroken):
    other = replace(plan.recipe, model=replace(plan.recipe.model, width=24))
    with pytest.raises(TrainingError, match="unbroken") as error:
        run_training(plan, tmp_path / "run", other, init_from=unbroken)
    assert is_one_sentence(error.value)
    with pytest.raises(TrainingError, match="2 blocks") as error:
        run_training(plan, tmp_path / "run", init_from=unbroken, freeze=3)
    assert is_one_sentence(error.value)
    assert not (tmp_path / "run").exists()


def assert_same_weights(found, expected):
    for name, weights in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], weights), name


# --- Cut off and resumed ----------------------------------------------------------------------


# state, weights and config first; then an epoch writes weights, replay, history, card and state,
# and the end predictions and card: 3 + 2 × 5 + 2 files in all
@pytest.mark.parametrize("write", range(4, 16))
def test_a_run_goes_on_from_wherever_it_was_cut_off(plan, tmp_path, unbroken, monkeypatch, write):
    done, rename = 0, Path.replace

    def cut_off(self, target):
        nonlocal done
        done += 1
        if done == write:
            raise KeyboardInterrupt
        return rename(self, target)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run_training(plan, out)
    assert load_run(out).model
    assert {path.name for path in out.iterdir()} <= FILES | {"resume.pt"}
    run_training(plan, out, resume=True)
    assert_same_run(out, unbroken.path)


# an epoch has 5 steps: told to stop at the last, it ends and the next begins
@pytest.mark.parametrize(("told", "stopped"), [(1, 1), (4, 4), (5, 6), (8, 8)])
def test_a_run_that_was_told_to_stop_goes_on_within_the_epoch(
    plan, tmp_path, unbroken, told, stopped
):
    asked = itertools.count(1)
    out = tmp_path / "run"
    arguments = (plan.recipe, plan.train_set, plan.test_set, out)
    assert train(*arguments, device="cpu", stop=lambda: next(asked) >= told) is False
    assert next(asked) - 1 == stopped
    assert load_run(out).predictions is None
    assert train(*arguments, device="cpu", resume=True) is True
    assert_same_run(out, unbroken.path)


def test_a_run_with_everything_goes_on_to_the_same_numbers(plan, tmp_path):
    """Momentum, schedule, augmentation and patches follow from where it stands, too."""
    recipe = replace(
        plan.recipe,
        optimizer="muon",
        lr=2e-3,
        weight_decay=0.05,
        warmup=1,
        cosine=True,
        clip_norm=1.0,
        label_smoothing=0.1,
        augmentation=Augmentation(2, mirror=True, colour=0.2, erase=8, cutmix=0.5, mixup=0.5),
        patch_dropout=0.5,
        whole_epochs=1,
        validation=10,
        model=replace(plan.recipe.model, dropout=0.1),
    )
    arguments = recipe, plan.train_set, plan.test_set
    train(*arguments, tmp_path / "whole", device="cpu")
    for told in ([False, False, True], [False, True]):  # after each step; an epoch has 4
        options = {"device": "cpu", "resume": True, "stop": iter(told).__next__}
        assert train(*arguments, tmp_path / "broken", **options) is False
    assert train(*arguments, tmp_path / "broken", device="cpu", resume=True)
    assert_same_run(tmp_path / "broken", tmp_path / "whole")
    with pytest.raises(TrainingError, match="another recipe"):  # the schedule depends on it
        train(replace(recipe, epochs=3), *arguments[1:], tmp_path / "whole", resume=True)


def test_twenty_kills(plan, tmp_path):
    """Whatever a kill cuts off, the folder opens and the run goes on to the same numbers."""
    small = replace(plan, train_set=plan.train_set.sample(24), test_set=plan.test_set.sample(12))
    recipe = replace(plan.recipe, epochs=200, keep_from=1)
    out, children = tmp_path / "run", multiprocessing.get_context("forkserver")
    children.set_forkserver_preload(["core.train"])
    delays, done = np.random.default_rng(0).uniform(0, 0.15, 20), 0
    for delay in delays:
        child = children.Process(
            target=train,
            args=(recipe, small.train_set, small.test_set, out),
            kwargs={"device": "cpu", "resume": True},
        )
        child.start()
        while child.is_alive() and progress_of(out) <= done:  # it is under way
            time.sleep(0.005)
        time.sleep(delay)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        done = progress_of(out)
        assert len(load_run(out).history) in (done, done + 1)  # history is written just before
    recipe = replace(recipe, epochs=done + 2)
    run_training(small, out, recipe, resume=True)
    run_training(small, tmp_path / "unbroken", recipe)
    for path in out.glob(".*"):  # what a killed write leaves behind is never read
        path.unlink()
    assert_same_run(out, tmp_path / "unbroken")


def progress_of(out):
    """Whole epochs behind a run; -1 before its state is there."""
    if not (out / "resume.pt").exists():
        return -1
    # a rename is atomic, so the file is whole
    return torch.load(out / "resume.pt", map_location="cpu", weights_only=True)["epochs_done"]


def test_a_finished_run_may_go_on_for_longer(plan, tmp_path, unbroken):
    out = tmp_path / "run"
    run_training(plan, out, replace(plan.recipe, epochs=1))
    run_training(plan, out, resume=True)
    assert_same_run(out, unbroken.path)
    run_training(plan, out, resume=True)  # nothing is left to do
    assert_same_run(out, unbroken.path)


def test_a_finished_run_is_not_overwritten(plan, unbroken):
    before = {path.name: path.read_bytes() for path in unbroken.path.iterdir()}
    others = [
        {},
        {"resume": True, "seed": 1},
        {"resume": True, "recipe": replace(plan.recipe, lr=0.5)},
        {"resume": True, "recipe": replace(plan.recipe, batch_size=5)},
        {"resume": True, "recipe": replace(plan.recipe, model=replace(plan.recipe.model, heads=4))},
        {"resume": True, "plan": replace(plan, train_set=plan.train_set.sample(60))},
    ]
    for options in others:
        with pytest.raises(TrainingError, match="unbroken") as error:
            run_training(**{"plan": plan, "out": unbroken.path, **options})
        assert is_one_sentence(error.value)
    assert {path.name: path.read_bytes() for path in unbroken.path.iterdir()} == before


def test_a_run_without_its_state_cannot_go_on(plan, tmp_path):
    out = tmp_path / "run"
    run_training(plan, out, replace(plan.recipe, epochs=1))
    for damage in (lambda f: f.write_bytes(f.read_bytes()[:500]), Path.unlink):
        damage(out / "resume.pt")
        with pytest.raises(TrainingError, match=r"resume\.pt") as error:
            run_training(plan, out, resume=True)
        assert is_one_sentence(error.value)


# --- The command line -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(samples, tmp_path_factory):
    """Folders train/ and test/ with the sample scenes."""
    root = tmp_path_factory.mktemp("pictures")
    for name, start in (("train", 0), ("test", 1)):
        chosen = slice(start, None, 5)
        images = image_set(
            name, samples.images[chosen], samples.labels[chosen].copy(), samples.classes
        )
        write_folder(root / name, images)
    return root


@pytest.fixture
def command(plan, monkeypatch):
    """`python -m core.train …` in this process."""
    monkeypatch.setitem(core.train.RECIPES, "tiny", plan.recipe)
    app = typer.Typer()
    app.command()(main)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_trains(command, pictures, tmp_path):
    out = tmp_path / "run"
    words = ("--recipe", "tiny", "--data", pictures, "--out", out, "--subset", 30)
    result = command(*words, "--epochs", 1, "--lr", 0.5, "--batch-size", 7, "--seed", 4)
    assert result.exit_code == 0, result.output
    run = load_run(out)
    assert run.config["recipe"]["name"] == "tiny"
    found = {name: run.config["recipe"][name] for name in ("epochs", "batch_size", "lr")}
    assert found == {"epochs": 1, "batch_size": 7, "lr": 0.5}
    assert run.config["seed"] == 4
    assert run.config["data"]["train"]["images"] == 30
    again = run.config["command"].split()
    for option in ("--recipe tiny", "--subset 30", "--epochs 1", "--lr 0.5", "--batch-size 7"):
        assert " ".join(option.split()) in " ".join(again)
    assert "--seed 4" in run.config["command"]
    assert str(tmp_path) not in run.config["command"]


def test_the_command_takes_parquet_of_any_number_of_classes(command, tmp_path):
    for name in ("train", "test"):
        pictures = map(png, make_pictures(8, 40))
        write_parquet(tmp_path / f"{name}.parquet", pictures, [0, 1, 2, 1] * 2, ("a", "b", "c"))
    result = command("--recipe", "tiny", "--data", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    run = load_run(tmp_path / "run")
    assert run.classes == ("a", "b", "c")
    assert run.model.head.out_features == 3


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--recipe", "miracle"], "tutorial"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "cifar10"], "download"),
        ([], "--resume"),
        (["--resume", "--lr", "0.5"], "recipe"),
        (["--resume", "--seed", "5"], "seed"),
        (["--resume", "--subset", "30"], "data"),
        (["--init-from", "nowhere"], "nowhere"),
        (["--freeze", "1"], "--init-from"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_command_says_in_one_sentence_what_is_wrong(command, pictures, tmp_path, words, hint):
    out = tmp_path / "run"
    start = ["--recipe", "tiny", "--data", pictures, "--out", out, "--epochs", 1]
    assert command(*start).exit_code == 0
    before = (out / "config.json").read_text()
    result = command(*start, *words)
    assert result.exit_code == 1
    assert is_one_sentence(result.stderr.strip())
    assert hint in result.stderr
    assert result.stdout == ""
    assert (out / "config.json").read_text() == before


def test_an_unwritable_place_is_named(command, pictures, tmp_path):
    (tmp_path / "file").write_text("no folder")
    words = ("--recipe", "tiny", "--data", pictures, "--out", tmp_path / "file" / "run")
    result = command(*words)
    assert result.exit_code == 1
    assert is_one_sentence(result.stderr.strip())
    assert "cannot be written" in result.stderr


def test_a_full_disk_loses_nothing(command, pictures, tmp_path, plan, monkeypatch):
    """Files may no longer grow beyond what an epoch has to write."""
    large = replace(plan.recipe, model=replace(plan.recipe.model, width=128))
    monkeypatch.setitem(core.train.RECIPES, "large", large)
    words = ["--recipe", "large", "--data", pictures, "--out", tmp_path / "run", "--epochs"]
    assert command(*words, 1).exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        result = command(*words, 2, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1
    *_, message = result.stderr.splitlines()  # before it is the progress bar
    assert is_one_sentence(message)
    assert "cannot be written" in message
    after = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert after["resume.pt"] == before["resume.pt"]
    assert load_run(tmp_path / "run").model
    assert command(*words, 2, "--resume").exit_code == 0


def test_the_command_goes_on_from_a_run(command, pictures, tmp_path, unbroken):
    words = ("--data", pictures, "--subset", 30, "--epochs", 1, "--init-from", unbroken.path)
    result = command(*words, "--out", tmp_path / "run", "--freeze", 1)
    assert result.exit_code == 0, result.output
    run = load_run(tmp_path / "run")
    assert run.model.config == unbroken.model.config
    assert_same_weights(run.model.blocks[0], unbroken.model.blocks[0])
    assert "--init-from checkpoints/unbroken --freeze 1" in run.config["command"]


@pytest.fixture
def start(pictures):
    """Begin `python -m core.train` in a process of its own, which no test outlives."""
    processes = []

    def start(out, log, *options, launcher=()):
        words = ["--data", pictures, "--out", out, "--subset", 32, "--batch-size", 8, "--epochs", 8]
        with open(log, "ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *launcher, "core.train", *map(str, words), *options],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_for_epoch(process, out, epoch):
    """Until a training in another process has finished an epoch and is within the next."""
    while progress_of(out) < epoch:
        assert process.poll() is None, "training ended early"
        time.sleep(0.01)


def test_a_killed_process_goes_on_to_the_same_numbers(start, tmp_path):
    """The tutorial's own model: interrupted by hand, resumed, killed, and resumed again."""
    out, log = tmp_path / "broken", tmp_path / "log"
    whole = start(tmp_path / "whole", tmp_path / "log of whole")

    for options, number in (([], signal.SIGINT), (["--resume"], signal.SIGTERM)):
        process = start(out, log, *options)
        wait_for_epoch(process, out, max(progress_of(out), 0) + 1)
        process.send_signal(number)
        assert process.wait() == 0, log.read_text()
        assert "Traceback" not in log.read_text()
        assert len(load_run(out).history) < 8
    assert log.read_text().count("--resume goes on") == 2

    process = start(out, log, "--resume")
    wait_for_epoch(process, out, progress_of(out) + 1)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    run = load_run(out)
    assert 3 <= len(run.history) < 8
    assert evaluate.predict(run.model, np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 10)

    assert start(out, log, "--resume").wait() == 0, log.read_text()
    assert whole.wait() == 0
    assert_same_run(out, tmp_path / "whole")


TWO = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def test_two_processes_learn_what_one_does(pictures, tmp_path):
    """Twenty epochs of one step, of a batch that two do not share evenly."""
    words = ["core.train", "--data", pictures, "--subset", 9, "--batch-size", 9]
    words += ["--epochs", 20, "--device", "cpu", "--out"]
    for out, launcher in (("one", []), ("two", TWO)):
        subprocess.run(
            [sys.executable, "-m", *map(str, [*launcher, *words, tmp_path / out])],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            timeout=120,
        )
    one, two = load_run(tmp_path / "one"), load_run(tmp_path / "two")
    assert one.history["train_loss"].iloc[-1] < one.history["train_loss"].iloc[0]
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(two.history[column], one.history[column], atol=1e-3)
    assert len(two.predictions) == len(one.predictions) == 9
    assert (one.config["processes"], two.config["processes"]) == (1, 2)


def test_two_processes_stop_together_and_go_on(start, tmp_path):
    out, log = tmp_path / "broken", tmp_path / "log"
    whole = start(tmp_path / "whole", tmp_path / "log of whole", launcher=TWO)
    assert whole.wait(timeout=120) == 0
    process = start(out, log, launcher=TWO)
    wait_for_epoch(process, out, 1)
    process.terminate()
    process.wait(timeout=120)
    assert log.read_text().count("--resume goes on") == 1
    assert 1 <= len(load_run(out).history) < 8

    assert start(out, log, launcher=TWO).wait(timeout=120) != 0  # without --resume
    assert log.read_text().count("already holds a run") == 1  # told once

    assert start(out, log, "--resume", launcher=TWO).wait(timeout=120) == 0, log.read_text()
    assert_same_run(out, tmp_path / "whole")


def test_a_part_of_cifar10_trains(cifar10, tmp_path, command):
    for name in ("train.parquet", "test.parquet"):
        pq.write_table(pq.read_table(cifar10 / name).slice(0, 300), tmp_path / name)
    words = ("--recipe", "tiny", "--data", tmp_path, "--out", tmp_path / "run")
    result = command(*words, "--subset", 200, "--epochs", 1)
    assert result.exit_code == 0, result.output
    run = load_run(tmp_path / "run")
    assert run.classes == CIFAR10_CLASSES
    assert run.config["data"]["test"]["name"].startswith("CIFAR-10 test")
    assert re.search(r"CIFAR-10 train.*200", run.card)
