"""The driver's door: accepts connections, and lets no crowd of strangers keep the executors out.

A connection is a *stranger* until an executor has introduced itself over it. Rules:

1. A stranger has `HANDSHAKE_SECONDS` from being accepted to its introduction, however its bytes trickle.
2. There are `MOST` strangers at a time. For one more, the one that has said nothing for the longest is turned away; if
   all have spoken, the one whose handshake has lasted longest; if all wait for their turn, the new one. So a crowd that
   is merely there keeps nobody out.
3. A connection costs a socket and nothing else until it says something. How soon its handshake begins then is the
   gate's to say.
4. Whatever strangers do is no news: it is counted, and nothing is raised or printed.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import Protocol

from maggy.rpc.connection import HANDSHAKE_SECONDS
from maggy.rpc.messages import Message
from maggy.rpc.stream import Peer

MOST = 256
AT_ONCE = 64  # connections accepted in one go: executors are heard in between
BACKLOG = 1024
PAUSE = 0.2  # seconds until the next try where the process has no file descriptor left
LOOK = 0.5  # seconds between two looks at who is too slow
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


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
        self._silent: dict[socket.socket, float] = {}  # and when it is too late for them; the oldest first, as below
        self._waiting: deque[tuple[socket.socket, float]] = deque()
        self._begun: dict[Peer, float] = {}
        self._peers: dict[Peer, asyncio.Task[None]] = {}  # all with a handshake begun, executors too, and what began it
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    @property
    def strangers(self) -> int:
        """How many connections are nobody's yet."""
        return len(self._silent) + len(self._waiting) + len(self._begun)

    async def open(self) -> None:
        """Let connections in."""
        self._loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        self._listening.listen(BACKLOG)
        self._loop.add_reader(self._listening, self._accept)

    async def close(self) -> None:
        """Close the door and all connections, after what is due has been sent."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for timer in (self._timer, self._looking):
            if timer is not None:
                timer.cancel()
        for plain in list(self._silent):
            self._shut(plain)
        while self._waiting:
            self._waiting.popleft()[0].close()
        beginnings = [task for task in self._peers.values() if not task.done()]
        for task in beginnings:
            task.cancel()
        await asyncio.gather(*beginnings, return_exceptions=True)
        for peer in list(self._peers):
            peer.close()
        await asyncio.sleep(0)

    # -- accepting -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                plain, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    continue  # that one connection has gone again
                self._house.refused("no descriptors left for it")
                at_once = bool(self._silent)
                if not (self._make_room() and at_once):  # a handshake's socket is closed a little later
                    self._pause()
                    return
                continue
            if self.strangers >= MOST and not self._make_room():
                plain.close()
                self._house.refused("too many at once")
                continue
            plain.setblocking(False)
            with suppress(OSError):  # it has gone again
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._silent[plain] = self._loop.time() + HANDSHAKE_SECONDS
            self._loop.add_reader(plain, self._spoke, plain)
            if self._looking is None:
                self._looking = self._loop.call_later(LOOK, self._look)

    def _pause(self) -> None:
        """Accept nothing for a moment: the system would report the same connection again and again."""
        self._loop.remove_reader(self._listening)
        self._loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def _make_room(self) -> bool:
        if self._silent:
            self._turn_away(next(iter(self._silent)), "too many at once")
        elif self._begun:
            self._give_up(next(iter(self._begun)), "too many at once")
        else:
            return False
        return True

    # -- strangers -------------------------------------------------------------------------------------------------

    def _spoke(self, plain: socket.socket) -> None:
        """Begin the handshake of a connection that has something to say, or let it wait for its turn."""
        try:
            gone = not plain.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._turn_away(plain, "it closed the connection")
            return
        self._loop.remove_reader(plain)
        self._waiting.append((plain, self._silent.pop(plain)))
        if self._timer is None:
            self._begin_next()

    def _begin_next(self) -> None:
        self._timer = None
        while self._waiting:
            now = self._loop.time()
            if (delay := self._gate.wait(now)) > 0:
                self._timer = self._loop.call_later(delay, self._begin_next)
                return
            self._gate.begun(now)
            plain, until = self._waiting.popleft()
            peer = Peer(self, self._secret)
            self._begun[peer] = until
            self._peers[peer] = self._loop.create_task(self._begin(peer, plain))

    async def _begin(self, peer: Peer, plain: socket.socket) -> None:
        patience = HANDSHAKE_SECONDS if self._tls else None
        try:
            await self._loop.connect_accepted_socket(lambda: peer, plain, ssl=self._tls, ssl_handshake_timeout=patience)
        except OSError:
            self._forget(peer)
            plain.close()
            self._house.refused("its TLS handshake failed")

    def _look(self) -> None:
        """Turn away who is too slow."""
        self._looking = None
        now = self._loop.time()
        for plain in [plain for plain, until in self._silent.items() if until <= now]:
            self._turn_away(plain, "it said nothing in time")
        for peer in [peer for peer, until in self._begun.items() if until <= now]:
            self._give_up(peer, "it has not introduced itself in time")
        if self.strangers:
            self._looking = self._loop.call_later(LOOK, self._look)

    def _turn_away(self, plain: socket.socket, why: str) -> None:
        self._shut(plain)
        self._house.refused(why)

    def _shut(self, plain: socket.socket) -> None:
        del self._silent[plain]
        self._loop.remove_reader(plain)
        plain.close()

    def _give_up(self, peer: Peer, why: str) -> None:
        del self._begun[peer]
        if peer.connected:
            peer.drop(why)
        else:
            self._peers.pop(peer).cancel()
            self._house.refused(why)

    def _forget(self, peer: Peer) -> None:
        self._begun.pop(peer, None)
        self._peers.pop(peer, None)

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
