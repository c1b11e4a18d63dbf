import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import random_attention

from core.heads import cls_entropy, row_entropy


def test_entropy_of_known_rows():
    assert row_entropy(np.full(16, 1 / 16)) == pytest.approx(2.7726, abs=1e-4)
    assert row_entropy([0, 1, 0, 0]) == 0
    assert row_entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5 * math.log(2))
    rows = random_attention(2, 3, 5, 5)
    expected = [[-sum(a * math.log(a) for a in row) for row in head] for head in rows[0].tolist()]
    np.testing.assert_allclose(row_entropy(rows)[0], expected, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (4, 7), elements=st.floats(0, 1)))
def test_entropy_is_between_zero_and_ln_n(rows):
    rows[:, 0] += 1e-3
    entropy = row_entropy(rows / rows.sum(axis=1, keepdims=True))
    assert (entropy >= -1e-12).all()
    assert (entropy <= math.log(7) + 1e-12).all()


def test_cls_entropy_leaves_out_what_cls_gives_to_itself():
    patches = np.zeros((3, 2, 16), np.float16)
    patches[0] = 1 / 32  # half of it stays on CLS
    patches[1, :, 5] = 0.25  # all the rest on one patch
    patches[2, 0] = 1 / 32
    patches[2, 1, :2] = 0.125
    expected = [math.log(16), 0, (math.log(16) + math.log(2)) / 2]
    np.testing.assert_allclose(cls_entropy(patches), expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_cls_entropy_of_a_head_that_looks_at_no_patch():
    """In float16 a head that keeps everything on CLS leaves zeros; that is no reason for NaN."""
    patches = np.zeros((1, 2, 16), np.float16)
    patches[0, 1] = 1 / 32
    (entropy,) = cls_entropy(patches)
    assert 0 <= entropy <= math.log(16)
