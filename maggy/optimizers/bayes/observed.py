"""What a model learns from: the trials of a study as rows and losses, kept up to date with the log."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maggy.optimizers.bayes.encoding import Encoding, Rows
from maggy.study import Study
from maggy.trial import Status, Trial

Losses = NDArray[np.float64]


@dataclass
class Rung:
    """The trials that were measured at one budget, in the order in which they ended."""

    columns: int
    _ends: array[int] = field(default_factory=lambda: array("q"))
    _rows: array[float] = field(default_factory=lambda: array("d"))
    _losses: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self._losses)

    def add(self, end: int, row: list[float], loss: float) -> None:
        """Add the measurement of a trial that ended at this position of the log."""
        self._ends.append(end)
        self._rows.extend(row)
        self._losses.append(loss)

    @property
    def rows(self) -> Rows:
        """The configurations, one for each measurement."""
        return np.array(self._rows).reshape(len(self), self.columns)[self._order]

    @property
    def losses(self) -> Losses:
        """What was measured, lower is better; infinity for a trial that failed."""
        return np.array(self._losses)[self._order]

    @property
    def ends(self) -> NDArray[np.int64]:
        """The positions of the log at which the trials ended, one for each measurement, rising."""
        return np.sort(np.array(self._ends, dtype=np.int64))

    @property
    def _order(self) -> NDArray[np.intp]:
        """An index that is made late hears of trials by their numbers."""
        return np.argsort(np.array(self._ends), kind="stable")


class Observed:
    """An index of a study: its measurements by budget, and the configurations that are still being tried.

    A trial that completed is measured at its budget. One that was stopped is measured at the units that it had done,
    where trials have budgets, else beside the others: what it had reached by then, since it would not be among the
    best. A trial that failed has an infinite loss, which each model replaces as it sees fit: so that a region where
    everything fails is left.
    """

    def __init__(self, study: Study) -> None:
        self.encoding = Encoding(study.searchspace)
        self.rungs: dict[float, Rung] = {}
        self.tried: set[bytes] = set()
        self._study = study
        self._known: dict[int, list[float]] = {}
        self._open: dict[int, list[float]] = {}

    def update(self, trial: Trial) -> None:
        """Take in a trial; the same one comes again and again."""
        row = self._known.get(trial.id)
        if row is None:
            row = self._known[trial.id] = self._open[trial.id] = self.encoding.row(trial.params)
            self.tried.add(self.encoding.key(row))
        if trial.status.final and self._open.pop(trial.id, None) is not None:
            self._ended(trial, row)

    def row(self, trial: Trial) -> list[float]:
        """Return a trial's configuration."""
        return self._known[trial.id]

    @property
    def measured(self) -> int:
        """How many measurements there are, at all budgets."""
        return sum(map(len, self.rungs.values()))

    @property
    def pending(self) -> Rows:
        """The configurations of trials that are queued or run."""
        return np.array(list(self._open.values())).reshape(len(self._open), len(self.encoding))

    @property
    def budgets(self) -> list[float]:
        """The budgets at which trials were measured, lowest first; 0 where trials have none."""
        return sorted(self.rungs)

    def top(self, at_least: int) -> Rung:
        """Return the measurements at the largest budget that has so many of them, else at the one that has most.

        That is BOHB's choice (Falkner, Klein, Hutter, ICML 2018, section 3.2).
        """
        enough = [budget for budget, rung in self.rungs.items() if len(rung) >= at_least]
        if enough:
            return self.rungs[max(enough)]
        return max(self.rungs.values(), key=len, default=Rung(len(self.encoding)))

    def _ended(self, trial: Trial, row: list[float]) -> None:
        budget = trial.budget or 0.0
        if trial.usable:
            loss = self._study.loss(trial)
        elif trial.status is Status.STOPPED:
            points = [
                (step, value)
                for step, value in trial.curve.points()
                if (trial.stop_step is None or step <= trial.stop_step) and math.isfinite(value)
            ]
            if not points:
                return
            step, value = points[-1]
            loss = self._study.objective.loss(value)
            if trial.budget is not None:
                budget = float(step + (trial.curve.steps[0] == 0))
        else:
            loss = math.inf
        self.rungs.setdefault(budget, Rung(len(self.encoding))).add(trial.end or 0, row, loss)
