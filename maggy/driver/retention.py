"""Which checkpoints are still needed: a fold of the log that says when one no longer is. It removes nothing itself.

A trial's last checkpoint is needed as long as the study goes on, since others may continue the trial; the one before it
until the trial has ended, in case the last one is damaged; any other only while an attempt runs that was told of it.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field

from maggy.events import Ended, Event, Lost, Saved, Started, StudyClosed, Suggested
from maggy.study import ANCESTORS
from maggy.trial import CHECKPOINT, Objective, Status


@dataclass(slots=True)
class Due:
    """What may be done now: checkpoints to remove, trials of which only these names may stay."""

    remove: list[str] = field(default_factory=list)
    sweep: list[tuple[int, frozenset[str]]] = field(default_factory=list)


class Retention:
    """Follows a log.

    Arguments:
        objective: what makes a trial a good one.
        keep: how many of the best completed trials keep their checkpoint when the study is done; None for all trials.
        continues: whether trials may be continued by others; where not, the best can be told from the rest at once.

    """

    def __init__(self, objective: Objective, keep: int | None = None, *, continues: bool = True) -> None:
        self._objective = objective
        self._keep = keep
        self._trims = keep is not None and not continues
        self._parents: dict[int, int] = {}  # by trial that continues another
        self._budgets: dict[int, float] = {}
        self._saved: dict[int, list[str]] = {}  # by trial that has any: its last two checkpoints, the last first
        self._held: dict[int, list[str]] = {}  # by running trial: what it may be reading
        self._superseded: set[str] = set()
        self._uneven: set[int] = set()  # trials that were lost, and may have left what the log does not know
        # Completed trials, the best first, of equals the earlier.
        self._ranked: list[tuple[float, float, int, int]] = []
        self._ends = 0

    def recorded(self, event: Event) -> Due:
        """Take in the next event of the log, and say what may go because of it."""
        due = Due()
        match event:
            case Suggested():
                if event.parent is not None:
                    self._parents[event.trial] = event.parent
                if event.budget is not None:
                    self._budgets[event.trial] = event.budget
            case Started() if self._saved:
                self._held[event.trial] = self._readable(event.trial)
            case Saved() if CHECKPOINT.fullmatch(event.checkpoint):  # a log may be a stranger's
                names = self._saved.setdefault(event.trial, [])
                names.insert(0, event.checkpoint)
                if len(names) > 2:  # noqa: PLR2004 - the last one may be damaged
                    self._superseded.add(names.pop())
                self._free(due)
            case Lost():
                self._held.pop(event.trial, None)
                self._uneven.add(event.trial)
                self._free(due)
            case Ended():
                self._ended(event, due)
            case StudyClosed() if event.reason == "done" and self._keep is not None:
                best = {trial for _, _, _, trial in self._ranked[: self._keep]}
                for trial in sorted(self._saved.keys() - best):
                    self._forget(trial, due)
        return due

    def _readable(self, trial: int) -> list[str]:
        """Return what an attempt of a trial may go on from: see `Study.restorable`."""
        found: list[str] = []
        each: int | None = trial
        while each is not None and len(found) < ANCESTORS:
            found += self._saved.get(each, ())
            each = self._parents.get(each)
        return found

    def _ended(self, event: Ended, due: Due) -> None:
        self._held.pop(event.trial, None)
        self._free(due)
        last = self._saved.get(event.trial, [])[:1]
        # Who failed or was stopped may have been killed in the middle of a save.
        if last or event.trial in self._uneven or event.status != Status.COMPLETED:
            needed = {name for names in self._held.values() for name in names}.union(last)
            due.sweep.append((event.trial, frozenset(needed)))
            self._uneven.discard(event.trial)
        if self._keep is None or event.status != Status.COMPLETED or event.value is None:
            return
        if math.isfinite(event.value):
            self._ends += 1
            rank = (-self._budgets.get(event.trial, 0), self._objective.loss(event.value), self._ends, event.trial)
            insort(self._ranked, rank)
            if self._trims and len(self._ranked) > self._keep:
                self._forget(self._ranked.pop()[-1], due)

    def _free(self, due: Due) -> None:
        """Let go what has been superseded and nobody reads."""
        if self._superseded:
            read = {name for names in self._held.values() for name in names}
            due.remove += sorted(self._superseded - read)
            self._superseded &= read

    def _forget(self, trial: int, due: Due) -> None:
        due.remove += self._saved.pop(trial, [])[:1]
