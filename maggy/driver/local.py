"""The local launchers: executors as plain processes of this machine, or as threads of this process."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile

from maggy.driver.launcher import SlotLauncher, Task
from maggy.driver.leases import Lease
from maggy.errors import LauncherError, last_line

_BOOT = (
    "import json, pickle, sys; sys.path[:] = json.loads(sys.argv.pop(1)); slot = int(sys.argv.pop(1)); "
    "print(*pickle.load(sys.stdin.buffer)([slot]))"
)


def loopback() -> str:
    """Return the address at which this machine reaches itself: that of IPv6 where there is no other."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError:
        return "::1"
    return "127.0.0.1"


class LocalLauncher(SlotLauncher):
    """Keeps executors running as child processes.

    The task goes in by standard input: it holds the study's secret, which must show neither in the process list nor in
    an environment.
    """

    def __init__(self, lease: Lease | None = None) -> None:
        super().__init__(lease)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def _run(self, task: Task, slot: int) -> str:
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our own code
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(slot)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"OMP_NUM_THREADS": "1", **os.environ},  # as Spark does: executors share the cores among them
                start_new_session=True,  # Ctrl-C in a terminal is the driver's to handle
            )
            self._processes[slot] = process
            said, _ = process.communicate(pickle.dumps(task))
            if process.returncode:
                errors.seek(0)
                trace = errors.read().decode(errors="replace")
                raise LauncherError(last_line(trace) or f"the executor exited with code {process.returncode}")
            return said.decode().strip()

    def _cancel(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()  # what it has started has a guard


class InlineLauncher(SlotLauncher):
    """Keeps executors running as threads of this process, for debugging: the slot's own thread is the executor."""

    def _run(self, task: Task, slot: int) -> str:
        return " ".join(task([slot]))

    def _cancel(self) -> None:
        """Do nothing: these threads return when they hear of the end, or else when the driver has hung up."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
