import numpy as np
import pytest
import torch
from reference import is_one_sentence, make_model, make_pictures, random_attention
from reference import rollout as slow_rollout

from core.attention import cls_maps, extract
from core.errors import InputError
from core.explain import explain, rollout


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


@pytest.mark.parametrize("wrong", [{"method": "guess"}, {"layer": 3}, {"layer": -1}, {"head": 2}])
def test_what_is_not_there(model, wrong):
    with pytest.raises(InputError) as error:
        explain(model, make_pictures(1), **{"method": "attention", **wrong})
    assert is_one_sentence(error.value)
