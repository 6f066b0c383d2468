"""Rungs: the levels of budget at which successive halving compares trials, and who stands where.

Promotion and stopping share this file. Losses are compared with ties broken by the trial's number, so that the order
in which results arrive does not matter.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from typing import NamedTuple

from maggy.study import Study
from maggy.trial import Trial

Entry = tuple[float, int]  # (loss, trial)
RANDOM = "random, beside a model's"  # why a configuration begins that a model has not proposed, though there is one


class Rung(NamedTuple):
    """Where trials are compared: those that have the `budget` now and `began` with the same one.

    Random configurations that stand beside a model's are compared with all, and `apart`, among themselves.
    """

    began: float | None
    budget: float | None
    apart: bool = False


def levels(lowest: float, highest: float, factor: float) -> list[float]:
    """Return the budgets lowest, lowest·factor, … and, as the top, `highest` itself.

    By multiplication: a logarithm would lose a rung to rounding (log₃ 243 = 4.999…). With a tolerance, since a product
    may fall short of what it stands for and add one (0.7·3·3 = 6.299…9).
    """
    rungs = []
    level = lowest
    while level < highest * (1 - 1e-9):
        rungs.append(level)
        level *= factor
    return [*rungs, highest]


class Place(NamedTuple):
    """Where a trial stands on its rung: the `rank`-th, counted from 1, of `among`."""

    trial: int
    rank: int
    among: int


class Rungs:
    """Completed trials by rung, ranked, and which of them are not yet continued by another trial.

    Each bracket of Hyperband has rungs of its own, and so have random configurations beside a model's, in addition: of
    each trial that begins the log says with which budget, and why.
    """

    def __init__(self, study: Study) -> None:
        self.began: Counter[float | None] = Counter()  # configurations by the budget with which they began
        self._study = study
        self._ranked: dict[Rung, list[Entry]] = {}
        self._open: dict[Rung, list[Entry]] = {}
        self._entries: dict[int, Entry] = {}
        self._first: dict[int, Trial] = {}  # the trial with which a trial's configuration began
        self._promoted: set[int] = set()
        self._left: Counter[Rung] = Counter()  # trials of a rung that are continued

    def update(self, trial: Trial) -> None:
        """Note that a trial's parent is continued, and the trial's own place once it has completed."""
        if trial.id not in self._first:
            self._suggested(trial)
        if trial.usable and trial.id not in self._entries:
            entry = self._entries[trial.id] = (self._study.loss(trial), trial.id)
            for rung in self._rungs(trial):
                insort(self._ranked.setdefault(rung, []), entry)
                if trial.id not in self._promoted:
                    insort(self._open.setdefault(rung, []), entry)

    def _suggested(self, trial: Trial) -> None:
        if trial.parent is None:
            self._first[trial.id] = trial
            self.began[trial.budget] += 1
            return
        self._first[trial.id] = self._first[trial.parent]
        if trial.parent not in self._promoted:
            self._promoted.add(trial.parent)
            for rung in self._rungs(self._study.trials[trial.parent]):
                self._left[rung] += 1
                if entry := self._entries.get(trial.parent):
                    waiting = self._open[rung]
                    del waiting[bisect_left(waiting, entry)]

    def rung(self, trial: Trial) -> Rung:
        """Return the rung on which a trial is compared with all that it may be compared with."""
        return Rung(self._first[trial.id].budget, trial.budget)

    def _rungs(self, trial: Trial) -> list[Rung]:
        rung = self.rung(trial)
        return [rung, rung._replace(apart=True)] if self._first[trial.id].why == RANDOM else [rung]

    def at(self, rung: Rung) -> list[Entry]:
        """Return all who have completed at this rung, best first."""
        return self._ranked.get(rung, [])

    def promotable(self, rung: Rung, factor: float, *, strictly: bool = False) -> Place | None:
        """Return the best trial of the rung that is in its best 1/factor and not yet continued, if there is one.

        Of the places of all, those that are `apart` have a share, and who is sure of one of these takes no other.
        Only the best open trial has to be looked at: if its rank is too low, so is everybody's behind it. `strictly`:
        none is, once 1/factor of the rung are continued, those included that have fallen behind since.
        """
        waiting = self._open.get(rung)
        if not waiting:
            return None
        ranked = self._ranked[rung]
        apart = [] if rung.apart else self.at(Rung(rung.began, rung.budget, apart=True))
        rank = bisect_left(ranked, waiting[0])
        allowed, sure = (math.floor(len(each) / factor + 1e-9) for each in (ranked, apart))
        before = rank - bisect_left(apart, waiting[0], hi=sure)
        if before >= allowed - sure or (strictly and self._left[rung] >= allowed):
            return None
        return Place(waiting[0][1], rank + 1, len(ranked))


class Milestones:
    """The loss of every trial when it first had done so many units, ranked per level; levels come up on demand."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._ranked: dict[float, list[Entry]] = {}
        self._entries: dict[float, dict[int, Entry]] = {}

    def update(self, trial: Trial) -> None:
        """Note the levels that the trial has reached; a retried attempt replaces what an earlier one left."""
        for level in self._ranked:
            self._note(trial, level)

    def at(self, level: float) -> list[Entry]:
        """Return all who reached this level, best first."""
        if level not in self._ranked:
            self._ranked[level] = []
            self._entries[level] = {}
            for trial in self._study.trials.values():
                self._note(trial, level)
        return self._ranked[level]

    def _note(self, trial: Trial, level: float) -> None:
        curve = trial.curve
        known = self._entries[level].get(trial.id)
        if curve.units() < level:
            if known:  # an attempt that was lost behind the level has started over before it
                self._drop(level, known)
            return
        if known and len(curve) > 1 and curve.units(-2) >= level:
            return
        zero_based = curve.steps[0] == 0
        first = bisect_left(curve.steps, math.ceil(level) - zero_based)
        if trial.stop_step is not None and curve.steps[first] > trial.stop_step:
            return  # asked to stop at a lower rung, it has only run on until it noticed
        value = curve.values[first]
        entry = (self._study.objective.loss(value) if math.isfinite(value) else math.inf, trial.id)
        if entry != known:
            if known:
                self._drop(level, known)
            insort(self._ranked[level], entry)
            self._entries[level][trial.id] = entry

    def _drop(self, level: float, entry: Entry) -> None:
        ranked = self._ranked[level]
        del ranked[bisect_left(ranked, entry)]
        del self._entries[level][entry[1]]
