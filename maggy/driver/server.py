"""The driver's shell: sockets, clock and store around the scheduler. It runs on a thread of its own.

A *turn* takes all inputs that have come since the last one, lets the scheduler decide on each, commits what is to be
recorded in one transaction, and only then sends. So the log is ahead of what executors do, and under load one commit
serves many inputs. Where the store cannot take a turn for the moment, the turn is held and tried again, and no further
input is decided on before it is recorded.

Stop rules, and optimizers that call themselves quick, are called in the middle of a turn. One that hangs holds up
everything here, and no thread can be ended from outside: so whoever stops the server leaves it behind, and what it has
decided on is not recorded any more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import platform
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from maggy.driver.actions import Action, Ask, Close, Drop, Record, Send
from maggy.driver.asker import Asker
from maggy.driver.clock import Clock
from maggy.driver.depot import Depot, Reply
from maggy.driver.journal import Journal
from maggy.driver.logs import TrialLogs
from maggy.driver.outage import Outage
from maggy.driver.roll import LIMIT, Input, Roll
from maggy.driver.scheduler import LONGEST_REASON, Scheduler
from maggy.driver.standstill import Standstill
from maggy.driver.strangers import Strangers
from maggy.errors import StoreUnavailable, StudyMoved
from maggy.rpc.door import BACKLOG, Door
from maggy.rpc.messages import Beat, Bye, Fetch, Kept, Log, Message, Notice, Piece, Saved
from maggy.rpc.stream import Peer
from maggy.trial import Answer, Suggestion

DRIVER_BEAT = 30.0  # seconds; executors notice a dead driver by TCP, this is for the silence that TCP does not notice
LOGGER = logging.getLogger("maggy")  # says nothing unless the application has set up logging
LOGGER.addHandler(logging.NullHandler())
STOP_PATIENCE = 3.0  # seconds for the thread to come to its end
RENEWAL = 1.0  # seconds between two signs of life in the store, and between two looks at what others wish
STANDSTILL = 1.5 * RENEWAL  # seconds between two turns after which this process, not the executors, was silent


class Server:
    """Serves one study until it is closed. What the journal raises ends the study: nothing is done unrecorded."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        secret: bytes,
        asker: Asker,
        journal: Journal,
        logs: TrialLogs,
        clock: Clock,
        limit: int = LIMIT,
        depot: Depot | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.error: Exception | None = None
        self.closed = threading.Event()  # the study is over; late joiners are still sent home
        self.left: str | None = None  # where the thread hangs that was left behind
        self.unrecorded = False  # whether the scheduler's study holds what the store never took
        self.secret = secret
        self._asker = asker
        self._journal = journal
        self._logs = logs
        self._clock = clock
        self._depot = depot
        self._roll = Roll(scheduler, self._put, self._received, platform.python_version(), limit=limit)
        self._strangers = Strangers()
        self.strangers = self._strangers.counts
        self._inputs: list[Input] = []
        self._held: list[Action] | None = None  # a turn that is decided and not yet recorded
        self._outage = Outage()
        self._limit = math.inf  # executors
        self._leaving: str | None = None  # an interrupt's reason: then nobody waits for a store that fails
        self._confirm_all = False
        self._awake = clock.now()
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread: threading.Thread | None = None
        self.standstill = Standstill()
        self._listening: socket.socket | None = None

    @property
    def most(self) -> int:
        """The largest number of executors that there were at one time."""
        return self._roll.most

    # -- from the outside, any thread ------------------------------------------------------------------------------

    def start(self, host: str, port: int = 0, tls: ssl.SSLContext | None = None) -> int:
        """Open the study, listen, and return the port. Raises `OSError` where `host` is not this machine."""
        known = {family for family, *_ in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        family = socket.AF_INET if socket.AF_INET in known else socket.AF_INET6
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # where it is "::"
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
        self._listening = listening
        self._loop.call_soon(self._put, self.scheduler.opened)
        self._loop.call_later(DRIVER_BEAT, self._beat)
        self._loop.call_later(RENEWAL, self._renew)
        # All else happens in the thread, because in the caller's own a loop may be running, as in a notebook.
        self._thread = threading.Thread(target=self._serve, args=(listening, tls), name="maggy-driver", daemon=True)
        self._thread.start()
        bound: int = listening.getsockname()[1]
        return bound

    def interrupt(self, reason: str) -> None:
        """End the study at once; what runs will run again when it is resumed."""
        if not self.closed.is_set():
            self._call(self._interrupted, reason)

    def dismissed(self, slot: int, why: str) -> None:
        """Take in that somebody else ends what runs in a slot."""
        if not self.closed.is_set():
            self._call(self._put, lambda now: self.scheduler.dismissed(slot, why, now))

    def limit(self, executors: float) -> None:
        """Take in how many executors the study may have: others go home when they are idle."""
        if executors != self._limit and not self.closed.is_set():
            self._limit = executors
            self._call(self._put, lambda now: self.scheduler.limited(executors, now))

    @property
    def trouble(self) -> str | None:
        """What the user should know of a store that fails; None while it works."""
        return self._outage.trouble

    @property
    def connected(self) -> int:
        """How many executors there is a connection to, whatever has been decided on."""
        return self._roll.connected

    def stop(self) -> None:
        """Stop listening and end the thread, however far it is. One that hangs is left behind; `left` says where."""
        self._asker.close()
        if self._thread is None:
            self._loop.close()
            return
        # Not `loop.stop`: that is lost where it meets the end of something that the loop runs until it is complete.
        self._call(self._stopped.set)
        self._thread.join(STOP_PATIENCE)
        if self._thread.is_alive():
            self.left = f"{self.standstill.why} It is left behind, here:\n{self.standstill.trace}"
            self.unrecorded = True  # its turn may have begun to change the study
            if self._listening is not None:
                with suppress(OSError):  # so that executors are refused, as by a driver that is gone, and leave
                    self._listening.shutdown(socket.SHUT_RDWR)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Have the driver's thread call a function, unless it has come to its end: then nobody waits for that."""
        with suppress(RuntimeError):  # the loop is closed; this is the only way to find out without a race
            self._loop.call_soon_threadsafe(function, *arguments)

    # -- what peers say (see rpc.door.House) ------------------------------------------------------------------------

    def heard(self, peer: Peer, messages: list[Message]) -> None:
        """Take in messages of one connection."""
        self._roll.heard(peer, messages)

    def gone(self, peer: Peer, why: str) -> None:
        """Take in that a connection is."""
        self._roll.gone(peer, why)

    def refused(self, why: str) -> None:
        """Count a stranger, and now and then say so."""
        if told := self._strangers.turned_away(why, self._loop.time()):
            line, guesses = told
            LOGGER.log(logging.WARNING if guesses else logging.INFO, line)

    # -- turns -----------------------------------------------------------------------------------------------------

    def _put(self, given: Input) -> None:
        self._inputs.append(given)
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        try:
            waited = self._held is not None
            actions = self._held = self._decide() if self._held is None else self._held
            self._record(actions)
            self._held = None
            self._turn_due = False
            self._perform(actions)
            if waited:
                self._catch_up()
        except StoreUnavailable as error:
            self._hold(error)
            return
        except BaseException as error:  # noqa: BLE001 - a full disk or a fault of ours ends the study, never hangs it
            self._turn_due = False
            self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._set_timer()

    def _decide(self) -> list[Action]:
        """Let the scheduler decide on all inputs, those that come up meanwhile included."""
        due: list[Action] = []
        now = self._clock.now()
        if now > self._awake + STANDSTILL:  # stopped, this process has not read what executors sent
            due += self.scheduler.away(now - self._awake)
        self._awake = now
        while self._inputs:
            inputs, self._inputs = self._inputs, []
            for given in inputs:
                actions = given(now)
                due += actions
                for action in actions:
                    if isinstance(action, Ask):
                        self._asker.ask(action.number, self.scheduler.study, self._answered)
        return due

    def _record(self, actions: list[Action]) -> None:
        events = [action.event for action in actions if isinstance(action, Record)]
        if self.left is not None:
            raise StudyMoved("this driver has been left behind")
        if events:
            self._journal.commit(events)
            self._outage.over()
            self._asker.recorded(events)

    def _hold(self, error: StoreUnavailable) -> None:
        """Try again later: until then `_turn_due` stays, so that inputs only gather."""
        delay = self._outage.failed(error, self._clock.now())
        if self._leaving is not None:
            self._abandon(self._leaving)
        elif delay is None:
            self._fail(error)
        else:
            self._loop.call_later(delay, self._turn)

    def _catch_up(self) -> None:
        """Go on after a turn was held: what executors said meanwhile is still to be read, so it was no silence."""
        now = self._clock.now()
        self.scheduler.away(now - self._awake)
        self._awake = now
        self._put(lambda _: [])

    def _perform(self, actions: list[Action]) -> None:
        words: dict[str, list[Message]] = {}  # what is for one executor leaves together
        for action in actions:
            match action:
                case Send():
                    words.setdefault(action.executor, []).append(action.message)
                case Drop():
                    words.pop(action.executor, None)
                    self._roll.drop(action.executor, action.why)
        for executor, messages in words.items():
            self._roll.send(executor, *messages)
        if any(isinstance(action, Close) for action in actions):
            self.closed.set()
        if not self._inputs:  # what has come while the turn was held is not durable yet
            self._roll.confirm(at_once=self._confirm_all)
            self._confirm_all = False

    def _received(self, name: str, message: Message, now: float) -> list[Action]:
        if isinstance(message, Log | Kept) and self.scheduler.holds(name, message.trial, message.attempt):
            if isinstance(message, Log):
                self._logs.write(message)
            elif self._depot is not None and self._deposit(self._depot, name, message):
                return self.scheduler.received(name, Beat(), now)
        return self.scheduler.received(name, message, now)

    def _deposit(self, depot: Depot, name: str, message: Kept) -> bool:
        """Do what a trial wants of its checkpoints; return whether that takes its time, on the depot's thread."""
        if isinstance(message, Notice):
            self._logs.write(Log(message.trial, message.attempt, f"[{message.text}]\n"))
            depot.notice(message.text)
            return False
        if isinstance(message, Saved) and not depot.passes(message):
            return False
        go_on = self._roll.hold(name)
        allowed = isinstance(message, Fetch) and self.scheduler.may_have(
            name, message.trial, message.attempt, message.checkpoint
        )

        def given(reply: Reply, now: float) -> list[Action]:
            due: list[Action] = []
            if isinstance(reply, Piece):
                due.append(Send(name, reply))
            elif reply and isinstance(message, Saved):
                due += self.scheduler.received(name, message, now)
            return due + go_on(now)

        def done(reply: Reply) -> None:
            self._call(self._put, partial(given, reply))

        depot.ask(message, done, allowed=allowed)
        return True

    def _answered(self, number: int, answer: Suggestion | Answer | Exception, seen: int) -> None:
        """Take in an optimizer's answer, from whichever thread it comes."""

        def given(now: float) -> list[Action]:
            actions = self.scheduler.suggested(number, answer, seen, now)
            if isinstance(answer, Exception) and self.scheduler.asking.failed is not None:
                self.error = answer
            return actions

        if threading.current_thread() is self._thread:
            self._put(given)
        elif not self.closed.is_set():
            self._call(self._put, given)

    # -- time and the end ------------------------------------------------------------------------------------------

    def _serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.standstill.beat()
        self._loop.run_until_complete(self._let_in(listening, tls))
        self._loop.close()

    async def _let_in(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        door = Door(self, self.secret, listening, self._strangers, tls)
        await door.open()
        await self._stopped.wait()
        await door.close()

    def _set_timer(self) -> None:
        """Call `tick` when the scheduler wants it; an alarm that rings too early only sets the next one."""
        delay = self.scheduler.deadline() - self._clock.now()
        if delay == float("inf"):
            return
        when = self._loop.time() + max(delay, 0)
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self.scheduler.deadline() <= self._clock.now():
            self._put(self.scheduler.tick)
        else:
            self._set_timer()

    def _beat(self) -> None:
        self._roll.beat()
        self._loop.call_later(DRIVER_BEAT, self._beat)

    def _renew(self) -> None:
        self.standstill.beat()
        self._put(lambda _: [])  # a turn at least every RENEWAL: a longer pause means that this process stood still
        self._confirm_all = True  # at the end of that turn: what has not been decided on is not durable
        wishes: list[str] = []
        try:
            if self._held is None:
                wishes = self._journal.renew(self._clock.now())
                self._outage.over()
        except StoreUnavailable as error:
            if self._outage.failed(error, self._clock.now()) is None:
                self._fail(error)
                return
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            self._fail(error)
            return
        if self._depot is not None:
            self._depot.mind()
        self._roll.vouch()
        for wish in wishes:
            if wish == "stop":
                self._put(lambda now: self.scheduler.interrupted("stopped by another process", now))
            elif wish in ("pause", "resume"):
                self._put(partial(self.scheduler.pause, wish == "pause"))
        if not self.closed.is_set():
            self._loop.call_later(RENEWAL, self._renew)

    def _fail(self, error: Exception) -> None:
        """Keep the error for the caller, and end: what cannot be recorded must not be done."""
        self.error = self.error or error
        self._abandon(f"the driver failed: {error}")

    def _interrupted(self, reason: str) -> None:
        self._leaving = reason
        self._put(lambda now: self.scheduler.interrupted(reason, now))
        if self._held is not None:
            self._turn()  # the last attempt

    def _abandon(self, reason: str) -> None:
        """Send everybody home without a word in the log, which ends at the last turn that the store took."""
        self.unrecorded = True
        self._held = None
        self._inputs.clear()
        self._turn_due = False
        try:
            self.scheduler.interrupted(reason, self._clock.now())
            self._roll.tell_all(Bye(reason[:LONGEST_REASON]))
        finally:  # an index of somebody's optimizer may raise again
            self.closed.set()
