"""The parts of a simulated cluster: virtual time, an in-memory network, executors whose trials are simulated.

What decides is real (`Session`, `Connection`); what would do is virtual. Nothing waits, nothing is random but `rng`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from maggy.executor.session import Kill, Leave, Order, Session, Signal, Start, Tell
from maggy.rpc.connection import NONCE, Connection
from maggy.rpc.messages import Join, Run
from maggy.searchspace import Searchspace
from maggy.trial import Direction, Objective

Point = tuple[float, int | None, Mapping[str, float]]
SECRET = b"the secret of a simulated study"


class Problem(Protocol):
    """What simulated trials do: a searchspace, which way is better, and a curve for each configuration."""

    @property
    def searchspace(self) -> Searchspace:
        """What may be tried."""

    @property
    def direction(self) -> Direction:
        """Whether large values are good (`"max"`) or small ones."""

    def curve(self, params: Mapping[str, Any], budget: float | None, done: float) -> Iterable[Point]:
        """Yield (seconds that it takes, step, metrics) from `done` units of work up to `budget`.

        `done` is 0, or what the checkpoint holds from which the trial goes on. A step of None is not reported. The
        metrics of the last point are what the trial returns; where there is none, it returns None.
        """


@dataclass(frozen=True)
class Faults:
    """What goes wrong. Shares are from 0 to 1, times in seconds.

    Arguments:
        crash: share of attempts during which the executor dies.
        freeze: share of attempts during which the executor falls silent for up to `freeze_seconds`, and wakes again.
        freeze_seconds: beyond the lease (10 s) the executor is given up meanwhile.
        death: share of attempts whose process dies.
        error: share of attempts that raise.
        nan: share of attempts that return NaN.
        deaf: share of attempts that ignore a request to stop.
        late: share of executors that join only within `late_seconds`.
        late_seconds: how late.
        echo: share of messages that come a second time, up to 20 s later, when they have become stale.
        restarts: how many times the driver dies and is started again on its log.
        lag: the optimizer looks at the log up to so much later than it was asked; counts with a slow optimizer only.

    """

    crash: float = 0.0
    freeze: float = 0.0
    freeze_seconds: float = 20.0
    death: float = 0.0
    error: float = 0.0
    nan: float = 0.0
    deaf: float = 0.0
    late: float = 0.0
    late_seconds: float = 60.0
    echo: float = 0.0
    restarts: int = 0
    lag: float = 0.0

    def fate(self, rng: Random) -> str | None:
        """Draw what befalls one attempt."""
        drawn = rng.random()
        for name in ("crash", "freeze", "death", "error", "nan"):
            drawn -= getattr(self, name)
            if drawn < 0:
                return name
        return None


class Timeline:
    """Virtual time: callbacks in the order of their times, those of the same time in the order of their making."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.busy = 0  # callbacks to come that are more than housekeeping (beats, alarms, bytes under way)
        self.moved = 0.0  # when the last of these was called
        self._heap: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._made = 0

    def at(self, when: float, what: Callable[[], None], *, idle: bool = False) -> None:
        """Call `what` at a time; `idle` marks housekeeping."""
        self._made += 1
        self.busy += not idle
        heapq.heappush(self._heap, (max(when, self.now), self._made, idle, what))

    def after(self, seconds: float, what: Callable[[], None], *, idle: bool = False) -> None:
        """Call `what` so many seconds from now."""
        self.at(self.now + seconds, what, idle=idle)

    def step(self) -> bool:
        """Call what is next; False when there is nothing."""
        if not self._heap:
            return False
        self.now, _, idle, what = heapq.heappop(self._heap)
        self.steps += 1
        if not idle:
            self.busy -= 1
            self.moved = self.now
        what()
        return True


class Alarm:
    """Calls `ring` at `deadline()`, looked up anew each time that it is `set`."""

    def __init__(self, timeline: Timeline, deadline: Callable[[], float], ring: Callable[[], None]) -> None:
        self._timeline = timeline
        self._deadline = deadline
        self._ring = ring
        self._due = math.inf

    def set(self) -> None:
        """Look up the deadline; an alarm that is set too early only looks it up again."""
        due = max(self._deadline(), self._timeline.now)
        if due < self._due:
            self._due = due
            self._timeline.at(due, lambda: self._fire(due), idle=True)

    def _fire(self, due: float) -> None:
        if due == self._due:
            self._due = math.inf
            if self._deadline() <= self._timeline.now:
                self._ring()
            self.set()


class Pipe:
    """Carries bytes one way, in order, with latency; b"" is its end."""

    def __init__(self, timeline: Timeline, latency: float, receive: Callable[[bytes], None]) -> None:
        self._timeline = timeline
        self._latency = latency
        self._receive = receive
        self._closed = False

    def send(self, data: bytes) -> None:
        """Send bytes; once it is closed, into the void."""
        if data and not self._closed:
            self._timeline.after(self._latency, lambda: self._receive(data), idle=True)

    def close(self) -> None:
        """Let the other end know, behind all that is under way."""
        if not self._closed:
            self._closed = True
            self._timeline.after(self._latency, lambda: self._receive(b""), idle=True)


class VirtualExecutor:
    """An agent whose trials take place on the timeline. `checkpoints` (units by trial) is what all of them see."""

    def __init__(
        self,
        timeline: Timeline,
        name: str,
        problem: Problem,
        checkpoints: dict[int, float],
        faults: Faults,
        rng: Random,
    ) -> None:
        self.name = name
        self.left: str | None = None  # why it is no longer there
        self.sent_home = False
        self.gone: Callable[[], None] = lambda: None
        self._timeline = timeline
        self._problem = problem
        self._checkpoints = checkpoints
        self._faults = faults
        self._rng = rng
        self._session = Session(timeline.now)
        self._connection = Connection("executor", SECRET, rng.randbytes(NONCE))
        self._alarm = Alarm(timeline, self._deadline, self._tick)
        self._frozen_until = 0.0
        self._life = 0  # number of the attempt that the trial's process is at; facts of an earlier one are void
        self._stop = False

    def connect(self, pipe: Pipe) -> None:
        """Join through a pipe to the driver."""
        self._pipe = pipe
        self._connection.send(Join(self.name, "simulated", 1, 0, "3", "2"))
        self._write()
        self._alarm.set()

    def heard(self, data: bytes) -> None:
        """Take bytes from the driver; b"" when it has closed the connection."""
        if self._asleep(lambda: self.heard(data)):
            return
        if not data:
            self._leave("the driver closed the connection")
            return
        for message in self._connection.receive(data):
            if self.left is None:
                self._do(self._session.received(message, self._timeline.now))
        self._write()

    def _asleep(self, again: Callable[[], None]) -> bool:
        """Whether nothing can be done now: a frozen executor does it when it wakes, a dead one never."""
        if self.left is None and self._timeline.now < self._frozen_until:
            self._timeline.at(self._frozen_until, again)
            return True
        return self.left is not None

    def _deadline(self) -> float:
        return math.inf if self.left is not None else max(self._session.deadline(), self._frozen_until)

    def _tick(self) -> None:
        self._do(self._session.tick(self._timeline.now))
        self._write()

    def _do(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Tell():
                    self._connection.send(order.message)
                case Start():
                    self._start(order.run)
                case Signal():
                    self._stop = True
                case Kill():
                    self._life += 1
                    self._do(self._session.died("it was ended by SIGKILL", self._timeline.now))
                case Leave():
                    self.sent_home = True
                    self._leave(order.reason)

    def _write(self) -> None:
        self._pipe.send(self._connection.outgoing())
        self._alarm.set()

    def _leave(self, why: str) -> None:
        if self.left is None:
            self._pipe.send(self._connection.outgoing())
            self._pipe.close()
            self.left = why
            self._life += 1
            self.gone()

    # -- the trial ---------------------------------------------------------------------------------------------------

    def _start(self, run: Run) -> None:
        self._life += 1
        self._stop = False
        done = self._checkpoints.get(run.parent, 0.0) if run.parent is not None else 0.0
        if self._rng.random() < 0.5:  # noqa: PLR2004 - half of the retries find their own checkpoint, half start over
            done = self._checkpoints.get(run.trial, done)
        points = list(self._problem.curve(run.params, run.budget, done))
        fate = self._faults.fate(self._rng)
        strikes = self._rng.randrange(len(points) + 1)
        deaf = self._rng.random() < self._faults.deaf
        self._go_on(_Attempt(run, points, fate, strikes, deaf, self._life))

    def _go_on(self, attempt: _Attempt, *, reported: int = 0) -> None:
        """Go on with an attempt that has `reported` so many of its points: to the next one, its end or its fate."""
        if attempt.life != self._life or self._asleep(lambda: self._go_on(attempt, reported=reported)):
            return
        if self._stop and not attempt.deaf and reported:
            self._finish("stopped")
        elif attempt.fate is not None and reported == attempt.strikes:
            self._strike(attempt)
        elif reported == len(attempt.points):
            value = self._value(attempt.points[-1][2]) if attempt.points else None
            self._finish("completed", value, dict(attempt.points[-1][2]) if attempt.points else {})
        else:
            seconds = attempt.points[reported][0]
            self._timeline.after(seconds, lambda: self._report(attempt, reported))

    def _report(self, attempt: _Attempt, index: int) -> None:
        if attempt.life != self._life or self._asleep(lambda: self._report(attempt, index)):
            return
        _, step, metrics = attempt.points[index]
        if step is not None:
            self._checkpoints[attempt.run.trial] = step + (attempt.points[0][1] == 0)
            self._do(self._session.reported(step, dict(metrics), self._timeline.now))
            self._write()
        self._go_on(attempt, reported=index + 1)

    def _strike(self, attempt: _Attempt) -> None:
        now = self._timeline.now
        match attempt.fate:
            case "crash":
                self._leave("it crashed")
            case "freeze":
                attempt.fate = None
                self._frozen_until = now + self._rng.uniform(0, self._faults.freeze_seconds)
                self._go_on(attempt, reported=attempt.strikes)
            case "death":
                self._life += 1
                self._do(self._session.printed("this is the end\n", now))
                self._do(self._session.died("it was ended by SIGSEGV", now))
                self._write()
            case "error":
                self._finish("failed", error="ValueError: simulated")
            case "nan":
                self._finish("completed", math.nan, {"metric": math.nan})

    def _finish(
        self, status: str, value: float | None = None, metrics: dict[str, float] | None = None, error: str | None = None
    ) -> None:
        self._do(self._session.finished(status, value, metrics or {}, error, self._timeline.now))
        self._write()

    def _value(self, metrics: Mapping[str, float]) -> float | None:
        terms = self._session.terms
        return Objective(terms.metric if terms else None).pick(metrics)


@dataclass(slots=True)
class _Attempt:
    """One attempt of a trial: its points, and what befalls it once so many of them have passed."""

    run: Run
    points: list[Point]
    fate: str | None
    strikes: int
    deaf: bool
    life: int
