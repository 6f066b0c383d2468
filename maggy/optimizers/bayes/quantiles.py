"""Conformal quantile regression: a forest that knows how far it may be off.

Salinas, Golebiowski, Klein, Seeger, Archambeau, "Optimizing Hyperparameters with Conformal Quantile Regression", ICML
2023. The quantiles are those of a forest's leaves (Meinshausen, "Quantile Regression Forests", JMLR 7, 2006), and what
each tree has not seen takes the place of the split that conformal prediction needs, so that no measurement is spared.

A draw from a configuration's predicted distribution is one of its quantiles, by lot, moved outwards by as much as makes
intervals cover as often as they say (Romano, Patterson, Candès, "Conformalized Quantile Regression", NeurIPS 2019); the
same for all configurations, so that being uncertain is no merit by itself. The best of many such draws (Thompson) is
tried; where they are equal, and steps make many equal, that with the best mean. Nothing is assumed of scales, noise or
order, so categories and steps are at home here.

What is drawn near the best is some way off. If it were nearer than other measurements, a forest could not tell it from
the best, and would try it again and again (on Hartmann's function most asks went to within 0.02 of a measured one).
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor

from maggy.optimizers.bayes.encoding import Encoding, Rows, generator
from maggy.optimizers.bayes.observed import Observed
from maggy.study import Study

Numbers = NDArray[np.float64]
LEVELS = np.linspace(0.1, 0.9, 9)
NEIGHBOURS = 8  # of the best configurations around which candidates are drawn
FEW = 10  # measurements, with less of which nothing is calibrated
STEPS = (-1.3, -0.5)  # of what is drawn near the best: the logarithms, to base 10, of the shortest and the longest
TIE = 1e-6  # the weight of the mean, which decides between equal draws
MOST = 1000  # measurements that a forest learns from; the best and the last of more


def features(encoding: Encoding, rows: Rows) -> Rows:
    """Return what a tree can split: choices one by one, and -1 for a parameter that is not active."""
    columns = []
    for column, categorical in enumerate(encoding.categorical):
        values = rows[:, column]
        if categorical:
            columns += [(values == choice).astype(float) for choice in range(encoding.sizes[column])]
        else:
            columns.append(np.where(np.isnan(values), -1.0, values))
    return np.stack(columns, axis=1)


def gaussian_ranks(losses: Numbers) -> Numbers:
    """Return normal scores: what is left of losses when only their order counts. Equal losses get equal scores."""
    finite = np.where(np.isfinite(losses), losses, np.nan)
    worst = np.nanmax(finite) if np.isfinite(losses).any() else 0.0
    return np.asarray(ndtri((rankdata(np.where(np.isnan(finite), worst, finite)) - 0.5) / len(losses)))


class QuantileForest:
    """A forest fitted to rows and scores, that predicts distributions: scores with weights."""

    def __init__(self, inputs: Rows, scores: Numbers, trees: int, seed: int) -> None:
        self._forest = RandomForestRegressor(
            n_estimators=trees, min_samples_leaf=2, max_features=0.8, random_state=seed, n_jobs=1
        )
        self._forest.fit(inputs, scores)
        self._order = np.argsort(scores, kind="stable")
        self._scores = scores[self._order]
        self._leaves: NDArray[np.int64] = self._forest.apply(inputs)[self._order]
        self._margin = self._calibrated()

    def mean(self, inputs: Rows) -> Numbers:
        """Return the score that is predicted for each row."""
        found: Numbers = self._forest.predict(inputs)
        return found

    def draw(self, inputs: Rows, rng: np.random.Generator) -> Numbers:
        """Return, for each row, one draw from what is predicted for it."""
        leaves = self._forest.apply(inputs)
        weights = np.zeros((len(inputs), len(self._scores)))
        for tree in range(leaves.shape[1]):
            same = leaves[:, tree][:, None] == self._leaves[:, tree][None, :]
            weights += same / same.sum(axis=1, keepdims=True)
        weights /= leaves.shape[1]
        levels = rng.choice(LEVELS, size=len(inputs))
        outwards = (levels - 0.5) / (LEVELS[-1] - 0.5)  # from -1 for the lowest level to 1 for the highest
        found: Numbers = self._quantile(weights, levels) + self._margin * outwards + TIE * (weights @ self._scores)
        return found

    def _quantile(self, weights: Numbers, levels: Numbers) -> Numbers:
        """Return where each row's weights add up to its level, between two scores as a rule."""
        up_to = np.cumsum(weights, axis=1)
        upper = np.minimum(np.argmax(up_to >= levels[:, None] - 1e-12, axis=1), len(self._scores) - 1)
        lower = np.maximum(upper - 1, 0)
        rows = np.arange(len(weights))
        share = 1 - (up_to[rows, upper] - levels) / np.maximum(weights[rows, upper], 1e-12)
        found: Numbers = self._scores[lower] + np.clip(share, 0, 1) * (self._scores[upper] - self._scores[lower])
        return found

    def _calibrated(self) -> float:
        """Return by how much an interval from the lowest level to the highest has to grow at its ends, to cover enough.

        Each measurement is compared with what the trees say that have not seen it.
        """
        count = len(self._scores)
        weights = np.zeros((count, count))
        places = np.argsort(self._order)
        for tree, seen in enumerate(self._forest.estimators_samples_):
            unseen = np.setdiff1d(np.arange(count), places[seen])
            same = self._leaves[unseen, tree][:, None] == self._leaves[:, tree][None, :]
            np.put_along_axis(same, unseen[:, None], values=False, axis=1)
            weights[unseen] += same / np.maximum(same.sum(axis=1, keepdims=True), 1)
        total = weights.sum(axis=1)
        known = total > 0
        if known.sum() < FEW:
            return 0.0
        weights = weights[known] / total[known, None]
        low, high = (self._quantile(weights, np.full(known.sum(), level)) for level in (LEVELS[0], LEVELS[-1]))
        scores = self._scores[known]
        outside = np.maximum(low - scores, scores - high)  # less than 0 within
        level = min(1.0, np.ceil((known.sum() + 1) * (LEVELS[-1] - LEVELS[0])) / known.sum())
        return float(np.quantile(outside, level))


def neighbours(encoding: Encoding, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Return rows near the given ones: in each, some of the columns are drawn anew or moved a little."""
    found = rows[rng.integers(len(rows), size=count)].copy()
    fresh = encoding.draw(count, rng)
    changes = rng.random(found.shape) < np.maximum(1.5 / len(encoding), 0.2)
    moved = found + 10 ** rng.uniform(*STEPS, size=(count, 1)) * rng.standard_normal(found.shape)
    found = np.where(changes, np.where(encoding.categorical[None, :], fresh, moved), found)
    return encoding.settled(np.where(np.isnan(found), fresh, found))


def propose(study: Study, rng: Random, startup: int, trees: int, candidates: int) -> dict[str, Any]:
    """Return the configuration with the best draw among random ones and neighbours of the best.

    Configurations that are pending are out of the running. Random while fewer than `startup` are measured.
    """
    observed = study.index(Observed)
    encoding, rung = observed.encoding, observed.drawn(startup, rng)
    if len(rung) < startup or not len(encoding):
        return study.searchspace.sample(rng)
    draws = generator(rng)
    rows, losses = rung.rows, rung.losses
    best = np.argsort(losses, kind="stable")
    if len(rows) > MOST:
        kept = np.union1d(best[: MOST // 2], np.arange(len(rows) - MOST // 2, len(rows)))
        rows, losses = rows[kept], losses[kept]
        best = np.argsort(losses, kind="stable")
    forest = QuantileForest(features(encoding, rows), gaussian_ranks(losses), trees, int(draws.integers(2**31)))
    near = neighbours(encoding, rows[best[:NEIGHBOURS]], candidates // 2, draws)
    pool = np.vstack([near, encoding.draw(candidates - len(near), draws)])
    drawn = forest.draw(features(encoding, pool), draws)
    return encoding.first_allowed(pool[np.argsort(drawn, kind="stable")], observed.tried, draws)
