"""The executor's line to the driver, as a value machine: what is said over it, again if need be, and when to give up.

A line outlives its connections. What is told while there is none is kept, and follows when the driver has said how
much it has had before. It opens no socket and reads no clock.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import replace

from maggy.executor.session import ORPHAN_SECONDS
from maggy.rpc.channel import Channel
from maggy.rpc.connection import HANDSHAKE_SECONDS, Connection
from maggy.rpc.messages import Beat, Fenced, Join, Message, Rejoin, Resumed

RETRY_SECONDS = 0.2
REFUSED_SECONDS = 3.0  # of refused connections after which the driver is gone
AWAY_SECONDS = 30.0  # of connections that are closed before our driver has answered
EAGER_SECONDS = 30.0  # after a break in which to try again and again, since the driver may still be waiting
EAGER_PATIENCE = 0.5  # seconds for each of these tries: packets are lost, and TCP waits ever longer to send others
FENCED = "fenced"


class Link:
    """One executor's line. `retry_at` is when to connect next, `left` why to do so no more."""

    def __init__(self, join: Join, secret: bytes) -> None:
        self.left: str | None = None
        self.retry_at = -math.inf
        self._join = join
        self._secret = secret
        self._channel = Channel()
        self._connection: Connection | None = None
        self._in_step = False  # whether both sides know what the other has, so that new words may follow
        self._broke_at: float | None = None

    @property
    def held(self) -> int:
        """Bytes that the driver has not confirmed."""
        return self._channel.held

    def patience(self, now: float) -> float:
        """Return how many seconds to wait for a connection."""
        eager = self._broke_at is not None and now < self._broke_at + EAGER_SECONDS
        return EAGER_PATIENCE if eager else HANDSHAKE_SECONDS

    def connected(self, nonce: bytes) -> None:
        """Take in that there is a connection; `nonce` is 32 fresh random bytes."""
        self.retry_at = math.inf
        self._connection = Connection("executor", self._secret, nonce)
        self._in_step = self._broke_at is None
        if self._in_step:
            # Known to us and the driver alone, so that no other executor can come back in our place.
            token = hmac.new(self._secret, b"token" + nonce, hashlib.sha256).hexdigest()
            self._join = replace(self._join, token=token)
            self._connection.send(self._join)
        else:
            self._connection.send(Rejoin(self._join.executor, self._channel.received, self._join.token))

    def failed(self, why: str, now: float, *, refused: bool) -> None:
        """Take in that no connection could be made.

        The driver is gone at once if it never was there, soon if it refuses, late if nothing answers.
        """
        patience = REFUSED_SECONDS if refused else ORPHAN_SECONDS
        if self._broke_at is None or now >= self._broke_at + patience:
            self.left = why
        self.retry_at = now + RETRY_SECONDS

    def broke(self, why: str, now: float, *, closed: bool = False, stranger: bool = False) -> None:
        """Take in that the connection is broken: another is tried for at once, and if that breaks as well, soon.

        `closed`: by whoever is there. If our driver has never answered on it, this was somebody else, or a relay that
        cannot reach the driver. `stranger`: it certainly was somebody else, so the driver is gone.
        """
        answered = self._connection is not None and self._connection.authenticated
        patience = REFUSED_SECONDS if stranger else AWAY_SECONDS if closed and not answered else ORPHAN_SECONDS
        self._connection = None
        self._in_step = False
        if self._broke_at is None:
            self._broke_at = self.retry_at = now
        else:
            self.retry_at = now + RETRY_SECONDS
        if not self._channel.received or now >= self._broke_at + patience:
            self.left = why  # not even welcomed, or never again: somebody else's port, or the end of the study

    def received(self, data: bytes) -> list[Message]:
        """Take in bytes and return what the driver says with them. Raises `ProtocolError`."""
        found: list[Message] = []
        for message in self._connection.receive(data) if self._connection else ():
            match message:
                case Resumed():
                    self._broke_at = None
                    self._in_step = True
                    self._forward(self._channel.since(message.received))
                case Fenced():
                    self.left = FENCED
                case _ if self._channel.came(message) or isinstance(message, Beat):
                    found.append(message)
        self._confirm(at_once=False)
        return found

    def tell(self, message: Message) -> None:
        """Send a message, or keep it until the driver can be told."""
        frame = self._channel.send(message)
        if self._in_step:
            self._forward(frame)
            if isinstance(message, Beat):
                self._confirm(at_once=True)

    def outgoing(self) -> bytes:
        """Take the bytes that are due to the driver."""
        return self._connection.outgoing() if self._connection else b""

    def _confirm(self, *, at_once: bool) -> None:
        if self._connection and self._in_step and (confirmation := self._channel.confirmation(at_once=at_once)):
            self._connection.send(confirmation)

    def _forward(self, frames: bytes) -> None:
        if self._connection:
            self._connection.forward(frames)
