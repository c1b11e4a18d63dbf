from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from reference import as_tutorial, is_one_sentence, make_model, make_pictures, random_attention
from reference import relevance as slow_relevance
from reference import rollout as slow_rollout

from core.attention import cls_maps, extract
from core.errors import InputError
from core.explain import METHODS, explain, rollout


def test_identity_attention_stays_on_cls():
    attention = torch.eye(5).expand(2, 4, 3, 5, 5)
    assert (rollout(attention) == 0).all()


@pytest.mark.parametrize("layers", [1, 2, 12])
def test_uniform_attention(layers):
    # with U² = U, (U/2 + I/2)^L = (1 - 2^-L) U + 2^-L I
    attention = torch.full((1, layers, 4, 17, 17), 1 / 17)
    expected = torch.full((1, 16), (1 - 0.5**layers) / 17)
    torch.testing.assert_close(rollout(attention), expected)


def test_two_layers_by_hand():
    first = [[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    second = [[0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    attention = torch.tensor([first, second])[None, :, None]
    # mixed: [[.5 .5 0] [0 .75 .25] [.5 0 .5]] and, its first row, [.75 0 .25]; their product's
    # first row: .75·[.5 .5 0] + .25·[.5 0 .5] = [.5 .375 .125]
    torch.testing.assert_close(rollout(attention), torch.tensor([[0.375, 0.125]]))


def test_agrees_with_plain_loops():
    attention = random_attention(3, 4, 2, 6, 6)
    for prefix in (1, 2):
        found = rollout(torch.from_numpy(attention), prefix=prefix)
        expected = [slow_rollout(image.astype(np.float64), prefix) for image in attention]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_mass_is_lost_or_made():
    attention = torch.from_numpy(random_attention(4, 12, 3, 10, 10))
    before = attention.clone()
    row = rollout(attention, prefix=0)
    torch.testing.assert_close(row.sum(dim=-1), torch.ones(4))
    assert (row >= 0).all()
    assert (rollout(attention).sum(dim=-1) < 1).all()
    assert torch.equal(attention, before)


# --- explain: one call for every method ---------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return make_model()


def test_attention_of_every_layer_and_head(model):
    pictures = make_pictures(3)
    maps = cls_maps(model, pictures)  # (3, L, H, gh, gw)
    for layer in range(3):
        found = explain(model, pictures, "attention", layer=layer)
        np.testing.assert_allclose(found, maps[:, layer].mean(axis=1), atol=1e-6)
        for head in range(2):
            found = explain(model, pictures, "attention", layer=layer, head=head)
            np.testing.assert_allclose(found, maps[:, layer, head], atol=1e-6)
    np.testing.assert_allclose(
        explain(model, pictures, "attention"), maps[:, -1].mean(axis=1), atol=1e-6
    )


def test_rollout_of_pictures(model):
    pictures = make_pictures(2)
    expected = [
        slow_rollout(a.astype(np.float64)).reshape(2, 2) for a in extract(model, pictures).numpy()
    ]
    np.testing.assert_allclose(explain(model, pictures, "rollout"), expected, atol=1e-6)


def test_rollout_of_pictures_with_its_options(model):
    pictures = make_pictures(2)
    options = {"fusion": "max", "first_layer": 1, "discard_ratio": 0.5}
    found = explain(model, pictures, "rollout", **options)
    expected = rollout(extract(model, pictures), **options).reshape(2, 2, 2)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, explain(model, pictures, "rollout"))


@pytest.mark.parametrize("fusion", ["max", "min"])
def test_heads_fused_otherwise(fusion):
    attention = random_attention(2, 3, 4, 6, 6).astype(np.float64)
    fused = getattr(attention, fusion)(axis=2, keepdims=True)
    fused /= fused.sum(axis=-1, keepdims=True)
    found = rollout(torch.from_numpy(attention), fusion=fusion)
    np.testing.assert_allclose(found, [slow_rollout(a) for a in fused], atol=1e-6)


def test_rollout_from_a_later_layer():
    attention = random_attention(2, 5, 3, 6, 6)
    found = rollout(torch.from_numpy(attention), first_layer=3)
    expected = [slow_rollout(a.astype(np.float64)) for a in attention[:, 3:]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_smallest_weights_are_left_out():
    attention = random_attention(1, 2, 2, 6, 6).astype(np.float64)
    fused = attention.mean(axis=2)[0]  # (L, T, T)
    for layer in fused:
        between = sorted(layer[1:, 1:].ravel())[: int(0.4 * 25)]
        layer[1:, 1:][layer[1:, 1:] <= between[-1]] = 0
        layer /= layer.sum(axis=-1, keepdims=True)
    found = rollout(torch.from_numpy(attention), discard_ratio=0.4)
    np.testing.assert_allclose(found, [slow_rollout(fused[:, None])], atol=1e-6)


@pytest.mark.parametrize("wrong", [{"fusion": "sum"}, {"first_layer": 2}, {"discard_ratio": 1}])
def test_rollouts_that_do_not_exist(wrong):
    with pytest.raises(InputError) as error:
        rollout(torch.eye(5).expand(1, 2, 1, 5, 5), **wrong)
    assert is_one_sentence(error.value)


def test_relevance_agrees_with_central_differences(model):
    pictures = make_pictures(2)
    images = model.prepare(pictures).numpy()
    state = as_tutorial(model)
    for target in (0, 3):
        expected = [slow_relevance(state, image, 2, 4, target) for image in images]
        found = explain(model, pictures, "relevance", target=target).flatten(1)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_relevance_of_attention_that_does_not_matter():
    """Where the values are all alike, no attention changes the logits: only identity is left."""
    model = make_model()
    for block in model.blocks:
        width = block.attention.qkv.out_features // 3
        block.attention.qkv.weight[2 * width :] = 0
        block.attention.qkv.bias[2 * width :] = 0
    assert explain(model, make_pictures(2), "relevance").abs().max() < 1e-6


def test_grad_cam_agrees_with_hooks(model):
    """The same by PyTorch's hooks, on a model of its own."""
    pictures = make_pictures(3)
    for layer in range(3):
        other = make_model()
        kept = {}
        norm = other.blocks[layer].norm1
        norm.register_forward_hook(lambda _, __, out, kept=kept: kept.update(a=out))
        norm.register_full_backward_hook(lambda _, __, g, kept=kept: kept.update(g=g[0]))
        images = other.prepare(pictures).requires_grad_()
        logits = other(images)
        logits.max(dim=-1).values.sum().backward()
        weights = kept["g"][:, 1:].mean(dim=1, keepdim=True)
        expected = (weights * kept["a"][:, 1:]).sum(dim=-1).relu().detach().reshape(3, 2, 2)
        found = explain(model, pictures, "gradcam", layer=layer)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["relevance", "gradcam"])
def test_the_target_is_the_prediction_or_one_that_is_asked_for(model, method):
    pictures = make_pictures(6)
    predicted = model(model.prepare(pictures)).argmax(dim=-1)
    default = explain(model, pictures, method)
    assert torch.equal(explain(model, pictures, method, target=predicted), default)
    others = (predicted + 1) % 5
    asked = explain(model, pictures, method, target=others.numpy())
    assert not torch.allclose(asked, default)
    one_by_one = [
        explain(model, pictures[i : i + 1], method, target=int(others[i])) for i in range(6)
    ]
    torch.testing.assert_close(torch.cat(one_by_one), asked)


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_many_threads_on_one_model(model, method):
    pictures = make_pictures(40)
    alone = explain(model, pictures, method)
    assert alone.shape == (40, 2, 2)
    assert alone.dtype == torch.float32
    assert (alone >= 0).all()
    torch.testing.assert_close(explain(model, pictures, method, batch_size=7), alone)
    with ThreadPoolExecutor(8) as pool:
        parts = list(
            pool.map(lambda i: explain(model, pictures[5 * i : 5 * i + 5], method), range(8))
        )
    torch.testing.assert_close(torch.cat(parts), alone)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "guess"},
        {"layer": 3},
        {"layer": -1},
        {"head": 2},
        {"method": "relevance", "target": 5},
        {"method": "gradcam", "target": [0, 1]},
    ],
)
def test_what_is_not_there(model, wrong):
    with pytest.raises(InputError) as error:
        explain(model, make_pictures(1), **{"method": "attention", **wrong})
    assert is_one_sentence(error.value)
