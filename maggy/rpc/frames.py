"""Frames: a 4-byte big-endian length and that many bytes. On the socket, and on the pipes to the trial's process."""

from __future__ import annotations

from collections.abc import Iterator

from maggy.errors import ProtocolError

HEADER = 4


def framed(payload: bytes) -> bytes:
    """Return the payload as a frame."""
    return len(payload).to_bytes(HEADER, "big") + payload


class Frames:
    """Takes bytes as they come and gives the payloads that they complete.

    A frame's length is judged as soon as it is known, by a limit that may change from frame to frame.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Take bytes in."""
        self._data += data

    def complete(self) -> Iterator[bytes]:
        """Yield the payloads that are complete. Raises `ProtocolError` for an empty frame or one over the limit."""
        start = 0
        try:
            while len(self._data) - start >= HEADER:
                length = int.from_bytes(self._data[start : start + HEADER], "big")
                if not 0 < length <= self.limit:
                    raise ProtocolError(f"a frame of {length:,} bytes where 1 to {self.limit:,} are allowed")
                end = start + HEADER + length
                if len(self._data) < end:
                    break
                payload = bytes(self._data[start + HEADER : end])
                start = end
                yield payload
        finally:
            del self._data[:start]
