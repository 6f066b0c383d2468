"""What a forest predicts: distributions that cover what they should, and nothing gained by being uncertain."""

import numpy as np
import pytest

from maggy.domains import Float
from maggy.optimizers.bayes.encoding import Encoding
from maggy.optimizers.bayes.quantiles import LEVELS, QuantileForest, gaussian_ranks, neighbours
from maggy.searchspace import Searchspace


def noisy(count, seed):
    """Return rows of three numbers, and scores of which the first tells half."""
    rng = np.random.default_rng(seed)
    rows = rng.random((count, 3))
    return rows, np.where(rows[:, 0] > 0.5, 1.0, -1.0) + 0.5 * rng.standard_normal(count)


@pytest.mark.parametrize("count", [15, 60, 200])
def test_the_lowest_draws_are_as_low_as_they_say(count):
    """Of what was not seen, about a tenth lies below a configuration's lowest level, and a tenth above its highest."""
    below, above = [], []
    for seed in range(5):
        rows, scores = noisy(count, seed)
        others, truth = noisy(400, 100 + seed)
        forest = QuantileForest(rows, scores, 32, seed)
        draws = np.array([forest.draw(others, np.random.default_rng(number)) for number in range(60)])
        below.append((truth < draws.min(axis=0)).mean())
        above.append((truth > draws.max(axis=0)).mean())
    assert np.mean(below) == pytest.approx(LEVELS[0], abs=0.08)
    assert np.mean(above) == pytest.approx(LEVELS[0], abs=0.08)


def test_of_equal_draws_the_better_mean_is_lower():
    """Steps make many draws equal: then what is better on the whole comes first, not what is more uncertain."""
    rows = np.array([[0.1], [0.2], [0.3], [0.4]] * 4)
    forest = QuantileForest(rows, np.array([0.0, 0.0, 1.0, 1.0] * 4), 16, 0)
    draws = np.array([forest.draw(rows[:4], np.random.default_rng(number)) for number in range(200)])
    lowest = draws.min(axis=0)
    assert lowest[0] < lowest[2]
    assert lowest[0] == pytest.approx(lowest[1], abs=1e-3)


def test_what_is_drawn_near_the_best_is_not_the_best_again():
    """A forest cannot tell what is much nearer than measurements are to each other, and would try it for ever."""
    encoding = Encoding(Searchspace({f"x{i}": Float(0, 1) for i in range(6)}))
    best = np.full((1, 6), 0.5)
    rows = neighbours(encoding, best, 1000, np.random.default_rng(0))
    apart = np.abs(rows - best).max(axis=1)
    assert np.mean(apart[apart > 0] > 0.02) > 0.8
    assert np.median(apart[apart > 0]) < 0.3


def test_scores_are_ranks():
    """Only the order of losses counts; equal ones stay equal, and a failure is no better than the worst."""
    scores = gaussian_ranks(np.array([3.0, 1.0, 1.0, np.inf, 1e9]))
    assert scores[1] == scores[2] == scores.min()
    assert scores[3] == scores[4] == scores.max()
