"""What an executor says of a trial's parameters and its end, judged; and what such ends say of the study."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from maggy.earlystop.base import StopRule
from maggy.errors import ConfigError, amount, last_line
from maggy.events import Drawn, Ended, Lost, Saved
from maggy.rpc import messages
from maggy.rpc.messages import LOST, Finished
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import Status, Trial

ALIKE = 10  # trials that fail for the same reason before any has ended otherwise: the next would as well


def outcome(trial: Trial, message: Finished, study: Study, now: float) -> Ended | Lost:
    """Judge what an executor says of a trial's end: a completed trial needs a finite value of the objective."""
    if message.status == LOST:
        return Lost(now, trial.id, message.attempt, str(message.error), counts=False)
    value = message.value
    if value is None and message.status != Status.FAILED:
        picked = study.objective.pick(message.metrics)
        # The last report may be an earlier attempt's: one that goes on from a checkpoint has nothing left to report.
        value = trial.curve.last if picked is None else picked
    status, error = message.status, message.error
    if status == Status.COMPLETED:
        if value is None:
            others = ", ".join(map(repr, message.metrics))
            error = f"no value of {study.objective.key!r}: train_fn returned none and reported none"
            error += f", only {others}" if others else ""
        elif not math.isfinite(value):
            error = f"train_fn returned {value} as {study.objective.key!r}"
        if error:
            status = Status.FAILED
    reason = (trial.stop_reason or "train_fn raised StopTrial") if status == Status.STOPPED else None
    return Ended(now, trial.id, message.attempt, status, value, message.metrics, reason, error)


def told(message: messages.Saved | messages.Drawn, study: Study, now: float) -> list[Saved | Drawn]:
    """Return what is recorded of a checkpoint, or of parameters that a trial has named where it may name any."""
    if isinstance(message, messages.Saved):
        return [Saved(now, message.trial, message.attempt, message.checkpoint, message.bytes)]
    domains: dict[str, Any] = {}
    for name, domain in message.domains.items():
        with suppress(ConfigError):
            domains |= Searchspace({name: domain}).to_dict()
    drawn = Drawn(now, message.trial, message.attempt, message.params, domains)
    return [drawn] if study.searchspace.open else []


def poisoned(trial: Trial, cause: str, now: float) -> Ended:
    """Fail a trial that has cost as many executors as one may."""
    error = f"lost {amount(trial.lost + 1, 'time')}, the last time because: {cause}"
    return Ended(now, trial.id, trial.attempt, Status.FAILED, None, {}, None, error)


def reason_to_stop(rules: Iterable[StopRule], trial: Trial, study: Study) -> tuple[str | None, str | None]:
    """Ask stop rules about a trial: return why it should stop, and why the study cannot go on, a rule's own failure."""
    for rule in rules:
        try:
            reason = rule.reason_to_stop(trial, study)
        except BaseException as error:  # noqa: BLE001 - somebody else's rule may raise anything, SystemExit too
            problem = f"{type(error).__name__}: {error}"
            return None, f"the stop rule {type(rule).__name__} raised {problem} on trial {trial.id}"
        if reason:
            return str(reason), None
    return None, None


class Failures:
    """The failures of one invocation, of which there may be fewer than `limit`."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._first: list[str] = []  # the errors of the first trials that ended, "" where there was none

    def ended(self, event: Ended) -> None:
        """Take in a trial's end."""
        if len(self._first) < ALIKE:
            self._first.append(last_line(event.error) if event.status == Status.FAILED else "")

    def verdict(self, failed: int) -> str | None:
        """Say why the study, in which so many trials have failed, should be given up; None where it should not."""
        if self._limit is not None and failed >= max(self._limit, 1):
            return f"{amount(failed, 'trial has', 'trials have')} failed, and max_failures is {self._limit}"
        if len(self._first) == ALIKE and len(set(self._first)) == 1 and (error := self._first[0]):
            return f"the first {ALIKE} trials all failed alike: {error}"
        return None
