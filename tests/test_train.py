import os
import re
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
from core.checkpoint import HISTORY, list_runs, load_run
from core.data import CIFAR10_CLASSES, image_set, open_images
from core.errors import TrainingError
from core.train import main, train

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
    assert last["val_acc"] == (found.argmax(axis=1) == labels).mean()
    assert last["val_loss"] == pytest.approx(-np.log(found[np.arange(50), labels]).mean(), rel=1e-5)


def test_the_kept_epoch_is_the_one_that_is_saved(plan, tmp_path, monkeypatch):
    losses = iter([1.0, 2.0, 3.0, 2.5])
    monkeypatch.setattr(evaluate, "cross_entropy", lambda *arguments: next(losses))
    run = run_training(plan, tmp_path / "run", replace(plan.recipe, epochs=4, keep_from=2))
    assert run.kept_epoch == 2
    probabilities = run.predictions[list(run.classes)].to_numpy()
    np.testing.assert_allclose(
        evaluate.predict(run.model, plan.test_set.images), probabilities, atol=1e-6
    )
    labels = run.predictions["label"].to_numpy()
    assert run.history["val_acc"][1] == evaluate.accuracy(labels, probabilities)
    latest = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert latest["epoch"] == 4
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


# --- Cut off and resumed ----------------------------------------------------------------------


# state, weights and config first; then an epoch writes weights, predictions, replay, history, card
# and state: 3 + 2 × 6 files in all
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
    assert run.config["recipe"] == {
        "name": "tiny", "epochs": 1, "batch_size": 7, "lr": 0.5, "momentum": 0.9, "keep_from": 9
    }  # fmt: skip
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


@pytest.fixture
def start(pictures):
    """Begin `python -m core.train` in a process of its own, which no test outlives."""
    processes = []

    def start(out, log, *options):
        words = ["--data", pictures, "--out", out, "--subset", 32, "--batch-size", 8, "--epochs", 5]
        with open(log, "ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "core.train", *map(str, words), *options],
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
    while process.poll() is None:
        if (out / "resume.pt").exists():
            # a rename is atomic, so the file is whole
            state = torch.load(out / "resume.pt", map_location="cpu", weights_only=True)
            if state["epoch"] >= epoch:
                return
        time.sleep(0.01)
    raise AssertionError(f"training ended early, with {process.returncode}")


def test_a_killed_process_goes_on_to_the_same_numbers(start, tmp_path):
    """The tutorial's own model: interrupted by hand, resumed, killed, and resumed again."""
    out, log = tmp_path / "broken", tmp_path / "log"
    whole = start(tmp_path / "whole", tmp_path / "log of whole")

    process = start(out, log)
    wait_for_epoch(process, out, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0, log.read_text()
    assert "--resume" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert 1 <= len(load_run(out).history) < 5

    process = start(out, log, "--resume")
    wait_for_epoch(process, out, 3)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    run = load_run(out)
    assert 3 <= len(run.history) < 5
    assert evaluate.predict(run.model, np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 10)

    assert start(out, log, "--resume").wait() == 0, log.read_text()
    assert whole.wait() == 0
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
