"""What an executor's mind wants done: the agent does it."""

from __future__ import annotations

from dataclasses import dataclass

from maggy.rpc.messages import Message, Piece, Run, Stop


@dataclass(frozen=True, slots=True)
class Tell:
    """Send the message to the driver."""

    message: Message


@dataclass(frozen=True, slots=True)
class Start:
    """Order the trial's process to run this after what it has, starting a process where there is none."""

    run: Run


@dataclass(frozen=True, slots=True)
class Signal:
    """Let the trial's process know that it should stop."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class Hand:
    """Give the trial's process the piece of a checkpoint that it has asked for."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask the trial's process group to end, by SIGTERM: its last words are a trace of where it hung."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the trial's process with everything it has started."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Go home."""

    reason: str


Order = Tell | Start | Signal | Hand | Terminate | Kill | Leave
