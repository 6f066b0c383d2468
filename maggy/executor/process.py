"""The agent's handle on the trial's process: start it, order it about, read what it says, kill it.

The process is exec-ed, never a fork of the agent: that would hold the agent's socket open and so hide its death.
It is warm: one process runs trial after trial, and is started anew only after it has died.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import termios
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from maggy.errors import ProtocolError
from maggy.executor.child import LARGEST
from maggy.jsonvalue import dumps, loads
from maggy.rpc.frames import Frames, framed

CHUNK = 64 * 1024
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from maggy.executor.child import main; main(*map(int, sys.argv.pop(1).split(',')))"
)


class Runner:
    """Whoever runs the trials, as the agent has it: pipes to it, and power over it.

    `orders`, `facts`, `prints` and, where there is one, `end` are file descriptors to wait on.
    """

    orders: int
    facts: int
    prints: int
    end: int | None
    pid: int  # of the process that runs the function; 0 where that is not known
    _due: bytes
    _ordered: int  # bytes of orders, ever
    _runs: deque[int]  # where the orders end, of these bytes, to run what it has not answered
    _answered: bool  # whether it has answered one

    @property
    def own(self) -> tuple[int, ...]:
        """The processes that stay between two trials."""
        return ()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        raise NotImplementedError

    def terminate(self) -> None:
        """Ask it to end."""
        raise NotImplementedError

    def kill(self) -> str:
        """End it, and return how it ended; what it has said before can still be read."""
        raise NotImplementedError

    def wait(self) -> str:
        """Wait for one that has closed its pipe of facts, and return how it ended."""
        raise NotImplementedError

    def close(self) -> None:
        """Free the pipes."""
        raise NotImplementedError

    def _open(self) -> tuple[int, int, int]:
        """Make the pipes, and return the other ends: of orders, facts and prints."""
        orders_end, self.orders = os.pipe()
        self.facts, facts_end = os.pipe()
        self.prints, prints_end = os.pipe()
        for end in (self.orders, self.facts, self.prints):
            os.set_blocking(end, False)
        self._frames = Frames(LARGEST)
        self._due = b""
        self._ordered = 0
        self._runs: deque[int] = deque()
        self._answered = False
        return orders_end, facts_end, prints_end

    def _close(self, *others: int | None) -> None:
        for end in (self.orders, self.facts, self.prints, *others):
            if end is not None:
                os.close(end)

    def order(self, kind: str, body: dict[str, Any] | None = None) -> None:
        """Give an order, which leaves with the next `flush`."""
        frame = framed(dumps([kind, body]).encode())
        self._due += frame
        self._ordered += len(frame)
        if kind == "run":
            self._runs.append(self._ordered)

    def flush(self) -> bool:
        """Send the orders that are due, and return whether the pipe has taken them all; it never waits.

        A process that is busy does not read: what its pipe has no room for is sent when it does. One that is already
        gone is noticed by its closed pipe of facts.
        """
        try:
            while self._due:
                self._due = self._due[os.write(self.orders, self._due) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            self._due = b""
        return True

    def told(self) -> list[Any] | None:
        """Return the facts that have come; None when the process has closed its end.

        Raises `ProtocolError` where user code has written what is no fact.
        """
        data = _read(self.facts)
        if data is None:
            return None
        self._frames.add(data)
        try:
            facts = [loads(payload) for payload in self._frames.complete()]
        except ValueError as error:
            raise ProtocolError(f"not a fact: {error}") from None
        for fact in facts:
            if fact[0] == "finished" and self._runs:
                self._runs.popleft()
                self._answered = True
        return facts

    @property
    def idle(self) -> bool:
        """Whether it has run something, and has not read the order for what comes next; False where nobody can tell."""
        read = self._ordered - len(self._due) - _waiting(self.orders)
        return self._answered and bool(self._runs) and read < self._runs[0]

    @property
    def printed_something(self) -> bool:
        """Whether prints wait to be read."""
        return _waits(self.prints)

    @property
    def unread(self) -> tuple[int, int]:
        """How often to read until all the facts, and all the prints, have been read that are there by now."""
        return _chunks(self.facts), _chunks(self.prints)

    def printed(self) -> bytes | None:
        """Return what has been printed since the last call; None when nobody holds the other end any more."""
        return _read(self.prints)


class Process(Runner):
    """One process for user code, and its guard, which is the one that is started here.

    `environment` is added to the agent's own; the guard removes `scratch` where the agent no longer can.
    """

    def __init__(
        self, function: int, path: list[str], scratch: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        orders_end, facts_end, prints_end = self._open()
        life_end, self._life = os.pipe()
        ends = (orders_end, facts_end, life_end, function)
        self._popen = subprocess.Popen(  # noqa: S603 - this interpreter, our own code
            [sys.executable, "-c", _BOOT, json.dumps(path), ",".join(map(str, ends)), scratch],
            stdin=subprocess.DEVNULL,
            stdout=prints_end,
            stderr=prints_end,
            env={**os.environ, **environment},
            pass_fds=ends,
            start_new_session=True,
        )
        for end in (orders_end, facts_end, prints_end, life_end):
            os.close(end)
        self.pid = 0  # until it has told
        self.end = watched(self._popen.pid)

    @property
    def own(self) -> tuple[int, ...]:
        """The processes that stay between two trials."""
        return self._popen.pid, self.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._popen.poll() is None

    def terminate(self) -> None:
        """Ask the process group to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGTERM)

    def kill(self) -> str:
        """Kill the process and its process group, and return how it ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        return ending(self._popen.wait())

    def wait(self) -> str:
        """Wait for a process that has closed its pipe of facts, and return how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=1)
        return self.kill()

    def close(self) -> None:
        """Free the pipes."""
        self._close(self._life, self.end)


def watched(pid: int) -> int | None:
    """Return a file descriptor that wakes a selector when the process ends, where the system has such.

    The pipes do not tell: a child that user code has forked holds their ends as well, and may live on.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        return None


def ending(code: int) -> str:
    """Say an exit code in words."""
    if code >= 0:
        return f"it exited with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


def stored(function: bytes) -> int:
    """Put the pickled function where every process of this agent finds it: a file without a name."""
    with tempfile.TemporaryFile() as file:
        file.write(function)
        file.flush()
        return os.dup(file.fileno())


def _waits(end: int) -> bool:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(0))


def _chunks(end: int) -> int:
    """Return how many reads take what waits in a pipe: more may be written meanwhile, and faster than it is read."""
    return -(-_waiting(end) // CHUNK)


def _waiting(end: int) -> int:
    """Return how many bytes wait in a pipe; Linux tells both ends."""
    return int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), sys.byteorder)


def _read(end: int) -> bytes | None:
    try:
        return os.read(end, CHUNK) or None
    except BlockingIOError:
        return b""
