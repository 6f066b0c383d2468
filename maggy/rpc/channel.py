"""A conversation that outlives its connections: nothing said is lost, nothing counted twice.

Each side counts the messages that it was sent, keeps those of its own that are not yet confirmed, and, on a new
connection, says how many it has; the other side goes on from there. Messages that only manage the connection itself
(`CONTROL`) are not counted. It opens no socket and reads no clock.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from maggy.errors import ProtocolError, amount
from maggy.rpc.messages import Ack, Beat, Chunk, Fenced, Join, Message, Rejoin, Resumed, encode

CONTROL = (Join, Rejoin, Resumed, Fenced, Ack, Beat)
CONFIRM_EVERY = 64


class Channel:
    """One side of a conversation."""

    def __init__(self) -> None:
        self.received = 0
        self.held = 0  # bytes that are kept
        self._confirmed = 0  # of the peer's messages, as we have told it
        self._first = 0  # messages before the first that is kept
        self._kept: deque[bytes] = deque()
        self._heavy = False

    def send(self, message: Message) -> bytes:
        """Keep the message until it is confirmed, and return its frame."""
        frame = encode(message)
        if not isinstance(message, CONTROL):
            self._kept.append(frame)
            self.held += len(frame)
        return frame

    def came(self, message: Message) -> bool:
        """Count a message of the peer's; return whether it is one for us, not for the connection."""
        if isinstance(message, CONTROL):
            if isinstance(message, Ack):
                self.confirm(message.received)
            return False
        self.received += 1
        self._heavy = self._heavy or isinstance(message, Chunk)  # 64 of them would be more than the peer may keep
        return True

    def confirm(self, received: int) -> None:
        """Forget what the peer says it has. Raises `ProtocolError` if it cannot have so much."""
        if received > self._first + len(self._kept):
            raise ProtocolError(f"the peer confirms {amount(received, 'message')} of {self._first + len(self._kept)}")
        while self._first < received:
            self._first += 1
            self.held -= len(self._kept.popleft())

    def since(self, received: int) -> bytes:
        """Return the frames that a peer which has so many lacks. Raises `ProtocolError` if some are gone."""
        if received < self._first:
            raise ProtocolError(f"the peer has {amount(received, 'message')} and confirmed {self._first} before")
        if received > self._first + len(self._kept):
            raise ProtocolError(f"the peer has {amount(received, 'message')} of {self._first + len(self._kept)}")
        # They are kept until they are confirmed: what has only been heard may be lost with the peer.
        return b"".join(islice(self._kept, received - self._first, None))

    def confirmation(self, *, at_once: bool = False, but: int = 0) -> Ack | None:
        """Return the confirmation that is due to the peer, if one is: every so many messages, or at once if any is.

        The last `but` messages are not confirmed yet.
        """
        settled = self.received - but
        due = settled - self._confirmed
        if not due or (due < CONFIRM_EVERY and not at_once and not self._heavy):
            return None
        self._confirmed = settled
        self._heavy = self._heavy and but > 0
        return Ack(settled)
