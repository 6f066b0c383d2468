"""What lists know of a trial without its curve, and how studies and trials are found by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from maggy.cli.options import patterns
from maggy.cli.ranking import Entrant
from maggy.errors import ConfigError, StoreError, last_line, nearest
from maggy.events import Drawn, Ended, Event, Started, StudyOpened, StudyResumed, Suggested, restored
from maggy.jsonvalue import loads
from maggy.store import Fact, Reader, Store, StudyEntry
from maggy.trial import Objective, Status

# Diviner's words for where a trial stands. A trial that has not ended, of a study that nobody runs, is a failure.
STATES = {
    Status.QUEUED: "pending",
    Status.RUNNING: "pending",
    Status.COMPLETED: "success",
    Status.FAILED: "failure",
    Status.STOPPED: "stopped",
}
KINDS = ("Suggested", "Drawn", "Started", "Lost", "Ended", "Requeued")
LEFT = "left behind: its driver is gone; it runs again when the study is resumed"


@dataclass(slots=True)
class Outline:
    """A trial as lists see it; times are seconds since the epoch. `held`: its study has a driver that lives."""

    study: str
    id: int
    created: float
    budget: float | None
    held: bool
    status: Status = Status.QUEUED
    attempts: int = 0
    failed: int = 0  # how often it has failed and was queued again
    started: float | None = None
    ended: float | None = None
    value: Any = None
    executor: str | None = None  # that runs it, or has run it last
    suggested: Fact | None = None  # what says so, where bodies were asked for
    end: Fact | None = None

    @property
    def name(self) -> str:
        """The id by which commands know it."""
        return f"{self.study}:{self.id}"

    @property
    def restarts(self) -> int:
        """How often it was begun again, but for those times at which its failure was asked for again."""
        return max(self.attempts - 1 - self.failed, 0)

    @property
    def left(self) -> bool:
        """Whether it has not ended, and nobody is there to end it."""
        return not (self.held or self.status.final)

    @property
    def state(self) -> str:
        """Diviner's word for where it stands."""
        return "failure" if self.left else STATES[self.status]

    def is_in(self, wanted: Collection[str]) -> bool:
        """Whether one of these words, Diviner's or ours, is true of it."""
        return self.state in wanted or (self.status in wanted and not self.left)

    def runtime(self, now: float) -> float:
        """Seconds that its last attempt has run."""
        if self.started is None:
            return 0.0
        return (self.started if self.left else now) - self.started if self.ended is None else self.ended - self.started

    def touched(self, now: float) -> float:
        """When it was last heard of: now where it runs."""
        if self.ended is not None:
            return self.ended
        return now if self.held else self.started or self.created

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters, where the bodies of what says so were asked for."""
        told = self.suggested and told_by(self.study, self.suggested)
        return dict(told.params) if isinstance(told, Suggested | Drawn) else {}

    @property
    def how(self) -> str:
        """The reason or the error with which it has ended, where that was asked for; else empty."""
        told = self.end and told_by(self.study, self.end)
        return told.reason or last_line(told.error) if isinstance(told, Ended) else ""


def outlines(
    reader: Reader, entry: StudyEntry, now: float, *, unfinished: bool = False, bodies: Sequence[str] = ()
) -> list[Outline]:
    """Return a study's trials in the order of their numbers; with `unfinished` only those that have not ended.

    A trial that was given ahead of need starts when the one before it has ended.
    """
    held, study = entry.held(now), entry.name
    found: dict[int, Outline] = {}
    given: dict[str, dict[int, None]] = {}  # by executor: what it runs, and what it will run after that
    before: dict[int, float] = {}  # when trials have ended that began before what is read here
    completed, running, queued = Status.COMPLETED, Status.RUNNING, Status.QUEUED
    for fact in reader.facts(study, KINDS, bodies=bodies, unfinished=unfinished):
        _, kind, trial, at, word, number, body = fact
        told = None if body is None else fact
        if kind == "Suggested" and trial is not None:
            found[trial] = Outline(study, trial, at, _number(number), held, suggested=told)
        elif trial is None:
            continue
        elif (outline := found.get(trial)) is None:
            if kind == "Ended":
                before[trial] = at
        elif kind == "Drawn":
            outline.suggested = told
        elif kind == "Started":
            outline.status, outline.started, outline.executor = running, at, word
            outline.attempts += 1
            given.setdefault(str(word), {})[trial] = None
        elif kind == "Ended":
            outline.status = completed if word == completed else final(study, trial, word)
            outline.ended, outline.value, outline.end = at, number, told
            _next_begins(found, given, outline, at)
        elif kind == "Lost":
            _next_begins(found, given, outline, at)
            outline.status, outline.started, outline.executor = queued, None, None
        elif kind == "Requeued":
            outline.status, outline.failed = queued, outline.failed + 1
            outline.started = outline.ended = outline.value = outline.end = outline.executor = None
    left = [outline for outline in found.values() if not (unfinished and outline.status.final)]
    if before:
        _begin_behind(reader, study, before, [found[next(iter(mine))] for mine in given.values() if mine])
    return left


def _next_begins(found: dict[int, Outline], given: dict[str, dict[int, None]], outline: Outline, at: float) -> None:
    """Take in that an executor is through with a trial, as `Study` does."""
    mine = given.get(str(outline.executor), {})
    ran = next(iter(mine), None) == outline.id
    mine.pop(outline.id, None)
    if ran and mine:
        after = found[next(iter(mine))]
        after.started = max(after.started or at, at)


def _begin_behind(reader: Reader, study: str, before: dict[int, float], these: list[Outline]) -> None:
    """Take in when the executors of these were through with trials of which nothing but the end was read."""
    last = max(before.values())
    late = {each.executor: each for each in these if each.started is not None and each.started < last}
    if not late:
        return
    ran_it = {each.trial: each.executor for each in reader.of_trials(study, before) if isinstance(each, Started)}
    for trial, executor in ran_it.items():
        if (each := late.get(executor)) is not None:
            each.started = max(each.started or 0.0, before[trial])


def told_by(study: str, fact: Fact) -> Event | None:
    """Return the event of which this is a fact with its body. Raises `StoreError` where the body is none."""
    position, kind, trial, at, *_, body = fact
    try:
        return restored(kind, {**loads(str(body)), "at": at, "trial": trial})
    except (ValueError, TypeError) as error:
        raise StoreError(f"position {position} of study {study!r} is no {kind} event: {error}") from None


def _number(found: Any) -> float | None:
    return found if isinstance(found, float | int) else None  # a stranger's store may have anything there


def final(study: str, trial: int, status: str | None) -> Status:
    """Return as what a trial has ended. Raises `StoreError` where that is nothing that maggy knows."""
    try:
        return Status(str(status))
    except ValueError:
        raise StoreError(
            f"trial {trial} of study {study!r} has ended as {status!r}, which this maggy does not know"
        ) from None


def finite(reader: Reader, study: str, metric: str | None = None) -> tuple[list[Entrant], int]:
    """Return a study's completed trials that have a finite value, or such a metric, and how many have none."""
    budgets, replicates, found, lacking = {}, {}, [], 0
    kinds = ("Suggested", "Ended")
    grouped = bool(settings(reader, study).get("replicates"))
    bodies = [kind for kind, wanted in zip(kinds, (grouped, metric), strict=True) if wanted]
    for fact in reader.facts(study, kinds, bodies=bodies):
        _, kind, trial, _, status, number, body = fact
        told = None if body is None else told_by(study, fact)
        if kind == "Suggested":
            budgets[trial] = _number(number)
            if isinstance(told, Suggested):
                replicates[trial] = told.replicate or 0, told.group
        elif status == Status.COMPLETED and trial is not None:
            value = told.metrics.get(metric) if metric and isinstance(told, Ended) else number
            if isinstance(value, float | int) and math.isfinite(value):
                found.append(Entrant(study, trial, value, budgets.get(trial), *replicates.get(trial, ())))
            else:
                lacking += 1
    return found, lacking


def settings(reader: Reader, study: str) -> dict[str, Any]:
    """Return a study's settings as its log has them by now; empty where its first driver has said nothing."""
    found: dict[str, Any] = {}
    kinds = ("StudyOpened", "StudyResumed")
    for fact in reader.facts(study, kinds, bodies=kinds):
        told = told_by(study, fact)
        if isinstance(told, StudyOpened | StudyResumed):
            found |= told.settings if isinstance(told, StudyOpened) else told.changed
    return found


def objective_of(settings: dict[str, Any]) -> Objective:
    """Return what a study optimizes."""
    return Objective(settings.get("metric"), settings.get("direction", "max"))


def said(objective: Objective) -> str:
    """Return `minimize(loss)`."""
    return f"{'maximize' if objective.direction == 'max' else 'minimize'}({objective.key})"


# -- by name -------------------------------------------------------------------------------------------------------


def matching(entries: Sequence[StudyEntry], wanted: Sequence[str]) -> list[StudyEntry]:
    """Return the studies whose whole name matches one of the expressions, by name; all where there is none.

    Raises `ConfigError` where one matches nothing, or is no expression.
    """
    found = {entry.name for entry in entries} if not wanted else set()
    for text, pattern in zip(wanted, patterns(wanted), strict=True):
        matched = {entry.name for entry in entries if pattern.fullmatch(entry.name)}
        if not matched:
            names = [entry.name for entry in entries]
            raise ConfigError(f"no study is called {text!r}{nearest(text, names)}")
        found |= matched
    return sorted((entry for entry in entries if entry.name in found), key=lambda entry: entry.name)


def the_study(reader: Reader | Store, name: str) -> StudyEntry:
    """Return the study of exactly this name. Raises `ConfigError` where there is none."""
    entries = {entry.name: entry for entry in reader.studies()}
    if name not in entries:
        raise ConfigError(f"there is no study {name!r}{nearest(name, entries)}")
    return entries[name]


def is_trial(name: str) -> bool:
    """Whether a name is a trial's, as in `digits:3`; a study's has no colon."""
    return ":" in name


def the_trial(reader: Reader, name: str) -> tuple[StudyEntry, int]:
    """Return the study and the number of a trial `study:number`. Raises `ConfigError` where the store has none."""
    study, colon, number = name.rpartition(":")
    if not colon or not number.isascii() or not number.isdigit() or len(number) > 18:  # noqa: PLR2004 - 64 bits
        raise ConfigError(f"{name!r} names no trial: write STUDY:NUMBER, such as 'digits:3'")
    entry = the_study(reader, study)
    if not any(reader.of_trials(study, [int(number)])):
        trials = len(reader.facts(study, ["Suggested"]))
        has = "none yet" if not trials else "only trial 1" if trials == 1 else f"trials 1 to {trials}"
        raise ConfigError(f"there is no trial {name!r}: study {study!r} has {has}")
    return entry, int(number)
