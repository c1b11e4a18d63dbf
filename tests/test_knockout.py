import math

import numpy as np
import pytest
import torch
from reference import is_one_sentence, make_model, make_pictures

from core.errors import InputError
from core.evaluate import predict
from core.knockout import accuracy_change, keep_all_but, one_off, predict_without_each


@pytest.fixture(scope="module", params=[False, True])
def model(request):
    return make_model(seed=3, output_projection=request.param)


def without_values(model, layer, head):
    """The same model where a head's value vectors are zero, so that its output is."""
    other = make_model(seed=3, output_projection=model.config.output_projection)
    qkv, width = other.blocks[layer].attention.qkv, other.config.width
    size = width // other.config.heads
    mine = slice(2 * width + head * size, 2 * width + (head + 1) * size)
    qkv.weight[mine] = 0
    qkv.bias[mine] = 0
    return other


def test_a_head_that_is_off_gives_zero(model):
    images = model.prepare(make_pictures(4))
    for layer in range(3):
        for head in range(2):
            keep = keep_all_but(model.config, heads=[(layer, head)])
            expected = without_values(model, layer, head)(images)
            torch.testing.assert_close(model(images, keep=keep), expected)


def test_a_layer_that_is_off_leaves_its_mlp(model):
    images = model.prepare(make_pictures(4))
    keep = keep_all_but(model.config, layers=[1])
    x = model.patch_embedding(images)
    x, _ = model.blocks[0](x)
    said = model.blocks[1].attention.projection(torch.zeros_like(x))
    x = x + said
    x = x + model.blocks[1].mlp(model.blocks[1].norm2(x))
    x, _ = model.blocks[2](x)
    torch.testing.assert_close(model(images, keep=keep), model.classify(x))


def test_nothing_off_changes_nothing(model):
    images = model.prepare(make_pictures(4))
    assert torch.equal(model(images, keep=keep_all_but(model.config)), model(images))


def test_every_image_may_have_its_own_heads(model):
    images = model.prepare(make_pictures(3))
    keeps = torch.stack([keep_all_but(model.config, heads=[(i, i % 2)]) for i in range(3)])
    together = model(images, keep=keeps)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], model(images[i : i + 1], keep=keeps[i]))


@pytest.mark.parametrize("batch_size", [None, 3])
def test_each_of_many_choices(model, batch_size):
    pictures = make_pictures(20)
    keeps = torch.cat([one_off(model.config), keep_all_but(model.config)[None]])
    keeps = torch.cat([keeps, keep_all_but(model.config, layers=[0], heads=[(2, 1)])[None]])
    seen = []
    found = predict_without_each(
        model, pictures, keeps, batch_size=batch_size, progress=lambda *step: seen.append(step)
    )
    assert seen[-1] == (20, 20)
    assert found.shape == (3 * 2 + 3 + 2, 20)
    for choice, keep in zip(found, keeps):
        expected = predict(model, pictures, keep=keep).argmax(axis=1)
        np.testing.assert_array_equal(choice, expected)
    assert len({tuple(choice) for choice in found.tolist()}) > 1


def test_change_of_accuracy_and_its_interval():
    labels = np.array([0, 1, 2, 3])
    before = np.array([0, 1, 0, 0])  # two are right
    after = np.array([[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 2, 3]])
    change, half = accuracy_change(labels, before, after)
    np.testing.assert_allclose(change, [0, -0.25, 0.5])
    # standard deviations of (0, 0, 0, 0), (0, -1, 0, 0) and (0, 0, 1, 1)
    np.testing.assert_allclose(half, 1.96 * np.array([0, math.sqrt(3) / 4, 0.5]) / 2)


@pytest.mark.parametrize("wrong", [{"layers": [3]}, {"heads": [(0, 2)]}, {"heads": [(-1, 0)]}])
def test_heads_that_are_not_there(model, wrong):
    with pytest.raises(InputError) as error:
        keep_all_but(model.config, **wrong)
    assert is_one_sentence(error.value)
