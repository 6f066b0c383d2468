"""The driver's part in checkpoints: it keeps for executors what they cannot keep, and removes what nobody needs.

Bytes that an executor sends go into a part of a file, which gets its name when the last of them has come and is on the
disk; then the log may mention it. All that has a name is one file of one format, whoever has written it.

A network file system may take its time, or stand still: whatever touches files is done on a thread, in order, and the
driver's own loop hears of it later.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from maggy.driver.aside import Aside
from maggy.driver.retention import Due, Retention
from maggy.events import Ended, Event, Lost, StudyClosed
from maggy.places import PART, Place, is_url, place, settle
from maggy.rpc.messages import Chunk, Fetch, Piece, Saved

PIECE = 40 * 1024  # bytes that are sent at a time: as base64 they fit a pipe, so no agent waits for its trial's process
MARKER = ".maggy-"
NOTICES = 20  # that the terminal shows; trials' logs have them all
PATIENCE = 600.0  # seconds with a disk that does not answer, as with a store
NAMED = 3  # of the files that could not be removed

Reply = Piece | bool  # what was fetched, or whether the log may mention what was saved
Done = Callable[[Reply], None]


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
        self._aside = Aside("maggy-checkpoints")
        self._sending: dict[int, str] = {}  # by trial: the checkpoint of which chunks have come
        self._asked: dict[int, tuple[float, Chunk | Saved | Fetch, Done]] = {}  # what the thread has not done yet
        self._numbers = count()
        self._dead = False  # whether patience with the disk is at its end
        self._left: dict[str, None] = {}  # names of what is still to be removed
        self._why = ""  # the last of it could not be

    def open(self, history: Sequence[Event | None]) -> None:
        """Take in what happened so far, and leave a mark by which executors know the root. Raises `OSError`.

        Calls before may have been told to keep more: their end is none, and what an end let go may still be there.
        """
        for event in history:
            if event is not None and not isinstance(event, StudyClosed):
                due = self._retention.recorded(event)
                if isinstance(event, Ended):
                    self._let_go(due)
        if self._root is not None:
            self._root.mkdir(parents=True, exist_ok=True)
            for old in self._root.glob(f"{MARKER}*"):
                old.unlink(missing_ok=True)
            marker = f"{MARKER}{secrets.token_hex(16)}"
            (self._root / marker).touch()
            self.marker = marker

    def close(self, timeout: float) -> None:
        """Remove what is to be removed, but give up after so many seconds; `trouble` says what is left, and where."""
        self._aside.put(self._tidy)
        if not self._aside.close(timeout):
            self._why = f"{self._url} was too slow: {timeout:g} s after the study's end they were still to be removed"
        if self._left:
            names = ", ".join(islice(list(self._left), NAMED)) + (", …" if len(self._left) > NAMED else "")
            self.trouble = f"checkpoints that are needed no longer are left in {self._url} ({names}): {self._why}"

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

    def passes(self, message: Saved) -> bool:
        """Return whether what was saved has come through here; otherwise the executor has kept it itself."""
        return self._sending.get(message.trial) == message.checkpoint

    def ask(self, message: Chunk | Saved | Fetch, done: Done, *, allowed: bool = True) -> None:
        """Do what a trial wants of its checkpoints; `done` is called once with the answer, from whichever thread.

        `allowed` says whether it may fetch what it wants to. On a disk that does not answer for `PATIENCE` seconds
        nothing is kept or found any more.
        """
        if isinstance(message, Chunk):
            self._sending[message.trial] = message.checkpoint
        elif isinstance(message, Saved):
            self._sending.pop(message.trial, None)
        number = next(self._numbers)
        self._asked[number] = time.monotonic(), message, done
        if self._dead:
            self._refuse()
        else:
            self._aside.put(partial(self._answer, number, message, allowed=allowed))

    def mind(self) -> None:
        """Give up a disk that does not answer: to be called now and then."""
        oldest = list(self._asked.values())[:1]
        if not self._dead and oldest and time.monotonic() > oldest[0][0] + PATIENCE:
            self._dead = True
            self.notice(
                f"The driver has waited {PATIENCE:g} s for {self._url}: checkpoints that executors send cannot be kept "
                "there any more, nor read"
            )
            self._refuse()

    def _refuse(self) -> None:
        for number in list(self._asked):
            if (asked := self._asked.pop(number, None)) is not None:
                _, message, done = asked
                done(_refusal(message, "the driver's disk does not answer"))

    # -- on the thread ---------------------------------------------------------------------------------------------

    def _answer(self, number: int, message: Chunk | Saved | Fetch, *, allowed: bool) -> None:
        if number not in self._asked:
            return  # nobody waits for it any more
        reply: Reply = True
        try:
            match message:
                case Chunk():
                    self._chunk(message)
                case Saved():
                    reply = self._saved(message)
                case Fetch():
                    reply = self._fetched(message, allowed=allowed)
        except Exception as error:  # noqa: BLE001 - whoever waits for it must hear of it
            reply = _refusal(message, str(error) or repr(error))
        if (asked := self._asked.pop(number, None)) is not None:
            asked[-1](reply)

    def _chunk(self, message: Chunk) -> None:
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

    def _saved(self, message: Saved) -> bool:
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
                settle(part.path, part.path.with_name(part.path.name.removesuffix(PART)))
            except OSError as error:
                part.flaw = str(error)
            else:
                self._left.pop(_shown(part), None)
        if part.flaw is not None:
            self._discard(part)
            self.notice(f"Checkpoints that executors send cannot be kept, so earlier ones have to do: {part.flaw}")
        return part.flaw is None

    def _fetched(self, message: Fetch, *, allowed: bool) -> Piece:
        """Return bytes of a checkpoint, or why there are none."""
        if not allowed:
            return _piece(message, error="this trial does not go on from it")
        try:
            path = self._existing(message.checkpoint)
            if path is None:
                return _piece(message, error="the driver has no such file")
            with path.open("rb") as file:
                file.seek(message.offset)
                data = file.read(PIECE)
                return _piece(message, data, end=file.tell() >= os.fstat(file.fileno()).st_size)
        except OSError as problem:
            return _piece(message, error=f"the driver cannot read it: {problem}")

    def _begun(self, name: str) -> Part:
        part = Part(name, (self._root or Path()) / f"{name}{PART}")
        if self._root is None or part.path.parent.is_symlink():
            part.flaw = "the driver has no directory for them"
            return part
        try:
            part.path.parent.mkdir(exist_ok=True)
            part.file = part.path.open("xb")
            self._left[_shown(part)] = None
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
            try:
                part.path.unlink(missing_ok=True)
                self._left.pop(_shown(part), None)
            except OSError as error:
                self._why = str(error)
            part.file = None

    def _discard_of(self, trial: int) -> None:
        self._discard(self._parts.pop(trial, None))

    def _remove(self, name: str, work: Callable[[Place], None]) -> None:
        try:
            work(place(self._url))
            self._left.pop(name, None)
        except Exception as error:  # noqa: BLE001 - fsspec's file systems raise whatever they like
            self._why = str(error) or repr(error)

    def _tidy(self) -> None:
        """Remove what belongs to this run alone."""
        for trial in list(self._parts):
            self._discard_of(trial)
        if self._root is not None and self.marker:
            with suppress(OSError):
                (self._root / self.marker).unlink()

    # -- what the log says -----------------------------------------------------------------------------------------

    def recorded(self, events: Sequence[Event]) -> None:
        """Take in what has been recorded, and have removed what is needed no longer."""
        for event in events:
            if isinstance(event, Ended | Lost) and self._sending.pop(event.trial, None) is not None:
                self._aside.put(partial(self._discard_of, event.trial))
            due = self._retention.recorded(event)
            self._let_go(due)
            for trial, keep in due.sweep:
                self._later(f"{trial}/", lambda where, trial=trial, keep=keep: _sweep(where, trial, keep))  # type: ignore[misc]

    def _let_go(self, due: Due) -> None:
        for name in due.remove:
            self._later(name, lambda where, name=name: where.remove(name))  # type: ignore[misc]

    def _later(self, name: str, work: Callable[[Place], None]) -> None:
        self._left[name] = None
        self._aside.put(partial(self._remove, name, work))


def _shown(part: Part) -> str:
    return f"{part.name}{PART}"


def _refusal(asked: Chunk | Saved | Fetch, why: str) -> Reply:
    return _piece(asked, error=why) if isinstance(asked, Fetch) else False


def _piece(asked: Fetch, data: bytes = b"", *, end: bool = True, error: str | None = None) -> Piece:
    text = base64.b64encode(data).decode()
    return Piece(asked.trial, asked.attempt, asked.checkpoint, asked.offset, text, end, error)


def _sweep(where: Place, trial: int, keep: frozenset[str]) -> None:
    for name in where.names(trial):
        if name not in keep:
            where.remove(name)
