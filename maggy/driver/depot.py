"""The driver's part in checkpoints: it keeps for executors what they cannot keep, and removes what nobody needs.

Bytes that an executor sends go into a part of a file, which gets its name when the last of them has come; then the log
may mention it. All that has a name is one file of one format, whoever has written it.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from maggy.driver.retention import Retention
from maggy.events import Ended, Event, Lost
from maggy.places import PART, Place, is_url, place
from maggy.rpc.messages import Chunk, Fetch, Piece, Saved

PIECE = 40 * 1024  # bytes that are sent at a time: as base64 they fit a pipe, so no agent waits for its trial's process
MARKER = ".maggy-"
NOTICES = 20  # that the terminal shows; trials' logs have them all


@dataclass(slots=True)
class Part:
    """A checkpoint that is being sent. `flaw` says why it will never be one."""

    name: str
    path: Path
    file: BinaryIO | None = None
    size: int = 0
    flaw: str | None = None


class Depot:
    """Keeps the checkpoints of one study. Like every view it never fails its study: `trouble` says what went wrong.

    Arguments:
        root: a path, or a URL, with which the driver has to do only when something is to be removed.
        retention: says what.
        limit: bytes that an executor may send for one checkpoint.

    """

    def __init__(self, root: str, retention: Retention, limit: int) -> None:
        self.trouble: str | None = None
        self.marker = ""  # the name of a file at the root: who sees it there sees the root
        self._root = None if is_url(root) else Path(root)
        self._url = root
        self._retention = retention
        self._limit = limit
        self._parts: dict[int, Part] = {}
        self._told: set[str] = set()
        self._to_tell: SimpleQueue[str] = SimpleQueue()
        self._work: SimpleQueue[Callable[[Place], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self, history: Sequence[Event | None]) -> None:
        """Take in what happened so far, and leave a mark by which executors know the root. Raises `OSError`."""
        for event in history:
            if event is not None:
                self._retention.recorded(event)
        if self._root is not None:
            self._root.mkdir(parents=True, exist_ok=True)
            for old in self._root.glob(f"{MARKER}*"):
                old.unlink(missing_ok=True)
            marker = f"{MARKER}{secrets.token_hex(16)}"
            (self._root / marker).touch()
            self.marker = marker

    def close(self, timeout: float) -> None:
        """Remove what is to be removed, but give up after so many seconds."""
        for part in self._parts.values():
            self._discard(part)
        self._parts.clear()
        if self._thread is not None:
            self._work.put(None)
            self._thread.join(timeout)
        if self._root is not None and self.marker:
            with suppress(OSError):
                (self._root / self.marker).unlink()

    # -- what executors say, of trials that they hold --------------------------------------------------------------

    def notice(self, text: str) -> None:
        """Take in what the user should know; the same sentence once."""
        line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
        if line not in self._told and len(self._told) < NOTICES:
            self._told.add(line)
            self._to_tell.put(line)

    def notices(self) -> list[str]:
        """Take what the user has not been told yet."""
        return [self._to_tell.get() for _ in range(self._to_tell.qsize())]

    def chunk(self, message: Chunk) -> None:
        """Append bytes to the checkpoint that a trial is sending."""
        part = self._parts.get(message.trial)
        if part is None or part.name != message.checkpoint:
            self._discard(part)
            part = self._parts[message.trial] = self._begun(message.checkpoint)
        if part.file is None:
            return
        try:
            data = base64.b64decode(message.data, validate=True)
            part.size += len(data)
            if message.offset + len(data) != part.size or part.size > self._limit:
                part.flaw = "more or other bytes have come than were agreed upon"
            else:
                part.file.write(data)
        except (OSError, binascii.Error) as error:
            part.flaw = str(error)
        if part.flaw is not None:
            self._discard(part)

    def saved(self, message: Saved) -> bool:
        """Give a checkpoint that was sent its name; return whether the log may mention it."""
        part = self._parts.pop(message.trial, None)
        if part is None or part.name != message.checkpoint:
            self._discard(part)
            return True  # the executor has kept it itself
        if part.flaw is None and part.size != message.bytes:
            part.flaw = "some of its bytes are missing"
        if part.file is not None and part.flaw is None:
            try:
                part.file.close()
                part.path.replace(part.path.with_name(part.path.name.removesuffix(PART)))
            except OSError as error:
                part.flaw = str(error)
        if part.flaw is not None:
            self._discard(part)
            self.notice(f"Checkpoints that executors send cannot be kept, so earlier ones have to do: {part.flaw}")
        return part.flaw is None

    def piece(self, message: Fetch, *, allowed: bool) -> Piece:
        """Return bytes of a checkpoint, or why there are none."""
        data, end = b"", True
        error: str | None = None
        if not allowed:
            error = "this trial does not go on from it"
        elif (path := self._existing(message.checkpoint)) is None:
            error = "the driver has no such file"
        else:
            try:
                with path.open("rb") as file:
                    file.seek(message.offset)
                    data = file.read(PIECE)
                    end = file.tell() >= os.fstat(file.fileno()).st_size
            except OSError as problem:
                error = f"the driver cannot read it: {problem}"
        text = base64.b64encode(data).decode()
        return Piece(message.trial, message.attempt, message.checkpoint, message.offset, text, end, error)

    def _begun(self, name: str) -> Part:
        part = Part(name, (self._root or Path()) / f"{name}{PART}")
        if self._root is None or part.path.parent.is_symlink():
            part.flaw = "the driver has no directory for them"
            return part
        try:
            part.path.parent.mkdir(parents=True, exist_ok=True)
            part.file = part.path.open("xb")
        except OSError as error:
            part.flaw = str(error)
        return part

    def _existing(self, name: str) -> Path | None:
        """Return the path of a file; None for what is no plain file, or leads elsewhere by a link."""
        if self._root is None:
            return None
        path = self._root / name
        return path if path.is_file() and path.resolve() == self._root.resolve() / name else None

    def _discard(self, part: Part | None) -> None:
        if part is not None and part.file is not None:
            with suppress(OSError):  # what does not fit the disk is not needed either
                part.file.close()
            with suppress(OSError):
                part.path.unlink(missing_ok=True)
            part.file = None

    # -- what the log says -----------------------------------------------------------------------------------------

    def recorded(self, events: Sequence[Event]) -> None:
        """Take in what has been recorded, and have removed what is needed no longer."""
        for event in events:
            if isinstance(event, Ended | Lost):
                self._discard(self._parts.pop(event.trial, None))
            due = self._retention.recorded(event)
            for name in due.remove:
                self._later(lambda where, name=name: where.remove(name))  # type: ignore[misc]
            for trial, keep in due.sweep:
                self._later(lambda where, trial=trial, keep=keep: _sweep(where, trial, keep))  # type: ignore[misc]

    def _later(self, work: Callable[[Place], None]) -> None:
        self._work.put(work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="maggy-checkpoints", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work(place(self._url))
            except Exception as error:  # noqa: BLE001 - fsspec's file systems raise whatever they like
                self.trouble = f"checkpoints that are needed no longer could not be removed: {error}"


def _sweep(where: Place, trial: int, keep: frozenset[str]) -> None:
    for name in where.names(trial):
        if name not in keep:
            where.remove(name)
