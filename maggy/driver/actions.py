"""What the scheduler wants done. The shell does it, in order: it commits all `Record`s of a turn before it sends."""

from __future__ import annotations

from dataclasses import dataclass

from maggy.events import Event
from maggy.rpc.messages import Message


@dataclass(frozen=True, slots=True)
class Record:
    """Append the event to the log."""

    event: Event


@dataclass(frozen=True, slots=True)
class Send:
    """Send the message to an executor."""

    executor: str
    message: Message


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the optimizer for suggestion `number`, showing it the log up to `position`."""

    number: int
    position: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the connection to an executor."""

    executor: str
    why: str


@dataclass(frozen=True, slots=True)
class Close:
    """The study is over."""

    reason: str


Action = Record | Send | Ask | Drop | Close
