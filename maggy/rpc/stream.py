"""Where the protocol meets asyncio: a connection on a socket of the driver's."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol, cast

from maggy.errors import ProtocolError
from maggy.rpc.connection import NONCE, Connection
from maggy.rpc.messages import Message

MAX_BACKLOG = 1024 * 1024  # bytes that wait for one executor: a peer that reads so slowly is dropped


class Hub(Protocol):
    """Whoever takes in what peers say."""

    def heard(self, peer: Peer, messages: list[Message]) -> None:
        """Take in messages, in order; none where a part of one has come."""

    def gone(self, peer: Peer, why: str) -> None:
        """Take in that the peer is gone; called once."""


class Peer(asyncio.Protocol):
    """One executor's connection, seen from the driver. `first` are bytes that have come already."""

    def __init__(self, hub: Hub, secret: bytes, first: bytes = b"") -> None:
        self.executor: str | None = None  # its name, once it has joined
        self.offended = False  # whether it was dropped for what it sent
        self.fresh = 0  # bytes that have come with what the hub is just told
        self._hub = hub
        self._first = first
        self._connection = Connection("driver", secret, secrets.token_bytes(NONCE))
        self._transport: asyncio.Transport | None = None
        self._why = "it closed the connection"

    @property
    def authenticated(self) -> bool:
        """Whether the peer knows the secret."""
        return self._connection.authenticated

    @property
    def connected(self) -> bool:
        """Whether there has been a connection: with TLS, its handshake comes before."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_BACKLOG)
        if self._first:
            self.data_received(self._first)

    def data_received(self, data: bytes) -> None:
        """Hand the messages that are complete to the hub; drop a peer that offends against the protocol."""
        self.fresh = len(data)
        try:
            messages = self._connection.receive(data)
            self._write()
            if messages or self.executor:
                self._hub.heard(self, messages)
        except ProtocolError as offence:
            self.offended = True
            self.drop(str(offence))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the hub."""
        self._hub.gone(self, f"the connection broke: {exc}" if exc else self._why)

    def pause_writing(self) -> None:
        """Drop a peer that does not read what it is sent."""
        self.drop("the executor does not read what it is sent")

    def send(self, message: Message) -> None:
        """Send a message; to a peer that is going nothing is sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._connection.send(message)
            self._write()

    def forward(self, frames: bytes) -> None:
        """Send messages that are encoded already."""
        if frames and self._transport is not None and not self._transport.is_closing():
            self._connection.forward(frames)
            self._write()

    def listen(self, *, on: bool) -> None:
        """Read what comes; or leave it with the network, so that in the end the peer has to wait."""
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    def close(self) -> None:
        """Close the connection after what is due has been sent."""
        if self._transport is not None:
            self._transport.close()

    def drop(self, why: str) -> None:
        """Cut the connection at once."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        data = self._connection.outgoing()
        if data and self._transport is not None:
            self._transport.write(data)
