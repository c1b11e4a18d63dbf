import math

import numpy as np
import pytest
import torch
from reference import is_one_sentence, make_model, make_pictures

from core.errors import InputError
from core.occlusion import occlusion, rank_correlation


@pytest.fixture(scope="module")
def model():
    return make_model(image_size=12, patch_size=4)  # 9 patches


def chances(model, pixels):
    """Probabilities (classes,) for a picture (12, 12, 3) of floats in [0, 1]."""
    mean, std = (np.array(v) for v in (model.config.mean, model.config.std))
    x = torch.tensor((pixels - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]
    return model(x).softmax(dim=-1)[0].numpy()


@pytest.mark.parametrize("batch_size", [None, 1, 4, 20])
@pytest.mark.parametrize("target", [None, 2, [4, 0, 1]])
def test_one_patch_at_a_time(model, batch_size, target):
    pictures, color = make_pictures(3, 12), np.array([0.1, 0.9, 0.4])
    found = occlusion(model, pictures, target=target, color=color, batch_size=batch_size)
    assert found.shape == (3, 3, 3)
    assert found.dtype == np.float32
    for i, picture in enumerate(pictures / 255):
        whole = chances(model, picture)
        of = whole.argmax() if target is None else np.broadcast_to(target, 3)[i]
        for row, column in np.ndindex(3, 3):
            covered = picture.copy()
            covered[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = color
            drop = whole[of] - chances(model, covered)[of]
            assert found[i, row, column] == pytest.approx(drop, abs=1e-5)


@pytest.mark.parametrize("target", [99, [0, 1], -1])
def test_classes_that_are_not_there(model, target):
    with pytest.raises(InputError) as error:
        occlusion(model, make_pictures(3, 12), target=target)
    assert is_one_sentence(error.value)


def test_rank_correlation_of_known_maps():
    maps = np.arange(9.0).reshape(1, 3, 3)
    assert rank_correlation(maps, maps**3) == pytest.approx(1)
    assert rank_correlation(maps, -maps) == pytest.approx(-1)
    assert math.isnan(rank_correlation(maps, np.ones((1, 3, 3)))[0])


def test_rank_correlation_counts_ties_at_their_middle():
    first, second = np.array([[[1, 2], [2, 4]]]), np.array([[[3, 1], [4, 4]]])
    ranks = np.array([1, 2.5, 2.5, 4]), np.array([2, 1, 3.5, 3.5])
    assert rank_correlation(first, second) == pytest.approx(np.corrcoef(*ranks)[0, 1])
