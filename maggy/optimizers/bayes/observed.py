"""What a model learns from: the trials of a study as rows and losses, kept up to date with the log."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from maggy.optimizers.bayes.encoding import Encoding, Rows
from maggy.optimizers.rungs import Milestones
from maggy.study import Study
from maggy.trial import Params, Status, Trial

Losses = NDArray[np.float64]

ALONE = 0.5  # of the asks, the share that sees one budget alone


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


@dataclass(frozen=True)
class Known:
    """What is known of configurations at one budget: trials in the order of their numbers, one row and loss for each.

    Losses are infinite for trials that failed.
    """

    trials: list[int]
    rows: Rows
    losses: Losses

    def __len__(self) -> int:
        return len(self.trials)


class Observed:
    """An index of a study: its measurements by budget, and the configurations that are still being tried.

    A trial that completed is measured at its budget. One that was stopped is measured at the units that it had done,
    where trials have budgets, else beside the others: what it had reached by then, since it would not be among the
    best. A trial that failed has an infinite loss, which each model replaces as it sees fit: so that a region where
    everything fails is left.

    Where running trials are compared at rungs (`take`), each counts at every rung that it has passed, whether it still
    runs or not: there it is as good a measurement as any, and only of the rungs above is it pending.
    """

    def __init__(self, study: Study) -> None:
        self.encoding = Encoding(study.searchspace)
        self.rungs: dict[float, Rung] = {}
        self._study = study
        self._known: dict[int, list[float]] = {}
        self._open: dict[int, list[float]] = {}
        self._keys: dict[int, bytes] = {}
        self._of: dict[int, Params] = {}
        self._measured: dict[float, dict[int, float]] = {}
        self._began: Counter[float] = Counter()  # trials that were measured at the budget at which they began
        self._levels: set[float] = set()

    def take(self, levels: Iterable[float]) -> None:
        """Let trials count also where they first had done so many units."""
        self._levels.update(levels)

    def update(self, trial: Trial) -> None:
        """Take in a trial; the same one comes again and again."""
        if self._of.get(trial.id) is not trial.params:  # it is new, or has named parameters itself
            self._of[trial.id] = trial.params
            row = self._known[trial.id] = self._open[trial.id] = self.encoding.row(trial.params)
            self._keys[trial.id] = self.encoding.key(row)
        row = self._known[trial.id]
        if trial.status.final and self._open.pop(trial.id, None) is not None:
            self._ended(trial, row)

    def row(self, trial: Trial) -> list[float]:
        """Return a trial's configuration."""
        return self._known[trial.id]

    @property
    def tried(self) -> set[bytes]:
        """The keys of all configurations that were suggested."""
        return set(self._keys.values())

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

    def drawn(self, at_least: int, rng: Random) -> Known:
        """Return `top`, or in half of the asks what is known at one budget alone, if there is one that chose nobody.

        Where low budgets tell the good from the bad, those left behind there are most of what is known. Where they
        mislead, they hide what is good. So half of the asks see nothing but the largest budget at which so many
        configurations began, as they do in the brackets of Hyperband: nobody is missing there for being bad lower down.
        """
        began = [] if self._levels else [each for each in self.budgets[1:] if self._began[each] >= at_least]
        if began and rng.random() < ALONE:
            return self._known_of(self._measured[began[-1]])
        return self.top(at_least)

    def top(self, at_least: int) -> Known:
        """Return what is known at the largest budget with so many trials that did not fail, else at the one with most.

        That is BOHB's choice (Falkner, Klein, Hutter, ICML 2018, section 3.2). But who stands on a high rung was
        chosen. A model of it alone takes the worst of the chosen for bad, though they are better than most who were
        left behind, and turns to where nothing good was found. So whoever was measured at a lower budget only is placed
        by a line through those that were measured at both. (That they were chosen by what stands on the line's axis
        does not bend it.)
        """
        measured = {budget: there for budget, there in self._at_budgets().items() if there}
        if not measured:
            return self._known_of({})
        enough = [budget for budget, there in measured.items() if _usable(there) >= at_least]
        most = max(measured, key=lambda budget: (_usable(measured[budget]), len(measured[budget]), -budget))
        budget = max(enough, default=most)
        found = dict(measured[budget])
        lower = sorted((each for each in measured if each < budget), reverse=True)
        known = {self._keys[trial]: loss for trial, loss in sorted(found.items())} if lower else {}
        for there in map(measured.__getitem__, lower):
            both = [(loss, known[key]) for trial, loss in sorted(there.items()) if (key := self._keys[trial]) in known]
            line = _line([pair for pair in both if all(map(math.isfinite, pair))])
            left = {trial: line(loss) for trial, loss in sorted(there.items()) if self._keys[trial] not in known}
            found |= left
            known |= {self._keys[trial]: loss for trial, loss in left.items()}
        return self._known_of(found)

    def _known_of(self, losses: dict[int, float]) -> Known:
        trials = sorted(losses)
        rows = self._stacked(self._known[trial] for trial in trials)
        return Known(trials, rows, np.array([losses[trial] for trial in trials], dtype=float))

    def awaited(self, known: Known) -> Rows:
        """Return the pending configurations that nothing is known of yet.

        One that was measured, and runs on, is no guess: a promoted configuration counts as what it is, one of the best.
        """
        there = {self._keys[trial] for trial in known.trials}
        return self._stacked(row for trial, row in self._open.items() if self._keys[trial] not in there)

    def _stacked(self, rows: Iterable[list[float]]) -> Rows:
        found = list(rows)
        return np.array(found, dtype=float).reshape(len(found), len(self.encoding))

    def _ended(self, trial: Trial, row: list[float]) -> None:
        budget = trial.budget or 0.0
        if trial.usable:
            loss = self._study.loss(trial)
            self._began[budget] += trial.parent is None
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
        self._measured.setdefault(budget, {})[trial.id] = loss

    def _at_budgets(self) -> dict[float, dict[int, float]]:
        """Return the losses of trials by budget, those at the levels that they have passed included."""
        if not self._levels:
            return self._measured
        trials, milestones = self._study.trials, self._study.index(Milestones)
        passed = {level: {trial: loss for loss, trial in milestones.at(level)} for level in self._levels}
        failed = [trial for trial in self._known if trials[trial].status is Status.FAILED]
        judged = {trial for there in passed.values() for trial in there if trials[trial].status is Status.STOPPED}
        ended = {
            budget: {trial: loss for trial, loss in there.items() if trial not in judged}
            for budget, there in self._measured.items()
        }
        for level, there in passed.items():
            ended[level] = {**ended.get(level, {}), **dict.fromkeys(failed, math.inf), **there}
        return ended


def _usable(measured: dict[int, float]) -> int:
    return sum(map(math.isfinite, measured.values()))


def _line(pairs: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """Return the line through (low, high) that fits best and does not fall; its slope is held towards 1 while few are.

    Infinity stays what it is.
    """
    if not pairs:
        return lambda loss: loss
    scale = max(max(map(abs, pair)) for pair in pairs) or 1.0  # squares of what floats just hold would overflow
    low, high = (np.array(side) / scale for side in zip(*pairs, strict=True))
    x, y = float(low.mean()), float(high.mean())
    spread, joint = float(np.square(low - x).sum()), float(((low - x) * (high - y)).sum())
    held = spread / len(pairs)  # as if one more pair, a deviation apart, lay on a slope of 1
    slope = max(0.0, (joint + held) / (spread + held)) if spread > 0 else 1.0
    return lambda loss: (y + slope * (loss / scale - x)) * scale if math.isfinite(loss) else math.inf
