"""Bayesian optimization with a Gaussian process: from a study to the next configuration.

What keeps it affordable: hyperparameters are fitted at a schedule of counts of measurements, each about 6 % more than
the one before, to at most `FITTED` of the measurements there were then; at each ask at most `USED` measurements enter
the process. Both choices depend on nothing but the log, so a replay, which fits only what it is asked for, gives the
same answer as the study at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maggy.optimizers.bayes.encoding import Rows, generator
from maggy.optimizers.bayes.gaussian import Hyper, Numbers, Points, Posterior, fit, one_thread
from maggy.optimizers.bayes.observed import Observed
from maggy.optimizers.bayes.region import bounds, side
from maggy.optimizers.bayes.search import Search
from maggy.optimizers.bayes.sobol import point
from maggy.optimizers.bayes.warping import placed
from maggy.optimizers.rungs import Milestones
from maggy.study import Study
from maggy.trial import Trial

FITTED = 250
USED = 1000
KNOWN = 32  # of the best measured, to find those that are best by what is known of all
CENTRES = 5  # of the best configurations known, around which candidates are drawn
CANDIDATES = 256  # drawn around the centres, and as many drawn anywhere
STARTS = 4  # of the candidates that are improved
MANY = 8  # columns from which on there is a trust region


@dataclass(frozen=True)
class Data:
    """Measurements, in the order in which they came: rows, targets (warped losses), and budgets from 0 to 1."""

    rows: Rows
    targets: Numbers
    budgets: Numbers

    @classmethod
    def of(cls, study: Study, count: int) -> Data:
        """Return what was measured when `count` trials had ended."""
        observed = study.index(Observed)
        ends = np.sort(np.concatenate([rung.ends for rung in observed.rungs.values()]))
        parts = [(budget, _measured(study, budget, int(ends[count - 1]))) for budget in observed.budgets]
        parts = [(budget, part) for budget, part in parts if len(part[0])]
        targets = placed(
            [losses for _, (_, _, losses) in parts], [[row.tobytes() for row in rows] for _, (_, rows, _) in parts]
        )
        logs = np.log(np.maximum([budget for budget, _ in parts], 1e-300))
        budgets = (logs - logs[0]) / (logs[-1] - logs[0]) if len(logs) > 1 else np.ones(1)
        order = np.argsort(np.concatenate([own for _, (own, _, _) in parts]), kind="stable")
        return cls(
            np.vstack([rows for _, (_, rows, _) in parts])[order],
            np.concatenate(targets)[order],
            np.repeat(budgets, [len(rows) for _, (_, rows, _) in parts])[order],
        )

    def best(self, count: int) -> Rows:
        """Return the rows with the lowest targets, each once."""
        rows = self.rows[np.argsort(self.targets, kind="stable")]
        return np.array(list({row.tobytes(): row for row in rows[:count]}.values()))

    def chosen(self, limit: int) -> Data:
        """Return at most so many: the best half of them, and the others spread evenly over the rest."""
        if len(self.targets) <= limit:
            return self
        order = np.argsort(self.targets, kind="stable")
        best, rest = order[: limit // 2], np.sort(order[limit // 2 :])
        spread = rest[np.linspace(0, len(rest) - 1, limit - len(best)).round().astype(int)]
        kept = np.sort(np.concatenate([best, spread]))
        return Data(self.rows[kept], self.targets[kept], self.budgets[kept])


def _measured(study: Study, budget: float, last: int) -> tuple[NDArray[np.int64], Rows, Numbers]:
    """Return (ends, rows, losses) at a budget, of trials that had ended at a position of the log, as they came.

    Those who were there on their way to more are measured there as well: where trials go on unless they are stopped,
    the others are the bad ones. Not where they continue another trial, which has been there itself.
    """
    observed = study.index(Observed)
    rung = observed.rungs[budget]
    early = rung.ends <= last
    ends, rows, losses = rung.ends[early], rung.rows[early], rung.losses[early]
    if not budget:
        return ends, rows, losses
    there = set(rung.ends.tolist())
    passed = [(study.trials[number], loss) for loss, number in study.index(Milestones).at(budget)]
    passed = [
        (trial, loss)
        for trial, loss in passed
        if trial.parent is None and trial.budget and trial.end and trial.end <= last and trial.end not in there
    ]
    ends = np.concatenate([ends, np.array([trial.end for trial, _ in passed], dtype=np.int64)])
    order = np.argsort(ends)
    rows = np.vstack([rows, *(observed.row(trial) for trial, _ in passed)])
    return ends[order], rows[order], np.concatenate([losses, [loss for _, loss in passed]])[order]


class Fits:
    """An index of a study: the hyperparameters found so far, by how many measurements they are from."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._found: dict[int, Hyper] = {}

    def update(self, trial: Trial) -> None:
        """Take no note: what the first measurements say does not change."""

    def at(self, count: int) -> Hyper:
        """Return the hyperparameters to use after so many measurements."""
        due = scheduled(count)
        if due not in self._found:
            encoding = self._study.index(Observed).encoding
            data = Data.of(self._study, due).chosen(FITTED)
            points = Points(encoding, budgets=bool(np.ptp(data.budgets)))
            self._found = {due: fit(points.of(data.rows, data.budgets), points.groups, data.targets, points.columns)}
        return self._found[due]


def scheduled(count: int) -> int:
    """Return the last count, up to this one, at which hyperparameters are fitted: all up to 32, then each 6 % more."""
    due = 1
    while (following := due + max(1, due // 16)) <= count:
        due = following
    return due


@one_thread
def propose(study: Study, rng: Random, startup: int, fantasies: int) -> dict[str, Any]:
    """Return what is expected to improve most on the best; quasi-random configurations while too little is measured."""
    observed = study.index(Observed)
    encoding, draws = observed.encoding, generator(rng)
    if not len(encoding):
        return study.searchspace.sample(rng)
    if observed.measured < startup:
        row = point(encoding, study.settings.get("seed") or 0, study.sampled)
        return encoding.first_allowed(row[None, :], observed.tried, draws)
    whole = Data.of(study, observed.measured)
    hyper = study.index(Fits).at(observed.measured)
    search, centres = _search(observed, whole, hyper, startup, fantasies, draws)
    return encoding.first_allowed(search.ranked(centres, CANDIDATES, STARTS), observed.tried, draws)


def _search(
    observed: Observed, whole: Data, hyper: Hyper, startup: int, fantasies: int, draws: np.random.Generator
) -> tuple[Search, Rows]:
    """Return what to search with, and the best configurations known.

    All is judged at the largest budget that anything was measured at (1): what is good there is what is looked for,
    and the lower budgets say, through the kernel, how much they tell of it. A budget that nothing was measured at yet
    would be judged by the mean alone. Trials that run are imagined at that budget too, wherever they stand: else a
    configuration that runs on a low budget would leave as much to learn about it as before, and be proposed again.
    """
    encoding, data = observed.encoding, whole.chosen(USED)
    points = Points(encoding, budgets=len(hyper.scales) > len(encoding))
    posterior = Posterior(hyper, points.groups, points.of(data.rows, data.budgets), data.targets)
    known, pending = data.best(KNOWN), observed.pending
    if len(pending):
        posterior.imagine(points.of(pending), draws.standard_normal((len(pending), fantasies)))
    means = posterior.mean(points.of(np.vstack([known, pending])))
    centres = known[np.argsort(means[: len(known)].mean(axis=1), kind="stable")[:CENTRES]]
    limits = np.zeros(len(encoding)), np.ones(len(encoding))
    if len(encoding) >= MANY:
        length = side(whole.targets, startup, max(4, len(encoding)))
        limits = bounds(np.where(np.isnan(centres[0]), 0.5, centres[0]), hyper.scales[: len(encoding)], length)
    return Search(points, posterior, means.min(axis=0), limits, draws), centres
