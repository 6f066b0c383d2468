"""Who has joined, and over which connection each is heard at the moment.

An executor's conversation outlives its connections: what it is sent while it is away is kept, and follows when it is
back. What is heard becomes inputs of the scheduler; nothing here is decided, and no socket is opened.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from maggy.driver.actions import Action
from maggy.driver.scheduler import Scheduler
from maggy.rpc.channel import Channel
from maggy.rpc.messages import Beat, Bye, Fenced, Join, Message, Rejoin, Resumed
from maggy.version import VERSION, misfit

Input = Callable[[float], list[Action]]
Said = Callable[[str, Message, float], list[Action]]
TAKEN = "another executor has its slot by now"  # how who begins anew is sent home: Spark has given its slot away
LIMIT = 10_000  # executors at one time
# Bytes of one executor that wait here. An honest one has half as many on the way at most; what it relays of checkpoints
# is counted until nothing waits, so that it is not read for a moment now and then, which costs it nothing measurable.
MOST_WAITING = 8 * 1024 * 1024


class Line(Protocol):
    """A connection that has been authenticated; see `maggy.rpc.stream.Peer`."""

    executor: str | None
    offended: bool
    fresh: int  # bytes that have come with what is just heard

    def listen(self, *, on: bool) -> None:
        """Read what comes, or leave it with the network."""

    def send(self, message: Message) -> None:
        """Send a message."""

    def forward(self, frames: bytes) -> None:
        """Send messages that are encoded already."""

    def close(self) -> None:
        """Close the connection after what is due has been sent."""

    def drop(self, why: str) -> None:
        """Cut the connection at once."""


@dataclass(slots=True)
class Life:
    """An executor's conversation, and the connection that it runs over at the moment."""

    channel: Channel
    line: Line | None
    token: str
    slot: int
    behind: deque[Message] | None = None  # what has come behind a message that takes its time
    waiting: int = 0  # bytes that have come since the last time that all of it counted

    @property
    def unsettled(self) -> int:
        """Messages that have come and do not count yet."""
        return 0 if self.behind is None else 1 + len(self.behind)

    @property
    def full(self) -> bool:
        """Whether so much waits that nothing more is read."""
        return self.waiting > MOST_WAITING


class Roll:
    """The executors of one driver, `limit` of them at most.

    `put` takes inputs for the scheduler, `said` makes one of an executor's words. `python` is the driver's version of
    it, where that matters.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        put: Callable[[Input], None],
        said: Said,
        python: str | None = None,
        *,
        limit: int = LIMIT,
    ) -> None:
        self.most = 0  # executors at one time
        self._scheduler = scheduler
        self._put = put
        self._said = said
        self._python = python
        self._limit = limit
        self._lives: dict[str, Life] = {}
        self._heard: set[str] = set()  # executors that something has come from since the last confirmation

    def heard(self, line: Line, messages: Sequence[Message]) -> None:
        """Take in messages of one connection; the first has to be an introduction, and no other may.

        No message at all means that a part of one has come: over a slow line it is the only sign of life for a while.
        """
        life = self._lives.get(line.executor) if line.executor else None
        if not messages and life is not None and life.line is line:
            self._put(lambda now, name=line.executor: self._said(name, Beat(), now))  # type: ignore[misc]
        for message in messages:
            life = self._lives.get(line.executor) if line.executor else None
            if life is None or life.line is not line:
                if not self._introduced(line, message):
                    return
            elif isinstance(message, (Join, Rejoin)):
                _refused(line, "an executor introduces itself once")
                return
            elif life.channel.came(message) or isinstance(message, Beat):
                self._put(lambda now, life=life, name=line.executor, said=message: self._hear(life, name, said, now))  # type: ignore[misc]
        if line.executor:
            self._heard.add(line.executor)
            self._weigh(line, line.executor)

    def hold(self, executor: str) -> Callable[[float], list[Action]]:
        """Let what comes of an executor wait for its message that is just being heard: that takes its time.

        Return what goes on with the rest when it is through. Until then all are signs of life, and none is confirmed.
        """
        life = self._lives.get(executor)
        if life is None:
            return lambda _: []
        life.behind = deque()

        def go_on(now: float) -> list[Action]:
            waiting, life.behind = life.behind or deque(), None
            self._heard.add(executor)
            due: list[Action] = []
            while waiting and life.behind is None:
                due += self._said(executor, waiting.popleft(), now)
            if life.behind is not None:  # one of them takes its time as well
                life.behind.extend(waiting)
            return due

        return go_on

    def gone(self, line: Line, why: str) -> None:
        """Take in that a connection is: the executor may come back on another, unless it has offended."""
        name = line.executor
        life = self._lives.get(name) if name else None
        if name is None or life is None or life.line is not line:
            return
        life.line = None
        if line.offended:
            del self._lives[name]
            self._put(lambda now: self._scheduler.lost(name, why, now))
        else:
            self._put(lambda now: self._scheduler.broke(name, why, now))

    @property
    def connected(self) -> int:
        """How many executors there is a connection to. It may be asked from any thread."""
        return sum(life.line is not None for life in list(self._lives.values()))

    def vouch(self) -> None:
        """Let those count as alive that nothing is read of: their own signs of life wait with the network."""
        for name, life in self._lives.items():
            if life.full and life.line is not None:
                self._put(lambda now, name=name: self._said(name, Beat(), now))  # type: ignore[misc]

    def knows(self, executor: str) -> bool:
        """Whether somebody of that name is here, or may come back."""
        return executor in self._lives

    def send(self, executor: str, *messages: Message) -> None:
        """Send messages, or keep them for when the executor comes back."""
        if life := self._lives.get(executor):
            frames = b"".join(map(life.channel.send, messages))
            if life.line is not None:
                life.line.forward(frames)

    def tell_all(self, message: Message) -> None:
        """Send a message to everybody, those who have only just come included."""
        for executor in self._lives:
            self.send(executor, message)

    def drop(self, executor: str, why: str) -> None:
        """Give an executor up."""
        life = self._lives.pop(executor, None)
        if life is not None and life.line is not None:
            life.line.drop(why)

    def confirm(self, *, at_once: bool = False) -> None:
        """Confirm what has come, as far as that is due: to be called when it has been made durable, not before."""
        for name in self._lives if at_once else self._heard:
            life = self._lives.get(name)
            if life and life.line:
                confirmation = life.channel.confirmation(at_once=at_once, but=life.unsettled)
                if confirmation is not None:
                    life.line.send(confirmation)
                if life.behind is None:
                    if life.full:
                        life.line.listen(on=True)
                    life.waiting = 0
        self._heard.clear()

    def beat(self) -> None:
        """Let all executors know that the driver lives."""
        for life in self._lives.values():
            if life.line is not None:
                life.line.send(Beat())

    def _hear(self, life: Life, name: str, message: Message, now: float) -> list[Action]:
        if life.behind is None or isinstance(message, Beat):
            return self._said(name, message, now)
        life.behind.append(message)
        return self._said(name, Beat(), now)

    def _weigh(self, line: Line, name: str) -> None:
        """Read no more of an executor of which so much waits, for a store or a disk that is slow, until that counts."""
        life = self._lives.get(name)
        if life is not None and life.line is line:
            life.waiting += line.fresh
            if life.waiting > 2 * MOST_WAITING:
                _refused(line, "it comes back again and again, to say more than can be taken in")
            elif life.full:
                line.listen(on=False)

    def _introduced(self, line: Line, message: Message) -> bool:
        """Let an executor in that is new, or back on a new connection; turn everybody else away."""
        match message:
            case Join() if flaw := self._flaw(message):
                line.send(Bye(flaw))
                line.close()
                return False
            case Join() if message.again and any(life.slot == message.slot for life in self._lives.values()):
                line.send(Bye(TAKEN))
                line.close()
                return False
            case Join() if message.executor not in self._lives and line.executor is None:
                if len(self._lives) >= self._limit:
                    return _refused(line, f"there are {self._limit:,} executors already")
                self._lives[message.executor] = Life(Channel(), line, message.token, message.slot)
                self.most = max(self.most, len(self._lives))
                self._put(lambda now: self._scheduler.joined(message, now))
            case Rejoin() if (life := self._lives.get(message.executor)) and line.executor is None:
                if not hmac.compare_digest(life.token.encode(), message.token.encode()):
                    return _refused(line, "an executor comes back under another's name")
                missed = life.channel.since(message.received)
                if life.line is not None:
                    life.line.drop("the executor has come back on another connection")
                life.line = line
                line.send(Resumed(life.channel.received))
                line.forward(missed)
                self._put(lambda now: self._scheduler.returned(message.executor, now))
            case Rejoin():
                line.send(Fenced("the driver had given this executor up"))
                line.close()
                return False
            case _:
                return _refused(line, "an executor has to introduce itself first, under a name of its own")
        line.executor = message.executor
        return True

    def _flaw(self, join: Join) -> str | None:
        """Say why an executor is none for this driver: its pickles are for one Python, its words for one maggy."""
        if self._python is None:
            return None
        return misfit(
            "maggy",
            join.maggy,
            VERSION,
            "uninstall it where executors run (the driver brings its own), or make them equal",
        ) or misfit(
            "Python",
            join.python,
            self._python,
            "let both be of one minor version (PYSPARK_PYTHON names the executors')",
        )


def _refused(line: Line, why: str) -> bool:
    line.offended = True
    line.drop(why)
    return False
