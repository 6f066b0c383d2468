"""The executor's mind: what to tell the driver, what to order from the trial's process. It does none of it.

Between the driver and the process that runs the user's function stands the agent; this machine is what the agent knows:
which trial is held at which attempt, what has been reported but not yet sent, and since when a stop is being ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from maggy.rpc.messages import Beat, Bye, Finished, Log, Message, Reports, Run, Stop, Welcome

FLUSH_SECONDS = 0.001  # the first report goes at once, those that follow wait this long for company
PIECE = 32 * 1024  # characters in a message: they fit a frame even if JSON has to escape each of them
LOG_LIMIT = 4 * 1024 * 1024  # characters that a trial may print before the rest is counted only
LAST_LINES = 50
LAST_CHARACTERS = 8 * 1024
ERROR_LIMIT = 16 * 1024
ORPHAN_SECONDS = 600.0  # a driver that is silent for so long is gone, whatever TCP thinks


@dataclass(frozen=True, slots=True)
class Tell:
    """Send the message to the driver."""

    message: Message


@dataclass(frozen=True, slots=True)
class Start:
    """Order the trial's process to run this, starting a process where there is none."""

    run: Run


@dataclass(frozen=True, slots=True)
class Signal:
    """Let the trial's process know that it should stop."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the trial's process with everything it has started."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Go home."""

    reason: str


Order = Tell | Start | Signal | Kill | Leave


class Session:
    """What an executor knows. Every input returns orders; `now` is any clock that does not go back."""

    def __init__(self, now: float) -> None:
        self.run: Run | None = None
        self._terms: Welcome | None = None
        self._heard = now
        self._told = now
        self._orders: list[Order] = []
        self._points: list[Any] = []
        self._metrics: dict[str, float] = {}  # of the last report
        self._gathered = 0  # characters, at most, that these points take
        self._flushed = -math.inf
        self._stopping: Stop | None = None
        self._kill_at = math.inf
        self._printed = 0
        self._dropped = 0
        self._last = ""  # of what was printed

    @property
    def terms(self) -> Welcome | None:
        """How the study is run, once the driver has said so."""
        return self._terms

    def received(self, message: Message, now: float) -> list[Order]:
        """Take in what the driver says."""
        self._heard = now
        match message:
            case Welcome():
                self._terms = message
            case Run() if self.run is None:
                self._begin(message)
            case Stop() if self._is(message.trial, message.attempt):
                self._stopping = message
                self._kill_at = now + (self._terms.grace if self._terms else 0)
                self._orders.append(Signal(message))
            case Bye():
                if self.run is not None:
                    self._orders.append(Kill())
                    self.run = None
                self._orders.append(Leave(message.reason))
        return self._taken()

    def reported(self, step: int, metrics: dict[str, float], now: float) -> list[Order]:
        """Take in a report of the trial that runs; what a thread of an ended trial still reports is nobody's."""
        if self.run is None:
            return []
        size = 32 + sum(map(len, metrics)) + 32 * len(metrics)  # a step and a number take less than 32 with their marks
        if self._gathered + size > PIECE:
            self._flush(now)
        self._points.append([step, metrics])
        self._metrics = metrics
        self._gathered += size
        if now >= self._flushed + FLUSH_SECONDS:
            self._flush(now)
        return self._taken()

    def printed(self, text: str, now: float) -> list[Order]:
        """Take in what the trial, or what is left of it, has printed."""
        self._last = (self._last + text)[-LAST_CHARACTERS:]
        if self.run is not None:
            if self._printed < LOG_LIMIT:
                self._printed += len(text)
                for start in range(0, len(text), PIECE):
                    self._tell(Log(self.run.trial, self.run.attempt, text[start : start + PIECE]), now)
            else:
                self._dropped += len(text)
        return self._taken()

    def finished(
        self, status: str, value: float | None, metrics: dict[str, Any], error: str | None, now: float
    ) -> list[Order]:
        """Take in the outcome of the trial that runs."""
        run = self.run
        if run is None:
            return []
        self._flush(now)
        if self._dropped:
            self._tell(Log(run.trial, run.attempt, "", self._dropped), now)
        if error is not None and len(error) > ERROR_LIMIT:
            error = error[: ERROR_LIMIT // 2] + "\n…\n" + error[-ERROR_LIMIT // 2 :]
        self._tell(Finished(run.trial, run.attempt, status, value, metrics, error), now)
        self.run = None
        return self._taken()

    def died(self, cause: str, now: float) -> list[Order]:
        """Take in that the trial's process is gone: it was stopped by force, or it failed."""
        if self._stopping is not None and now >= self._kill_at:
            return self.finished("stopped", None, self._metrics, None, now)
        last = "\n".join(self._last.splitlines()[-LAST_LINES:])
        error = f"the trial's process died: {cause}" + (f"\nThe last that it printed:\n{last}" if last else "")
        return self.finished("failed", None, self._metrics, error, now)

    def tick(self, now: float) -> list[Order]:
        """Take in that time has passed."""
        if self._points and now >= self._flushed + FLUSH_SECONDS:
            self._flush(now)
        if self.run is not None and now >= self._kill_at:
            self._orders.append(Kill())
        if self._terms is not None and now >= self._told + self._terms.beat:
            self._tell(Beat(), now)
        if now >= self._heard + ORPHAN_SECONDS:
            self._orders.append(Leave("the driver is silent"))
        return self._taken()

    def deadline(self) -> float:
        """Return when `tick` is to be called next."""
        due = [self._kill_at if self.run is not None else math.inf, self._heard + ORPHAN_SECONDS]
        if self._points:
            due.append(self._flushed + FLUSH_SECONDS)
        if self._terms is not None:
            due.append(self._told + self._terms.beat)
        return min(due)

    def _is(self, trial: int, attempt: int) -> bool:
        return self.run is not None and (self.run.trial, self.run.attempt) == (trial, attempt)

    def _begin(self, run: Run) -> None:
        self.run = run
        self._stopping = None
        self._kill_at = math.inf
        self._printed = self._dropped = 0
        self._last = ""
        self._points = []
        self._metrics = {}
        self._gathered = 0
        self._orders.append(Start(run))

    def _flush(self, now: float) -> None:
        if self._points and self.run is not None:
            self._tell(Reports(self.run.trial, self.run.attempt, self._points), now)
            self._points = []
            self._gathered = 0
            self._flushed = now

    def _tell(self, message: Message, now: float) -> None:
        self._told = now
        self._orders.append(Tell(message))

    def _taken(self) -> list[Order]:
        orders, self._orders = self._orders, []
        return orders
