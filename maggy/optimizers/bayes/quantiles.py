"""Conformal quantile regression: a forest that knows how far it may be off.

Salinas, Golebiowski, Klein, Seeger, Archambeau, "Optimizing Hyperparameters with Conformal Quantile Regression", ICML
2023. The quantiles are those of a forest's leaves (Meinshausen, "Quantile Regression Forests", JMLR 7, 2006), and what
each tree has not seen takes the place of the split that conformal prediction needs, so that no measurement is spared.

A draw from a configuration's predicted distribution is a measurement from its leaf in a random tree; its distance from
the forest's mean is stretched until intervals cover as often as they say. The best of many such draws (Thompson) is
tried. Nothing is assumed of scales, noise or order, so categories and steps are at home here.
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
COVERAGE = 0.8  # of the interval that is calibrated
NEIGHBOURS = 8  # of the best configurations around which candidates are drawn
FEW = 10  # measurements, with less of which nothing is calibrated
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
    """A forest fitted to rows and scores, that draws from what it predicts."""

    def __init__(self, inputs: Rows, scores: Numbers, trees: int, seed: int) -> None:
        self._forest = RandomForestRegressor(
            n_estimators=trees, min_samples_leaf=2, max_features=0.8, random_state=seed, n_jobs=1
        )
        self._forest.fit(inputs, scores)
        self._scores = scores
        leaves = self._forest.apply(inputs)
        self._samples = [_by_leaf(leaves[:, tree]) for tree in range(trees)]
        self._stretch = self._calibrated(leaves)

    def draw(self, inputs: Rows, rng: np.random.Generator) -> Numbers:
        """Return one draw from the predicted distribution of each row."""
        leaves = self._forest.apply(inputs)
        tree = rng.integers(leaves.shape[1], size=len(inputs))
        luck = rng.random(len(inputs))
        drawn = np.empty(len(inputs))
        for number in np.unique(tree):
            order, starts, counts = self._samples[number]
            mine = tree == number
            leaf = leaves[mine, number]
            drawn[mine] = self._scores[order[starts[leaf] + (luck[mine] * counts[leaf]).astype(int)]]
        mean: Numbers = self._forest.predict(inputs)
        return mean + self._stretch * (drawn - mean)

    def _calibrated(self, leaves: NDArray[np.int64]) -> float:
        """Return by how much distances from the mean have to grow for `COVERAGE` of the measurements to be covered.

        Each measurement is compared with what the trees say that have not seen it.
        """
        count = len(leaves)
        weights = np.zeros((count, count))
        for tree, seen in enumerate(self._forest.estimators_samples_):
            unseen = np.setdiff1d(np.arange(count), seen)
            same = leaves[unseen, tree][:, None] == leaves[:, tree][None, :]
            weights[unseen] += same / np.maximum(same.sum(axis=1, keepdims=True), 1)
        np.fill_diagonal(weights, 0.0)
        total = weights.sum(axis=1)
        known = total > 0
        if known.sum() < FEW:
            return 1.0
        weights = weights[known] / total[known, None]
        mean = weights @ self._scores
        order = np.argsort(self._scores)
        cumulated = np.cumsum(weights[:, order], axis=1)
        tails = [self._scores[order][np.argmax(cumulated >= share, axis=1)] for share in _tails()]
        half = np.maximum((tails[1] - tails[0]) / 2, 1e-3)
        nonconformity = np.abs(self._scores[known] - mean) / half
        level = min(1.0, np.ceil((known.sum() + 1) * COVERAGE) / known.sum())
        return float(np.clip(np.quantile(nonconformity, level), 0.5, 3.0))


def _tails() -> tuple[float, float]:
    return (1 - COVERAGE) / 2, (1 + COVERAGE) / 2


def _by_leaf(leaf: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the measurements sorted by leaf, and for each leaf where its own begin and how many they are."""
    counts = np.bincount(leaf)
    return np.argsort(leaf, kind="stable"), np.concatenate([[0], np.cumsum(counts)[:-1]]), counts


def neighbours(encoding: Encoding, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Return rows near the given ones: in each, some of the columns are drawn anew or moved a little."""
    found = rows[rng.integers(len(rows), size=count)].copy()
    fresh = encoding.draw(count, rng)
    changes = rng.random(found.shape) < np.maximum(1.5 / len(encoding), 0.2)
    moved = found + 10 ** rng.uniform(-2.5, -0.7, size=(count, 1)) * rng.standard_normal(found.shape)
    found = np.where(changes, np.where(encoding.categorical[None, :], fresh, moved), found)
    return encoding.settled(np.where(np.isnan(found), fresh, found))


def propose(study: Study, rng: Random, startup: int, trees: int, candidates: int) -> dict[str, Any]:
    """Return the configuration with the best draw among random ones and neighbours of the best.

    Configurations that are pending are out of the running. Random while fewer than `startup` are measured.
    """
    observed = study.index(Observed)
    encoding, rung = observed.encoding, observed.top(startup)
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
    pool = np.vstack([encoding.draw(candidates - len(near), draws), near])
    drawn = forest.draw(features(encoding, pool), draws)
    return encoding.first_allowed(pool[np.argsort(drawn, kind="stable")], observed.tried, draws)
