"""The Confusion page against `core.evaluate`."""

import numpy as np
import pytest
from reading import chart, complaint, component_keys, panels

from core import evaluate
from core.attention import extract_set


def results(run):
    probabilities = run.predictions[list(run.classes)].to_numpy()
    return run.predictions["label"].to_numpy(), probabilities


def cells_of(at) -> np.ndarray:
    return np.array(chart(at, "confusion_matrix")[0]["z"])


def test_counts_shares_and_tables_are_the_cores(start, tiny):
    labels, probabilities = results(tiny)
    matrix = evaluate.confusion_matrix(labels, probabilities.argmax(axis=1), 10)
    at = start("confusion")
    np.testing.assert_array_equal(cells_of(at), matrix)
    # plotly hands a click's place on only as plain numbers, not in its binary form
    assert chart(at, "confusion_matrix")[1]["customdata"][19] == [1, 9]
    assert at.metric[0].value == f"{evaluate.accuracy(labels, probabilities):.2%}"
    assert at.metric[1].value == str(200 - np.trace(matrix))
    commonest, by_class = (table.value.reset_index(drop=True) for table in at.dataframe)
    expected = evaluate.top_confusions(matrix, tiny.classes).reset_index(drop=True)
    assert commonest.equals(expected)
    assert by_class.equals(evaluate.per_class(matrix, tiny.classes))
    _, error = evaluate.calibration(labels, probabilities)
    title = f"**Calibration: expected calibration error {error:.1%}**"
    assert title in [m.value for m in at.markdown]

    at.button_group(key="cells").set_value("row shares").run()
    shares = cells_of(at)
    np.testing.assert_allclose(shares, matrix / 20)  # 20 scenes a class
    assert chart(at, "confusion_matrix")[0]["text"][0][0] == f"{shares[0, 0]:.0%}"


def test_a_cell_shows_its_images(start, tiny, samples):
    labels, probabilities = results(tiny)
    predicted = probabilities.argmax(axis=1)
    matrix = evaluate.confusion_matrix(labels, predicted, 10)
    row, column = np.unravel_index((matrix * ~np.eye(10, dtype=bool)).argmax(), (10, 10))
    at = start("confusion")
    choose(at, tiny.classes, row, column)
    count = matrix[row, column]
    names = tiny.classes
    assert at.header[0].value == f"{names[row]} → {names[column]}: {count} images"
    shown = panels(at, "confusion_images")
    assert len(shown) == count
    assert {p["note"].rpartition(" ")[0] for p in shown} == {f"{names[row]}\n→ {names[column]}"}
    image, grid, _ = panels(at, "confusion_mean")
    assert image["note"] == f"{count} images"
    rows = extract_set(tiny.model, samples).cls_rows[:, -1].astype(float)
    mean = rows[(labels == row) & (predicted == column)].mean(axis=(0, 1))
    np.testing.assert_allclose(grid["values"], mean, atol=2e-6)

    choose(at, tiny.classes, *np.argwhere(matrix == 0)[0])
    assert at.header[0].value.endswith(": 0 images")
    assert not at.exception
    assert component_keys(at).isdisjoint({"confusion_images", "confusion_mean"})


def choose(at, classes, row, column):
    """A cell, as a click on it does."""
    at.selectbox(key="label").select(classes[row])
    at.selectbox(key="taken_for").select(classes[column])
    at.run()


def test_what_groups_have_in_common(start, tiny, samples):
    labels, probabilities = results(tiny)
    right = labels == probabilities.argmax(axis=1)
    rows = extract_set(tiny.model, samples).cls_rows[:, -1].astype(float).mean(axis=1)
    at = start("confusion")
    shown = panels(at, "confusion_common")
    assert [p["caption"] for p in shown[::3]] == list(tiny.classes)
    for label, panel in enumerate(shown[1::3]):
        np.testing.assert_allclose(panel["values"], rows[labels == label].mean(axis=0), atol=2e-6)
    at.button_group(key="common").set_value("right against wrong").run()
    shown = panels(at, "confusion_common")
    assert [p["note"] for p in shown[::3]] == [f"{right.sum()} images", f"{(~right).sum()} images"]
    for group, panel in zip((right, ~right), shown[1::3]):
        np.testing.assert_allclose(panel["values"], rows[group].mean(axis=0), atol=2e-6)


def test_results_of_the_test_set_without_its_pixels(start, elsewhere):
    labels, probabilities = results(elsewhere)
    matrix = evaluate.confusion_matrix(labels, probabilities.argmax(axis=1), 10)
    at = start("confusion", "elsewhere")
    (where,) = [g for g in at.get("button_group") if g.label == "Results on"]
    assert list(where.options) == ["Sample scenes (200)", "Gone (60)"]
    where.set_value("Gone (60)").run()
    np.testing.assert_array_equal(cells_of(at), matrix)
    assert at.metric[0].help == "of 60 images"
    choose(at, elsewhere.classes, 0, 0)
    assert at.header[0].value == f"airplane → airplane: {matrix[0, 0]} images"
    assert "choose Gone as Images" in complaint(at)
    assert component_keys(at) == {"address"}


@pytest.mark.parametrize("model", ["tiny", "elsewhere"])
def test_the_choice_of_results_is_offered_only_where_there_is_one(start, model):
    at = start("confusion", model)
    offered = any(g.label == "Results on" for g in at.get("button_group"))
    assert offered == (model == "elsewhere")
