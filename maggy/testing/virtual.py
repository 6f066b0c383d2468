"""Simulated executors, and what befalls them.

What decides is real (`Session`, `Link`); what would do is virtual. Nothing waits, nothing is random but `rng`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol

from maggy.executor.link import Link
from maggy.executor.orders import Kill, Leave, Order, Signal, Start, Tell
from maggy.executor.session import Session
from maggy.rpc.connection import NONCE
from maggy.rpc.messages import Join, Run, Stop
from maggy.searchspace import Searchspace
from maggy.testing.network import Alarm, Timeline, Wire
from maggy.trial import Direction, Objective

Point = tuple[float, int | None, Mapping[str, float]]
SAVES = 0.2  # share of points, besides the last, after which a checkpoint is kept
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
        cut: share of attempts during which the connection breaks; what is under way is lost, or comes too late.
        partition: share of attempts during which the network holds everything back for up to `partition_seconds`.
        partition_seconds: as `freeze_seconds`; afterwards what was held back arrives, or the connection breaks.
        death: share of attempts whose process dies.
        error: share of attempts that raise.
        nan: share of attempts that return NaN.
        torn: share of attempts that find their checkpoint damaged, and fall back on the one before.
        deaf: share of attempts that ignore a request to stop.
        late: share of executors that join only within `late_seconds`.
        late_seconds: how late.
        echo: share of messages that come a second time, up to 20 s later, when they have become stale.
        restarts: how many times the driver dies and is started again on its log.
        lag: the optimizer looks at the log up to so much later than it was asked; counts with a slow optimizer only.
        behind: up to so much later an agent hears what its trial's process tells, and the process what it is told.

    """

    crash: float = 0.0
    freeze: float = 0.0
    freeze_seconds: float = 20.0
    cut: float = 0.0
    partition: float = 0.0
    partition_seconds: float = 20.0
    death: float = 0.0
    error: float = 0.0
    nan: float = 0.0
    torn: float = 0.0
    deaf: float = 0.0
    late: float = 0.0
    late_seconds: float = 60.0
    echo: float = 0.0
    restarts: int = 0
    lag: float = 0.0
    behind: float = 0.0

    def fate(self, rng: Random) -> str | None:
        """Draw what befalls one attempt."""
        drawn = rng.random()
        for name in ("crash", "freeze", "death", "error", "nan", "cut", "partition"):
            drawn -= getattr(self, name)
            if drawn < 0:
                return name
        return None


class VirtualExecutor:
    """An agent whose trials take place on the timeline. `checkpoints` (units by name) is what all of them see."""

    def __init__(
        self,
        timeline: Timeline,
        name: str,
        slot: int,
        problem: Problem,
        checkpoints: dict[str, float],
        faults: Faults,
        rng: Random,
    ) -> None:
        self.name = name
        self.left: str | None = None  # why it is no longer there
        self.sent_home = False
        self.gone: Callable[[], None] = lambda: None
        self.reach: Callable[[], Wire | None] = lambda: None  # a new connection to the driver, if that lives
        self._timeline = timeline
        self._problem = problem
        self._checkpoints = checkpoints
        self._faults = faults
        self._rng = rng
        self._session = Session(timeline.now)
        self._link = Link(Join(name, "simulated", 1, slot, "3", "2"), SECRET)
        self._wire: Wire | None = None
        self._alarm = Alarm(timeline, self._deadline, self._tick)
        self._frozen_until = 0.0
        self._life = 0  # number of the attempt that the trial's process is at; facts of an earlier one are void
        self._stop = False
        self._warm = self._dead = False
        self._heard_at = 0.0  # when the last fact is heard; facts keep their order
        self._process = 0  # its number: what was meant for an earlier one is void
        self._runs: Run | None = None
        self._waiting: deque[Run | None] = deque()  # what the trial's process is to run next; None was withdrawn

    def connect(self) -> None:
        """Try to reach the driver, for the first time or again."""
        self._wire = self.reach()
        if self._wire is None:
            self._link.failed("no driver", self._timeline.now, refused=True)
        else:
            self._link.connected(self._rng.randbytes(NONCE))
        self._write()

    def heard(self, wire: Wire, data: bytes) -> None:
        """Take bytes that came over a connection; b"" is its end."""
        if wire is not self._wire or self._asleep(lambda: self.heard(wire, data)):
            return
        if not data:
            self._wire = None
            self._link.broke("the driver closed the connection", self._timeline.now)
        else:
            for message in self._link.received(data):
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
        if self.left is not None:
            return math.inf
        return max(min(self._session.deadline(), self._link.retry_at), self._frozen_until)

    def _tick(self) -> None:
        self._do(self._session.tick(self._timeline.now))
        if self.left is None and self._timeline.now >= self._link.retry_at:
            self.connect()
        self._write()

    def _do(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Tell():
                    self._link.tell(order.message)
                case Start() if not self._dead:
                    self._waiting.append(order.run)
                    self._next()
                case Signal():
                    # Meanwhile the trial's process may begin what it is told not to.
                    self._timeline.after(self._delay(), partial(self._signalled, order.stop, self._process))
                case Kill():
                    self._do(self._buried("it was ended by SIGKILL", self._timeline.now))
                case Leave():
                    self.sent_home = True
                    self._leave(order.reason)

    def _write(self) -> None:
        if self._wire is not None:
            self._wire.to_driver.send(self._link.outgoing())
        if self._link.left is not None:
            self._leave(self._link.left)
        self._alarm.set()

    def _leave(self, why: str) -> None:
        if self.left is None:
            if self._wire is not None:
                self._wire.to_driver.send(self._link.outgoing())
                self._wire.to_driver.close()
            self.left = why
            self._life += 1
            self.gone()

    # -- the trial's process -----------------------------------------------------------------------------------------

    def _tell(self, fact: Callable[[float], list[Order]]) -> None:
        """Let the session hear of something in its turn: a little later, when the process may be at the next trial."""
        self._heard_at = max(self._heard_at, self._timeline.now + self._delay())
        self._timeline.at(self._heard_at, partial(self._told, fact, self._process))

    def _delay(self) -> float:
        """Return how long agent and process are out of step: often not at all."""
        return self._rng.choice([0.0, self._rng.uniform(0, self._faults.behind)])

    def _told(self, fact: Callable[[float], list[Order]], process: int) -> None:
        if process == self._process and not self._asleep(partial(self._told, fact, process)):
            self._do(fact(self._timeline.now))
            self._write()

    def _next(self) -> None:
        """Begin the next trial, if none runs; the first one of a process is told of."""
        if self._runs is not None or not self._waiting:
            return
        self._runs = self._waiting.popleft()
        if self._runs is None:
            self._finish("stopped")
            return
        if not self._warm:
            self._warm = True
            self._tell(self._session.began)
        self._start(self._runs)

    def _signalled(self, stop: Stop, process: int) -> None:
        if process != self._process:
            return
        for at, run in enumerate(self._waiting):
            if run is not None and (run.trial, run.attempt) == (stop.trial, stop.attempt):
                self._waiting[at] = None
        if self._runs is not None and (self._runs.trial, self._runs.attempt) == (stop.trial, stop.attempt):
            self._stop = True

    def _die(self, how: str) -> None:
        """End the process: what it has told is still heard, what it is ordered meanwhile is not."""
        self._dead = True
        self._life += 1
        self._tell(partial(self._buried, how))

    def _buried(self, how: str, now: float) -> list[Order]:
        self._life += 1
        self._process += 1
        self._warm = self._dead = False
        self._runs = None
        self._waiting.clear()
        return [*self._session.died(how, now), *self._session.cleared(now)]

    def _ended(
        self, status: str, value: float | None, metrics: dict[str, float], error: str | None, now: float
    ) -> list[Order]:
        return [*self._session.finished(status, value, metrics, error, now), *self._session.cleared(now)]

    def _start(self, run: Run) -> None:
        self._life += 1
        self._stop = False
        names = run.restore if self._rng.random() >= self._faults.torn else run.restore[1:]
        done = next((self._checkpoints[name] for name in names if name in self._checkpoints), 0.0)
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
            self._tell(partial(self._session.reported, step, dict(metrics)))
            if index + 1 == len(attempt.points) or self._rng.random() < SAVES:
                self._save(attempt, index, step + (attempt.points[0][1] == 0))
            self._write()
        self._go_on(attempt, reported=index + 1)

    def _save(self, attempt: _Attempt, number: int, units: float) -> None:
        name = f"{attempt.run.trial}/{attempt.run.attempt}-{number + 1}.tar"
        self._checkpoints[name] = units
        self._tell(partial(self._session.kept, "Saved", {"checkpoint": name, "bytes": 1}))

    def _strike(self, attempt: _Attempt) -> None:
        now = self._timeline.now
        match attempt.fate:
            case "crash":
                self._leave("it crashed")
            case "freeze":
                attempt.fate = None
                self._frozen_until = now + self._rng.uniform(0, self._faults.freeze_seconds)
                self._go_on(attempt, reported=attempt.strikes)
            case "cut" | "partition":
                fate, attempt.fate = attempt.fate, None
                if self._wire is not None:
                    self._disturb(self._wire, fate)
                self._go_on(attempt, reported=attempt.strikes)
            case "death":
                self._tell(partial(self._session.printed, "this is the end\n"))
                self._die("it was ended by SIGSEGV")
            case "error":
                self._finish("failed", error="ValueError: simulated")
            case "nan":
                self._finish("completed", math.nan, {"metric": math.nan})

    def _disturb(self, wire: Wire, fate: str) -> None:
        """Let the connection break at once, or be held up; then it breaks or goes on."""
        cut = partial(wire.cut, noticed=self._rng.random() < 0.5)  # noqa: PLR2004 - either is as likely
        if fate == "cut":
            cut()
            return
        until = self._timeline.now + self._rng.uniform(0, self._faults.partition_seconds)
        wire.hold(until)
        healed = self._rng.random() < 0.5  # noqa: PLR2004
        self._timeline.at(until, (lambda: None) if healed else cut)

    def _finish(
        self, status: str, value: float | None = None, metrics: dict[str, float] | None = None, error: str | None = None
    ) -> None:
        self._runs = None
        self._tell(partial(self._ended, status, value, metrics or {}, error))
        self._next()

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
