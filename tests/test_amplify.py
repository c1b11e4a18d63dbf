import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import is_one_sentence, make_pictures, random_attention

from core.amplify import RESIZE, amplify, amplify_each, min_max, resize_map
from core.errors import InputError

IMAGE = make_pictures(1, 32)[0]


def bilinear(grid, height, width):
    """Half-pixel centres, edges repeated; one output pixel at a time."""
    rows, columns = grid.shape
    result = np.zeros((height, width))
    for i in range(height):
        y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
        top = int(y)
        for j in range(width):
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            left = int(x)
            for row, weight_y in ((top, 1 - y + top), (min(top + 1, rows - 1), y - top)):
                for column, weight_x in (
                    (left, 1 - x + left),
                    (min(left + 1, columns - 1), x - left),
                ):
                    result[i, j] += weight_y * weight_x * grid[row, column]
    return result


def test_six_steps_one_after_the_other():
    attention = random_attention(4, 17, 17)
    steps = amplify(attention, IMAGE, gain=3)
    average = sum(attention[h, 0, 1:].astype(float) for h in range(4)) / 4
    resized = bilinear(average.reshape(4, 4), 32, 32)
    normalised = (resized - resized.min()) / (resized.max() - resized.min())
    multiplied = np.stack([IMAGE[..., c] / 255 * normalised for c in range(3)], axis=-1)
    expected = {
        "average": average[None],
        "grid": average.reshape(4, 4),
        "resized": resized,
        "normalised": normalised,
        "multiplied": multiplied,
        "amplified": np.minimum(multiplied * 3, 1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(steps, name), values, atol=1e-5, err_msg=name)
        assert getattr(steps, name).dtype == np.float32
    assert (steps.multiplied * 3 > 1).any()  # some of it was clipped


def test_any_token_may_be_the_one_that_looks():
    attention = random_attention(4, 17, 17)
    for query in (1, 16):
        steps = amplify(attention, IMAGE, query=query)
        np.testing.assert_allclose(
            steps.average[0], attention[:, query, 1:].mean(axis=0), atol=1e-7
        )
    for query in (-1, 17):
        with pytest.raises(InputError) as error:
            amplify(attention, IMAGE, query=query)
        assert is_one_sentence(error.value)


def test_one_head_is_a_layer_of_one_head():
    attention = random_attention(4, 17, 17)
    steps = amplify(attention[2:3], IMAGE)
    np.testing.assert_allclose(steps.average[0], attention[2, 0, 1:])


def test_a_map_begins_at_the_second_step():
    grid = random_attention(1, 17, 17)[0, 0, 1:].reshape(4, 4)
    from_map, from_attention = amplify(grid, IMAGE), amplify(random_attention(1, 17, 17), IMAGE)
    np.testing.assert_array_equal(from_map.amplified, from_attention.amplified)
    np.testing.assert_array_equal(from_map.average, grid.reshape(1, 16))
    oblong = amplify(np.arange(6).reshape(2, 3), IMAGE[:20])
    np.testing.assert_allclose(
        oblong.resized, bilinear(np.arange(6.0).reshape(2, 3), 20, 32), atol=1e-5
    )


def test_prefix_tokens_are_left_out():
    attention = random_attention(2, 18, 18)
    steps = amplify(attention, IMAGE, prefix=2)
    np.testing.assert_allclose(steps.average[0], attention[:, 0, 2:].mean(axis=0), atol=1e-6)


def test_a_constant_map_is_all_zeros():
    uniform = np.full((4, 17, 17), 1 / 17, np.float32)
    for steps in (amplify(uniform, IMAGE), amplify(np.zeros((4, 4)), IMAGE)):
        assert (steps.normalised == 0).all()
        assert (steps.amplified == 0).all()


def test_bytes_and_floats_are_the_same_image():
    attention = random_attention(4, 17, 17)
    from_bytes, from_floats = amplify(attention, IMAGE), amplify(attention, IMAGE / 255)
    np.testing.assert_allclose(from_bytes.amplified, from_floats.amplified, atol=1e-6)
    white = amplify(attention, np.ones((32, 32, 3)), gain=1)
    np.testing.assert_allclose(white.amplified[..., 1], white.normalised)


def test_other_ways_to_resize():
    grid = np.array([[0.0, 1.0], [2.0, 3.0]])
    nearest = amplify(grid, IMAGE[:4, :4], resize="nearest").resized
    np.testing.assert_array_equal(nearest, np.kron(grid, np.ones((2, 2))))
    bicubic = amplify(grid, IMAGE[:4, :4], resize="bicubic")
    assert bicubic.resized.max() > 3  # it overshoots
    assert (bicubic.normalised.min(), bicubic.normalised.max()) == (0, 1)
    # nearest takes the pixel whose centre is nearest, also where sizes do not divide
    assert resize_map(np.arange(3.0)[None], (1, 5), "nearest").tolist() == [[0, 0, 1, 2, 2]]


grids = arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32, allow_subnormal=False))


@settings(max_examples=50, deadline=None)
@given(grids, st.floats(0.1, 10), st.floats(-1, 1))
def test_normalised_maps_ignore_scale_and_offset(grid, scale, offset):
    steps = amplify(grid, IMAGE)
    assert steps.normalised.min() == 0
    assert steps.normalised.max() in (0, 1)
    assert steps.amplified.min() >= 0
    assert steps.amplified.max() <= 1
    spread = grid.max() - grid.min()
    if spread > 0.01:
        moved = amplify(grid * np.float32(scale) + np.float32(offset), IMAGE)
        rounding = 1e-6 * (scale + 1) / (scale * spread)
        np.testing.assert_allclose(moved.normalised, steps.normalised, atol=rounding)


def test_min_max_does_not_stretch_rounding():
    values = np.array([1, 1 + 1e-7, 1 - 1e-7], np.float32)
    assert (min_max(values) == 0).all()
    np.testing.assert_allclose(min_max(np.array([1e-9, 3e-9, 2e-9])), [0, 1, 0.5])


@pytest.mark.parametrize(
    ("values", "image", "options"),
    [
        (np.ones((4, 17, 16)), IMAGE, {}),
        (np.ones((4, 16, 16)), IMAGE, {}),
        (np.ones((4, 1, 1)), IMAGE, {}),
        (np.ones((0, 17, 17)), IMAGE, {}),
        (np.ones(16), IMAGE, {}),
        (np.ones((1, 4, 17, 17)), IMAGE, {}),
        (np.ones((0, 4)), IMAGE, {}),
        (np.full((4, 4), np.nan), IMAGE, {}),
        (np.array([[1, np.inf]]), IMAGE, {}),
        (np.ones((4, 4)), IMAGE[..., 0], {}),
        (np.ones((4, 4)), IMAGE[..., :2], {}),
        (np.ones((4, 4)), IMAGE, {"resize": "lanczos"}),
    ],
    ids=[
        "not square", "15 patches", "CLS alone", "no heads", "a row", "a batch", "empty", "NaN",
        "infinite", "grey image", "two channels", "unknown method",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_what_does_not_fit_is_refused(values, image, options):
    with pytest.raises(InputError) as error:
        amplify(values, image, **options)
    assert is_one_sentence(error.value)


def test_any_array_will_do():
    """Maps come read-only from the cache, flipped, as half floats, as tensors with gradients."""
    grid = random_attention(1, 17, 17)[0, 0, 1:].reshape(4, 4)
    expected = amplify(grid, IMAGE).amplified
    frozen = grid.copy()
    frozen.flags.writeable = False
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(amplify(frozen, IMAGE).amplified, expected)
    finally:
        torch.set_warn_always(False)
    tensor = torch.from_numpy(grid).requires_grad_()
    np.testing.assert_array_equal(amplify(tensor, IMAGE).amplified, expected)
    half = amplify(grid.astype(np.float16), IMAGE).amplified
    np.testing.assert_allclose(half, expected, atol=5e-3)
    flipped = amplify(grid[::-1], IMAGE[::-1]).amplified[::-1]
    np.testing.assert_allclose(flipped, expected, atol=1e-5)


@pytest.mark.parametrize("resize", RESIZE)
def test_many_at_once_are_as_each_alone(resize):
    images = make_pictures(5, 12)
    maps = np.random.default_rng(0).random((5, 3, 3), np.float32)
    maps[1] = 0.25  # constant: no map is invented
    maps[2] *= 1e-9
    each = [amplify(m, i, gain=3, resize=resize).amplified for m, i in zip(maps, images)]
    found = amplify_each(maps, images, gain=3, resize=resize)
    np.testing.assert_allclose(found, each, atol=1e-5)
    assert found.dtype == np.float32
