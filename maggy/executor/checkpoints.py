"""What `reporter.save` and `reporter.restore` do: one tar file for each checkpoint, wherever checkpoints are kept.

Where this executor sees the study's directory, files go there; where the study has a URL, fsspec carries them; where
neither is so, they travel through the agent and the driver, piece by piece. Which of them it is shows at first use, in
the trial's process: a network file system that hangs holds up one trial, not the agent. What is needed for that is
imported then as well: most trials keep nothing, and each of their processes would wait for it.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from maggy.errors import CheckpointError

OVER = "the trial has ended; a thread that outlives it can neither save nor restore"

Tell = Callable[[str, dict[str, Any]], None]
Over = Callable[[], bool]
Hear = Callable[[Over], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Terms:
    """Where checkpoints go, and what this attempt may go on from; `scratch` is a directory of the executor's own."""

    trial: int
    attempt: int
    root: str
    marker: str
    limit: int
    scratch: str
    restore: Sequence[str] = ()


class Relay:
    """Lets the driver keep what this executor cannot. `ask` returns a piece of a checkpoint from an offset on."""

    def __init__(self, tell: Tell, ask: Callable[[str, int], Mapping[str, Any]]) -> None:
        self._tell = tell
        self._ask = ask

    def draft(self, name: str, scratch: Path) -> Path:
        """Return a place on the local disk."""
        return scratch / name.replace("/", "-")

    def remove(self, name: str) -> None:
        """Leave it to the driver, which removes what its log does not mention."""

    def put(self, name: str, draft: Path) -> None:
        """Send the file, in order with all else that is told; a driver that cannot follow makes us wait."""
        from maggy.rpc.messages import MAX_DATA

        with draft.open("rb") as file:
            offset = 0
            while data := file.read(MAX_DATA):
                self._tell("Chunk", {"checkpoint": name, "offset": offset, "data": base64.b64encode(data).decode()})
                offset += len(data)
        draft.unlink()

    def get(self, name: str, scratch: Path) -> Path:
        """Fetch the file, one piece after the other."""
        local = self.draft(name, scratch)
        with local.open("wb") as file:
            while True:
                piece = self._ask(name, file.tell())
                if piece["error"] is not None:
                    raise CheckpointError(piece["error"])
                file.write(base64.b64decode(piece["data"]))
                if piece["end"]:
                    return local


class Checkpoints:
    """The checkpoints of one attempt. Threads may save and restore; they take turns.

    `tell` lets the agent know something; `hear` waits for the next piece of a checkpoint until something is over, and
    returns None if that comes first.
    """

    def __init__(self, terms: Terms, tell: Tell, hear: Hear) -> None:
        self._terms = terms
        self._to_agent = tell
        self._hear = hear
        self._lock = threading.RLock()
        self._telling = threading.Lock()
        self._ended = False
        self._keep: Any = None  # a maggy.places.Keep
        self._saved = 0
        self._restored = 0
        self._noticed: set[str] = set()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Keep a copy of a file or directory. Raises `FileNotFoundError` or `CheckpointError`."""
        entry = Path(path)
        if entry.name in ("", ".."):
            entry = entry.resolve()
        if not os.fspath(path) or not entry.exists():  # a Path takes "" for the working directory
            raise FileNotFoundError(f"reporter.save({os.fspath(path)!r}): there is no such file or directory")
        if not entry.name:
            raise CheckpointError("reporter.save() takes a file or a directory, not the root of them all")
        with self._lock:
            self._saved += 1
            name = f"{self._terms.trial}/{self._terms.attempt}-{self._saved}.tar"
            size = self._put(name, entry)
            if size is not None:
                try:
                    self._tell("Saved", {"checkpoint": name, "bytes": size})
                except BaseException:  # it has been given up meanwhile, and nobody else will look after the file
                    self._keep.remove(name)
                    raise

    def restore(self) -> str | None:
        """Return the path of a copy of what to go on from; None where there is nothing, or nothing that is whole."""
        with self._lock:
            for name in self._terms.restore:
                keep = self._where()
                self._restored += 1
                into = self._room() / f"restored-{self._restored}"
                try:
                    return str(self._got(keep, name, into))
                except Exception as error:
                    if self._ended:
                        raise
                    if not isinstance(error, CheckpointError | OSError):
                        error = CheckpointError(f"{type(error).__name__}: {error}")
                    self._notice(f"Checkpoint {name} cannot be restored, so an earlier one has to do, or none: {error}")
            return None

    def directory(self) -> Path:
        """Return the trial's own directory, for files that the user looks after."""
        terms = self._terms
        if self._sees_root:
            own = Path(terms.root, str(terms.trial), "files")
        else:
            self._notice(
                "reporter.checkpoint_dir is a directory of one executor and ends with the trial, since executors do "
                "not share the study's directory for checkpoints: reporter.save(path) and reporter.restore() keep "
                "what is to be found again"
            )
            own = self._room() / "files"
        own.mkdir(parents=True, exist_ok=True)
        return own

    def workspace(self) -> str:
        """Return a new directory that ends with the attempt."""
        return tempfile.mkdtemp(prefix="run-", dir=self._room())

    def directory_of(self, trial: int) -> Path | None:
        """Return another trial's directory, if it can be seen."""
        found = Path(self._terms.root, str(trial), "files")
        return found if self._sees_root and found.is_dir() else None

    def end(self) -> None:
        """Say no more: what a thread of the function's does that outlives it is not the next trial's."""
        with self._telling:
            self._ended = True

    def clean_up(self) -> None:
        """Remove what was restored."""
        if "_scratch" in vars(self):
            shutil.rmtree(self._scratch, ignore_errors=True)

    @cached_property
    def _scratch(self) -> Path:
        return Path(self._terms.scratch, f"{self._terms.trial}-{self._terms.attempt}")

    @property
    def _sees_root(self) -> bool:
        terms = self._terms
        return bool(terms.marker) and Path(terms.root, terms.marker).exists()

    def _where(self) -> Any:
        """Find out, once, how checkpoints are kept. Raises `CheckpointError` where fsspec is missing."""
        from maggy.places import is_url, place

        if self._keep is None:
            direct = is_url(self._terms.root) or self._sees_root
            self._keep = place(self._terms.root) if direct else Relay(self._tell, self._ask)
        return self._keep

    def _room(self) -> Path:
        """Return the attempt's own folder. Raises `FileNotFoundError` where the agent has gone, and its own with it."""
        self._scratch.mkdir(exist_ok=True)
        return self._scratch

    def _put(self, name: str, entry: Path) -> int | None:
        """Keep the entry and return the size of its tar file, None where the driver would not take so much."""
        from maggy.places import pack

        keep = self._where()
        relayed = isinstance(keep, Relay)
        draft: Path | None = None
        try:
            if relayed and self._is_too_large(held(entry)):
                return None
            draft = Path(keep.draft(name, self._room()))
            pack(entry, draft)
            size = draft.stat().st_size
            if relayed and self._is_too_large(size):
                return None
            keep.put(name, draft)
        except (CheckpointError, RuntimeError):
            raise
        except Exception as error:
            raise CheckpointError(f"{str(entry)!r} cannot be kept as a checkpoint: {error or repr(error)}") from error
        finally:
            if draft is not None:
                draft.unlink(missing_ok=True)
        return size

    def _is_too_large(self, size: int) -> bool:
        limit = self._terms.limit
        if size > limit:
            self._notice(
                f"Checkpoints of more than {limit / 1e6:,.0f} MB are not kept, since executors share no directory "
                "with the driver and so all would pass through it: a trial that is moved starts from scratch. "
                "Let checkpoint_dir be a path that executors share, or a URL such as s3://bucket/checkpoints"
            )
        return size > limit

    def _got(self, keep: Any, name: str, into: Path) -> Path:
        from maggy.places import unpack

        local: Path = keep.get(name, self._scratch)
        try:
            return unpack(local, into)
        finally:
            if local.parent == self._scratch:
                local.unlink(missing_ok=True)

    def _tell(self, kind: str, body: dict[str, Any]) -> None:
        with self._telling:
            if self._ended:
                raise RuntimeError(OVER)
            self._to_agent(kind, body)

    def _ask(self, name: str, offset: int) -> Mapping[str, Any]:
        self._tell("Fetch", {"checkpoint": name, "offset": offset})
        while (piece := self._hear(lambda: self._ended)) is not None:
            if (piece["checkpoint"], piece["offset"]) == (name, offset):
                return piece
        raise RuntimeError(OVER)

    def _notice(self, text: str) -> None:
        from maggy.rpc.messages import MAX_NOTICE

        if text not in self._noticed:
            self._noticed.add(text)
            self._tell("Notice", {"text": text[:MAX_NOTICE]})


def held(entry: Path) -> int:
    """Return how many bytes the files of an entry hold, links followed as `pack` does."""
    if not entry.is_dir():
        return entry.stat().st_size
    found = (Path(folder, name) for folder, _, names in os.walk(entry) for name in names)
    return sum(path.stat().st_size for path in found if path.is_file())
