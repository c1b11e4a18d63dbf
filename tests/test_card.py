import math
import re
from dataclasses import replace

import pytest

from core import checkpoint
from core.card import model_card
from core.checkpoint import load_run
from core.errors import CheckpointError
from core.train import train


@pytest.fixture(scope="module")
def run(plan, tmp_path_factory):
    out = tmp_path_factory.mktemp("card") / "carded"
    recipe = replace(plan.recipe, keep_from=1)
    command = "python -m core.train --recipe tiny"
    train(recipe, plan.train_set, plan.test_set, out, device="cpu", command=command)
    return load_run(out)


def row(card, name):
    return re.search(rf"^\| {name} \| (.*) \|$", card, re.MULTILINE)[1]


def test_the_numbers_are_those_of_the_run(run, plan):
    card = run.card
    labels = run.predictions["label"].to_numpy()
    predicted = run.predictions[list(run.classes)].to_numpy().argmax(axis=1)
    share = (labels == predicted).mean()
    accuracy, *interval = re.findall(r"(\d+\.\d+)%", row(card, "Test accuracy"))
    assert float(accuracy) == pytest.approx(100 * share, abs=0.006)
    for end in map(float, interval):  # 1.96 standard errors away, if the truth were there
        error = math.sqrt(end * (100 - end) / 50)
        assert abs(end - 100 * share) == pytest.approx(1.96 * error, abs=0.02)
    assert "one run" in row(card, "Test accuracy")
    best = run.history.loc[run.history["val_loss"].idxmin()]
    kept = row(card, "Kept epoch")
    assert kept.startswith(f"{best['epoch']:.0f} of 2")
    assert f"{best['val_loss']:.4f}" in kept
    assert float(accuracy) == pytest.approx(100 * best["val_acc"], abs=0.006)
    count = sum(weights.numel() for weights in run.model.parameters())
    assert f"{count:,} parameters" in row(card, "Model")
    assert row(card, "Trained on") == "Even: 100 images"
    assert row(card, "Tested on") == "Odd: 50 images"
    assert "lr 0.02" in card
    assert run.config["command"] in card
    assert all(name in card for name in run.classes)
    assert card == model_card(run.path)


def test_time_is_the_sum_over_epochs(run, tmp_path):
    for path in run.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    history = run.history.assign(seconds=[1000.0, 820.0], images_per_second=[3000.0, 1000.0])
    checkpoint.save_history(tmp_path, history)
    words = row(model_card(tmp_path), "Time")
    assert words == "30 minutes for 2 epochs, median 2,000 images/s"


def test_before_the_first_epoch_no_number_is_made_up(run, tmp_path):
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((run.path / name).read_bytes())
    card = model_card(tmp_path)
    assert not re.search(r"\d", row(card, "Test accuracy"))
    assert row(card, "Kept epoch") == "none yet"


def test_a_folder_without_a_run_has_no_card(tmp_path):
    with pytest.raises(CheckpointError):
        model_card(tmp_path)
