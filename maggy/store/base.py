"""What a store promises, who may write to a study, and what a study may be called.

A study is a log. Its positions count from 1 without a gap, and only its *owner* adds to it:

1. A driver claims a study before it appends. Every append says after which position it stands; where somebody else
   holds the study by now, or has written to it, nothing is written and `StudyMoved` is raised.
2. An owner whose process can be seen from here lives as long as that process does, however silent it is, and is dead
   at once when the process is gone. Any other owner is dead when it has not renewed its claim for `LEASE` seconds.
3. Other processes never append: what they wish of the driver (`stop`, `pause`, `resume`) they leave as a request.

Times are seconds since the epoch, and are handed in.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from maggy.errors import ConfigError, StoreError, StudyMoved, StudyOwned, nearest
from maggy.events import Event, Reported

LEASE = 10.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}")
_STATE, _STARTED = 0, 19  # of /proc/<pid>/stat behind the command's name: proc(5) counts them 3 and 22


_serving: set[str] = set()  # tokens of this process's owners that still serve


def is_name(name: object) -> bool:
    """Whether a study may be called so: any other name is in no store, and some databases refuse to look for it."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return `name` where a study may be called so. Raises `ConfigError` otherwise."""
    if is_name(name):
        return name
    raise ConfigError(
        f"{name!r} cannot name a study: a name has 1 to 100 letters, digits, '_', '.', '-' or spaces of ASCII "
        "and begins with a letter, a digit or '_'"
    )


def numbered(base: str) -> Iterator[tuple[int, str]]:
    """Yield the numbers and names of a base, without end: `digits`, `digits-2`, `digits-3`."""
    return ((number, base if number == 1 else f"{base}-{number}") for number in count(1))


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds studies, or wants to.

    `started` tells a process from a later one with the same pid: its start in the clock ticks of its boot, then `@`
    and the place where its pid means something. `token` is new for each owner, so that two drivers in one process are
    two owners. `host` is for people.
    """

    host: str
    pid: int
    started: str
    token: str

    @classmethod
    def current(cls) -> Owner:
        """Return a new owner in this process."""
        pid = os.getpid()
        owner = cls(socket.gethostname(), pid, f"{_ticks(pid) or '?'}@{_place()}", secrets.token_hex(8))
        _serving.add(owner.token)
        return owner

    def retire(self) -> None:
        """Be dead from now on, whatever this owner still holds: the call that it stood for has ended."""
        _serving.discard(self.token)

    @property
    def visible(self) -> bool:
        """Whether the owner's process, if there is one, can be seen from this one: its death shows at once."""
        return self.started.rpartition("@")[2] == _place()

    def lives(self, renewed: float, now: float) -> bool:
        """Whether the owner still counts, having last `renewed` its claim then."""
        if not self.visible:
            return now - renewed < LEASE
        if self.pid == os.getpid():
            return self.token in _serving
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass  # somebody else's process, and there
        ticks = _ticks(self.pid)  # None where /proc hides other people's processes: then the pid has to do
        return ticks is None or ticks == self.started.partition("@")[0]


def _place() -> str:
    """Where a pid means something: this boot of this machine, and the containers that share its processes.

    A host's name would not do: containers on one host may share its name and see only their own processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _ticks(pid: int) -> str | None:
    """Return when a process started, `dead` where it waits for its parent to notice, None where it cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "dead" if fields[_STATE] in "ZX" else fields[_STARTED]
    except OSError:
        pass
    ps = None if Path("/proc/self/stat").exists() else shutil.which("ps")
    if ps is None:
        return None
    command = [ps, "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "TZ": "UTC"})  # noqa: S603 - no shell, no words of the user's
    return found.stdout.strip() or None


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """A line of the list of studies: its names, its last position, and who holds it since when."""

    name: str
    base: str
    number: int
    created: float
    position: int = 0
    owner: Owner | None = None
    since: float = 0.0
    renewed: float = 0.0

    def held(self, now: float) -> bool:
        """Whether a living owner holds the study."""
        return self.owner is not None and self.owner.lives(self.renewed, now)

    def check_free(self, owner: Owner | None, now: float) -> None:
        """Raise `StudyOwned` where a living owner other than `owner` holds the study."""
        holder = self.owner
        if holder is None or (owner is not None and holder.token == owner.token) or not self.held(now):
            return
        since = datetime.fromtimestamp(self.since, UTC)
        raise StudyOwned(
            f"study {self.name!r} is held by process {holder.pid} on host {holder.host} since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC: wait until it ends, stop it, or give this study another name"
        )

    def moved(self, token: str | None, after: int | None = None) -> StudyMoved:
        """Return why the holder of that token may not write, or not behind position `after`."""
        if token is None:
            why = "this process does not hold it: claim it first"
        elif self.owner is None:
            why = "it has been released: claim it again first"
        elif self.owner.token != token:
            why = f"process {self.owner.pid} on host {self.owner.host} has taken it over: stop here"
        else:
            why = f"its last position is {self.position}, not {after}: read what was added first"
        return StudyMoved(f"nothing was written to study {self.name!r}: {why}")


def no_study(name: str, known: Iterable[str]) -> StoreError:
    """Return the error for a study that the store does not have."""
    return StoreError(f"the store has no study {name!r}{nearest(name, known)}")


Fact = tuple[int, str, int | None, float, str | None, Any, str | None]
"""What lists read of an event: position, kind, trial, at, word, number, body.

The word is an `Ended`'s status or a `Started`'s executor. The number is an `Ended`'s value, or a text where that is not
finite, or a `Suggested`'s budget. The body is there where it was asked for. Tuples, since a study may have a million.
"""


class Reader(Protocol):
    """What can be read of a store, by whoever does not write to it. What needs a study raises `StoreError` without."""

    def studies(self) -> list[StudyEntry]:
        """Return all studies, the oldest first."""

    def read(self, study: str, after: int = 0) -> Iterator[Event | None]:
        """Yield the events behind position `after`, one for each position; None for a kind of a later version."""

    def facts(
        self, study: str, kinds: Sequence[str] = (), *, bodies: Sequence[str] = (), unfinished: bool = False
    ) -> list[Fact]:
        """Return what lists need to know of events of these kinds, or of all but reports, in order.

        Of the kinds in `bodies` their bodies as well. With `unfinished`, only of events from where the oldest trial
        begins that has not ended: what stands before is not read.
        """

    def of_trials(self, study: str, trials: Collection[int]) -> Iterator[Event]:
        """Yield the events of these trials but for what they reported, in order."""

    def reports(self, study: str, trial: int) -> Iterator[Reported]:
        """Yield what a trial has reported, in order; of the reports of others only those meanwhile are looked at."""

    def last_reports(self, study: str, trials: Collection[int]) -> dict[int, Reported]:
        """Return the last report of each of these trials that has one among the last that the study had."""

    def close(self) -> None:
        """Let go of the file."""


@runtime_checkable
class Store(Protocol):
    """Where events are appended and read. Every method may be called from any thread.

    What needs a study that is there raises `StoreError` where it is not.
    """

    def create(self, base: str, now: float) -> str:
        """Create a study under the first free name of `base`, `base-2`, `base-3`, …, and return that name."""

    def latest(self, base: str) -> str | None:
        """Return the study with the highest number of that base, else the one of that very name, else None."""

    def studies(self) -> list[StudyEntry]:
        """Return all studies, the oldest first."""

    def claim(self, study: str, owner: Owner, now: float) -> None:
        """Make `owner` the study's owner and this store its hand. Raises `StudyOwned` where another lives."""

    def renew(self, study: str, owner: Owner, now: float) -> None:
        """Say that `owner` lives. Raises `StudyMoved` where it is not the study's owner any more."""

    def release(self, study: str, owner: Owner) -> None:
        """Let the study go, where `owner` still holds it."""

    def append(self, study: str, after: int, events: Sequence[Event]) -> int:
        """Make the events durable, all or none, at the positions behind `after`; return the last position.

        Raises `StudyMoved` where `after` is not the last position, or where the owner that claimed the study through
        this store is not its owner any more.
        """

    def read(self, study: str, after: int = 0) -> Iterator[Event | None]:
        """Yield the events behind position `after`, one for each position; None for a kind of a later version."""

    def request(self, study: str, what: str) -> None:
        """Leave a wish, `stop`, `pause` or `resume`, for the study's driver."""

    def requests(self, study: str) -> list[str]:
        """Take the wishes that were left, the oldest first: each is handed out once."""

    def delete(self, study: str, now: float) -> None:
        """Forget a study and its log. Raises `StudyOwned` where a living owner holds it."""

    def close(self) -> None:
        """Let go of files and connections. Studies stay claimed until they are released."""
