"""The Compare page's maps and differences against the core's."""

import shutil

import numpy as np
import pytest
from reading import complaint, panels, panels_of

from core.attention import cls_maps
from core.compare import cosine_similarity, difference
from core.explain import explain

INDEX = 45


@pytest.fixture
def maps_of(samples):
    """CLS maps (L, H, gh, gw) of the picture to a run's model."""

    def maps_of(run):
        return cls_maps(run.model, samples.images[INDEX : INDEX + 1])[0]

    return maps_of


def shown(at) -> list[np.ndarray]:
    """The maps, from left to right."""
    count = len(panels(at, "compare_maps")) // 3
    return [np.array(p["values"]) for p in panels(at, "compare_maps")[count : 2 * count]]


def names(at) -> list[str]:
    every = panels(at, "compare_maps")
    return [p["caption"] for p in every[: len(every) // 3]]


def test_two_models_and_where_they_differ(start, tiny, elsewhere, maps_of):
    at = start("compare", index=str(INDEX))
    assert names(at) == ["A  tiny", "B  elsewhere (layer 2, average of the heads)"]
    first, second = maps_of(tiny)[-1].mean(axis=0), maps_of(elsewhere)[-1].mean(axis=0)
    for found, expected in zip(shown(at), (first, second)):
        np.testing.assert_allclose(found, expected.ravel(), atol=1e-6)
    changed = difference(first, second)
    (panel,) = panels(at, "compare_difference")
    np.testing.assert_allclose(panel["values"], changed.ravel(), atol=2e-6)
    legend = panels_of(at, "compare_difference")["legend"]
    assert legend["high"] == f"{np.abs(changed).max():.4f}"
    assert legend["low"] == f"-{legend['high']}"
    assert at.metric[0].value == f"{cosine_similarity(first, second):.3f}"


def test_each_column_has_what_is_not_the_same_for_all(start, tiny, samples, maps_of):
    at = start("compare", index=str(INDEX), panels="3", same=["model", "image"])
    at.slider(key="layer").set_value(3)
    at.selectbox(key="head").select(2)
    at.slider(key="layer_b").set_value(1)
    at.selectbox(key="head_b").select("average")
    at.selectbox(key="method_b").select("attention")
    at.selectbox(key="method_c").select("rollout")
    at.run()
    maps = maps_of(tiny)
    rollout = explain(tiny.model, samples.images[INDEX : INDEX + 1], "rollout")[0].numpy()
    for found, expected in zip(shown(at), (maps[2, 1], maps[0].mean(axis=0), rollout)):
        np.testing.assert_allclose(found, expected.ravel(), atol=1e-6)
    at.button_group(key="pair").set_value("C − B").run()
    (panel,) = panels(at, "compare_difference")
    expected = difference(maps[0].mean(axis=0), rollout)
    np.testing.assert_allclose(panel["values"], expected.ravel(), atol=2e-6)


def test_one_colour_scale_or_each_its_own(start):
    at = start("compare", index=str(INDEX))
    highest = max(values.max() for values in shown(at))
    assert panels_of(at, "compare_maps")["legend"]["high"] == f"{highest:.4f}"
    at.button_group(key="scale").set_value("each its own").run()
    assert panels_of(at, "compare_maps")["legend"]["high"] == "highest of each map"


def test_a_layer_that_another_model_lacks_is_its_last(start, elsewhere, maps_of):
    at = start("compare", index=str(INDEX), layer="3", head="2")
    assert names(at)[1] == "B  elsewhere (layer 2, head 2)"
    np.testing.assert_allclose(shown(at)[1], maps_of(elsewhere)[1, 1].ravel(), atol=1e-6)


def test_two_images(start, tiny, samples):
    at = start("compare", same=["model", "layer", "head", "method"], index="45", index_b="7")
    assert names(at) == ["A  image 45", "B  image 7"]
    maps = cls_maps(tiny.model, samples.images[[45, 7]])[:, -1].mean(axis=1)
    for found, expected in zip(shown(at), maps):
        np.testing.assert_allclose(found, expected.ravel(), atol=1e-6)


def test_two_epochs_of_the_training(start, tiny):
    at = start("compare", compare="training epochs", picture="scene 4")
    at.slider(key="epoch_b").set_value(2).run()
    assert names(at) == ["A  epoch 3", "B  epoch 2"]
    frames = tiny.replay["cls_maps"][:, 3].astype(np.float32)  # (E, H, gh, gw)
    for found, epoch in zip(shown(at), (3, 2)):
        np.testing.assert_allclose(found, frames[epoch - 1].mean(axis=0).ravel(), atol=1e-6)
    at.selectbox(key="head").select(1).run()
    np.testing.assert_allclose(shown(at)[1], frames[1, 0].ravel(), atol=1e-6)
    at.selectbox(key="method").select("rollout").run()
    np.testing.assert_allclose(shown(at)[0], tiny.replay["rollout"][2, 3].ravel(), atol=1e-6)


def test_a_picture_that_one_of_the_runs_did_not_see(start):
    at = start(
        "compare",
        compare="training epochs",
        picture="test image 2",
        same_epochs=["head", "method", "epoch", "picture"],
    )
    assert not at.exception
    assert "elsewhere is of images that are not chosen" in complaint(at)
    at.selectbox(key="picture").select("scene 2").run()
    assert names(at) == ["A  tiny", "B  elsewhere"]


def test_a_run_that_kept_no_epochs_is_not_offered(start, runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs" / "elsewhere" / "replay.npz").unlink()
    query = {"compare": "training epochs", "same_epochs": ["picture", "head", "method", "epoch"]}
    at = start("compare", checkpoints=tmp_path / "runs", **query)
    assert not at.exception
    assert at.selectbox(key="model_b").options == ["tiny"]


def test_a_choice_that_is_cleared_is_as_it_began(start):
    at = start("compare", same=["layer", "head", "method"], index="45", index_b="7")
    at.number_input(key="index_b").set_value(None)
    at.selectbox(key="model_b").set_value(None)
    at.run()
    assert not at.exception
    assert names(at) == [
        "A  tiny, image 45",
        "B  elsewhere, image 7 (layer 2, average of the heads)",
    ]
