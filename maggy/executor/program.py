"""A trial that is a program: what runs in the trial's process in the place of a function.

The program has a terminal, so that it prints line by line, and a session of its own, so that it can be ended with all
that stays in its process group. What leaves that is the agent's business, and the guard's, as it is with functions.
"""

from __future__ import annotations

import contextlib
import math
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maggy.command import RESTARTS, Command
from maggy.errors import RetryTrial, StopTrial
from maggy.executor import steps
from maggy.executor.output import Keepalive, Output, Progress, Report, Said, Text
from maggy.executor.process import ending, watched
from maggy.executor.reporter import Reporter
from maggy.executor.steps import Shipped
from maggy.jsonvalue import dumps

CHUNK = 64 * 1024
LOOK = 0.2  # seconds between two looks at whether a program that reports nothing should stop
LOOK_BLIND = 0.02  # where no file descriptor tells that a program has ended
PROGRESS_SECONDS = 2.0  # between two states of a progress bar that are passed on
KILL_SECONDS = 4.0  # from SIGTERM to SIGKILL; the agent's own force comes after 5 s
LAST_LINES = 30
LAST_WORDS = 200  # characters


@dataclass
class ProgramTrial:
    """Runs the command for one trial after another; to the trial's process it is a function.

    Without a command each trial's work has its own: the script and its preamble, paths of files, and steps that have to
    be done before (see `maggy.executor.steps`).
    """

    command: Command | None
    files: tuple[Shipped, ...] = ()

    @property
    def __name__(self) -> str:
        return self.command.__name__ if self.command else "study file"

    def __call__(self, hparams: Mapping[str, Any], reporter: Reporter, budget: float | None, trial: int) -> Any:
        """Run the program to its end and return its metrics.

        Raises `StopTrial` when the driver wants it to stop, `RetryTrial` when it has not kept itself alive, and
        `RuntimeError` with its last lines when it fails.
        """
        workspace = Path(reporter.workspace())
        total = budget if budget is None or not float(budget).is_integer() else int(budget)
        values = {"trial": trial, "attempt": reporter.attempt, "budget": total, **hparams}
        now = time.strftime("%Y-%m-%d %H:%M:%S %z")
        _say(f"maggy: started run (try {reporter.attempt}) at {now} on {socket.gethostname()}\n")
        environment = self._environment(hparams, reporter, total)
        script = self._prepared(workspace, values, reporter.work or {}, environment)
        program = Program(["bash", "-c", script], workspace, environment)
        try:
            with _hearing(program):
                return _Watch(program, reporter, self.command.keepalive if self.command else None).to_its_end()
        finally:
            program.close()

    def _prepared(
        self, workspace: Path, values: Mapping[str, Any], work: Mapping[str, Any], environment: Mapping[str, str]
    ) -> str:
        """Put files into the workspace, have done what has to be done before, and return the script."""
        if self.command is not None:
            steps.place(self.files, workspace)
            return self.command.preamble + self.command.render(values)
        if "script" not in work:
            raise RuntimeError(work.get("error", "this trial has no script: the study's file was not asked for one"))
        for step in work["steps"]:
            steps.once(step, self.files, workspace, environment)
        steps.place(steps.found(work["files"], self.files), workspace)
        return str(work["preamble"]) + str(work["script"])

    def _environment(self, hparams: Mapping[str, Any], reporter: Reporter, budget: float | None) -> dict[str, str]:
        parent = reporter.parent_checkpoint_dir
        return {
            **os.environ,
            "TERM": "dumb",
            "DIVINER": "1",
            "MAGGY_PARAMS": dumps(dict(hparams)),
            "MAGGY_TRIAL": str(reporter.trial),
            "MAGGY_ATTEMPT": str(reporter.attempt),
            **({} if budget is None else {"MAGGY_BUDGET": str(budget)}),
            "MAGGY_CHECKPOINT_DIR": reporter.checkpoint_dir,
            **({} if parent is None else {"MAGGY_PARENT_CHECKPOINT_DIR": parent}),
            **(self.command.env if self.command else {}),
        }


class Program:
    """A process with a terminal and a session of its own."""

    def __init__(self, arguments: list[str], directory: Path, environment: Mapping[str, str]) -> None:
        self._terminal, other = pty.openpty()
        try:
            _plain(other)
            self._popen = subprocess.Popen(  # noqa: S603 - the user's command, as the user means it
                arguments,
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=other,
                stderr=other,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._terminal)
            raise
        finally:
            os.close(other)
        os.set_blocking(self._terminal, False)
        self._end = watched(self._popen.pid)

    @property
    def alive(self) -> bool:
        """Whether the process runs; others of its session may live on."""
        return self._popen.poll() is None

    @property
    def code(self) -> int:
        """How it ended, once it has."""
        return self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait until something is printed, or it ends, or so much time has passed."""
        ends = [self._terminal] if self._end is None else [self._terminal, self._end]
        select.select(ends, [], [], min(seconds, LOOK_BLIND) if self._end is None else seconds)

    def printed(self) -> bytes:
        """Return what has been printed; nothing where that is all for now."""
        try:
            return os.read(self._terminal, CHUNK)
        except OSError:  # nothing now, or nobody has the other end any more
            return b""

    def close(self) -> None:
        """End what is left of its process group, and forget it."""
        self.signal(signal.SIGKILL)
        self._popen.wait()
        os.close(self._terminal)
        if self._end is not None:
            os.close(self._end)


class _Watch:
    """Follows one program: hands on what it prints, reports, and ends it when its time has come."""

    def __init__(self, program: Program, reporter: Reporter, keepalive: float | None) -> None:
        self._program = program
        self._reporter = reporter
        self._output = Output()
        self._latest: dict[str, float] = {}  # of each metric
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._progress: str | None = None  # not passed on yet
        self._progressed = -math.inf
        self._keepalive = keepalive or 0.0
        self._heard = time.monotonic()

    def to_its_end(self) -> dict[str, float]:
        try:
            while self._program.alive:
                self._reporter.check()
                self._program.wait(self._patience())
                self._read()
                self._mind_silence()
            self._program.signal(signal.SIGKILL)  # others of its group that still print
            self._read()
            self._take(self._output.end())
        except StopTrial:
            self._wind_down()
            raise
        finally:
            self._show_progress()
        if self._program.code:
            raise RuntimeError(self._told(f"the program failed: {ending(self._program.code)}"))
        if not self._latest:
            raise RuntimeError(self._told(f"the program printed no line METRICS: {self._reporter.objective.key}=…"))
        return self._latest

    def _patience(self) -> float:
        if not self._keepalive:
            return LOOK
        return min(LOOK, max(0.0, self._heard + self._keepalive - time.monotonic()))

    def _read(self) -> None:
        for _ in range(64):  # then it is time to look at the rest
            data = self._program.printed()
            if not data:
                break
            self._take(self._output.take(data))
        if time.monotonic() >= self._progressed + PROGRESS_SECONDS:
            self._show_progress()

    def _take(self, said: list[Said]) -> None:
        for each in said:
            match each:
                case Text(text):
                    self._progress = None
                    self._last.append(text)
                    _say(text)
                case Progress(line):
                    self._progress = line
                case Report(metrics):
                    self._heard = time.monotonic()
                    self._report(metrics)
                case Keepalive(seconds):
                    self._heard = time.monotonic()
                    self._keepalive = seconds

    def _report(self, metrics: Mapping[str, float]) -> None:
        rest, step = stepped(metrics, self._reporter.objective.metric)
        if step is not None and not self._reporter.follows(step):
            step = None
        self._latest |= rest
        self._reporter.report(step, **rest)

    def _mind_silence(self) -> None:
        if not self._keepalive or time.monotonic() < self._heard + self._keepalive or not self._program.alive:
            return
        why = f"the program gave no sign of life for {self._keepalive:g} s, its keepalive"
        _say(f"maggy: {why}: it is ended\n")
        if self._reporter.attempt > RESTARTS:
            raise RuntimeError(self._told(f"{why}, and this was try {self._reporter.attempt}"))
        raise RetryTrial(why)

    def _wind_down(self) -> None:
        """Ask the program to end and hear its last words; what it reports now comes too late."""
        self._program.signal(signal.SIGTERM)
        until = time.monotonic() + KILL_SECONDS
        while self._program.alive and time.monotonic() < until:
            self._program.wait(LOOK)
            while data := self._program.printed():
                self._take([each for each in self._output.take(data) if not isinstance(each, Report)])

    def _show_progress(self) -> None:
        if self._progress is not None:
            _say(f"{self._progress}\r")
            self._progressed, self._progress = time.monotonic(), None

    def _told(self, why: str) -> str:
        """Return an error whose last line says why, as a traceback's does, with the last words that are no trace."""
        last = "".join(self._last).rstrip()
        words = next((line.strip() for line in reversed(last.splitlines()) if line.strip() and line[0] != "+"), "")
        why = f"{why} ({words[:LAST_WORDS]})" if words else why
        return f"The last that the program printed:\n{last}\n{why}" if last else why


def stepped(metrics: Mapping[str, float], wanted: str | None) -> tuple[dict[str, float], int | None]:
    """Return a report's metrics, and the step that they name: `step` or else `epoch` is none of them, unless wanted."""
    for name in ("step", "epoch"):
        value = metrics.get(name)
        if value is not None and value >= 0 and math.isfinite(value) and value == int(value):
            rest = {key: each for key, each in metrics.items() if key != name or name == wanted or len(metrics) == 1}
            return rest, int(value)
    return dict(metrics), None


@contextlib.contextmanager
def _hearing(program: Program) -> Iterator[None]:
    """Pass the agent's SIGTERM on to the program, and end by it as soon as that has ended: its limits are broken."""
    if threading.current_thread() is not threading.main_thread():
        yield  # inline: there is no force
        return
    asked = False

    def pass_on(*_: Any) -> None:
        nonlocal asked
        asked = True
        program.signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if asked:
            os.kill(os.getpid(), signal.SIGTERM)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _plain(terminal: int) -> None:
    r"""Let a terminal pass on what is printed as it is: no `\\r` before each end of a line, no echo."""
    settings = termios.tcgetattr(terminal)
    settings[1] &= ~termios.OPOST
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    termios.tcsetwinsize(terminal, (25, 100))
