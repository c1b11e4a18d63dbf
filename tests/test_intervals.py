import math

import numpy as np
import pytest

from core.intervals import mean_interval


def test_the_interval_of_many_draws_is_what_theory_says():
    values = np.random.default_rng(1).normal(3, 2, 4000)
    mean, low, high = mean_interval(values)
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(4000)
    assert low == pytest.approx(mean - half, abs=half / 10)
    assert high == pytest.approx(mean + half, abs=half / 10)
    assert mean_interval(values) == (mean, low, high)  # the same draws every time


def test_rows_and_values_that_are_missing():
    values = np.array([[1.0, 2.0, np.nan, 4.0], [5.0, np.nan, np.nan, np.nan], [np.nan] * 4])
    mean, low, high = mean_interval(values)
    assert mean[0] == pytest.approx(7 / 3)
    assert 1 <= low[0] < mean[0] < high[0] <= 4
    assert mean[1] == low[1] == high[1] == 5
    assert np.isnan([mean[2], low[2], high[2]]).all()
