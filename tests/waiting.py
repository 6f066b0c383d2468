"""Waiting for what other threads and processes bring about: in tests, and in the functions that their trials run."""

import contextlib
import inspect
import os
import threading
import time
from pathlib import Path


def until(condition, seconds=60.0, show=None):
    """Wait until `condition()` is true, and return how many seconds that took.

    Where it has not come true within `seconds`, a `TimeoutError` says what was awaited, and what `show()` returns.
    """
    began, pause = time.monotonic(), threading.Event()
    while not condition():
        if time.monotonic() > began + seconds:
            seen = f"; there is {show()}" if show else ""
            raise TimeoutError(f"not within {seconds:g} s: {_awaited(condition)}{seen}")
        pause.wait(0.01)  # time.sleep fails where the clock is faked
    return time.monotonic() - began


def _awaited(condition):
    """Return the words of a condition as they stand in the code, or its name where it has one."""
    condition = getattr(condition, "func", condition)  # of a partial
    if getattr(condition, "__name__", "") == "<lambda>":
        with contextlib.suppress(OSError):
            return inspect.getsource(condition).strip()
    return repr(condition)


@contextlib.contextmanager
def meanwhile(work, every=None):
    """Run `work` on a thread of its own: once, or every so many seconds until the end of the `with`."""
    ended = threading.Event()

    def again():
        while not ended.wait(every):
            work()

    thread = threading.Thread(target=work if every is None else again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def agent():
    """Return the process number of a training function's agent: between it and the trial's process stands the guard."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid):
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until_gone(pids, seconds=10.0):
    """Wait until none of these processes runs any more."""
    pids = set(pids)
    return until(lambda: not any(map(alive, pids)), seconds, lambda: set(filter(alive, pids)))
