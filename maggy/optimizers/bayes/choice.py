"""Which model to ask: by how much is measured and runs, then by which one predicts the study's own trials best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from maggy.errors import amount
from maggy.optimizers.bayes.encoding import Encoding, Rows
from maggy.optimizers.bayes.gaussian import Numbers, Points, Posterior, fit, one_thread
from maggy.optimizers.bayes.observed import Observed
from maggy.optimizers.bayes.quantiles import QuantileForest, features, gaussian_ranks
from maggy.optimizers.bayes.warping import warp
from maggy.study import Study
from maggy.trial import Trial

STARTUP = 10  # measurements before any model
ENOUGH = 20  # measurements from which on models are compared
GROWTH = 1.5  # by which measurements have grown when they are compared again
MANY = 1000  # measurements with which a Gaussian process would take its time
FOLDS = 5
COMPARED = 200  # measurements at most; the best half of them, and the others spread
TREES = 32
RESAMPLED = 200  # times that the measurements are drawn from themselves (a bootstrap), to see what is chance
CERTAIN = 0.95  # of these in which the forest has to be ahead: of two that foresee alike, the smooth one finds more


@dataclass(frozen=True)
class Choice:
    """A model's name, and why it was chosen."""

    name: str
    reason: str


class Choices:
    """An index of a study: the last comparison, which is done again when there are half as many measurements more."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._last: tuple[bytes, Choice] | None = None

    def update(self, trial: Trial) -> None:
        """Take no note: what is measured is looked up."""

    def now(self, *, random: bool) -> Choice:
        """Return the choice for the study as it stands. `random`: no model is a choice, too."""
        observed = self._study.index(Observed)
        known = observed.top(STARTUP)
        count, pending = len(known), len(observed.pending)
        if count < STARTUP:
            return Choice("sobol", f"{amount(count, 'measurement is', 'measurements are')} too few for a model")
        if random and self._study.num_trials and pending >= self._study.num_trials / FOLDS:
            return Choice("sobol", f"too many trials at once for a model: {pending} of {self._study.num_trials}")
        if count > MANY:
            return Choice("tpe", f"{count} measurements are many for a Gaussian process")
        if count < ENOUGH:
            return Choice("gp", f"{count} measurements are too few to compare models")
        due = ENOUGH
        while due * GROWTH <= count:
            due = int(due * GROWTH)
        rows, losses = known.rows[:due], known.losses[:due]
        key = rows.tobytes() + losses.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, compared(observed.encoding, rows, losses)
        return self._last[1]


@one_thread
def compared(encoding: Encoding, rows: Rows, losses: Numbers) -> Choice:
    """Return the model whose predictions of measurements that it has not seen are in the best order (Spearman's)."""
    if len(rows) > COMPARED:
        order = np.argsort(losses, kind="stable")
        rest = np.sort(order[COMPARED // 2 :])
        spread = rest[np.linspace(0, len(rest) - 1, COMPARED - COMPARED // 2).round().astype(int)]
        kept = np.sort(np.concatenate([order[: COMPARED // 2], spread]))
        rows, losses = rows[kept], losses[kept]
    foreseen = {name: _foreseen(name, encoding, rows, losses) for name in ("gp", "cqr")}
    found = {name: _correlation(predicted, losses) for name, predicted in foreseen.items()}
    told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    if max(found.values()) < 1 / math.sqrt(len(rows)):  # what chance alone would give
        return Choice("tpe", f"no model foresees the measurements (rank correlations: {told})")
    if found["cqr"] > found["gp"] and ahead(foreseen["cqr"], foreseen["gp"], losses) >= CERTAIN:
        return Choice("cqr", f"foresees {len(rows)} measurements best (rank correlations: {told})")
    return Choice("gp", f"no other foresees {len(rows)} measurements clearly better (rank correlations: {told})")


def _foreseen(name: str, encoding: Encoding, rows: Rows, losses: Numbers) -> Numbers:
    """Return what a model predicts of each measurement that has learned from other folds."""
    fold = np.arange(len(rows)) % FOLDS
    found = np.empty(len(rows))
    for number in range(FOLDS):
        seen, unseen = fold != number, fold == number
        found[unseen] = _predicted(name, encoding, rows[seen], losses[seen], rows[unseen])
    return found


def ahead(one: Numbers, other: Numbers, losses: Numbers) -> float:
    """Return how often one prediction is in a better order than another, of measurements drawn from these."""
    draws = np.random.default_rng(0).integers(len(losses), size=(RESAMPLED, len(losses)))
    return float(
        np.mean(
            [_correlation(one[drawn], losses[drawn]) > _correlation(other[drawn], losses[drawn]) for drawn in draws]
        )
    )


def _predicted(name: str, encoding: Encoding, rows: Rows, losses: Numbers, others: Rows) -> Numbers:
    if name == "gp":
        points, targets = Points(encoding, budgets=False), warp(losses)
        known = points.of(rows)
        posterior = Posterior(fit(known, points.groups, targets, points.columns), points.groups, known, targets)
        mean: Numbers = posterior.mean(points.of(others)).mean(axis=1)
        return mean
    return QuantileForest(features(encoding, rows), gaussian_ranks(losses), TREES, 0).mean(features(encoding, others))


def _correlation(one: Numbers, other: Numbers) -> float:
    """Return Spearman's rank correlation; 0 where either tells nothing apart."""
    a, b = rankdata(one), rankdata(other)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
