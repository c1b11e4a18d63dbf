import zlib

import numpy as np
import pytest
import torch
from reference import as_tutorial, forward, make_model, make_pictures

from core import attention
from core.attention import cls_maps, extract, extract_set
from core.data import image_set
from core.files import cache_folder
from core.model import VisionTransformer


@pytest.fixture
def model():
    return make_model(image_size=12)  # 3 × 3 patches


@pytest.fixture
def pictures(request):
    """Seven pictures that no other test has put into the cache."""
    seed = zlib.crc32(request.node.name.encode())
    return image_set("seven", make_pictures(7, 12, seed), None, ())


def test_extract_agrees_with_plain_loops(model, pictures):
    found = extract(model, pictures.images[:2])
    prepared = model.prepare(pictures.images[:2]).numpy()
    _, expected = forward(as_tutorial(model), prepared, heads=2, patch=4)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_cls_maps_are_the_cls_rows_where_their_patches_are(model, pictures):
    whole = extract(model, pictures.images).numpy()
    maps = cls_maps(model, pictures.images, batch_size=3)
    assert maps.shape == (7, 3, 2, 3, 3)
    assert maps.dtype == np.float32
    for row in range(3):
        for column in range(3):
            patch = whole[:, :, :, 0, 1 + 3 * row + column]
            np.testing.assert_allclose(maps[..., row, column], patch, atol=1e-6)


def test_cls_maps_of_nothing(model):
    assert cls_maps(model, make_pictures(0, 12)).shape == (0, 3, 2, 3, 3)


def test_extract_set_agrees_with_one_image_at_a_time(model, pictures):
    calls = []
    found = extract_set(model, pictures, batch_size=3, progress=lambda *done: calls.append(done))
    assert calls == [(3, 7), (6, 7), (7, 7)]
    assert found.cls_rows.shape == (7, 3, 2, 9)
    for i in range(7):
        one = pictures.images[i : i + 1]
        rows = extract(model, one)[0, :, :, 0, 1:]
        np.testing.assert_allclose(found.cls_rows[i], rows, rtol=1e-3, atol=1e-6)
        probabilities = model(model.prepare(one)).softmax(dim=-1)[0]
        np.testing.assert_allclose(found.probabilities[i], probabilities, atol=1e-6)
    assert found.probabilities.dtype == np.float32
    assert found.cls_rows.dtype == np.float16
    assert isinstance(found.cls_rows, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.cls_rows[0] = 0


def test_a_second_call_reads_what_the_first_wrote(model, pictures, monkeypatch):
    first = extract_set(model, pictures)

    def refuse(*arguments, **options):
        raise AssertionError("the model was run again")

    monkeypatch.setattr(VisionTransformer, "forward", refuse)
    second = extract_set(make_model(image_size=12), pictures)  # the same weights, another object
    np.testing.assert_array_equal(first.cls_rows, second.cls_rows)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    with pytest.raises(AssertionError, match="run again"):
        extract_set(make_model(seed=1, image_size=12), pictures)
    with pytest.raises(AssertionError, match="run again"):
        extract_set(model, pictures.sample(6))


def test_a_broken_extraction_leaves_nothing(model, pictures):
    def interrupt(done, total):
        if done > 3:
            raise KeyboardInterrupt

    before = set(cache_folder("extractions").iterdir())
    with pytest.raises(KeyboardInterrupt):
        extract_set(model, pictures, batch_size=3, progress=interrupt)
    assert set(cache_folder("extractions").iterdir()) == before
    assert len(extract_set(model, pictures).probabilities) == 7


def test_an_empty_set_has_no_attention(model):
    found = attention.extract_set(model, image_set("none", make_pictures(0, 12), None, ()))
    assert found.cls_rows.shape == (0, 3, 2, 9)
    assert found.probabilities.shape == (0, 5)
