"""A simulated world: a driver that is cut down to its turns, the executors that there ever were, and their log."""

from __future__ import annotations

import math
from functools import partial
from random import Random
from typing import Any

from maggy.driver.actions import Action, Ask, Close, Drop, Record, Send
from maggy.driver.asker import answer_to
from maggy.driver.roll import Input, Roll
from maggy.driver.scheduler import REST, Scheduler
from maggy.driver.terms import Terms
from maggy.errors import MaggyError
from maggy.events import Event, StudyResumed
from maggy.optimizers.base import Optimizer
from maggy.rpc.connection import NONCE, Connection
from maggy.rpc.messages import Finished, Message, Reports, Run, Saved
from maggy.study import Study
from maggy.testing.logcheck import Lineages, hold, stored
from maggy.testing.network import Alarm, Pipe, Timeline, Wire
from maggy.testing.virtual import SECRET, Faults, Problem, VirtualExecutor
from maggy.trial import Answer, Suggestion

DRIVER_BEAT = 30.0
RESPAWN_SECONDS = 1.0  # until a slot whose executor is gone has another one, and a dead driver a successor
ECHO_SECONDS = 20.0
INPUTS_PER_TURN = 10_000


class StuckError(MaggyError):
    """A simulated study does not come to its end; the message shows its last events."""


class World:
    """Everything of one simulation: the log, the driver of the moment, the executors that there ever were."""

    def __init__(
        self,
        optimizer: Optimizer,
        problem: Problem,
        terms: Terms,
        ask_seconds: float,
        faults: Faults,
        seed: int,
        latency: float,
    ) -> None:
        self.timeline = Timeline()
        self.optimizer = optimizer
        self.terms = terms
        self.ask_seconds = ask_seconds
        self.faults = faults
        self.seed = seed
        self.rng = Random(f"simulation {seed}")
        self.log: list[Event] = []
        self.executors: list[VirtualExecutor] = []
        self.restart_at: list[int] = []  # lengths of the log at which a driver dies
        self._problem = problem
        self._latency = latency
        self._checkpoints: dict[str, float] = {}

    def run(self, executors: int, max_steps: int, *, resumed: bool) -> None:
        """Run until the study is closed and everybody has gone home."""
        position = len(self.log)
        for _ in range(self.faults.restarts):
            position += self.rng.randrange(1, 60)
            self.restart_at.append(position)
        self.timeline.now = max((event.at for event in self.log), default=0.0)
        self._start_driver(resumed=resumed)
        for slot in range(executors):
            late = self.rng.random() < self.faults.late
            delay = self.rng.uniform(0, self.faults.late_seconds) if late else 0.0
            self.timeline.after(delay, partial(self._spawn, slot))
        while self.driver.scheduler.closed is None or self.timeline.busy or self._here():
            if not self.timeline.step() or self._stuck(max_steps):
                raise StuckError(self._story())

    def driver_died(self) -> None:
        """Cut all connections, and let another driver take up the log in a while."""
        self.restart_at.pop(0)
        for peer in self.driver.accepted:
            peer.close()
        self.timeline.after(RESPAWN_SECONDS, partial(self._start_driver, resumed=True))

    def _start_driver(self, *, resumed: bool) -> None:
        if resumed:
            self.log.append(StudyResumed(self.timeline.now, {}))
        self.driver = Driver(self)
        self.driver.put(self.driver.scheduler.opened)
        self.driver.beat()

    def _spawn(self, slot: int) -> None:
        if not self.driver.alive:
            self.timeline.after(RESPAWN_SECONDS, partial(self._spawn, slot))
            return
        # A name that was used before, with echoes of its former bearer about: only the attempt tells them apart.
        name = f"executor-{slot}"
        if not self.faults.echo or self.driver.roll.knows(name):
            name += f"-{len(self.executors)}"
        executor = VirtualExecutor(self.timeline, name, slot, self._problem, self._checkpoints, self.faults, self.rng)
        executor.gone = partial(self._ended, executor, slot)
        executor.reach = partial(self._connection, self.driver, executor)
        self.executors.append(executor)
        executor.connect()

    def _connection(self, driver: Driver, executor: VirtualExecutor) -> Wire | None:
        """Connect an executor with its own driver; another, started since, has another port."""
        if not driver.alive:
            return None
        latency = self._latency * self.rng.uniform(0.1, 1)
        peer = Peer(driver)
        wire = Wire(
            Pipe(self.timeline, latency, peer.heard),
            Pipe(self.timeline, latency, lambda data: executor.heard(wire, data)),
        )
        peer.pipe = wire.to_executor
        return wire

    def _ended(self, executor: VirtualExecutor, slot: int) -> None:
        if executor.left == REST:
            self._rest(slot, self.driver)
        elif not executor.sent_home:
            self.timeline.after(RESPAWN_SECONDS, partial(self._spawn, slot))

    def _rest(self, slot: int, driver: Driver) -> None:
        """Start a slot again when a trial waits, or another driver has come."""
        if self.driver is not driver or (driver.alive and driver.scheduler.study.queued):
            self._spawn(slot)
        elif driver.scheduler.closed is None:
            self.timeline.after(RESPAWN_SECONDS, partial(self._rest, slot, driver), idle=True)

    def _here(self) -> bool:
        return any(executor.left is None for executor in self.executors)

    def _stuck(self, max_steps: int) -> bool:
        """Whether nothing can happen any more: no callback but housekeeping, for longer than every patience."""
        patience = 3 * self.terms.lease + self.terms.grace + (self.terms.timeout or 0)
        silent = not self.timeline.busy and self.timeline.now > self.timeline.moved + patience
        return silent or self.timeline.steps > max_steps

    def _story(self) -> str:
        last = "\n".join(map(str, self.log[-20:]))
        left = [executor.name for executor in self.executors if executor.left is None]
        return (
            f"after {self.timeline.now:.0f} virtual seconds and {self.timeline.steps:,} steps the study does not end; "
            f"executors: {', '.join(left) or 'none'}; seed {self.seed}; {len(self.log)} events, the last:\n{last}"
        )


class Driver:
    """What `maggy.driver.server` is in earnest: turns of decide, commit, send."""

    def __init__(self, world: World) -> None:
        self.alive = True
        self.accepted: list[Peer] = []  # every connection, those that have not yet joined included
        self.scheduler = Scheduler(Study.of(map(stored, world.log)), world.terms)
        self.roll = Roll(self.scheduler, self.put, self._received)
        self._world = world
        self._timeline = world.timeline
        self._slow = bool(world.ask_seconds)
        self._thought = Study.of(map(stored, world.log)) if self._slow else self.scheduler.study  # the optimizer's
        self._inputs: list[Input] = []
        self._lineages = Lineages(world.log)
        self._alarm = Alarm(world.timeline, self._deadline, lambda: self.put(self.scheduler.tick))

    def put(self, given: Input) -> None:
        """Take one input: decide, commit, send. A driver whose hour has come dies between these."""
        if not self.alive:
            return
        self._inputs.append(given)
        due: list[Action] = []
        for _ in range(INPUTS_PER_TURN):
            if not self._inputs:
                break
            due += self._decided(self._inputs.pop(0))
        else:
            raise StuckError(f"{INPUTS_PER_TURN:,} inputs in one turn: the optimizer is asked again and again")
        if not self._committed([action.event for action in due if isinstance(action, Record)]):
            self.alive = False
            self._world.driver_died()
            return
        for action in due:
            self._perform(action)
        self.roll.confirm()
        self._alarm.set()

    def beat(self) -> None:
        """Let executors know that the driver lives, now and from now on."""
        if self.alive and self.scheduler.closed is None:
            self.roll.beat()
            self.roll.confirm(at_once=True)
            self._timeline.after(DRIVER_BEAT, self.beat, idle=True)

    def _echo(self, name: str, message: Reports | Finished | Saved) -> None:
        """Let the message come again, if it is stale by now: TCP would not repeat it within a connection."""
        if self._stale(name, message):
            self.put(partial(self._received, name, message))

    def _received(self, name: str, message: Message, now: float) -> list[Action]:
        stale = self._stale(name, message)
        actions = self.scheduler.received(name, message, now)
        hold(not stale or not any(isinstance(action, Record) for action in actions), "stale words are not recorded")
        if isinstance(message, Reports | Finished | Saved) and self._world.rng.random() < self._world.faults.echo:
            delay = self._world.rng.uniform(0, ECHO_SECONDS)
            self._timeline.after(delay, partial(self._echo, name, message))
        return actions

    def _stale(self, name: str, message: Message) -> bool:
        """Whether the message is about something that does not run there any more, as the study has it."""
        if not isinstance(message, Reports | Finished | Saved):
            return False
        trial = self.scheduler.study.running.get(message.trial)
        return trial is None or (trial.executor, trial.attempt) != (name, message.attempt)

    def _deadline(self) -> float:
        return self.scheduler.deadline() if self.alive else math.inf

    def _decided(self, given: Input) -> list[Action]:
        now = self._timeline.now
        actions = given(now)
        self.scheduler.check()
        if self.scheduler.closed is None and now < self.scheduler.deadline():
            hold(not self.scheduler.tick(now), "when all is done, there is nothing left to do")
        for action in actions:
            if isinstance(action, Ask):
                lag = self._world.rng.uniform(0, self._world.faults.lag) if self._slow else 0.0
                if self._slow:
                    self._timeline.after(lag, partial(self._think, action.number))
                else:
                    self._think(action.number)
        return actions

    def _think(self, number: int) -> None:
        """Ask the optimizer; its answer comes at once, or when it has thought for `ask_seconds`."""
        study = self._thought
        answer = answer_to(self._world.optimizer, study, self._world.seed, number)
        given = partial(self._answered, number, answer, study.position)
        if self._slow:
            self._timeline.after(self._world.ask_seconds, lambda: self.put(given))
        else:
            self._inputs.append(given)

    def _answered(self, number: int, answer: Suggestion | Answer | Exception, seen: int, now: float) -> list[Action]:
        return self.scheduler.suggested(number, answer, seen, now)

    def _committed(self, events: list[Event]) -> bool:
        """Append the events; False where the driver dies in between."""
        log = self._world.log
        fate: Any = self._world.restart_at[0] if self._world.restart_at else math.inf
        for event in events:
            log.append(event)
            self._lineages.add(event)
            if self._slow:
                self._thought.apply(stored(event))
            if len(log) >= fate:
                return False
        return True

    def _perform(self, action: Action) -> None:
        match action:
            case Send():
                if isinstance(action.message, Run):
                    self._lineages.check(action.message)
                self.roll.send(action.executor, action.message)
            case Drop():
                self.roll.drop(action.executor, action.why)
            case Close():
                self._alarm.set()


class Peer:
    """One executor's connection, seen from the driver; see `maggy.rpc.stream.Peer`."""

    def __init__(self, driver: Driver) -> None:
        self.executor: str | None = None
        self.offended = False
        self.fresh = 0
        self.pipe: Pipe
        self._closed = False
        self._driver = driver
        driver.accepted.append(self)
        self._connection = Connection("driver", SECRET, Random(driver.scheduler.study.position).randbytes(NONCE))

    def listen(self, *, on: bool) -> None:
        """Do nothing: in a simulation nobody says so much that it would not be read."""

    def heard(self, data: bytes) -> None:
        """Take bytes from the executor; b"" when it has closed the connection. Offences would be faults of ours."""
        if self._closed or not self._driver.alive:
            return
        if not data:
            self.close()
            self._driver.roll.gone(self, "the executor closed the connection")
            return
        self._driver.roll.heard(self, self._connection.receive(data))
        self.pipe.send(self._connection.outgoing())

    def send(self, message: Message) -> None:
        """Send a message."""
        self._connection.send(message)
        self.pipe.send(self._connection.outgoing())

    def forward(self, frames: bytes) -> None:
        """Send messages that are encoded already."""
        self._connection.forward(frames)
        self.pipe.send(self._connection.outgoing())

    def close(self) -> None:
        """Close the connection behind what has been sent."""
        self._closed = True
        self.pipe.close()

    def drop(self, why: str) -> None:  # noqa: ARG002 - nobody reads it here
        """Cut the connection at once."""
        self.pipe.lose()
        self.close()
