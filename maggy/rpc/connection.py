"""The protocol as a value machine: bytes in, messages and bytes out. It opens no socket and reads no clock.

Rules, in this order:

1. *Authenticate, then parse.* The executor opens with a nonce and a knock; the driver answers with its own nonce and a
   proof that it knows the study's secret; the executor answers with its proof. A proof is HMAC-SHA256 over the
   prover's role and both nonces, so neither replaying nor reflecting one helps. The knock is one over the first nonce
   alone: whoever has not heard one is told nothing, and costs next to nothing. Until the proofs hold, a frame has at
   most 64 bytes and nothing in it is decoded.
2. A frame's length is checked as soon as it is known; what is over the limit is not waited for.
3. After the first offence the connection is dead: every later `receive` raises the same `ProtocolError`.

::

    executor                                driver
      MAGIC + nonce + knock  ───────────▶
                     ◀───────────────────  nonce + proof("driver")
      proof("executor") ────────────────▶
      messages  ◀──────────────────────▶  messages
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

from maggy.errors import ProtocolError
from maggy.rpc.frames import HEADER, Frames, framed
from maggy.rpc.messages import FROM_DRIVER, FROM_EXECUTOR, MAX_FRAME, Message, check_structure, decode, encode

Role = Literal["driver", "executor"]
MAGIC = b"maggy/1\n"
NONCE = 32
KNOCK = 24
MAX_HANDSHAKE_FRAME = 64
HANDSHAKE_SECONDS = 5.0
OPENING = (len(MAGIC) + NONCE + KNOCK).to_bytes(HEADER, "big") + MAGIC
HELLO = len(OPENING) + NONCE + KNOCK


def hello(secret: bytes, nonce: bytes) -> bytes:
    """Return the frame with which an executor opens."""
    knock = hmac.new(secret, MAGIC + b"knock" + nonce, hashlib.sha256).digest()[:KNOCK]
    return OPENING + nonce + knock


def check_hello(secret: bytes, data: bytes) -> bool:
    """Tell whether a peer's first bytes are a hello, False while they are only a part of one.

    Raises `ProtocolError` as soon as they cannot become one.
    """
    if data[: len(OPENING)] != OPENING[: len(data)]:
        raise ProtocolError("the peer does not speak this version of the protocol")
    if len(data) < HELLO:
        return False
    if not hmac.compare_digest(data[:HELLO], hello(secret, data[len(OPENING) : len(OPENING) + NONCE])):
        raise ProtocolError("the peer does not know this study's secret")
    return True


class Connection:
    """One end of a connection.

    `nonce` is 32 fresh random bytes, handed in so that the machine stays deterministic. After `receive` and `send`,
    write what `outgoing` returns to the peer.
    """

    def __init__(self, role: Role, secret: bytes, nonce: bytes) -> None:
        self.authenticated = False
        self._role = role
        self._accepts = FROM_EXECUTOR if role == "driver" else FROM_DRIVER
        self._secret = secret
        self._nonce = nonce
        self._peer_nonce = b""
        self._frames = Frames(MAX_HANDSHAKE_FRAME)
        self._out: list[bytes] = []
        self._held: list[bytes] = []  # messages sent before the handshake is through
        self._offence: ProtocolError | None = None
        if role == "executor":
            self._out.append(hello(secret, nonce))

    def __repr__(self) -> str:  # the secret must not be in it
        return f"<Connection {self._role} {'open' if self.authenticated else 'in handshake'}>"

    def send(self, message: Message) -> None:
        """Queue a message; before the handshake is through it is held back."""
        self.forward(encode(message))

    def forward(self, frames: bytes) -> None:
        """Queue messages that are encoded already."""
        (self._out if self.authenticated else self._held).append(frames)

    def outgoing(self) -> bytes:
        """Take the bytes that are due to the peer."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> list[Message]:
        """Take bytes from the peer and return the messages that they complete.

        Raises `ProtocolError` for a peer that must be dropped.
        """
        if self._offence:
            raise self._offence
        try:
            return self._receive(data)
        except ProtocolError as offence:
            self._offence = offence
            self._frames = Frames(0)
            raise

    def _receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        self._frames.add(data)
        for payload in self._frames.complete():
            if self.authenticated:
                messages.append(self._message(payload))
            else:
                self._handshake(payload)
        return messages

    def _message(self, payload: bytes) -> Message:
        if self._role == "driver":
            check_structure(payload)  # one executor's frame must not hold up the others'
        message = decode(payload)
        if not isinstance(message, self._accepts):
            raise ProtocolError(f"{type(message).__name__} does not come from this side")
        return message

    def _handshake(self, payload: bytes) -> None:
        if self._role == "executor":
            self._check(payload[NONCE:], "driver", self._nonce, payload[:NONCE])
            self._frame(self._proof("executor", self._nonce, payload[:NONCE]))
            self._open()
        elif not self._peer_nonce:
            if len(payload) != HELLO - HEADER or not check_hello(self._secret, framed(payload)):
                raise ProtocolError("the peer does not speak this version of the protocol")
            self._peer_nonce = payload[len(MAGIC) : len(MAGIC) + NONCE]
            self._frame(self._nonce + self._proof("driver", self._peer_nonce, self._nonce))
        else:
            self._check(payload, "executor", self._peer_nonce, self._nonce)
            self._open()

    def _open(self) -> None:
        self.authenticated = True
        self._frames.limit = MAX_FRAME
        self._out += self._held
        self._held.clear()

    def _proof(self, prover: Role, executor_nonce: bytes, driver_nonce: bytes) -> bytes:
        text = MAGIC + prover.encode() + executor_nonce + driver_nonce
        return hmac.new(self._secret, text, hashlib.sha256).digest()

    def _check(self, proof: bytes, prover: Role, executor_nonce: bytes, driver_nonce: bytes) -> None:
        if not hmac.compare_digest(proof, self._proof(prover, executor_nonce, driver_nonce)):
            raise ProtocolError("the peer does not know this study's secret")

    def _frame(self, payload: bytes) -> None:
        self._out.append(framed(payload))
