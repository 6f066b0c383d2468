"""PASHA: how far up rungs have to go until they rank alike.

Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella, "PASHA: Efficient HPO and NAS with Progressive Resource
Allocation", ICLR 2023. A rung agrees with the one below if, with its trials in their order, each was below within ε of
whoever had that place there (their soft ranking). ε is what noise makes of two trials: the 90th percentile of the
distances in which pairs ended up whose curves have crossed at least twice.

Unlike in the paper the top rung follows from what is known now, and so may fall back; nobody is taken down for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from maggy.optimizers.rungs import Rung, Rungs
from maggy.study import Study
from maggy.trial import Trial

WATCHED = 10  # the best of a rung, whose curves tell of noise: all pairs of hundreds would take seconds
NOISE_SHARE = 0.9


class Rankings:
    """Whether rungs rank as the ones below them do; each is looked at again when another trial has completed there."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._rungs = study.index(Rungs)
        self._known: dict[Rung, tuple[int, bool]] = {}
        self._below: dict[int, float] = {}  # what a promoted trial had on the rung below

    def update(self, trial: Trial) -> None:
        """Note a promoted trial's loss on the rung below; what is on a rung never changes."""
        if trial.parent is not None and trial.id not in self._below:
            self._below[trial.id] = self._study.loss(self._study.trials[trial.parent])

    def reach(self, levels: Sequence[float]) -> float:
        """Return the lowest level whose ranking agrees with that of the level below; else the highest."""
        for level in levels[1:-1]:
            if self._agrees(Rung(levels[0], level)):
                return level
        return levels[-1]

    def _agrees(self, rung: Rung) -> bool:
        ranked = self._rungs.at(rung)
        size, agrees = self._known.get(rung, (0, True))
        if size != len(ranked):
            below = [self._below[number] for _, number in ranked]
            noise = noise_of([self._curve(self._study.trials[number]) for _, number in ranked[:WATCHED]])
            agrees = all(abs(one - other) <= noise for one, other in zip(below, sorted(below), strict=True))
            self._known[rung] = len(ranked), agrees
        return agrees

    def _curve(self, trial: Trial | None) -> Mapping[int, float]:
        """Return what a configuration reported at each step, its ancestors' reports included."""
        found: dict[int, float] = {}
        while trial is not None:
            found = {**dict(trial.curve.points()), **found}
            trial = None if trial.parent is None else self._study.trials[trial.parent]
        return found


def noise_of(curves: Sequence[Mapping[int, float]]) -> float:
    """Return ε: in which distance all but a tenth of those pairs ended up that have crossed twice; 0 if none have."""
    gaps = []
    for one, other in combinations(curves, 2):
        differences = [one[step] - other[step] for step in sorted(one.keys() & other.keys())]
        ordered = [each for each in differences if each and math.isfinite(each)]
        if sum((before > 0) != (after > 0) for before, after in pairwise(ordered)) >= 2:  # noqa: PLR2004 - there and back
            gaps.append(abs(ordered[-1]))
    return sorted(gaps)[math.ceil(NOISE_SHARE * len(gaps)) - 1] if gaps else 0.0
