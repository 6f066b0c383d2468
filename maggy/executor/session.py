"""The executor's mind: what to tell the driver, what to order from the trial's process. It does none of it.

Between the driver and the process that runs the user's function stands the agent; this machine is what the agent knows:
which trial is held at which attempt, what has been reported but not yet sent, and since when a stop is being ignored.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from maggy.errors import ProtocolError
from maggy.executor.orders import Hand, Kill, Leave, Order, Signal, Start, Tell, Terminate
from maggy.rpc.messages import (
    LOST,
    TOLD,
    Beat,
    Bye,
    Fetch,
    Finished,
    Leaving,
    Log,
    Message,
    Piece,
    Reports,
    Run,
    Stop,
    Welcome,
    rebuilt,
)

FLUSH_SECONDS = 0.001  # the first report goes at once, those that follow wait this long for company
PIECE = 32 * 1024  # characters in a message: they fit a frame even if JSON has to escape each of them
LOG_LIMIT = 4 * 1024 * 1024  # characters that a trial may print before the rest is counted only
LAST_LINES = 50
LAST_CHARACTERS = 8 * 1024
ERROR_LIMIT = 16 * 1024
KILL_SECONDS = 2.0  # from SIGTERM, which leaves time for a trace, to SIGKILL
LEAVE_SECONDS = 2.0  # from SIGTERM, to say so; most who send it send SIGKILL later
LEFT = "it was asked to end"
CLEAR_SECONDS = 10.0  # from a trial's outcome to its process's being ready for another one
START_SECONDS = 600.0  # from the order to run a trial to its first line: libraries are imported, by many at once
ORPHAN_SECONDS = 600.0  # a driver that is silent for so long is gone, whatever TCP thinks


class Session:
    """What an executor knows. Every input returns orders; `now` is any clock that does not go back.

    A *warm* process has loaded the function, and is handed every trial as soon as it comes: it begins the next one as
    the last one ends, and tells how each ended, in their order. Another one is handed one trial, to begin with.
    """

    def __init__(self, now: float) -> None:
        self.run: Run | None = None
        self.leaving = False  # whether this executor has to end, and not for its trial's sake
        self._warm = False
        self._ahead: deque[Run] = deque()  # what comes after it
        self._withdrawn: dict[tuple[int, int], Stop] = {}  # of these, where a warm process may have begun them by now
        self._terms: Welcome | None = None
        self._heard = now
        self._told = now
        self._began: float | None = None  # when the function was called; in a warm process, with the order
        self._orders: list[Order] = []
        self._points: list[Any] = []
        self._metrics: dict[str, float] = {}  # of the last report
        self._gathered = 0  # characters, at most, that these points take
        self._flushed = -math.inf
        self._stopping: Stop | None = None
        self._limit_at = math.inf  # when the trial, or its silence, will have lasted too long
        self._terminate_at = math.inf
        self._kill_at = math.inf
        self._broken: str | None = None  # the limit that the trial has broken
        self._meant: Run | None = None  # as the process was asked to end: a warm one may be at the next trial by then
        self._clear_at = math.inf  # when the process of a trial that has ended should be through with it
        self._leave_at = math.inf  # when to go home without the driver's leave
        self._fetching = False  # whether the trial waits for a piece of a checkpoint
        self._printed = 0
        self._dropped = 0
        self._last = ""  # of what was printed

    @property
    def stocked(self) -> bool:
        """Whether there is another trial to begin when this one ends."""
        return bool(self._ahead)

    @property
    def gathering(self) -> float:
        """Until when reports are gathered, to be sent together; minus infinity where there are none."""
        return self._flushed + FLUSH_SECONDS if self._points else -math.inf

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
            case Run() if self.leaving:
                pass  # it was on its way, and is taken back
            case Run():
                if self._warm:
                    self._orders.append(Start(message))
                self._ahead.append(message)
                self._next(now)
            case Stop() if self._is(message.trial, message.attempt):
                self._stopping = message
                self._terminate_at = min(self._terminate_at, now + (self._terms.grace if self._terms else 0))
                self._orders.append(Signal(message))
            case Piece() if self._is(message.trial, message.attempt):
                self.waiting(now)
                self._fetching = False
                self._orders.append(Hand(message))
            case Stop() if any(_named(run) == _named(message) for run in self._ahead):
                self._withdrawn[_named(message)] = message
                if self._warm:
                    self._orders.append(Signal(message))
                else:
                    self._forget_withdrawn()
            case Bye():
                self._ahead.clear()
                if self.run is not None:
                    self._orders.append(Kill())
                    self.run = None
                self._orders.append(Leave(message.reason))
        return self._taken()

    def starting(self, now: float) -> None:
        """Take in that the trial's process is a new one: it has to load the function first."""
        self._cool()
        if self.run is not None:
            self._began = None
            self._limit_at = self._limit(now)

    def began(self, now: float) -> list[Order]:
        """Take in that it has, and calls the function: what limits a trial counts from here."""
        if self.run is not None:
            self._began = now
            self._limit_at = self._limit(now)
        if self._terms is not None and not self._terms.fresh_process:
            self._warm = True
            self._orders += map(Start, self._ahead)
        return self._taken()

    def reported(self, step: int, metrics: dict[str, float], now: float) -> list[Order]:
        """Take in a report of the trial that runs; what a thread of an ended trial still reports is nobody's."""
        if self.run is None:
            return []
        size = 32 + sum(map(len, metrics)) + 32 * len(metrics)  # a step and a number take less than 32 with their marks
        if self._gathered + size > PIECE:
            self._flush(now)
        if self._meant is not self.run:
            self._meant = None  # the process has outlived it
        self._limit_at = self._limit(now)
        self._points.append([step, metrics])
        self._metrics = metrics
        self._gathered += size
        if now >= self._flushed + FLUSH_SECONDS:
            self._flush(now)
        return self._taken()

    def kept(self, kind: str, body: Any, now: float) -> list[Order]:
        """Take in what the trial's process wants the driver to know, of its checkpoints above all: a sign of life, too.

        Raises `ProtocolError` for what no process of ours would say.
        """
        if self.run is None:
            return []
        message = rebuilt(kind, {**_fields(body), "trial": self.run.trial, "attempt": self.run.attempt})
        if not isinstance(message, TOLD):
            raise ProtocolError(f"{kind} is no word of a trial's process")
        self._limit_at = self._limit(now)
        self._fetching = isinstance(message, Fetch)
        self._flush(now)  # what it has reported came before
        self._tell(message, now)
        return self._taken()

    def waiting(self, now: float) -> None:
        """Take in that the process waits for us, or for the driver: its silence says nothing of it."""
        if self.run is not None:
            self._limit_at = self._limit(now)
        elif self._clear_at < math.inf:
            self._clear_at = now + CLEAR_SECONDS

    def measured(self, memory: int) -> list[Order]:
        """Take in how many bytes of memory the trial's process and what it has started hold."""
        limit = self._terms.memory_limit if self._terms else None
        if self.run is not None and limit is not None and memory > limit and self._broken is None:
            self._meant = self.run
            self._broken = f"it held {memory / 2**20:,.0f} MiB of memory, and memory_limit is {limit / 2**20:,.0f} MiB"
            self._orders.append(Kill())  # at once: whoever waits here may lose the machine
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
        """Take in the outcome of the trial that runs. No other begins before `cleared`."""
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
        self._clear_at = now + CLEAR_SECONDS
        return self._taken()

    def cleared(self, now: float) -> list[Order]:
        """Take in that nothing is left of the trial that has ended, or of its process: the next one begins."""
        self._clear_at = math.inf
        self._next(now)
        return self._taken()

    def died(self, cause: str, now: float, *, begun: bool = True) -> list[Order]:
        """Take in that the trial's process is gone: it was stopped by force, or it failed; `cleared` is to follow.

        What it had not `begun`, and nobody wants to stop, will be begun by the next process.
        """
        meant = self._meant
        self._cool()
        if self.leaving:
            self.run = None  # the driver takes back what it has not heard the end of
        if self.run is not None and not begun and self._stopping is None and self._broken is None:
            self._ahead.appendleft(self.run)
            self.run = None
        if meant not in (None, self.run) and self._broken is None:
            return self.finished(
                LOST, None, {}, "its process was asked to end for the sake of the trial before it", now
            )
        if self._stopping is not None and (self._terminate_at == math.inf or not begun) and self._broken is None:
            return self.finished("stopped", None, self._metrics, None, now)
        why = f"the trial was ended: {self._broken}" if self._broken else f"the trial's process died: {cause}"
        last = "\n".join(self._last.splitlines()[-LAST_LINES:])
        error = why + (f"\nThe last that it printed:\n{last}" if last else "")
        return self.finished("failed", None, self._metrics, error, now)

    def leave(self, now: float) -> list[Order]:
        """End what runs, which will go on elsewhere, and go home; what it has told before counts."""
        self._ahead.clear()
        self._leave_at = now + LEAVE_SECONDS
        return [Kill(), Tell(Leaving())] if self._terms is not None else [Leave(LEFT)]

    def tick(self, now: float) -> list[Order]:
        """Take in that time has passed."""
        if self._points and now >= self._flushed + FLUSH_SECONDS:
            self._flush(now)
        if self._fetching:
            self.waiting(now)
        if self.run is not None:
            self._mind_limits(now)
        elif now >= self._clear_at:
            self._clear_at = math.inf
            self._orders.append(Kill())  # threads of the trial's keep it, and nobody else should wait for them
        if self._terms is not None and now >= self._told + self._terms.beat:
            self._tell(Beat(), now)
        if now >= self._leave_at:
            self._orders.append(Leave(LEFT))
        if now >= self._heard + ORPHAN_SECONDS:
            self._orders.append(Leave("the driver is silent"))
        return self._taken()

    def deadline(self) -> float:
        """Return when `tick` is to be called next."""
        due = [self._heard + ORPHAN_SECONDS, self._leave_at]
        if self.run is not None:
            due += [self._limit_at, self._terminate_at, self._kill_at]
        else:
            due.append(self._clear_at)
        if self._points:
            due.append(self._flushed + FLUSH_SECONDS)
        if self._terms is not None:
            due.append(self._told + self._terms.beat)
        return min(due)

    def _mind_limits(self, now: float) -> None:
        """End by force what has had its time: SIGTERM first, SIGKILL a little later."""
        terms = self._terms
        if terms is not None and now >= self._limit_at:
            self._broken = self._broken_limit(terms, now)
            self._limit_at = math.inf
            self._terminate_at = now
        if now >= self._kill_at:
            self._orders.append(Kill())
        elif now >= self._terminate_at:
            self._terminate_at = math.inf
            self._kill_at = now + KILL_SECONDS
            self._meant = self.run
            self._orders.append(Terminate())

    def _broken_limit(self, terms: Welcome, now: float) -> str:
        if self._began is None:
            return f"its process did not begin it within {START_SECONDS:g} s, so something it imports must hang"
        if terms.trial_timeout is not None and now >= self._began + terms.trial_timeout:
            return f"it ran for {terms.trial_timeout:g} s, its trial_timeout"
        return f"it reported nothing for {terms.report_timeout:g} s, its report_timeout"

    def _limit(self, now: float) -> float:
        """Return when the trial breaks a limit of time if it says nothing from now on."""
        terms = self._terms
        if terms is None or self._broken is not None:
            return math.inf
        if self._began is None:
            return now + START_SECONDS
        whole = math.inf if terms.trial_timeout is None else self._began + terms.trial_timeout
        silence = math.inf if terms.report_timeout is None else now + terms.report_timeout
        return min(whole, silence)

    def _is(self, trial: int, attempt: int) -> bool:
        return self.run is not None and _named(self.run) == (trial, attempt)

    def _next(self, now: float) -> None:
        """Take up the next trial, if one is here and none runs."""
        if self.run is not None or not self._ahead or self._clear_at < math.inf:
            return
        run = self.run = self._ahead.popleft()
        self._began = now if self._warm else None
        self._stopping = self._withdrawn.pop(_named(run), None)
        self._broken = None
        self._fetching = False
        self._terminate_at = self._kill_at = math.inf
        if self._stopping is not None and self._terms is not None:
            self._terminate_at = now + self._terms.grace
        self._limit_at = self._limit(now)
        self._printed = self._dropped = 0
        self._last = ""
        self._points = []
        self._metrics = {}
        self._gathered = 0
        if not self._warm:
            self._orders.append(Start(run))

    def _cool(self) -> None:
        """Take in that there is no warm process: what it had been handed will be handed out anew."""
        self._warm = False
        self._meant = None
        self._forget_withdrawn()

    def _forget_withdrawn(self) -> None:
        """Forget what was taken back, since nobody has begun it."""
        self._ahead = deque(run for run in self._ahead if _named(run) not in self._withdrawn)
        self._withdrawn.clear()

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


def _named(words: Run | Stop) -> tuple[int, int]:
    return words.trial, words.attempt


def _fields(body: Any) -> dict[str, Any]:
    if type(body) is not dict:
        raise ProtocolError("a fact without fields")
    return body
