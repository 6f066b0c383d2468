"""A trial, what an optimizer may answer, and what it all is for.

*Lower is better* everywhere inside; `Objective` is the only place that knows "max".
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Literal

Params = Mapping[str, Any]
Direction = Literal["max", "min"]
DEFAULT_METRIC = "metric"
_EARLIER_METRIC = "Metric"  # as Maggy 1.x called it
AGAIN = "again: "  # how the reason of a trial begins that repeats another, whose number follows
KNOWN = "known before"  # the origin of a trial that the study began with, and that nobody ran
ENDLESS = 10**9  # trials: as many are asked for where there is to be no end
CHECKPOINT = re.compile(r"[1-9][0-9]{0,17}/[1-9][0-9]{0,17}-[1-9][0-9]{0,17}\.tar")  # a name that leads nowhere else


class Status(StrEnum):
    """Where a trial stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether a trial in this state has ended for good."""
        return self not in (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What an optimizer wants tried next.

    `params` holds JSON values, one for each name of the searchspace. `budget` is the total of units (epochs, rows, …)
    that the trial is to have done, its parent's included. `parent` is the trial whose checkpoint it continues; a
    suggestion without one is a new configuration and counts towards `num_trials`. `why` says for what reason it is
    suggested, where there is one to tell, in at most 100 characters. Trials of one `group` try the same values, each as
    a `replicate` from 0. `work` is what the trial is to do, as JSON, where that is not the same for all trials.
    """

    params: Params
    budget: float | None = None
    parent: int | None = None
    why: str | None = None
    group: int | None = None
    replicate: int | None = None
    work: Mapping[str, Any] | None = None


class Answer(Enum):
    """What an optimizer may say instead of a suggestion."""

    WAIT = "ask again when another trial has ended"
    DONE = "there will never be another suggestion"


WAIT = Answer.WAIT
DONE = Answer.DONE


@dataclass(frozen=True, slots=True)
class Objective:
    """Which metric is optimized and which way.

    `metric=None` means: whatever number is broadcast or returned, or the only entry of a dict.
    """

    metric: str | None = None
    direction: Direction = "max"

    @property
    def key(self) -> str:
        """The name under which a bare number is filed."""
        return self.metric or DEFAULT_METRIC

    def pick(self, metrics: Mapping[str, float]) -> float | None:
        """Return the objective's value among `metrics`, or None where it is not there or not told apart."""
        if self.metric is not None:
            return metrics.get(self.metric)
        if len(metrics) == 1:
            return next(iter(metrics.values()))
        return metrics.get(DEFAULT_METRIC, metrics.get(_EARLIER_METRIC))

    def loss(self, value: float) -> float:
        """Turn a value into what every optimizer and stop rule minimizes."""
        return -value if self.direction == "max" else value

    def best_loss(self, curve: Curve) -> float:
        """Return the best finite value of a curve as a loss; infinity where there is none."""
        return -curve.highest if self.direction == "max" else curve.lowest

    def value(self, loss: float) -> float:
        """Turn a loss back into what the user measures."""
        return -loss if self.direction == "max" else loss


class Curve:
    """The objective at each reported step, compactly: 16 bytes a point.

    Steps rise. A point at or before the last one replaces everything from its step on: that is a retried attempt
    going over the ground again.
    """

    __slots__ = ("highest", "lowest", "steps", "values")

    def __init__(self) -> None:
        self.steps = array("q")
        self.values = array("d")
        self.lowest, self.highest = math.inf, -math.inf  # of the finite values

    def __len__(self) -> int:
        return len(self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Curve) and self.steps == other.steps and repr(self.values) == repr(other.values)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Curve({', '.join(f'{step}: {value!r}' for step, value in self.points())})"

    def add(self, step: int, value: float) -> None:
        """Append a point, replacing what an earlier attempt reported from `step` on."""
        if self.steps and step <= self.steps[-1]:
            cut = bisect_left(self.steps, step)
            del self.steps[cut:]
            del self.values[cut:]
            finite = list(filter(math.isfinite, self.values))
            self.lowest, self.highest = min(finite, default=math.inf), max(finite, default=-math.inf)
        self.steps.append(step)
        self.values.append(value)
        if -math.inf < value < self.lowest:
            self.lowest = value
        if self.highest < value < math.inf:
            self.highest = value

    def points(self) -> list[tuple[int, float]]:
        """Return all (step, value), steps rising."""
        return list(zip(self.steps, self.values, strict=True))

    @property
    def last(self) -> float | None:
        """The value reported last, if any."""
        return self.values[-1] if self.values else None

    def units(self, index: int = -1) -> int:
        """Return the units done at a point: step + 1 where the first step was 0, else the step."""
        return self.steps[index] + (self.steps[0] == 0) if self.steps else 0


@dataclass(slots=True)
class Trial:
    """One configuration at one budget, with its curve and its outcome. Only the fold (`Study`) changes it.

    `attempt` counts from 1 and rises each time the trial is lost; it is the fencing token: what another attempt says
    does not count. `value` is the objective as the user measures it; times are seconds since the epoch.
    """

    id: int
    params: Params
    budget: float | None = None
    parent: int | None = None
    seen: int = 0
    origin: str | None = None  # why this configuration is not the optimizer's, where it is not
    why: str | None = None  # the optimizer's reason for it, where it gave one
    group: int | None = None
    replicate: int | None = None
    work: Mapping[str, Any] | None = None
    suggested: Params | None = None  # what the optimizer had answered, where the trial has named parameters itself
    status: Status = Status.QUEUED
    attempt: int = 1
    executor: str | None = None
    started: float | None = None
    ended: float | None = None
    end: int | None = None  # the log position at which it ended
    value: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    stop_step: int | None = None  # the last step before the request to stop; what comes after it is overshoot
    error: str | None = None
    lost: int = 0
    checkpoint: str | None = None  # the name of the last one that it has saved
    earlier_checkpoint: str | None = None  # the one before, to fall back on until the trial has ended
    curve: Curve = field(default_factory=Curve)

    @property
    def duration(self) -> float | None:
        """Seconds that the last attempt ran, or None before it has ended."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    @property
    def usable(self) -> bool:
        """Whether the trial completed with a finite value; only such trials are compared, promoted or called best."""
        return self.status is Status.COMPLETED and self.value is not None and math.isfinite(self.value)
