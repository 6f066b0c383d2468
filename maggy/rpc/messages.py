"""What travels between the driver and its executors, and how it looks on the wire.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON, `[kind, body]`. It can be read in a capture
and cannot execute. Bodies are validated field by field: a peer that sends something else is dropped.

=============  =====================  ===============================================================
from executor  Join                   here I am; the first message
               Rejoin                 here I am again, on a new connection
               Reports                metrics of a running trial, in order, as many as had gathered
               Finished               the trial's outcome
               Log                    what the trial printed
               Saved                  the trial has kept a checkpoint
               Chunk                  a piece of a checkpoint that only the driver can keep
               Fetch                  let me have a piece of a checkpoint that only the driver sees
               Notice                 something that the user should know, once
               Drawn                  the trial has named parameters itself
               Leaving                I have to go, and not for the trial's sake
               Ack                    so many of your messages have come
               Beat                   I am alive
from driver    Welcome                you are in; how this study is run
               Resumed                go on: so many of your messages have come
               Fenced                 you were taken for dead: what you hold is another's now
               Run                    run this trial
               Stop                   let this trial stop, and say so
               Piece                  the piece of a checkpoint that you asked for
               Bye                    the study needs you no longer: go home
               Ack                    so many of your messages have come
               Beat                   I am alive
=============  =====================  ===============================================================
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field, fields
from typing import Any

from maggy.errors import ProtocolError
from maggy.jsonvalue import dumps, loads
from maggy.rpc.frames import framed
from maggy.trial import CHECKPOINT, Trial

PROTOCOL = 1
MAX_FRAME = 256 * 1024
MAX_STRUCTURE = 64 * 1024  # bytes of a frame that stand outside of strings; an executor's own are half as many at most
MAX_STRINGS = 4096  # keys and strings in a frame
SMALL = 16 * 1024  # bytes that cost next to nothing, whatever is in them
MAX_WORD = 300  # characters of a name, a host, a version
LOST = "lost"
OUTCOMES = ("completed", "stopped", "failed", LOST)
MAX_DATA = 128 * 1024  # bytes of a checkpoint in one message; base64 makes a third more of them
MAX_NOTICE = 1000  # characters


@dataclass(frozen=True, slots=True)
class Join:
    """An executor introduces itself. `executor` is an id of its own making, new for each process.

    Names are no secrets, logs are full of them: by `token` the driver knows the executor when it is back. `again`: its
    process was one before, and was given up; its slot may have been filled meanwhile.
    """

    executor: str
    host: str
    pid: int
    slot: int
    python: str
    maggy: str
    token: str = field(default="", repr=False)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Rejoin:
    """An executor is back on a new connection, having had so many of the driver's messages."""

    executor: str
    received: int
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The driver knows the executor, and has had so many of its messages."""

    received: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """The driver has given the executor up; it may join again as another."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ack:
    """So many of the peer's messages have come, from the first on."""

    received: int


@dataclass(frozen=True, slots=True)
class Reports:
    """Points of one attempt's curve: `[[step, {metric: value}], …]`, steps rising."""

    trial: int
    attempt: int
    points: list[Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """The attempt's outcome. `value` is what was returned, if a number.

    `status` is completed, stopped or failed, or lost: the trial is to begin again, and `error` says why.
    """

    trial: int
    attempt: int
    status: str
    value: float | None
    metrics: dict[str, float]
    error: str | None


@dataclass(frozen=True, slots=True)
class Log:
    """Text that the trial printed; `dropped` counts bytes that were left out to stay bounded."""

    trial: int
    attempt: int
    text: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """The attempt has kept a checkpoint, or sent all of it; its name says whose it is."""

    trial: int
    attempt: int
    checkpoint: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a checkpoint from an offset on, as base64: the next ones, in order."""

    trial: int
    attempt: int
    checkpoint: str
    offset: int
    data: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """The attempt needs bytes from an offset on of a checkpoint that its `Run` has named."""

    trial: int
    attempt: int
    checkpoint: str
    offset: int


@dataclass(frozen=True, slots=True)
class Piece:
    """These are they, as base64. `end` says that there are no more, `error` why there are none."""

    trial: int
    attempt: int
    checkpoint: str
    offset: int
    data: str
    end: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the trial's log and, the first time that anybody says it, for the user."""

    trial: int
    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """The attempt's function has named parameters: all that the trial has by now, and the domains of new ones."""

    trial: int
    attempt: int
    params: dict[str, Any]
    domains: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life, either way."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """How this study is run.

    Seconds between beats, of silence that mean death, to heed a stop; limits of a trial in seconds, in seconds without
    a report and in bytes, where there are any; whether each trial gets a process of its own. `checkpoints` is a path or
    a URL; `marker` is a file in that path, and whoever does not see it there sees another file system
    and sends checkpoints through the driver, if they have no more than `relay_limit` bytes. `draws` is the seed for
    what trials draw that name parameters themselves; None where they may not.
    """

    beat: float
    lease: float
    grace: float
    metric: str | None
    checkpoints: str
    trial_timeout: float | None = None
    report_timeout: float | None = None
    memory_limit: int | None = None
    fresh_process: bool = False
    marker: str = ""
    relay_limit: int = 0
    draws: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Run this attempt of a trial; `restore` names the checkpoints that it may go on from, best first."""

    trial: int
    attempt: int
    params: dict[str, Any]
    budget: float | None
    parent: int | None
    restore: list[Any] = field(default_factory=list)
    work: dict[str, Any] | None = None

    @classmethod
    def of(cls, trial: Trial, restore: list[Any]) -> Run:
        """Return the order to run a trial's present attempt."""
        work = None if trial.work is None else dict(trial.work)
        return cls(trial.id, trial.attempt, dict(trial.params), trial.budget, trial.parent, restore, work)


@dataclass(frozen=True, slots=True)
class Stop:
    """Let the attempt stop."""

    trial: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Bye:
    """The executor is needed no longer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The executor has to end, and is given nothing more; what it runs is to go on elsewhere."""


Kept = Saved | Chunk | Fetch | Notice  # what a trial's process has its agent say, about its checkpoints
Told = Kept | Drawn  # and all that it has it say
FromExecutor = Join | Rejoin | Reports | Finished | Log | Told | Leaving | Ack | Beat
FromDriver = Welcome | Resumed | Fenced | Run | Stop | Piece | Bye | Ack | Beat
Message = FromExecutor | FromDriver
TOLD = typing.get_args(Told)
FROM_EXECUTOR: tuple[type[Message], ...] = typing.get_args(FromExecutor)
FROM_DRIVER: tuple[type[Message], ...] = typing.get_args(FromDriver)
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in {*FROM_EXECUTOR, *FROM_DRIVER}}


def encode(message: Message) -> bytes:
    """Return the message's frame. Raises `ProtocolError` where it would be larger than a frame may be."""
    kind = type(message)
    payload = dumps([kind.__name__, {name: getattr(message, name) for name in _FIELDS[kind]}]).encode()
    if len(payload) > MAX_FRAME:
        raise ProtocolError(f"a {kind.__name__} message of {len(payload):,} bytes is over the {MAX_FRAME:,} of a frame")
    return framed(payload)


def decode(payload: bytes) -> Message:
    """Rebuild a message from a frame's payload. Raises `ProtocolError` for anything that is not one."""
    try:
        kind, body = loads(payload)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError(f"not a message: {type(error).__name__}") from None
    return rebuilt(kind, body)


def rebuilt(kind: Any, body: Any) -> Message:
    """Rebuild a message from its kind's name and its fields. Raises `ProtocolError` where they do not make one."""
    try:
        cls = _KINDS[kind]
        if type(body) is not dict:
            raise ProtocolError(f"{kind}'s body is of type {type(body).__name__}")
        given = {name: body[name] for name in _FIELDS[cls]}
    except (KeyError, TypeError) as error:
        raise ProtocolError(f"not a message: {type(error).__name__}") from None
    for name, value in given.items():
        allowed = _FIELDS[cls][name]
        if type(value) not in allowed:
            raise ProtocolError(f"{kind}.{name} is of type {type(value).__name__}")
        if type(value) is int and not _fits(value):
            raise ProtocolError(f"{kind}.{name} is an integer of more than 64 bits")
    if extra := len(body) - len(given):
        raise ProtocolError(f"{kind} has {extra} unknown fields")
    message = cls(**given)
    if isinstance(message, (Join, Rejoin)):
        for name, value in given.items():
            if type(value) is str and not _is_word(value):
                raise ProtocolError(f"{kind}.{name} is not a line of at most {MAX_WORD} characters")
    if isinstance(message, Reports) and not all(map(_is_point, message.points)):
        raise ProtocolError("Reports.points are not [step, {metric: number}] each")
    if isinstance(message, Finished) and message.status not in OUTCOMES:
        raise ProtocolError(f"{message.status[:20]!r} is no outcome")
    if isinstance(message, Finished) and not _are_metrics(message.metrics):
        raise ProtocolError("Finished.metrics are not {metric: number}")
    if isinstance(message, Saved | Chunk | Fetch | Piece | Run | Notice):
        _check_checkpoint(message)
    return message


def check_structure(payload: bytes) -> None:
    """Raise `ProtocolError` where a payload has more to it than text: to parse that would hold everybody up.

    What stands in strings is cheap; a frame full of brackets, numbers or keys takes ten times as long.
    """
    if len(payload) <= SMALL:
        return
    bare = payload.replace(b"\\\\", b"").replace(b'\\"', b"")  # then each quote begins or ends a string
    strings = bare.count(b'"') // 2
    if strings > MAX_STRINGS:
        raise ProtocolError(f"a frame of {strings:,} keys and strings where {MAX_STRINGS:,} are allowed")
    structure = sum(map(len, bare.split(b'"')[::2]))
    if structure > MAX_STRUCTURE:
        raise ProtocolError(f"{structure:,} bytes outside of strings where {MAX_STRUCTURE:,} are allowed")


def _is_word(text: str) -> bool:
    """Whether a text that will stand in logs is one short line, or nothing."""
    return len(text) <= MAX_WORD and (text.isprintable() or not text)


def _check_checkpoint(message: Saved | Chunk | Fetch | Piece | Run | Notice) -> None:
    """Raise `ProtocolError` for names that could lead anywhere else, and for more than was agreed upon."""
    kind = type(message).__name__
    names = message.restore if isinstance(message, Run) else [getattr(message, "checkpoint", "1/1-1.tar")]
    if not all(type(name) is str and CHECKPOINT.fullmatch(name) for name in names):
        raise ProtocolError(f"{kind} names what is no checkpoint")
    if isinstance(message, Saved | Chunk) and not names[0].startswith(f"{message.trial}/{message.attempt}-"):
        raise ProtocolError(f"{kind} names another's checkpoint")
    if min(getattr(message, "offset", 0), getattr(message, "bytes", 0)) < 0:
        raise ProtocolError(f"{kind} has a negative size or offset")
    if len(getattr(message, "data", "")) > (MAX_DATA + 2) // 3 * 4:
        raise ProtocolError(f"{kind}.data is longer than {MAX_DATA:,} bytes make it")
    if len(getattr(message, "text", "")) > MAX_NOTICE:
        raise ProtocolError(f"{kind}.text has more than {MAX_NOTICE:,} characters")


def _is_point(point: Any) -> bool:
    match point:
        case [step, {**metrics}]:
            return type(step) is int and step >= 0 and _fits(step) and _are_metrics(metrics)
    return False


def _are_metrics(metrics: dict[Any, Any]) -> bool:
    return all(type(value) is float or (type(value) is int and _fits(value)) for value in metrics.values())


def _fits(number: int) -> bool:
    """Whether the number can be stored: a larger one would break the driver that takes it in."""
    return -(2**63) <= number < 2**63


def _allowed(hint: Any) -> tuple[type, ...]:
    """Return the exact types that a field's annotation admits; an int is a fine float, a bool is no int."""
    if isinstance(hint, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in _allowed(part))
    plain = typing.get_origin(hint) or hint
    return (float, int) if plain is float else (plain,)


def _annotated(kind: type[Message]) -> dict[str, tuple[type, ...]]:
    hints = typing.get_type_hints(kind)
    return {each.name: _allowed(hints[each.name]) for each in fields(kind)}


_FIELDS = {kind: _annotated(kind) for kind in _KINDS.values()}
