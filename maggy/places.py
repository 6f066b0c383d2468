"""Where checkpoints are kept: a directory that executors share, or a URL that fsspec understands. And what they are.

A checkpoint is one tar file with one file or directory in it. Its name, `<trial>/<attempt>-<number>.tar`, is never used
twice, and the log alone says which ones count: what a killed process leaves half-written is nobody's checkpoint.
fsspec is imported where a URL is used, never before.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from maggy.errors import CheckpointError, ConfigError
from maggy.trial import CHECKPOINT

PART = ".part"  # ends the names of files that are not complete
OURS = re.compile(CHECKPOINT.pattern + r"(\.[0-9a-f]{8})?(\.part)?")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+")
LOCAL = ("file", "local")  # as fsspec calls the file system of whoever looks
END = 1024  # zero bytes that close every tar file


class Keep(Protocol):
    """Somewhere to keep files, by their names."""

    def draft(self, name: str, scratch: Path) -> Path:
        """Return where to write the file before it is put in its place."""

    def put(self, name: str, draft: Path) -> None:
        """Move the complete file to its place, all at once."""

    def get(self, name: str, scratch: Path) -> Path:
        """Return a local path with the file's content. Raises `OSError` where there is none."""


class Place(Keep, Protocol):
    """One that the driver can look after."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def names(self, trial: int) -> list[str]:
        """Return what is kept of a trial, incomplete files included."""

    def probe(self) -> None:
        """Write something, and remove it. Raises whatever prevents that."""


class Directory:
    """A directory of this machine, or one that many share."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def draft(self, name: str, scratch: Path) -> Path:  # noqa: ARG002 - on the same file system as its place
        """Return a name beside the final one."""
        final = self._root / name
        final.parent.mkdir(exist_ok=True)  # the root is the driver's to make, and where it is gone, so is the study
        return final.with_name(f"{final.name}.{secrets.token_hex(4)}{PART}")

    def put(self, name: str, draft: Path) -> None:
        """Make the content durable, then give it its name."""
        settle(draft, self._root / name)

    def get(self, name: str, scratch: Path) -> Path:  # noqa: ARG002 - it is here
        """Return the file itself."""
        return self._root / name

    def remove(self, name: str) -> None:
        """Remove a file, and its trial's folder with the last one."""
        path = self._root / name
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # most often there is something else in it
            path.parent.rmdir()

    def names(self, trial: int) -> list[str]:
        """Return the names of the trial's tar files and parts; directories are the user's."""
        folder = self._root / str(trial)
        return list(_ours(trial, (path.name for path in folder.iterdir()))) if folder.is_dir() else []

    def probe(self) -> None:
        """Write something into the directory, which is made if need be."""
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._root):
            pass


def settle(draft: Path, final: Path) -> None:
    """Give a file its name; after that neither of them is lost with the power."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(final)
    for folder in (final.parent, final.parent.parent):  # the trial's, which may be as new
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some file systems cannot, and do not need it
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Remote:
    """A URL. Raises `CheckpointError` where the software is missing."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(url)
        except ImportError as error:
            raise CheckpointError(
                f"checkpoints are kept at {url}, and that cannot be reached from this Python ({error}): "
                "pip install fsspec here, on the driver and on every executor, with the file system's own package "
                "(s3fs, gcsfs, adlfs, …), or let checkpoint_dir be a path that all of them share"
            ) from None
        self._root = str(root).rstrip("/")

    def draft(self, name: str, scratch: Path) -> Path:
        """Return a place on the local disk."""
        return scratch / name.replace("/", "-")

    def put(self, name: str, draft: Path) -> None:
        """Upload the file as one object; what an upload that fails leaves there is removed, since it takes up room."""
        self._files.makedirs(f"{self._root}/{name.partition('/')[0]}", exist_ok=True)
        try:
            self._files.put_file(str(draft), f"{self._root}/{name}")
        except BaseException:
            with contextlib.suppress(Exception):  # it is the failure that is to be told
                self.remove(name)
            raise
        draft.unlink()

    def get(self, name: str, scratch: Path) -> Path:
        """Download the object."""
        local = self.draft(name, scratch)
        self._files.get_file(f"{self._root}/{name}", str(local))
        return local

    def remove(self, name: str) -> None:
        """Remove the object."""
        try:
            self._files.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return

    def names(self, trial: int) -> list[str]:
        """Return the names of the trial's objects."""
        self._files.invalidate_cache()
        try:
            found = self._files.ls(f"{self._root}/{trial}", detail=False)
        except FileNotFoundError:
            return []
        return list(_ours(trial, (str(path).rpartition("/")[2] for path in found)))

    def probe(self) -> None:
        """Write an object."""
        self._files.makedirs(self._root, exist_ok=True)
        name = f"{self._root}/maggy-{secrets.token_hex(4)}{PART}"
        self._files.pipe_file(name, b"maggy can write here")
        self._files.rm_file(name)


def root_of(place: str | os.PathLike[str], named: str = "checkpoint_dir") -> str:
    """Return what a user calls a place as a URL or a path: `file:` URLs are paths, of whichever host reads them.

    `~` is the home of whoever calls. Raises `ConfigError` for what is neither.
    """
    given = os.fspath(place) if isinstance(place, str | os.PathLike) else b""
    if not given or not isinstance(given, str):
        raise ConfigError(f"{named}={place!r} is neither a path nor a URL")
    scheme, colon, rest = given.partition(":/")
    if not colon or not SCHEME.fullmatch(scheme):
        return str(Path(given).expanduser()) if given.split("/")[0] == "~" else given
    if scheme.lower() in LOCAL:
        host, _, path = rest[1:].partition("/") if rest.startswith("/") else ("", "", rest)
        if host not in ("", "localhost"):
            raise ConfigError(f"{named}={given!r} names the host {host!r}; write {scheme}:///{host}/{path} for a path")
        return f"/{path}"
    if not rest.startswith("/"):  # a Path makes one slash of two
        right = f"{scheme}://{rest}"
        raise ConfigError(f"{named}={given!r} is neither a path nor a URL; pass the text {right!r}, not a Path")
    return given


def is_url(root: str) -> bool:
    """Whether a root is a URL, not a path."""
    return "://" in root


def place(root: str) -> Place:
    """Return the place that a root names."""
    return Remote(root) if is_url(root) else Directory(root)


class _Plain(tarfile.TarFile):
    """A tar file of files and directories of nobody's; tarfile itself would leave a socket out without a word."""

    def gettarinfo(self, name: Any = None, arcname: str | None = None, fileobj: Any = None) -> tarfile.TarInfo:
        """Describe an entry. Raises `CheckpointError` where it is neither file nor directory."""
        member: tarfile.TarInfo | None = super().gettarinfo(name, arcname, fileobj)
        if member is None or not (member.isreg() or member.isdir()):
            raise CheckpointError(f"{arcname!r} is neither a file nor a directory, so no checkpoint can hold it")
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member


def pack(path: Path, draft: Path) -> None:
    """Write a tar file of one file or directory, which stands in it under its own name; links are followed.

    Raises `OSError` as for any file, and `CheckpointError` for what is neither file nor directory.
    """
    try:
        with _Plain.open(draft, "w", dereference=True) as tar:
            tar.add(path, path.name)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def unpack(tar_file: Path, into: Path) -> Path:
    """Extract a tar file into a directory that is ours alone, and return the path of the entry that it holds.

    Only files and directories below one name are accepted, so nothing can land outside of `into`: no links, no devices,
    no absolute paths, no "..". (The standard library's filter "data" admits links, which have led outside before, and
    Python below 3.11.4 lacks it.) Raises `OSError` or `CheckpointError`; what has been extracted then is removed.
    """
    into.mkdir(parents=True)
    try:
        with tar_file.open("rb") as source:
            try:
                found = _extracted(source, into)
            except (tarfile.TarError, ValueError, EOFError) as error:  # ValueError: a null character in a name
                raise CheckpointError(f"{tar_file.name} is no whole tar file ({error})") from None
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return found


def _extracted(source: Any, into: Path) -> Path:
    top: Path | None = None
    with tarfile.open(fileobj=source, mode="r:") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            plain = (member.isreg() and not member.issparse()) or member.isdir()
            if not plain or not parts or member.name.startswith("/") or ".." in parts:
                raise CheckpointError(f"a checkpoint holds {member.name!r}, which maggy would not have put there")
            top = top or into / parts[0]
            target = into.joinpath(*parts)
            if top not in (target, *target.parents):
                raise CheckpointError(f"a checkpoint holds {member.name!r} beside {top.name!r}; it may hold one entry")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                _write(tar, member, target)
        source.seek(tar.offset)
        if top is None or source.read(END) != bytes(END):
            raise CheckpointError("a checkpoint's tar file ends early")
    return top


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        raise CheckpointError(f"{member.name!r} has no content")
    with content, target.open("xb") as file:
        shutil.copyfileobj(content, file, 1024 * 1024)
    target.chmod(0o600 | (member.mode & stat.S_IXUSR))


def _ours(trial: int, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if OURS.fullmatch(f"{trial}/{name}"):
            yield f"{trial}/{name}"
