"""What can go wrong, named by what the reader should do.

::

    MaggyError
    ├── ConfigError          change the call: nothing was started
    ├── StudyFailed          read `.result`: the study ended, what it has is there
    ├── LauncherError        mend the cluster, the address or the Java installation
    ├── StoreError           mend the store: its path, its rights, its disk
    │   ├── StoreUnavailable it may pass: the disk is full, or another process holds the file: try again
    │   ├── StudyMoved       somebody else writes this study: stop
    │   └── StudyOwned       another driver that lives holds this study: wait or stop it
    ├── CheckpointError      mend the checkpoints' place: its rights, its disk, the packages that it needs
    └── ProtocolError        the peer does not speak our protocol: drop the connection

    StopTrial                not an error: ends a trial early, like KeyboardInterrupt ends a program
    RetryTrial               neither: ends an attempt, and the trial begins again
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class MaggyError(Exception):
    """The root of every error that maggy raises on purpose."""


class ConfigError(MaggyError, ValueError):
    """The call asks for something that cannot be; nothing was started."""


class StudyFailed(MaggyError):  # noqa: N818 - the field's name, and what an `except` reads best
    """The study ended without doing what was asked; `result` holds what there is."""

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class LauncherError(MaggyError):
    """No executor could be started, or none reached the driver."""


class StoreError(MaggyError):
    """The store cannot be read or written."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state of the store
    """The store cannot be used now, but nothing is wrong with what it holds: locked, no room left, an I/O error."""


class StudyMoved(StoreError):  # noqa: N818 - a fact about the study
    """Somebody else has written to the study since this writer read it."""


class StudyOwned(StoreError):  # noqa: N818 - a fact about the study
    """Another living driver holds the study."""


class CheckpointError(MaggyError):
    """A checkpoint cannot be kept, or not be had back."""


class ProtocolError(MaggyError):
    """The peer sent what the protocol forbids; the connection is of no further use."""


class StopTrial(BaseException):
    """Raised by the reporter inside the training function when its trial is to stop.

    A `BaseException`, so that a training function's own `except Exception` does not swallow it.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class RetryTrial(BaseException):
    """Raised in the trial's process when this attempt has come to nothing and the trial is to begin again."""


def last_line(text: str | None) -> str:
    """Return the last line that says something: of a traceback, the one that names the error."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def amount(count: int, noun: str, plural: str | None = None) -> str:
    """Return `1 trial` or `1,240 trials`; `plural` is for nouns that take more than an s, and for what follows them."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the most similar known name, or `""`."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
