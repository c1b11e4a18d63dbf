import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference import is_one_sentence

from core.compare import cosine_similarity, difference, moved_share
from core.errors import InputError

weights = st.floats(0.0078125, 1, width=32)
maps = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda s: arrays("f4", s, elements=weights)
)


def test_by_hand():
    first, second = np.array([[0.5, 0.5], [0, 0]]), np.array([[0.5, 0], [0.25, 0.25]])
    np.testing.assert_array_equal(difference(first, second), [[0, -0.5], [0.25, 0.25]])
    assert moved_share(first, second) == 0.5
    assert cosine_similarity(first, second) == pytest.approx(0.25 / np.sqrt(0.5 * 0.375))


def test_another_grid_shares_a_patch_equally_among_its_parts():
    coarse, fine = np.array([[0.4, 0.6]]), np.array([[0.1, 0.2, 0.7], [0, 0, 0]])
    # six columns: a third of 0.4 falls on each of the first three, in two rows
    expected = np.repeat([[0.1, 0.2, 0.7], [0, 0, 0]], 2, axis=1) / 2
    expected -= np.array([[0.4] * 3 + [0.6] * 3] * 2) / 6
    np.testing.assert_allclose(difference(coarse, fine), expected, atol=1e-7)


@given(maps, maps)
def test_any_two_maps(first, second):
    changed = difference(first, second)
    assert changed.sum() == pytest.approx(second.sum() - first.sum(), abs=1e-4)
    np.testing.assert_array_equal(changed, -difference(second, first))
    for measure in (cosine_similarity, moved_share):
        assert measure(first, second) == pytest.approx(measure(second, first), abs=1e-5)
        assert -1e-6 <= measure(first, second) <= 1 + 1e-6
    assert cosine_similarity(first, 3 * first) == pytest.approx(1, abs=1e-5)
    assert moved_share(first, 3 * first) == pytest.approx(0, abs=1e-5)


def test_maps_with_nothing_in_common_and_with_nothing_at_all():
    left, right, none = np.eye(2)[:1], np.eye(2)[1:], np.zeros((1, 2))
    assert (cosine_similarity(left, right), moved_share(left, right)) == (0, 1)
    assert cosine_similarity(left, none) == 0
    assert np.isnan(moved_share(left, none))


def test_what_is_no_map():
    with pytest.raises(InputError) as error:
        difference(np.zeros((2, 2)), np.zeros(4))
    assert is_one_sentence(error.value)
