"""The driver's door: accepts connections, and lets no crowd of strangers keep the executors out.

A connection is a *stranger* until an executor has introduced itself over it. Rules:

1. A connection costs a socket and nothing else until it has knocked: without TLS, until it has sent a hello that only
   who knows the secret can make; with TLS, until it has begun to speak TLS.
2. Who has knocked has its turn as soon as the gate allows it; where many wait, their addresses take turns, so that a
   crowd from one holds nobody up who comes from another. Who has knocked wrongly is told nothing, and left waiting for
   a second: so guessing is slow, and costs the driver no time.
3. A stranger has `HANDSHAKE_SECONDS` from being accepted to its introduction, however its bytes trickle.
4. There are `MOST` strangers at a time. For one more, one is turned away: who has knocked wrongly; else who has been
   silent the longest; else who has been at its handshake the longest; but nobody who has only just come. So a crowd
   that is merely there keeps nobody out. Where there is no such one, the new one is turned away if the gate is shut;
   otherwise these are ours, all at once, and the next have to wait outside.
5. Whatever strangers do is no news: it is counted, and nothing is raised or printed.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from maggy.errors import ProtocolError
from maggy.rpc.connection import HANDSHAKE_SECONDS, HELLO, check_hello
from maggy.rpc.messages import Message
from maggy.rpc.stream import Peer

MOST = 256
MOST_BEGUN = 64  # of them in their handshake: with TLS each of those takes half a megabyte
JUST_COME = 0.05  # seconds in which nobody is turned away for being silent
UNDISTURBED = 0.7  # seconds that a handshake may take while others wait for their turn
REGRET = 1.0  # seconds that who knocks wrongly is left waiting
AT_ONCE = 64  # connections accepted in one go: executors are heard in between
BEGUN_AT_ONCE = 16  # handshakes begun in one go, as with TLS each takes a millisecond or two
BETWEEN = 0.01  # seconds until the next ones
MOST_KNOCKS = 65_536  # hellos that are remembered, so that no recorded one is good for anything
BACKLOG = 4096  # connections that the system keeps for us: what it drops comes again only after a second
PAUSE = 0.2  # seconds until the next try where the process has no file descriptor left
CROWDED = 0.02  # and where there is no room for another stranger
LOOK = 0.5  # seconds between two looks at who is too slow
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
TLS_RECORD = b"\x16"  # how a ClientHello begins


class House(Protocol):
    """Whoever is behind the door."""

    def heard(self, peer: Peer, messages: list[Message]) -> None:
        """Take in messages, in order, of one that knows the secret; `peer.executor` is set once it has a name."""

    def gone(self, peer: Peer, why: str) -> None:
        """Take in that one that knew the secret is gone."""

    def refused(self, why: str) -> None:
        """Take in that a stranger was turned away."""


class Gate(Protocol):
    """Whoever says how fast strangers may try; see `maggy.driver.strangers`."""

    def wait(self, now: float) -> float:
        """Return how many seconds the next handshake has to wait."""

    def begun(self, now: float) -> None:
        """Take in that a handshake has begun."""

    def passed(self) -> None:
        """Take in that it was one of ours."""


@dataclass(slots=True)
class Caller:
    """A connection that has not begun its handshake: from where and when it came, and what it has said."""

    address: str
    came: float
    said: bytes = b""


@dataclass(slots=True)
class Handshake:
    """A handshake that goes on since `began`, over a connection that `came` before."""

    came: float
    began: float
    task: asyncio.Task[None]


class Door:
    """Accepts connections on `listening`, a socket that listens, for as long as it is open."""

    def __init__(
        self, house: House, secret: bytes, listening: socket.socket, gate: Gate, tls: ssl.SSLContext | None = None
    ) -> None:
        self._house = house
        self._secret = secret
        self._listening = listening
        self._gate = gate
        self._tls = tls
        # In each of these the one that came first stands first.
        self._silent: dict[socket.socket, Caller] = {}
        self._sorry: dict[socket.socket, float] = {}  # who has knocked wrongly, and when
        self._waiting: dict[str, deque[tuple[socket.socket, Caller]]] = {}  # by address; whose turn is next is first
        self._begun: dict[Peer, Handshake] = {}
        self._knocks: dict[bytes, None] = {}
        self._peers: set[Peer] = set()  # all connections that have begun their handshake, executors' too
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    @property
    def strangers(self) -> int:
        """How many connections are nobody's yet."""
        return len(self._silent) + len(self._sorry) + sum(map(len, self._waiting.values())) + len(self._begun)

    async def open(self) -> None:
        """Let connections in."""
        self._loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._accept)

    async def close(self) -> None:
        """Close the door and all connections, after what is due has been sent, as far as there is room for it."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        for plain in self._silent:
            self._loop.remove_reader(plain)
        waiting = (plain for queue in self._waiting.values() for plain, _ in queue)
        for plain in (*self._silent, *self._sorry, *waiting):
            plain.close()
        await asyncio.sleep(0)  # a handshake that has only just begun takes its socket over in its first step
        beginnings = [handshake.task for handshake in self._begun.values()]
        for task in beginnings:
            task.cancel()
        await asyncio.gather(*beginnings, return_exceptions=True)
        for peer in list(self._peers):
            peer.close()
        await asyncio.sleep(0)
        for peer in list(self._peers):
            peer.drop("the driver has ended")  # with TLS a peer that is closed would answer first
        await asyncio.sleep(0)

    # -- accepting -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                plain, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    continue  # that one connection has gone again
                self._house.refused("no descriptors left for it")
                self._make_room(self._loop.time())
                self._pause(PAUSE)
                return
            now = self._loop.time()
            plain.setblocking(False)
            with suppress(OSError):  # it has gone again
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._silent[plain] = Caller(address[0], now)
            self._loop.add_reader(plain, self._spoke, plain)
            if self._looking is None:
                self._looking = self._loop.call_later(LOOK, self._look)
            if self.strangers > MOST and not self._make_room(now):
                if self._gate.wait(now) > 0:
                    self._turn_away(plain, "too many at once")
                self._pause(CROWDED)
                return

    def _pause(self, seconds: float) -> None:
        """Accept nothing for a moment: the system would report the same connection again and again."""
        self._loop.remove_reader(self._listening)
        self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def _make_room(self, now: float) -> bool:
        """Turn one away who is not likely to be ours, if there is one."""
        if self._sorry and self._sorry[plain := next(iter(self._sorry))] <= now - JUST_COME:
            self._dismiss(plain)
        elif self._silent and self._silent[plain := next(iter(self._silent))].came <= now - JUST_COME:
            self._turn_away(plain, "too many at once")
        elif self._begun and self._begun[peer := next(iter(self._begun))].began <= now - UNDISTURBED:
            self._give_up(peer, "too many at once")
        else:
            return False
        return True

    # -- strangers -------------------------------------------------------------------------------------------------

    def _spoke(self, plain: socket.socket) -> None:
        """Take in what a connection says first."""
        caller = self._silent[plain]
        try:
            # What TLS has to read is left where it is.
            data = plain.recv(1, socket.MSG_PEEK) if self._tls else plain.recv(HELLO - len(caller.said))
            if not data:
                self._turn_away(plain, "it closed the connection")
                return
            caller.said += data
            if not self._knocked(caller.said):
                return
        except BlockingIOError:
            return
        except OSError:
            self._turn_away(plain, "it closed the connection")
            return
        except ProtocolError as offence:
            self._house.refused(str(offence))
            self._sorry[self._forgotten(plain)] = self._loop.time()
            return
        self._waiting.setdefault(caller.address, deque()).append((self._forgotten(plain), caller))
        if self._timer is None:
            self._begin_next()

    def _knocked(self, said: bytes) -> bool:
        if self._tls is None:
            if not check_hello(self._secret, said):
                return False
            if said in self._knocks:
                raise ProtocolError("the peer repeats a hello, and may not know this study's secret")
            self._knocks[said] = None
            if len(self._knocks) > MOST_KNOCKS:
                del self._knocks[next(iter(self._knocks))]
        elif said != TLS_RECORD:
            raise ProtocolError("the peer does not speak TLS")
        return True

    def _begin_next(self) -> None:
        """Begin handshakes, as far as the gate and the others' handshakes allow."""
        self._timer = None
        for _ in range(BEGUN_AT_ONCE):
            if not self._waiting:
                return
            now = self._loop.time()
            delay = self._gate.wait(now)
            if len(self._begun) >= MOST_BEGUN:
                longest = next(iter(self._begun))
                delay = max(delay, self._begun[longest].began + UNDISTURBED - now)
                if delay <= 0:
                    self._give_up(longest, "too many at once")
            if delay > 0:
                # Others may be through sooner than that.
                self._timer = self._loop.call_later(min(delay, BETWEEN), self._begin_next)
                return
            self._gate.begun(now)
            plain, caller = self._next()
            peer = Peer(self, self._secret, b"" if self._tls else caller.said)
            self._peers.add(peer)
            self._begun[peer] = Handshake(caller.came, now, self._loop.create_task(self._begin(peer, plain)))
        self._timer = self._loop.call_later(BETWEEN, self._begin_next)

    def _next(self) -> tuple[socket.socket, Caller]:
        """Take the one out of the queue that has waited longest at the address whose turn it is."""
        address = next(iter(self._waiting))
        queue = self._waiting.pop(address)
        found = queue.popleft()
        if queue:
            self._waiting[address] = queue  # behind the others
        return found

    async def _begin(self, peer: Peer, plain: socket.socket) -> None:
        patience = 2 * HANDSHAKE_SECONDS if self._tls else None  # we look after it ourselves
        try:
            await self._loop.connect_accepted_socket(lambda: peer, plain, ssl=self._tls, ssl_handshake_timeout=patience)
        except OSError:
            self._forget(peer)
            self._house.refused("its TLS handshake failed")

    def _look(self) -> None:
        """Turn away who is too slow."""
        self._looking = None
        now = self._loop.time()
        for plain in [plain for plain, came in self._sorry.items() if came + REGRET <= now]:
            self._dismiss(plain)
        for plain in [plain for plain, caller in self._silent.items() if caller.came + HANDSHAKE_SECONDS <= now]:
            self._turn_away(plain, "it said nothing in time")
        for peer in [peer for peer, handshake in self._begun.items() if handshake.came + HANDSHAKE_SECONDS <= now]:
            self._give_up(peer, "it has not introduced itself in time")
        if self.strangers:
            self._looking = self._loop.call_later(LOOK, self._look)

    def _turn_away(self, plain: socket.socket, why: str) -> None:
        self._forgotten(plain).close()
        self._house.refused(why)

    def _dismiss(self, plain: socket.socket) -> None:
        del self._sorry[plain]
        plain.close()

    def _forgotten(self, plain: socket.socket) -> socket.socket:
        del self._silent[plain]
        self._loop.remove_reader(plain)
        return plain

    def _give_up(self, peer: Peer, why: str) -> None:
        handshake = self._begun.pop(peer)
        if peer.connected:
            peer.drop(why)
        else:
            handshake.task.cancel()  # in the middle of TLS
            self._forget(peer)
            self._house.refused(why)

    def _forget(self, peer: Peer) -> None:
        self._begun.pop(peer, None)
        self._peers.discard(peer)

    # -- what peers say --------------------------------------------------------------------------------------------

    def heard(self, peer: Peer, messages: list[Message]) -> None:
        """Pass on what a peer says; with its introduction it is a stranger no more."""
        self._house.heard(peer, messages)
        if peer.executor is not None and self._begun.pop(peer, None) is not None:
            self._gate.passed()

    def gone(self, peer: Peer, why: str) -> None:
        """Pass on that a peer is gone, or that a stranger was turned away."""
        self._forget(peer)
        if peer.authenticated:
            self._house.gone(peer, why)
        else:
            self._house.refused(why)
