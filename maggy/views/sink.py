"""What shows a study elsewhere shares: it takes what is recorded on a thread of its own, and holds nobody up.

A file says how much of the log it holds: trials that had not ended by then are shown again when a study is resumed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from maggy.errors import amount
from maggy.events import Event

POSITION = "position"
MAX_BATCHES = 10_000
GATHER = 0.25  # seconds for which events gather before they are written: fewer writes, fewer switches of threads
CHUNK = 500  # batches at a time, after which a backlog is written without waiting for more


class Writer(Protocol):
    """What writes, on the thread."""

    def take(self, event: Event) -> None:
        """Take in an event."""

    def flush(self) -> bool:
        """Write what has gathered; return whether all of it is written."""


class Sink:
    """Hands on what a study records; it never delays the study and never fails it. A subclass opens the writer.

    `trouble` is None, or the sentence that says why what it writes is not what it should be.
    """

    NAME = "sink"  # of the thread
    WHAT = "what is shown elsewhere"  # and WHERE, in sentences
    WHERE = ""

    def __init__(self, directory: Path | None, *, max_batches: int = MAX_BATCHES) -> None:
        self.trouble: str | None = None
        self.dropped = 0  # batches that found the queue full
        self.position = 0  # of the log, behind what was recorded last
        self._noted = None if directory is None else directory / POSITION
        self._max_batches = max_batches
        self._batches: SimpleQueue[tuple[Sequence[Event], int] | None] = SimpleQueue()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        # It starts at once, so that what it needs (0.1 s and more) is imported while the executors start.
        self._thread = threading.Thread(target=self._write, name=f"maggy-{self.NAME}", daemon=True)
        self._thread.start()

    def opened(self) -> Writer:
        """Return the writer, on the thread."""
        raise NotImplementedError

    def complete(self) -> int:
        """Return the position of the log up to which all of it is written; 0 where that is not known."""
        try:
            return 0 if self._noted is None else int(self._noted.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def recorded(self, events: Sequence[Event]) -> None:
        """Queue events for writing, or drop them where writing has fallen too far behind."""
        self.position += len(events)
        self.again(events)

    def again(self, events: Sequence[Event]) -> None:
        """Queue events of an earlier part of the log."""
        if self._thread.is_alive() and not self._closing.is_set():
            if self._batches.qsize() >= self._max_batches:
                self.dropped += 1
            else:
                self._batches.put((events, self.position))

    def close(self, timeout: float) -> None:
        """Write what is queued, but give up after `timeout` seconds."""
        self._closing.set()
        self._batches.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._given_up.set()
            lack = f"their end: they were not finished within {timeout:g} s"
        elif self.dropped:
            dropped = amount(self.dropped, "batch of events", "batches of events")
            lack = f"{dropped}, which came faster than they could be written"
        else:
            return
        self.trouble = self.trouble or f"the {self.WHAT}{self.WHERE} lack {lack}"

    # -- on the thread ---------------------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            writer = self.opened()
            while self._write_some(writer):
                pass
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a disk or a library, the study goes on
            self.trouble = f"{self.WHAT} are no longer written: {type(error).__name__}: {error}"
            self._batches = SimpleQueue()

    def _write_some(self, writer: Writer) -> bool:
        """Write what has come; return whether more may come."""
        batches, position = [self._batches.get()], 0
        if self._batches.qsize() < CHUNK:
            self._closing.wait(GATHER)
        with suppress(Empty):
            while len(batches) < CHUNK:
                batches.append(self._batches.get_nowait())
        for batch in batches:
            events, position = batch or ((), position)
            for event in events:
                if self._given_up.is_set():
                    return False
                writer.take(event)
        if writer.flush() and position and not self.dropped:
            self._note(position)
        return all(batch is not None for batch in batches)

    def _note(self, position: int) -> None:
        if self._noted is not None:
            self._noted.parent.mkdir(parents=True, exist_ok=True)
            self._noted.write_text(str(position), encoding="ascii")
