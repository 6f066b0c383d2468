"""What a trial leaves running when it has ended: found and killed, process by process.

A process group is not enough, since a child may leave it (`setsid`, daemons). On Linux the agent asks to become the
parent of every orphan below it, so that all descendants stay in its tree. Elsewhere the process group has to do.

When the agent is killed, somebody else has to do this, and it cannot be the trial's process: code in C may hold its
interpreter's lock, and its daemons would have no parent that knows them. So that process has a guard, which it is a
fork of: its parent, that of every orphan below it, and with no line of user code in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import shutil
import signal
import sys
import termios
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans(adopt: bool) -> None:
    """Become the parent of whatever is orphaned below this process, or cease to be."""
    if sys.platform == "linux":
        import ctypes  # the agent only; a trial's process starts sooner without

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes below `pid`, parents before their children; nothing where the system does not tell.

    The kernel keeps a list of children for each thread. Reading those of an agent and its trial's process takes 0.1 ms
    however many processes the machine has; looking through all of /proc would not.
    """
    with contextlib.suppress(OSError):  # it may end while we look
        for thread in list(os.scandir(f"/proc/{pid}/task")):  # one file descriptor at a time is enough
            for child in map(int, Path(thread.path, "children").read_text(encoding="ascii").split()):
                yield child
                yield from descendants(child)


def living(pid: int) -> list[int]:
    """Return the processes below `pid` that run: not those that have ended, and whose parent has yet to notice."""
    return [found for found in descendants(pid) if not _ended(found)]


def _ended(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return True
    return fields[0] in b"ZX" and int(fields[17]) <= 1  # its first thread may end before others


class Traces:
    """What a trial has left that its agent has to see to, as the trial's process can tell in a few microseconds.

    `prints` is the end of a pipe for what is printed, `guard` the parent of this process and of every orphan below it.
    Linux tells the number of the youngest process or thread (the last field of /proc/loadavg) in 1 µs. As long as it
    has not changed since a look that found nothing, nothing has been started.

    It is to be made before there is anything: who is seen then should be seen ever after, and nobody else. Where this
    process itself is no longer seen, it has no file descriptors left to look with.
    """

    def __init__(self, prints: int, guard: int) -> None:
        self._prints = prints
        self._guard = guard
        self._before = living(guard)
        self._youngest: bytes | None = None  # when nothing was left
        self._loads: int | None = None
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._loads = os.open("/proc/loadavg", os.O_RDONLY)

    def any(self) -> bool:
        """Whether something that was printed is not yet read, or a process is there; True where nobody can tell."""
        return self._loads is None or self._printed() or self._started()

    def _printed(self) -> bool:
        unread = fcntl.ioctl(self._prints, termios.FIONREAD, b"\0" * 4)
        return any(unread)

    def _started(self) -> bool:
        youngest = self._now()
        if youngest is None or youngest != self._youngest:
            if living(self._guard) != self._before:
                return True
            self._youngest = youngest
        return False

    def _now(self) -> bytes | None:
        """Return the number of the youngest process, None where the system does not tell: some say 0 for ever."""
        if self._loads is None:
            return None
        number = os.pread(self._loads, 128, 0).split()[-1]
        return None if number == b"0" else number


def kill_all(keep: Collection[int] = ()) -> int:
    """Kill every process below this one but those to `keep`; return how many there were.

    Those that appear meanwhile are found in another round: a process that forks has to be killed before its child can
    be the last.
    """
    killed = 0
    for _ in range(100):
        found = [pid for pid in descendants(os.getpid()) if pid not in keep]
        alive = not all(map(_ended, found))
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # its parent is the trial's process, which will notice itself
                killed += os.waitpid(pid, 0)[0] == pid
        if not alive:
            break
    return killed


def guard(agent: int, scratch: str, others: Iterable[int]) -> None:
    """Return in a fork of this process, which itself guards it from now on, and ends as the fork ends.

    When the other end of the pipe `agent` is closed, by the agent's death if by nothing else, all that is below this
    process is killed, and the folder `scratch` removed. `others` are file descriptors that the fork alone is to hold.
    No thread may run yet.
    """
    adopt_orphans(True)  # before there can be any
    if trial := os.fork():
        try:
            _stand_by(trial, agent, others)
            kill_all()
            shutil.rmtree(scratch, ignore_errors=True)
            os.killpg(0, signal.SIGKILL)  # where the system does not tell who is below
        finally:
            os._exit(1)


def _stand_by(trial: int, agent: int, others: Iterable[int]) -> None:
    """Return when the agent is gone; end when the trial's process has ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is the trial's to heed
    called, calls = os.pipe()
    os.set_blocking(calls, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(calls, warn_on_full_buffer=False)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    for end in others:
        os.close(end)
    poll = select.poll()
    poll.register(agent, select.POLLIN)
    poll.register(called, select.POLLIN)
    while True:
        _reap(trial)
        if agent in dict(poll.poll()):
            return
        os.read(called, 4096)


def _reap(trial: int) -> None:
    """Bury orphans; end in the same way as the trial's process, when that has."""
    while (found := os.waitpid(-1, os.WNOHANG))[0] not in (0, trial):
        continue
    if found[0] == trial:
        code = os.waitstatus_to_exitcode(found[1])
        if code < 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one is enough
            with contextlib.suppress(OSError):  # SIGKILL takes no handler
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code if code >= 0 else 1)


def remove(folder: str) -> None:
    """Remove a folder, under another name first: a thread that was given up finds nowhere to write any more."""
    gone = f"{folder}.gone"
    with contextlib.suppress(OSError):
        Path(folder).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def empty(folder: str) -> None:
    """Remove what is in a folder: copies of checkpoints that a trial could not remove itself."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            shutil.rmtree(entry.path, ignore_errors=True)


def memory(pid: int) -> int:
    """Return the bytes of memory that a process and its descendants hold (resident set sizes, added up)."""
    return sum(map(_resident, [pid, *descendants(pid)]))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0  # it has ended
