"""The facts that a study remembers. Their sequence is the study; everything else is derived from it.

An event's kind never changes its meaning. Readers skip kinds that they do not know and ignore fields that they do not
know; writers refuse a log whose `StudyOpened.version` is newer than `LOG_VERSION`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

LOG_VERSION = 1
_LONGEST = 80  # characters of a value that cannot be


@dataclass(frozen=True, slots=True)
class StudyOpened:
    """A study began, with these settings (see `maggy.configuration.StudyConfig`)."""

    at: float
    settings: Mapping[str, Any]
    version: int = LOG_VERSION


@dataclass(frozen=True, slots=True)
class StudyResumed:
    """A driver took the study up again; `changed` holds the settings that differ from before."""

    at: float
    changed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Suggested:
    """The optimizer, having `seen` the log up to that position, answered ask number `trial` with this configuration.

    Where it did not, `origin` says why a random configuration took the place of its answer; `why` is its own reason.
    For the others see `Suggestion`.
    """

    at: float
    trial: int
    params: Mapping[str, Any]
    budget: float | None
    parent: int | None
    seen: int
    origin: str | None = None
    why: str | None = None
    group: int | None = None
    replicate: int | None = None
    work: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The training function has named parameters itself: all that the trial has by now, and the domains of new ones."""

    at: float
    trial: int
    attempt: int
    params: Mapping[str, Any]
    domains: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Started:
    """An executor was given the trial at this attempt."""

    at: float
    trial: int
    attempt: int
    executor: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The training function reported metrics at a step."""

    at: float
    trial: int
    attempt: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Saved:
    """The attempt has kept a checkpoint of so many bytes: what follows this trial goes on from there."""

    at: float
    trial: int
    attempt: int
    checkpoint: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The driver asked the trial to stop, for a reason that a person can read."""

    at: float
    trial: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The attempt is gone and the trial is queued again; `counts` towards `max_lost` unless others are to blame."""

    at: float
    trial: int
    attempt: int
    cause: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """The trial reached its final state: `completed`, `stopped` or `failed`."""

    at: float
    trial: int
    attempt: int
    status: str
    value: float | None
    metrics: Mapping[str, Any]
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Requeued:
    """A trial that has failed is queued again, with another invocation."""

    at: float
    trial: int


@dataclass(frozen=True, slots=True)
class StudyClosed:
    """The driver let the study go: done, timed out, interrupted or failed."""

    at: float
    reason: str


Event = (
    StudyOpened
    | StudyResumed
    | Suggested
    | Drawn
    | Started
    | Reported
    | Saved
    | StopRequested
    | Lost
    | Ended
    | Requeued
    | StudyClosed
)
KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in KINDS.values()}
_JSON = {
    "Mapping[str, Any]": (dict,),
    "float": (float, int),
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
}
_TYPES = {
    kind: {
        field.name: frozenset(each for word in str(field.type).split(" | ") for each in _JSON.get(word, (dict,)))
        for field in fields(kind)
    }
    for kind in KINDS.values()
}
SETTINGS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "metric": (str, type(None)),
    "direction": (str,),
    "searchspace": (dict, type(None)),
    "optimizer": (dict, type(None)),
    "earlystop": (list, type(None)),
    "num_trials": (int, type(None)),
    "replicates": (int, type(None)),
    "points_to_evaluate": (list, type(None)),
    "files": (str, type(None)),
    "description": (str, type(None)),
}
"""Of what type the settings are that every reader of a log relies on."""
RUNGS = ("resource_min", "resource_max", "reduction_factor")
"""The settings of an optimizer that readers count with: each is above 0, and finite."""


def body(event: Event) -> dict[str, Any]:
    """Return the event's fields as JSON values."""
    return {name: getattr(event, name) for name in _FIELDS[type(event)]}


def restored(kind: str, content: Mapping[str, Any]) -> Event | None:
    """Rebuild an event from its kind and body; None for a kind of a later version.

    Raises `TypeError` where one of its fields is of another type: a store may be a stranger's, and whoever reads
    events relies on what they are.
    """
    cls = KINDS.get(kind)
    if cls is None:
        return None
    found = {}
    for name, types in _TYPES[cls].items():
        if name in content:
            found[name] = value = content[name]
            if type(value) not in types:
                raise TypeError(f"{name} is {_brief(value)}")
    event = cls(**found)
    if isinstance(event, StudyOpened | StudyResumed):
        check_settings(event.settings if isinstance(event, StudyOpened) else event.changed)
    return event


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `TypeError` where a setting that readers of logs rely on is of another type than maggy writes."""
    if type(settings) is not dict:
        raise TypeError(f"the settings are {_brief(settings)}")
    for name, types in SETTINGS.items():
        if name in settings and type(settings[name]) not in types:
            raise TypeError(f"the setting {name!r} is {_brief(settings[name])}")
    if settings.get("direction", "max") not in ("max", "min"):
        raise TypeError(f"the setting 'direction' is {_brief(settings['direction'])}")
    optimizer = settings.get("optimizer") or {}
    if type(called := optimizer.get("name") or optimizer.get("custom") or "") is not str:
        raise TypeError(f"the optimizer's name is {_brief(called)}")
    for name in RUNGS:
        if name in optimizer and not (type(found := optimizer[name]) in (float, int) and 0 < found < math.inf):
            raise TypeError(f"the optimizer's {name!r} is {_brief(found)}")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
