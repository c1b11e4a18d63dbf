"""The Heads page's numbers against the core's."""

from time import monotonic, sleep

import numpy as np
import pytest
from reading import chart, panels_of

from core.attention import extract_set
from core.evaluate import confusion_matrix, predict
from core.heads import agreement, measure_heads
from core.knockout import accuracy_change, keep_all_but, one_off, predict_without_each


@pytest.fixture
def measures(tiny, samples):
    return measure_heads(tiny.model, samples)


def shown_bars(at, key) -> list[float]:
    return [row["share"] for row in panels_of(at, key)["rows"]]


def wait_for(at, key):
    """Run the page until the work in the background has brought a chart."""
    until = monotonic() + 60
    while monotonic() < until:
        at.run()
        if any(e.proto.id.endswith(f"-{key}") for e in at.get("plotly_chart")):
            return chart(at, key)
        sleep(0.2)
    raise AssertionError(f"there is no {key}")


@pytest.mark.parametrize("name", ["distance", "entropy", "cls_to_cls", "strength"])
def test_measures_over_all_images_and_over_a_class(start, samples, measures, name):
    at = start("heads")
    values = getattr(measures, name)
    heads, mean, *_ = chart(at, f"heads_{name}")
    np.testing.assert_allclose(heads["y"], values.mean(axis=0).ravel(), rtol=1e-5)
    np.testing.assert_allclose(mean["y"], values.mean(axis=(0, 2)), rtol=1e-5)
    assert heads["x"] == [1, 1, 2, 2, 3, 3]
    assert heads["text"][:3] == ["L1 H1", "L1 H2", "L2 H1"]
    at.multiselect(key="class").set_value(["cat"]).run()
    cats = samples.labels == samples.classes.index("cat")
    np.testing.assert_allclose(
        chart(at, f"heads_{name}")[0]["y"], values[cats].mean(axis=0).ravel(), rtol=1e-5
    )


def test_the_images_that_move_a_head_most_and_least(start, measures):
    at = start("heads", of="L2 H1")
    order = np.argsort(-measures.strength[:, 1, 0], kind="stable")
    for key, expected in (("heads_most", order[:12]), ("heads_least", order[::-1][:12])):
        alts = [panel["alt"].split(",")[0] for panel in panels_of(at, key)["panels"]]
        assert alts == [f"#{index}" for index in expected]


def test_agreement_of_the_heads(start, tiny, samples):
    at = start("heads", of="L3 H2")
    rows = extract_set(tiny.model, samples).cls_rows
    expected = agreement(rows, np.arange(200))
    (cells,) = chart(at, "heads_agreement_all")
    np.testing.assert_allclose(cells["z"], expected, atol=1e-5)
    (cells,) = chart(at, "heads_agreement")
    np.testing.assert_allclose(cells["z"], expected[4:, 4:], atol=1e-5)


def test_switched_off_heads_change_the_answer_at_once(start, tiny, samples):
    at = start("heads", index="45")
    picture = samples.images[45:46]
    before = np.sort(predict(tiny.model, picture)[0])[::-1]
    np.testing.assert_allclose(shown_bars(at, "heads_before"), before, atol=1e-6)
    np.testing.assert_allclose(shown_bars(at, "heads_after"), before, atol=1e-6)
    at.multiselect(key="off").set_value(["layer 1", "L3 H2"]).run()
    keep = keep_all_but(tiny.model.config, [0], [(2, 1)])
    after = np.sort(predict(tiny.model, picture, keep=keep)[0])[::-1]
    np.testing.assert_allclose(shown_bars(at, "heads_after"), after, atol=1e-6)
    assert not np.allclose(after, before)


def test_what_it_costs_over_the_set(start, tiny, samples):
    at = start("heads", off="layer 1")
    start_button = next(b for b in at.button if b.label == "Measure it on all 200 images")
    start_button.click().run()
    (cells,) = wait_for(at, "heads_confusion")
    keep = keep_all_but(tiny.model.config, [0])
    before, after = (
        predict(tiny.model, samples.images, keep=k).argmax(axis=1) for k in (None, keep)
    )
    matrices = [confusion_matrix(samples.labels, said, 10) for said in (before, after)]
    np.testing.assert_array_equal(cells["z"], matrices[1] - matrices[0])
    values = {metric.label: metric for metric in at.metric}
    assert values["Without them"].value == f"{(after == samples.labels).mean():.1%}"
    change, half = accuracy_change(samples.labels, before, after)
    assert values["Without them"].delta == f"{100 * change:+.1f} ± {100 * half:.1f} points"


def test_each_head_alone(start, tiny, samples):
    at = start("heads")
    next(b for b in at.button if b.label == "Switch off each of 6 heads in turn").click().run()
    (cells, _) = wait_for(at, "heads_importance")
    before = predict(tiny.model, samples.images).argmax(axis=1)
    after = predict_without_each(tiny.model, samples.images, one_off(tiny.model.config))
    change, _ = accuracy_change(samples.labels, before, after)
    table = np.column_stack([change[:6].reshape(3, 2), change[6:]])
    np.testing.assert_allclose(cells["z"], table, atol=1e-9)
    # the result is kept: another visit has it at once
    assert chart(start("heads"), "heads_importance")[0]["z"] == cells["z"]


def test_heads_that_another_model_lacks(start):
    at = start("heads", off="L3 H1", of="L3 H2")
    assert at.multiselect(key="off").value == ["L3 H1"]
    at.selectbox(key="model").select("elsewhere").run()
    assert at.multiselect(key="off").value == []
    assert at.selectbox(key="of").value == "L2 H1"
    assert not at.exception
