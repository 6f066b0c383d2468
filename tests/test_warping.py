import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maggy.optimizers.bayes.warping import placed, warp


@given(arrays.arrays(float, st.integers(1, 40), elements=st.floats(allow_nan=False)))
def test_a_warping_keeps_the_order(losses):
    """Whatever the losses, what comes out is finite, of one scale, and nowhere in another order."""
    losses = np.where(losses == -math.inf, 0.0, losses)
    warped = warp(losses)
    assert np.isfinite(warped).all()
    order = np.argsort(losses, kind="stable")
    assert (np.diff(warped[order]) >= 0).all()
    assert np.abs(warped).max() < 10
    assert not warped.any() or warped.std() == pytest.approx(1.0)


def test_the_better_half_keeps_its_proportions():
    """Differences among the good ones are what decides at the end; they stay in proportion, to the last digits."""
    losses = np.array([0.0, 1e-6, 1.0, 2.0, 1e3, 1e9, 1e300])
    warped = warp(losses)
    assert (warped[1] - warped[0]) / (warped[3] - warped[0]) == pytest.approx(1e-6 / 2.0)
    assert warped[6] - warped[5] < 2 * (warped[5] - warped[4]) < 4


def test_a_scale_changes_nothing():
    """Losses in other units are warped alike, and tiny or huge ones too."""
    losses = np.random.default_rng(0).lognormal(size=30)
    for factor in (1e-200, 1e-3, 7.0, 1e300):
        assert warp(factor * losses) == pytest.approx(warp(losses))


def test_failed_trials_are_as_bad_as_the_worst():
    """Infinite losses count as the worst finite one, and as nothing where all are infinite or equal."""
    warped = warp(np.array([1.0, math.inf, 3.0, 2.0]))
    assert warped[1] == warped[2] > warped[3] > warped[0]
    assert warp(np.array([math.inf, math.inf])).tolist() == [0.0, 0.0]
    assert warp(np.array([5.0, math.inf, 5.0])).tolist() == [0.0] * 3


def test_who_is_promoted_stays_good():
    """The best of a low budget, measured at a higher one, are not made to look average by their own company."""
    low = np.arange(9.0)
    keys = [bytes([number]) for number in range(9)]
    below, above = placed([low, np.array([0.3, 0.1, 0.2])], [keys, keys[:3]])
    assert above.max() < np.median(below)
    assert above.mean() == pytest.approx(below[:3].mean())
    assert np.argsort(above).tolist() == [1, 2, 0]


def test_who_came_further_is_better():
    """Where no configuration is measured at two budgets, those at the higher one count as the better ones."""
    keys = [bytes([number]) for number in range(12)]
    below, above = placed([np.arange(9.0), np.array([0.1, 0.2, 0.3])], [keys[:9], keys[9:]])
    assert above.mean() < below.mean() - 0.5
