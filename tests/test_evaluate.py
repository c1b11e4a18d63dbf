import math

import numpy as np
import pytest
import torch
import typer
from reference import is_one_sentence, make_model, make_pictures
from typer.testing import CliRunner

from core import evaluate
from core.checkpoint import save_run


@pytest.mark.parametrize("batch_size", [1, 3, 7, 256])
def test_predict_is_the_softmax_of_the_models_logits_in_any_batches(batch_size):
    model, pictures = make_model(), make_pictures(7)
    logits = model(model.prepare(pictures)).double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    calls = []
    probabilities = evaluate.predict(
        model, pictures, batch_size=batch_size, progress=lambda *done: calls.append(done)
    )
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert probabilities.dtype == np.float32
    assert calls == [(min(end, 7), 7) for end in range(batch_size, 7 + batch_size, batch_size)]
    prepared = evaluate.predict(model, model.prepare(pictures), batch_size=batch_size)
    np.testing.assert_array_equal(prepared, probabilities)


def test_nothing_to_predict():
    assert evaluate.predict(make_model(), make_pictures(0)).shape == (0, 5)
    assert evaluate.predict(make_model(), torch.zeros(0, 3, 8, 8)).shape == (0, 5)


PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.05, 0.5, 0.45], [0.9, 0.1, 0.0]],
    np.float32,
)
LABELS = np.array([0, 1, 1, 1, 2])


def test_accuracy_and_cross_entropy():
    assert evaluate.accuracy(LABELS, PROBABILITIES) == pytest.approx(3 / 5)
    expected = -(math.log(0.7) + math.log(0.3) + math.log(0.8) + math.log(0.5)) / 4
    loss = evaluate.cross_entropy(LABELS[:4], PROBABILITIES[:4])
    assert loss == pytest.approx(expected, rel=1e-6)
    assert 50 < evaluate.cross_entropy(LABELS[4:], PROBABILITIES[4:]) < 100  # p = 0 is not infinite
    uniform = np.full((4, 10), 0.1, np.float32)
    assert evaluate.cross_entropy(np.arange(4), uniform) == pytest.approx(math.log(10))


def test_confusion_matrix_and_per_class():
    labels = np.array([0, 0, 0, 1, 1, 3])
    predicted = np.array([0, 0, 1, 1, 0, 1])
    matrix = evaluate.confusion_matrix(labels, predicted, 4)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    table = evaluate.per_class(matrix, ("a", "b", "c", "d"))
    nan = np.nan
    np.testing.assert_allclose(table["precision"], [2 / 3, 1 / 3, nan, nan])
    np.testing.assert_allclose(table["recall"], [2 / 3, 1 / 2, nan, 0])
    np.testing.assert_allclose(table["f1"], [2 / 3, 2 / 5, nan, 0])
    assert table["images"].tolist() == [3, 2, 0, 1]
    assert table["class"].tolist() == ["a", "b", "c", "d"]


def test_top_confusions():
    matrix = np.array([[50, 3, 0], [5, 5, 0], [3, 0, 0]])
    table = evaluate.top_confusions(matrix, ("cat", "dog", "eel"))
    assert table.to_dict("list") == {
        "label": ["dog", "cat", "eel"],
        "prediction": ["cat", "dog", "cat"],
        "images": [5, 3, 3],
        "share": [0.5, pytest.approx(3 / 53), 1.0],
    }
    assert evaluate.top_confusions(matrix, ("cat", "dog", "eel"), count=1)["label"].item() == "dog"
    assert evaluate.top_confusions(np.diag([3, 4]), ("a", "b")).empty


def test_calibration():
    # confidences 0.95 and 0.85 right, 0.9125 wrong, 0.55 right and wrong
    first = np.array([0.95, 0.85, 0.9125, 0.55, 0.55])
    probabilities = np.stack([first, 1 - first], axis=1)
    table, error = evaluate.calibration(np.array([0, 0, 1, 0, 1]), probabilities)
    np.testing.assert_allclose(table["confidence"], [0.55, 0.85, (0.95 + 0.9125) / 2])
    np.testing.assert_allclose(table["accuracy"], [0.5, 1, 0.5])
    assert table["images"].tolist() == [2, 1, 2]
    assert error == pytest.approx((2 * 0.05 + 0.15 + 2 * 0.43125) / 5)
    table, error = evaluate.calibration(np.array([0, 0]), np.array([[1, 0], [0.95, 0.05]]))
    assert table["images"].tolist() == [2]  # certainty belongs to the last bin
    assert error == pytest.approx(0.025)


def test_the_interval_of_an_accuracy():
    low, high = evaluate.accuracy_interval(1.0, 10)  # all right: not certainty
    assert (low, high) == pytest.approx((10 / (10 + 1.96**2), 1.0))
    assert evaluate.accuracy_interval(0.0, 10) == pytest.approx((0.0, 1 - low))
    low, high = evaluate.accuracy_interval(0.5, 10_000)
    assert (low, high) == pytest.approx((0.5 - 0.0098, 0.5 + 0.0098), abs=1e-5)


def test_the_command_measures_a_run(tmp_path, samples):
    model = make_model(image_size=32, patch_size=16, classes=10)
    save_run(tmp_path / "run", model, samples.classes[::-1])
    app = typer.Typer()
    app.command()(evaluate.main)
    result = CliRunner().invoke(app, [str(tmp_path / "run"), "--images", "samples"])
    predicted = evaluate.predict(model, samples.images).argmax(axis=1)
    share = (predicted == 9 - samples.labels).mean()  # the model lists its classes backwards
    assert result.exit_code == 0, result.output
    assert f"accuracy {share:.2%}" in result.stdout
    result = CliRunner().invoke(app, [str(tmp_path / "none"), "--images", "samples"])
    assert result.exit_code == 1
    assert is_one_sentence(result.stderr.strip())


def test_nothing_to_measure():
    labels, probabilities = np.array([], np.int64), np.empty((0, 3), np.float32)
    assert math.isnan(evaluate.accuracy(labels, probabilities))
    assert math.isnan(evaluate.cross_entropy(labels, probabilities))
    matrix = evaluate.confusion_matrix(labels, labels, 3)
    assert matrix.tolist() == [[0, 0, 0]] * 3
    assert evaluate.per_class(matrix, ("a", "b", "c"))["recall"].isna().all()
    assert evaluate.top_confusions(matrix, ("a", "b", "c")).empty
    table, error = evaluate.calibration(labels, probabilities)
    assert (len(table), error) == (0, 0)
