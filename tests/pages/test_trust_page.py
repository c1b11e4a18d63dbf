"""The Trust page's numbers against the core's."""

import shutil
from time import monotonic, sleep

import numpy as np
import pytest
from reading import chart, complaint

from core.attention import extract_set
from core.checkpoint import FAITHFULNESS
from core.faithfulness import MAPS, measure, on_object, summary, write_table
from core.intervals import mean_interval


@pytest.fixture(scope="module")
def table(tiny, samples):
    return summary(measure(tiny.model, samples), samples.name)


def test_maps_are_put_to_the_test_on_these_images(start, table):
    at = start("trust")
    next(b for b in at.button if b.label.startswith("Put the maps to the test")).click().run()
    until = monotonic() + 120
    while not at.dataframe and monotonic() < until:
        sleep(0.2)
        at.run()
    for name in ("deletion", "insertion", "occlusion", "object"):
        (points,) = chart(at, f"trust_{name}")
        rows = table[table["measure"] == name]
        assert points["y"] == list(rows["map"])
        np.testing.assert_allclose(points["x"], rows["mean"], atol=1e-6)
        np.testing.assert_allclose(points["customdata"], rows[["low", "high"]], atol=1e-6)
    assert list(at.dataframe[0].value.index) == list(MAPS)


def test_what_came_with_the_model_is_shown_first(start, runs, table, tmp_path):
    shutil.copytree(runs / "tiny", tmp_path / "runs" / "tiny")
    brought = table.assign(images="Far away", mean=table["mean"] / 2)
    write_table(tmp_path / "runs" / "tiny" / FAITHFULNESS, brought)
    at = start("trust", checkpoints=tmp_path / "runs")
    assert at.button_group(key="trial").value == "Far away"
    (points,) = chart(at, "trust_deletion")
    np.testing.assert_allclose(
        points["x"], brought[brought["measure"] == "deletion"]["mean"], atol=1e-3
    )
    assert any("Deletion, Far away" in m.value for m in at.markdown)


def test_a_table_that_is_damaged_is_told(start, runs, tmp_path):
    shutil.copytree(runs / "tiny", tmp_path / "runs" / "tiny")
    (tmp_path / "runs" / "tiny" / FAITHFULNESS).write_text("map,measure\\na,b\\n")
    at = start("trust", checkpoints=tmp_path / "runs")
    assert FAITHFULNESS in complaint(at)
    assert not at.exception


def test_attention_on_the_object_by_layer_and_head(start, tiny, samples):
    at = start("trust", layer="2")
    rows = extract_set(tiny.model, samples).cls_rows.astype(np.float32)
    maps = rows.reshape(200, 3, 2, 4, 4)
    heads, average, even = chart(at, "trust_object_layers")
    expected = [[on_object(maps[:, i, j], samples.masks).mean() for j in (0, 1)] for i in range(3)]
    np.testing.assert_allclose(heads["y"], np.ravel(expected), atol=1e-6)
    of_average = [on_object(maps[:, i].mean(axis=1), samples.masks) for i in range(3)]
    np.testing.assert_allclose(average["y"], np.mean(of_average, axis=1), atol=1e-6)
    np.testing.assert_allclose(even["y"], samples.masks.mean(), atol=1e-6)
    (points,) = chart(at, "trust_object_heads")
    mean, low, high = mean_interval(of_average[1])
    assert points["y"] == ["average", "head 1", "head 2"]
    np.testing.assert_allclose(points["x"][0], mean, atol=1e-6)
    np.testing.assert_allclose(points["customdata"][0], [low, high], atol=1e-6)


def test_images_without_masks_have_no_object(start, cifar10):
    at = start("trust", data=cifar10, images="cifar10/test.parquet")
    assert not at.exception
    assert not any(h.value == "Does attention lie on the object?" for h in at.header)
