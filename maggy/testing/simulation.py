"""A whole study in virtual time: what would 64 workers do, and does the driver survive what may go wrong?

::

    from maggy.optimizers import Asha
    from maggy.testing import Branin, Faults, simulate

    simulate(Asha(), Branin(), num_trials=1000, executors=64).makespan
    simulate(Asha(), Branin(), num_trials=1000, executors=64, faults=Faults(crash=0.05)).utilisation

The scheduler, the executors' sessions, the connections between them and the optimizer are the real ones; clock, network
and training are not. The same arguments give the same log, event for event. After every input the scheduler's
invariants are checked, and at the end those of the log: a simulation that returns has found no fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from maggy.driver.actions import Action, Ask, Close, Drop, Record, Send
from maggy.driver.asker import answer_to
from maggy.driver.scheduler import Scheduler, Terms
from maggy.earlystop.base import StopRule
from maggy.errors import MaggyError
from maggy.events import Ended, Event, Lost, Started, StudyOpened, StudyResumed
from maggy.optimizers.base import Optimizer
from maggy.rpc.connection import NONCE, Connection
from maggy.rpc.messages import Beat, Finished, Join, Message, Reports
from maggy.study import Study
from maggy.testing.logcheck import check_log, stored
from maggy.testing.virtual import SECRET, Alarm, Faults, Pipe, Problem, Timeline, VirtualExecutor
from maggy.trial import Answer, Direction, Suggestion, Trial

Input = Callable[[float], list[Action]]
DRIVER_BEAT = 30.0
RESPAWN_SECONDS = 1.0  # until a slot whose executor is gone has another one, and a dead driver a successor
ECHO_SECONDS = 20.0
INPUTS_PER_TURN = 10_000


class StuckError(MaggyError):
    """A simulated study does not come to its end; the message shows its last events."""


@dataclass(frozen=True)
class Simulated:
    """How a simulated study went.

    `makespan` is the virtual time in seconds from the start to the study's end. `utilisation` is the share of the
    executors' time, counted from the first trial's start, that they spent on trials. `executors` counts all that joined,
    `seconds` what trials took in all, attempts that were lost included.
    """

    study: Study
    log: list[Event]
    reason: str
    makespan: float
    utilisation: float
    executors: int
    seconds: float

    @property
    def best(self) -> Trial | None:
        """The study's best trial."""
        return self.study.best


def simulate(
    optimizer: Optimizer,
    problem: Problem,
    *,
    num_trials: int | None = 20,
    executors: int = 4,
    direction: Direction | None = None,
    rules: Sequence[StopRule] = (),
    seed: int = 0,
    ask_seconds: float = 0.0,
    lookahead: int | None = None,
    timeout: float | None = None,
    faults: Faults | None = None,
    log: Sequence[Event] = (),
    latency: float = 0.002,
    max_steps: int = 20_000_000,
) -> Simulated:
    """Run a study of `problem` in virtual time.

    Arguments:
        optimizer: a real one; one that `stops` trials, as ASHA's stopping form, is a stop rule as well.
        problem: what trials do and how long that takes (see `maggy.testing.problems`).
        num_trials: configurations to sample; None for as many as the optimizer or the timeout allows.
        executors: slots; one whose executor dies gets another after a second.
        direction: the problem's own where it is not given.
        rules: stop rules.
        seed: the study's seed, and that of its faults.
        ask_seconds: what the optimizer takes for an answer; 0 asks it within the driver's turn.
        lookahead: suggestions to prepare ahead of need; the optimizer's own figure where it is not given.
        timeout: seconds after which the study winds down.
        faults: what goes wrong; nothing by default.
        log: an earlier log of the same study: it is taken up from there, as by `resume`.
        latency: the network's, in seconds, at most.
        max_steps: callbacks in virtual time after which the study counts as stuck.

    Raises `StuckError` for a study that does not end and `AssertionError` for a broken invariant.

    """
    space = problem.searchspace
    if (check := getattr(optimizer, "check", None)) is not None:
        check(space)
    stopper: Any = optimizer
    if getattr(stopper, "stops", False):
        rules = [*rules, stopper]
    terms = Terms(
        rules=rules,
        lookahead=getattr(optimizer, "lookahead", 0) if lookahead is None else lookahead,
        timeout=timeout,
    )
    settings = {
        "searchspace": space.to_dict(),
        "metric": None,
        "direction": direction or problem.direction,
        "num_trials": num_trials,
        "seed": seed,
    }
    world = World(optimizer, problem, terms, ask_seconds, faults or Faults(), seed, latency)
    world.log = list(log) or [StudyOpened(0.0, settings)]
    world.run(executors, max_steps, resumed=bool(log))
    return world.outcome(executors)


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
        self._checkpoints: dict[int, float] = {}

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

    def outcome(self, executors: int) -> Simulated:
        """Check what must hold of a finished study, and sum it up."""
        scheduler = self.driver.scheduler
        study = check_log(self.log)
        _hold(study.snapshot() == scheduler.study.snapshot(), "the fold of the log is the live study")
        _hold(study.closed == scheduler.closed and not study.running, "a closed study has nothing that runs")
        _hold(study.closed != "done" or not study.queued, "a study that is done has tried all that was suggested")
        _hold(all(executor.left is not None for executor in self.executors), "everybody has gone home")
        started: dict[int, float] = {}
        seconds = 0.0
        for event in self.log:
            if isinstance(event, Started):
                started[event.trial] = event.at
            elif isinstance(event, Ended | Lost):
                seconds += event.at - started[event.trial]
        begin = next((event.at for event in self.log if isinstance(event, Started)), 0.0)
        end = self.log[-1].at
        return Simulated(
            study,
            self.log,
            str(study.closed),
            makespan=end - self.log[0].at,
            utilisation=seconds / ((end - begin) * executors) if end > begin else 0.0,
            executors=len(self.executors),
            seconds=seconds,
        )

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
        name = f"executor-{slot}" if self.faults.echo else f"executor-{slot}-{len(self.executors)}"
        executor = VirtualExecutor(self.timeline, name, self._problem, self._checkpoints, self.faults, self.rng)
        executor.gone = partial(self._ended, executor, slot)
        self.executors.append(executor)
        latency = self._latency * self.rng.uniform(0.1, 1)
        peer = Peer(self.driver, Pipe(self.timeline, latency, executor.heard))
        executor.connect(Pipe(self.timeline, latency, peer.heard))

    def _ended(self, executor: VirtualExecutor, slot: int) -> None:
        if not executor.sent_home:
            self.timeline.after(RESPAWN_SECONDS, partial(self._spawn, slot))

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
        self.peers: dict[str, Peer] = {}
        self.scheduler = Scheduler(Study.of(map(stored, world.log)), world.terms)
        self._world = world
        self._timeline = world.timeline
        self._slow = bool(world.ask_seconds)
        self._thought = Study.of(map(stored, world.log)) if self._slow else self.scheduler.study  # the optimizer's
        self._inputs: list[Input] = []
        self._alarm = Alarm(world.timeline, self._deadline, lambda: self.put(self.scheduler.tick))

    def put(self, given: Input) -> None:
        """Take one input: decide, commit, send. A driver whose hour has come dies between these."""
        if not self.alive:
            return
        self._inputs.append(given)
        due: list[Action] = []
        for turns in range(INPUTS_PER_TURN):
            if not self._inputs:
                break
            due += self._decided(self._inputs.pop(0))
        else:
            raise StuckError(f"{turns} inputs in one turn: the optimizer is asked again and again")
        if not self._committed([action.event for action in due if isinstance(action, Record)]):
            self.alive = False
            self._world.driver_died()
            return
        for action in due:
            self._perform(action)
        self._alarm.set()

    def beat(self) -> None:
        """Let executors know that the driver lives, now and from now on."""
        if self.alive and self.scheduler.closed is None:
            for peer in self.peers.values():
                peer.send(Beat())
            self._timeline.after(DRIVER_BEAT, self.beat, idle=True)

    def heard(self, peer: Peer, message: Message) -> None:
        """Take in a message, as `Server.heard` does."""
        if not peer.name:
            if not isinstance(message, Join) or message.executor in self.peers:
                peer.close()
                return
            peer.name = message.executor
            self.peers[peer.name] = peer
            self.put(partial(self.scheduler.joined, message))
        elif not peer.closed or self._world.faults.echo:
            self.put(partial(self.scheduler.received, peer.name, message))
            if isinstance(message, Reports | Finished) and self._world.rng.random() < self._world.faults.echo:
                delay = self._world.rng.uniform(0, ECHO_SECONDS)
                self._timeline.after(delay, partial(self._echo, peer.name, message))

    def gone(self, peer: Peer) -> None:
        """Take in that a peer's connection has ended, as `Server.gone` does."""
        if self.peers.get(peer.name) is peer:
            del self.peers[peer.name]
            self.put(partial(self.scheduler.lost, peer.name, "the executor closed the connection"))

    def _echo(self, name: str, message: Reports | Finished) -> None:
        """Let the message come again, if it is stale by now: TCP would not repeat it within a connection."""
        if not self.scheduler.holds(name, message.trial, message.attempt):
            self.put(partial(self.scheduler.received, name, message))

    def _deadline(self) -> float:
        return self.scheduler.deadline() if self.alive else math.inf

    def _decided(self, given: Input) -> list[Action]:
        now = self._timeline.now
        actions = given(now)
        self.scheduler.check()
        if self.scheduler.closed is None and now < self.scheduler.deadline():
            _hold(not self.scheduler.tick(now), "when all is done, there is nothing left to do")
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
        if isinstance(answer, Exception):
            return self.scheduler.interrupted(f"the optimizer failed: {answer}", now)
        return self.scheduler.suggested(number, answer, seen, now)

    def _committed(self, events: list[Event]) -> bool:
        """Append the events; False where the driver dies in between."""
        log = self._world.log
        fate: Any = self._world.restart_at[0] if self._world.restart_at else math.inf
        for event in events:
            log.append(event)
            if self._slow:
                self._thought.apply(stored(event))
            if len(log) >= fate:
                return False
        return True

    def _perform(self, action: Action) -> None:
        match action:
            case Send():
                if peer := self.peers.get(action.executor):
                    peer.send(action.message)
            case Drop():
                if peer := self.peers.pop(action.executor, None):
                    peer.close()
            case Close():
                self._alarm.set()


class Peer:
    """One executor's connection, seen from the driver; see `maggy.rpc.stream.Peer`."""

    def __init__(self, driver: Driver, pipe: Pipe) -> None:
        self.name = ""
        self.closed = False
        self._driver = driver
        self._pipe = pipe
        driver.accepted.append(self)
        self._connection = Connection("driver", SECRET, Random(driver.scheduler.study.position).randbytes(NONCE))

    def heard(self, data: bytes) -> None:
        """Take bytes from the executor; b"" when it has closed the connection."""
        if not data:
            self.close()
            self._driver.gone(self)
            return
        for message in self._connection.receive(data):
            self._driver.heard(self, message)
        self._pipe.send(self._connection.outgoing())

    def send(self, message: Message) -> None:
        """Send a message."""
        self._connection.send(message)
        self._pipe.send(self._connection.outgoing())

    def close(self) -> None:
        """Close the connection behind what has been sent."""
        self.closed = True
        self._pipe.close()


def _hold(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(f"broken invariant: {what}")
