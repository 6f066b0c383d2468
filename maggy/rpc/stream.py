"""The one place where the protocol meets asyncio: a connection on a socket of the driver's."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import Protocol, cast

from maggy.errors import ProtocolError
from maggy.rpc.connection import HANDSHAKE_SECONDS, Connection
from maggy.rpc.messages import Message

MAX_BACKLOG = 1024 * 1024  # bytes that wait for one executor: a peer that reads so slowly is dropped


class Hub(Protocol):
    """Whoever takes in what peers say."""

    def heard(self, peer: Peer, messages: list[Message]) -> None:
        """Take in messages, in order."""

    def gone(self, peer: Peer, why: str) -> None:
        """Take in that the peer is gone; called once, for authenticated peers only."""

    def refused(self, why: str) -> None:
        """Take in that a stranger was turned away."""


class Peer(asyncio.Protocol):
    """One executor's connection, seen from the driver."""

    def __init__(self, hub: Hub, secret: bytes) -> None:
        self.executor: str | None = None  # its name, once it has joined
        self.offended = False  # whether it was dropped for what it sent
        self._hub = hub
        self._connection = Connection("driver", secret, secrets.token_bytes(32))
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._why = "the executor closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock for the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MAX_BACKLOG)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_SECONDS, self.drop, "no handshake in time")

    def data_received(self, data: bytes) -> None:
        """Hand the messages that are complete to the hub; drop a peer that offends against the protocol."""
        try:
            messages = self._connection.receive(data)
            self._write()
            if self._timer is not None and self._connection.authenticated:
                self._timer.cancel()
                self._timer = None
            if messages:
                self._hub.heard(self, messages)
        except ProtocolError as offence:
            self.offended = True
            self.drop(str(offence))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the hub: the peer is gone, or a stranger has given up."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connection.authenticated:
            self._hub.gone(self, f"the connection broke: {exc}" if exc else self._why)
        else:
            self._hub.refused(self._why)

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
