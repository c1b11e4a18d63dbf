from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import is_one_sentence, make_model, make_pictures

from core.errors import InputError
from core.faithfulness import KERNEL, SIGMA, area, deletion, insertion, random_maps


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
