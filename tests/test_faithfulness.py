import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import is_one_sentence, make_model, make_pictures

from core.checkpoint import FAITHFULNESS, load_run, save_run
from core.cover import KERNEL, SIGMA
from core.data import image_set, open_images
from core.errors import InputError, WriteError
from core.explain import METHODS, explain
from core.faithfulness import (
    MAPS,
    area,
    deletion,
    insertion,
    measure,
    on_object,
    pictures_at,
    random_maps,
    read_table,
    summary,
    write_table,
)
from core.intervals import mean_interval
from core.occlusion import occlusion, rank_correlation


@pytest.fixture(scope="module")
def model():
    return make_model(image_size=12, patch_size=4)  # 9 patches


def scores_one_by_one(model, picture, grid, background):
    """After 0 … 9 patches, every picture on its own; `background` (12, 12, 3) in [0, 1]."""
    mean, std = (np.array(v) for v in (model.config.mean, model.config.std))

    def chances(pixels):
        x = torch.tensor((pixels - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]
        return model(x).softmax(dim=-1)[0].detach().numpy()

    whole = picture / 255
    target = chances(whole).argmax()
    order = sorted(range(9), key=lambda i: (-grid.ravel()[i], i))
    pictures = [whole.copy()]
    for patch in order:
        row, column = divmod(patch, 3)
        here = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
        pictures.append(pictures[-1].copy())
        pictures[-1][here] = background[here]
    return target, [chances(pixels)[target] for pixels in pictures], order


def blurred(picture):
    """Gaussian blur with mirrored edges, written out."""
    offsets = np.arange(KERNEL) - KERNEL // 2
    kernel = np.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    padded = np.pad(picture / 255, ((5, 5), (5, 5), (0, 0)), "reflect")
    return np.array(
        [
            [
                (padded[i : i + 11, j : j + 11] * kernel[..., None]).sum(axis=(0, 1))
                for j in range(12)
            ]
            for i in range(12)
        ]
    )


@pytest.mark.parametrize("batch_size", [1, 7, 512])
def test_deletion_one_patch_at_a_time(model, batch_size):
    pictures, maps = make_pictures(5, 12), random_maps(5, (3, 3))
    maps[1] = np.round(maps[1] * 2)  # ties
    color = np.array([0.1, 0.9, 0.4])
    scores, areas = deletion(model, pictures, maps, color=color, batch_size=batch_size)
    assert scores.shape == (5, 10)
    assert scores.dtype == areas.dtype == np.float32
    for i in range(5):
        background = np.broadcast_to(color, (12, 12, 3))
        _, expected, _ = scores_one_by_one(model, pictures[i], maps[i], background)
        np.testing.assert_allclose(scores[i], expected, atol=1e-5)
        trapezoids = sum((a + b) / 2 for a, b in pairwise(expected)) / 9
        np.testing.assert_allclose(areas[i], trapezoids, atol=1e-5)


def test_insertion_one_patch_at_a_time(model):
    pictures, maps = make_pictures(3, 12), random_maps(3, (3, 3), seed=1)
    scores, _ = insertion(model, pictures, maps)
    for i in range(3):
        # taking the patches away in the reverse order is putting them back in the right one
        _, expected, _ = scores_one_by_one(model, pictures[i], -maps[i], blurred(pictures[i]))
        np.testing.assert_allclose(scores[i], expected[::-1], atol=1e-5)


def test_a_model_that_knows_no_colours():
    """What is painted over is grey to it, as if the picture had been painted before."""
    model = make_model(image_size=12, patch_size=4, channels=1, mean=(0.4,), std=(0.2,))
    pictures, color = make_pictures(2, 12), np.array([51, 102, 204]) / 255
    maps = random_maps(2, (3, 3))
    scores, _ = deletion(model, pictures, maps, color=color)
    for step in range(10):
        shown = [pictures_at(p, m, step, color)[0] for p, m in zip(pictures, maps)]
        chances = model(model.prepare(np.stack(shown))).softmax(dim=-1)
        target = model(model.prepare(pictures)).argmax(dim=-1)
        np.testing.assert_allclose(scores[:, step], chances[[0, 1], target], atol=1e-5)
    assert occlusion(model, pictures).shape == (2, 3, 3)
    assert insertion(model, pictures, maps)[0].shape == (2, 10)


def test_the_mean_colour_is_the_images(model):
    pictures, maps = make_pictures(4, 12), random_maps(4, (3, 3))
    color = pictures.reshape(-1, 3).mean(axis=0) / 255
    np.testing.assert_allclose(
        deletion(model, pictures, maps)[0],
        deletion(model, pictures, maps, color=color)[0],
        atol=1e-6,
    )


@given(arrays("f4", (3, 7), elements=st.floats(0, 1, width=32)))
def test_areas_are_shares(scores):
    areas = area(scores)
    assert (areas >= -1e-6).all()
    assert (areas <= 1 + 1e-6).all()
    np.testing.assert_allclose(area(np.full(9, 0.25)), 0.25)


def test_maps_that_do_not_fit(model):
    for maps in (np.zeros((2, 3, 3)), np.zeros((1, 2, 2)), np.full((1, 3, 3), np.nan)):
        with pytest.raises(InputError) as error:
            deletion(model, make_pictures(1, 12), maps)
        assert is_one_sentence(error.value)


def test_pictures_on_the_way_are_what_the_model_is_shown(model):
    """Their scores are those of the curves, but for the rounding to whole levels of grey."""
    pictures, maps = make_pictures(2, 12), random_maps(2, (3, 3), seed=2)
    color = np.array([0.2, 0.4, 0.6])
    going, coming = (
        deletion(model, pictures, maps, color=color)[0],
        insertion(model, pictures, maps)[0],
    )
    for i in range(2):
        target = model(model.prepare(pictures[i : i + 1])).argmax()
        for step in range(10):
            for picture, scores in zip(
                pictures_at(pictures[i], maps[i], step, color), (going, coming)
            ):
                assert picture.dtype == np.uint8
                score = model(model.prepare(picture[None])).softmax(dim=-1)[0, target]
                assert score == pytest.approx(scores[i, step], abs=0.02)
    np.testing.assert_array_equal(pictures_at(pictures[0], maps[0], 0, color)[0], pictures[0])
    np.testing.assert_array_equal(pictures_at(pictures[0], maps[0], 9, color)[1], pictures[0])


# --- On the object ----------------------------------------------------------------------------


def test_share_on_the_object():
    mask = np.zeros((1, 4, 4), bool)
    mask[0, :2, :2] = True  # the first patch whole
    mask[0, 2, 2] = True  # a quarter of the last
    assert on_object(np.ones((1, 2, 2)), mask) == pytest.approx(mask.mean())
    assert on_object(np.array([[[3.0, 0], [0, 1]]]), mask) == pytest.approx((3 + 0.25) / 4)
    assert on_object(np.array([[[0, 2.0], [0, 0]]]), mask) == 0
    assert np.isnan(on_object(np.zeros((1, 2, 2)), mask)[0])


def test_shares_of_every_head_at_once():
    maps = random_maps(2 * 3 * 5, (2, 2)).reshape(2, 3, 5, 2, 2)
    masks = np.random.default_rng(0).random((5, 8, 8)) > 0.5
    found = on_object(maps, masks)
    assert found.shape == (2, 3, 5)
    np.testing.assert_allclose(found[1, 2], on_object(maps[1, 2], masks))


@pytest.mark.parametrize("masks", [(2, 4, 4), (1, 5, 4)])
def test_masks_that_do_not_fit(masks):
    with pytest.raises(InputError) as error:
        on_object(np.ones((1, 2, 2)), np.ones(masks, bool))
    assert is_one_sentence(error.value)


# --- A whole set ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes():
    masks = np.random.default_rng(5).random((70, 12, 12)) > 0.6
    return image_set("Seventy", make_pictures(70, 12), None, ("a",), masks=masks)


def test_every_map_is_measured_as_by_hand(model, scenes):
    seen = []
    found = measure(model, scenes, progress=lambda *step: seen.append(step))
    assert seen[-1] == (70, 70)
    color = scenes.images.mean(axis=(0, 1, 2)) / 255
    drops = occlusion(model, scenes.images, color=color)
    for i, name in enumerate(MAPS):
        if name in METHODS:
            maps = explain(model, scenes.images, name).numpy()
        else:
            maps = {"occlusion": drops, "random": random_maps(70, (3, 3))}[name]
        np.testing.assert_allclose(
            found["deletion"][i], deletion(model, scenes.images, maps, color=color)[1], atol=1e-5
        )
        np.testing.assert_allclose(
            found["insertion"][i], insertion(model, scenes.images, maps)[1], atol=1e-5
        )
        if name == "occlusion":
            assert np.isnan(found["occlusion"][i]).all()
        else:
            np.testing.assert_allclose(
                found["occlusion"][i], rank_correlation(maps, drops), atol=1e-5
            )
        np.testing.assert_allclose(
            found["object"][i], on_object(maps.clip(0), scenes.masks), atol=1e-5
        )


def test_the_table_tells_means_with_intervals(model, scenes, tmp_path):
    measured = measure(model, scenes)
    table = summary(measured, scenes.name)
    row = table[(table["map"] == "relevance") & (table["measure"] == "insertion")].iloc[0]
    values = measured["insertion"][MAPS.index("relevance")]
    assert (row["mean"], row["low"], row["high"]) == mean_interval(values)
    assert (row["count"], row["images"]) == (70, "Seventy")
    assert table.isna().sum().sum() == 0
    assert len(table) == 4 * len(MAPS) - 1  # occlusion's agreement with itself says nothing
    write_table(tmp_path / FAITHFULNESS, table)
    pd.testing.assert_frame_equal(read_table(tmp_path / FAITHFULNESS), table, atol=1e-4)
    assert read_table(tmp_path / "none.csv") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "map,measure\na,b\n",
        "\x00\xff",
        "map,measure,mean,low,high,count,images\nguess,deletion,0.1,0.1,0.1,3,x\n",
    ],
)
def test_another_table(tmp_path, content):
    (tmp_path / FAITHFULNESS).write_text(content, "latin-1")
    with pytest.raises(InputError) as error:
        read_table(tmp_path / FAITHFULNESS)
    assert is_one_sentence(error.value)


def test_a_folder_that_does_not_take_the_table(model, scenes, tmp_path):
    with pytest.raises(WriteError):
        write_table(tmp_path / "missing" / FAITHFULNESS, summary({}, ""))


def test_the_command(tmp_path, samples):
    model = make_model(image_size=32, patch_size=8, classes=10)
    save_run(tmp_path / "run", model, samples.classes)
    command = [sys.executable, "-m", "core.faithfulness", "--model", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--data", "samples", "--images", "20"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "on Sample scenes, 20 of 200" in done.stdout
    table = read_table(tmp_path / "run" / FAITHFULNESS)
    assert set(table["count"]) <= set(range(21))
    expected = measure(load_run(tmp_path / "run").model, open_images("samples").sample(20))
    pd.testing.assert_frame_equal(table, summary(expected, "Sample scenes, 20 of 200"), atol=1e-3)
    done = subprocess.run([*command, "--data", "nowhere"], capture_output=True, text=True)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr.strip())
