import numpy as np
import pytest
import torch
from reference import random_attention
from reference import rollout as slow_rollout

from core.explain import rollout


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
