"""A study: the fold of its events, with the few indexes that its readers need.

`apply` is the only way in. It never decides and never refuses: what is recorded has happened. Replaying a log gives
the study back, which is all that resume, audit and every view do.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from maggy.errors import ConfigError, StoreError
from maggy.events import (
    Drawn,
    Ended,
    Event,
    Lost,
    Reported,
    Requeued,
    Saved,
    Started,
    StopRequested,
    StudyClosed,
    StudyOpened,
    StudyResumed,
    Suggested,
)
from maggy.searchspace import Searchspace
from maggy.trial import CHECKPOINT, KNOWN, Objective, Status, Trial

ANCESTORS = 10  # checkpoints to fall back on, one after the other, are enough


class Index(Protocol):
    """Something derived from the trials, kept up to date by the study: a rung table, running averages."""

    def __init__(self, study: Study) -> None: ...

    def update(self, trial: Trial) -> None:
        """Take in a trial that was suggested, has reported or has ended; the same trial comes again and again."""


AnyIndex = TypeVar("AnyIndex", bound=Index)


class Study:
    """What is known of a study at one position of its log."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.searchspace = Searchspace()
        self.objective = Objective()
        self.num_trials: int | None = None
        self.points: list[dict[str, Any]] = []  # that the user wants tried first
        self.position = 0
        self.trials: dict[int, Trial] = {}
        self.queued: deque[int] = deque()
        self.running: dict[int, Trial] = {}
        self.counts: Counter[Status] = Counter()
        self.sampled = 0
        self.known = 0  # trials that the study began with, and that nobody ran
        self.reports = 0
        self.unknown = 0
        self.last_end = 0
        self.closed: str | None = None
        self._best: dict[float, Trial] = {}
        self._given: dict[str, deque[int]] = {}  # by executor: what it runs, and what it will run after that
        self._indexes: dict[type, Any] = {}

    @classmethod
    def of(cls, events: Iterable[Event | None]) -> Study:
        """Fold a whole log. Raises `StoreError` for one in which an event does not follow from those before it."""
        return cls().take(events)

    def take(self, events: Iterable[Event | None]) -> Study:
        """Apply the next events of a log that somebody else may have written, and return this study. Raises as `of`."""
        for event in events:
            try:
                self.apply(event)
            except ConfigError:
                raise  # settings of a later version, with a sentence of their own
            except (LookupError, TypeError, ValueError) as error:
                kind, trial = type(event).__name__, getattr(event, "trial", None)
                of = "" if trial is None else f" of trial {trial!r}"
                raise StoreError(
                    f"the log of study {self.settings.get('name', '')!r} is damaged: position {self.position}, "
                    f"{kind}{of}, does not fit what stands before it ({error!r}): go back to a copy of the store"
                ) from error
        return self

    # -- what readers ask ------------------------------------------------------------------------------------------

    @property
    def next_id(self) -> int:
        """The number of the next suggestion, counted from 1."""
        return len(self.trials) + 1

    @property
    def remaining(self) -> float:
        """How many new configurations may still be sampled; infinite where only time is limited."""
        return math.inf if self.num_trials is None else max(0, self.num_trials - self.sampled)

    @property
    def best(self) -> Trial | None:
        """The best completed trial at the largest budget that any completed; None where none did."""
        return self._best[max(self._best)] if self._best else None

    def loss(self, trial: Trial) -> float:
        """Return the trial's value as a loss: lower is better, NaN where there is none."""
        return math.nan if trial.value is None else self.objective.loss(trial.value)

    def restorable(self, trial: Trial) -> list[str]:
        """Return the checkpoints that a trial may go on from, best first: its own last two, then its ancestors'."""
        found: list[str] = []
        each: Trial | None = trial
        while each is not None and len(found) < ANCESTORS:
            if each.checkpoint is not None:
                found.append(each.checkpoint)
            if each.earlier_checkpoint is not None:
                found.append(each.earlier_checkpoint)
            each = self.trials.get(each.parent) if each.parent is not None else None
        return found

    def index(self, kind: type[AnyIndex]) -> AnyIndex:
        """Return the study's index of this kind, built from all trials at first use and kept up to date after."""
        found = self._indexes.get(kind)
        if found is None:
            found = kind(self)
            for trial in self.trials.values():
                found.update(trial)
            self._indexes[kind] = found
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return all that `apply` maintains, for comparing two folds."""
        return {name: repr(value) for name, value in vars(self).items() if name != "_indexes"}

    # -- the fold --------------------------------------------------------------------------------------------------

    def apply(self, event: Event | None) -> None:
        """Take in the next event of the log; None stands for one of a kind that this version does not know."""
        self.position += 1
        match event:
            case Reported():
                self._reported(event)
            case Suggested():
                self._suggested(event)
            case Started():
                self._started(event)
            case Drawn():
                self._drawn(event)
            case Ended():
                self._ended(event)
            case StopRequested():
                trial = self.trials[event.trial]
                trial.stop_reason = event.reason
                trial.stop_step = trial.curve.steps[-1] if trial.curve else -1
            case Saved():  # no news for optimizers
                if CHECKPOINT.fullmatch(event.checkpoint):  # a log may be a stranger's
                    trial = self.trials[event.trial]
                    trial.earlier_checkpoint, trial.checkpoint = trial.checkpoint, event.checkpoint
            case Lost():
                self._lost(event)
            case Requeued():
                self._requeued(event)
            case StudyOpened():
                self._configure(event.settings)
            case StudyResumed():
                self.closed = None
                self._configure({**self.settings, **event.changed})
            case StudyClosed():
                self.closed = event.reason
            case None:
                self.unknown += 1

    def _configure(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.searchspace = Searchspace.from_json(settings.get("searchspace") or {})
        self.objective = Objective(settings.get("metric"), settings.get("direction", "max"))
        self.num_trials = settings.get("num_trials")
        self.points = settings.get("points_to_evaluate") or []

    def _suggested(self, event: Suggested) -> None:
        trial = Trial(event.trial, dict(event.params), event.budget, event.parent, event.seen, event.origin, event.why)
        trial.group, trial.replicate, trial.work = event.group, event.replicate, event.work
        self.trials[trial.id] = trial
        self.queued.append(trial.id)
        self.counts[Status.QUEUED] += 1
        self.sampled += event.parent is None and event.origin != KNOWN
        self.known += event.origin == KNOWN
        self._changed(trial)

    def _started(self, event: Started) -> None:
        trial = self.trials[event.trial]
        self.queued.remove(trial.id)
        self.running[trial.id] = trial
        self._move(trial, Status.RUNNING)
        trial.attempt = event.attempt
        trial.executor = event.executor
        trial.started = event.at
        self._given.setdefault(event.executor, deque()).append(trial.id)

    def _drawn(self, event: Drawn) -> None:
        trial = self.trials[event.trial]
        trial.suggested = trial.params if trial.suggested is None else trial.suggested
        trial.params = dict(event.params)
        new = {name: domain for name, domain in event.domains.items() if name not in self.searchspace}
        if new:  # whoever keeps the searchspace of before keeps it as it was
            self.searchspace = Searchspace(self.searchspace, **new)
            self.settings["searchspace"] = self.searchspace.to_dict()
            self._indexes.clear()
        self._changed(trial)

    def _reported(self, event: Reported) -> None:
        self.reports += 1
        trial = self.trials[event.trial]
        value = self.objective.pick(event.metrics)
        if value is not None:
            trial.curve.add(event.step, value)
            self._changed(trial)

    def _lost(self, event: Lost) -> None:
        trial = self.trials[event.trial]
        del self.running[trial.id]
        self._done(trial, event.at)
        self.queued.appendleft(trial.id)
        self._move(trial, Status.QUEUED)
        trial.attempt = event.attempt + 1
        trial.lost += event.counts
        trial.executor = trial.started = trial.stop_reason = trial.stop_step = None
        self._changed(trial)

    def _requeued(self, event: Requeued) -> None:
        trial = self.trials[event.trial]
        self.queued.append(trial.id)
        self._move(trial, Status.QUEUED)
        trial.attempt += 1
        trial.lost = 0
        trial.executor = trial.started = trial.ended = trial.end = trial.value = trial.error = trial.stop_reason = None
        self._changed(trial)

    def _ended(self, event: Ended) -> None:
        trial = self.trials[event.trial]
        if self.running.pop(trial.id, None) is None:
            self.queued.remove(trial.id)
        else:
            self._done(trial, event.at)
        self._move(trial, Status(event.status))
        trial.ended = event.at
        trial.end = self.position
        trial.earlier_checkpoint = None
        trial.value = event.value
        trial.metrics = dict(event.metrics)
        trial.stop_reason = event.reason
        trial.error = event.error
        self.last_end = self.position
        self._rank(trial)
        self._changed(trial)

    def _done(self, trial: Trial, at: float) -> None:
        """Take in that an executor is through with a trial: the next one that it was given begins."""
        given = self._given[str(trial.executor)]
        ran = given[0] == trial.id  # what is taken back from behind it changes nothing for what runs
        given.remove(trial.id)
        if not given:
            del self._given[str(trial.executor)]
        elif ran:
            after = self.trials[given[0]]
            after.started = max(after.started or at, at)

    def _move(self, trial: Trial, status: Status) -> None:
        self.counts[trial.status] -= 1
        self.counts[status] += 1
        trial.status = status

    def _rank(self, trial: Trial) -> None:
        if trial.usable:
            budget = trial.budget or 0
            best = self._best.get(budget)
            if best is None or self.loss(trial) < self.loss(best):
                self._best[budget] = trial

    def _changed(self, trial: Trial) -> None:
        for index in self._indexes.values():
            index.update(trial)
