"""All that is peculiar to SQLite: how a file is opened, recognized, made, and what its errors mean.

A reader waits for nobody; a writer says `BEGIN IMMEDIATE`, which takes the write lock at once, so that no transaction
fails halfway because another was faster.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, ColumnElement, Connection, Engine, create_engine, event, func
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import DBAPIError

from maggy.errors import ConfigError, StoreError, StoreUnavailable
from maggy.store import schema
from maggy.store.database import Turn

APPLICATION_ID = 0x6D616767  # "magg": what `file` and SQLite know a maggy store by
PATIENCE = 10.0  # seconds to wait for another process's transaction; each takes milliseconds
HASTE = 0.1  # seconds that a driver waits, whose executors wait for it meanwhile: it can try again later
_CONNECTION = ("synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF")
_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
# What a table or an index computes by itself. A virtual table, view or trigger has no page of its own in the file.
_COMPUTED = re.compile(r"(?is)\b(CHECK|GENERATED|WHERE|COLLATE)\b|\bAS\s*\(|\bDEFAULT\s*\(|\bINDEX\b.*\(.*\(")
_MEANINGS = {
    "not a database": "is not an SQLite file; it was left as it is: name another file",
    "malformed": "is damaged: go back to a copy of it, or save what is left with `sqlite3 FILE .recover`",
    "readonly": "cannot be written: give yourself the right to write the file and its directory, or name another file",
    "unable to open": "cannot be opened for writing: name a file in a directory that you may write",
    "locked": "was locked by another process: stop that process, or name a file on a local disk if this one is on a "
    "network file system without working locks",
    "locking protocol": "is on a file system without working locks: name a file on a local disk",
    "is full": "has no room left: make room on the disk, then resume the study",
    "i/o error": "could not be read or written by the operating system: check the disk, then resume the study",
}


# The three statements of an append, compiled once and sent to the driver as they are: SQLAlchemy's own execution costs
# 70 µs more for 3 events and 250 µs more for 100, of some 200 and 400 with the disk. Parameters go by position.
_ADVANCE, _ADD_EVENTS, _ADD_REPORTS = (
    str(statement.compile(dialect=dialect(paramstyle="qmark")))
    for statement in (schema.ADVANCE, schema.ADD_EVENTS, schema.ADD_REPORTS)
)
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}  # what may pass


def file_url(path: str | Path) -> URL:
    """Return the URL of a file whatever its name is made of."""
    return URL.create("sqlite", database=str(path))


class File:
    """A `Database` in the file at `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def patience(self) -> float:
        """Seconds to wait for another process's transaction; each takes milliseconds."""
        return PATIENCE

    @property
    def haste(self) -> float:
        """Seconds that a driver waits."""
        return HASTE

    def _check_exists(self) -> None:
        """Raise `StoreError` where there is no such file."""
        if not self.path.exists():
            raise StoreError(f"there is no store at {str(self.path)!r}; --store or MAGGY_STORE names it")

    def open(self, *, existing: bool = False) -> tuple[Engine, Connection]:
        """Open or make the store in the file; return its engine, and a connection for its one writer."""
        path = self.path
        if existing:
            self._check_exists()
        if path.is_dir():
            raise ConfigError(
                f"store={str(path)!r} is a directory: name a file in it, such as {str(path / 'maggy.db')!r}"
            )
        if not path.parent.is_dir():
            raise ConfigError(
                f"store={str(path)!r} is in {str(path.parent)!r}, which is no directory: make it, or name another file"
            )
        if path.exists() and path.stat().st_size == 1:  # SQLite would take it for empty
            raise StoreError(f"store={str(path)!r} {_MEANINGS['not a database']}")
        engine = create_engine(file_url(path), connect_args={"timeout": PATIENCE, "isolation_level": None})
        event.listen(engine, "connect", _connected)
        try:
            with self.explained():
                connection = engine.connect()
                try:
                    _prepare(connection, path)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            engine.dispose()
            raise
        return engine, connection

    def open_to_read(self) -> Engine:
        """Open the store in the file for reading alone; where there is none, none is made."""
        path = self.path
        self._check_exists()
        if not path.is_file():
            raise StoreError(f"store={str(path)!r} is no file: name one, such as {str(path / 'maggy.db')!r}")
        if path.stat().st_size <= 1:
            raise StoreError(f"store={str(path)!r} is empty: no study has been kept in it yet")
        mode = "mode=rw"  # not `ro`, which leaves shared memory behind; SQLite takes it for that where nobody may write
        while True:
            engine = create_engine(file_url(path), creator=partial(_connect_to_read, path, mode))
            try:
                with self.explained(), engine.connect() as connection:
                    _check_readable(connection, path)
            except BaseException as error:
                engine.dispose()
                log = path.with_name(path.name + "-wal")
                refused = "cannot be opened" in str(error) or "cannot be written" in str(error)
                if mode == "immutable=1" or not refused or log.exists():
                    raise
                mode = "immutable=1"  # in a directory that nobody may write, and nobody does: there is no log
            else:
                return engine

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn SQLite's errors into a `StoreError` that says what was met and what would be right.

        It is a `StoreUnavailable` where the same may succeed later.
        """
        try:
            yield
        except UnicodeDecodeError as error:  # what SQLite quotes of a damaged file
            raise StoreError(f"store={str(self)!r} {_MEANINGS['malformed']}") from error
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            said = str(cause)
            meaning = next((text for sign, text in _MEANINGS.items() if sign in said.lower()), "failed")
            passing = getattr(cause, "sqlite_errorcode", 0) & 0xFF in _PASSING
            kind = StoreUnavailable if passing else StoreError
            raise kind(f"store={str(self)!r} {meaning} (SQLite: {said})") from cause

    def check(self, connection: Connection) -> None:
        """Look for damage to the file's structure; half a second for a million events. Raises `StoreError` for any."""
        found: str = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found != "ok":
            raise StoreError(f"store={str(self)!r} {_MEANINGS['malformed']} (SQLite: {found})")

    def set_patience(self, connection: Connection, seconds: float) -> None:
        """Let a connection wait so long for other processes' transactions."""
        driver: Any = connection.connection.dbapi_connection
        driver.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")

    def begin(self, connection: Connection) -> None:
        """Take the write lock at once, so that no transaction fails halfway because another was faster."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def lock_names(self, connection: Connection) -> None:
        """Do nothing: who writes is alone."""

    def append(self, connection: Connection, turn: Turn, facts: list[Any], points: list[Any]) -> bool:
        """Write and commit a turn; return False, having written nothing, where the study is not as the turn says."""
        self.begin(connection)
        if not connection.exec_driver_sql(_ADVANCE, turn).rowcount:
            return False
        if facts:
            connection.exec_driver_sql(_ADD_EVENTS, facts)
        if points:
            connection.exec_driver_sql(_ADD_REPORTS, points)
        connection.commit()
        return True

    def number(self, body: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """Return the number that a body has there, or as a text the JSON of one that is not finite."""
        return func.json_extract(body, f"$.{key}")

    def text(self, body: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """Return the text that a body has there."""
        return func.json_extract(body, f"$.{key}")


def _connect_to_read(path: Path, mode: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    _connected(connection, None)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _check_readable(connection: Connection, path: Path) -> None:
    connection.exec_driver_sql("BEGIN")  # another process may be making it: what is asked is answered of one moment
    if _is_blank(connection, path):
        raise StoreError(f"store={str(path)!r} is empty: no study has been kept in it yet")
    _check_schema(connection, path)
    if _version(connection) < schema.VERSION:
        raise StoreError(
            f"store={str(path)!r} was written by an earlier maggy, and reading leaves it as it is: bring it up to date "
            "with `maggy create-table`, or by running a study"
        )


def filesystem(path: Path, mounts: str) -> str:
    """Return the type of the file system that `path` is on, by the text of /proc/mounts; `""` where it is unknown."""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point)
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _connected(connection: sqlite3.Connection, _record: object) -> None:
    for setting in _CONNECTION:
        connection.execute(f"PRAGMA {setting}")


def _prepare(connection: Connection, path: Path) -> None:
    """Make or update the store, if need be; a file in which there is nothing to do need not be free for that."""
    application: int = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    made = application == APPLICATION_ID and _version(connection) == schema.VERSION
    try:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={0 if made else PATIENCE * 1000:.0f}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except DBAPIError as error:
        if not made or "locked" not in str(error.orig):
            raise
        _check_schema(connection, path)
        return
    blank = _is_blank(connection, path)
    if not blank:
        _check_schema(connection, path)
    # A file that cannot be written is refused now, not at the first event. Only a write tells: with a write-ahead log
    # even a file without write permission gives its lock away.
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    version = _version(connection)
    if blank:
        schema.METADATA.create_all(connection, checkfirst=False)
        for view in schema.VIEWS.values():
            connection.exec_driver_sql(view)
    for older in range(version, 0 if blank else schema.VERSION):
        for statement in schema.UPGRADES[older]:
            connection.exec_driver_sql(statement)
    if blank or version < schema.VERSION:
        connection.exec_driver_sql(f"PRAGMA user_version={schema.VERSION}")
        connection.commit()
    else:
        connection.rollback()
    _set_journal(connection, path)


def _version(connection: Connection) -> int:
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    return version


def _is_blank(connection: Connection, path: Path) -> bool:
    """Whether nothing is in the file yet. Raises `StoreError` where it holds something else than a store of ours."""
    application, version, tables = (
        connection.exec_driver_sql(question).scalar_one()
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application == APPLICATION_ID and version <= schema.VERSION:
        return False
    if application == APPLICATION_ID:
        raise StoreError(
            f"store={str(path)!r} was written by a later maggy (its schema is {version}, this one knows "
            f"{schema.VERSION}); it was left as it is: upgrade maggy, or name another file"
        )
    if application or version or tables:
        raise StoreError(
            f"store={str(path)!r} is an SQLite file of another program; it was left as it is: name another file"
        )
    return True


def _check_schema(connection: Connection, path: Path) -> None:
    """Raise `StoreError` where a file that says it is ours holds more than our tables hold.

    A trigger, a view in the place of a table, a computed column or default would run when we write or read: whoever
    made such a file wants to change what others find in it. Our own views are known by their text.
    """
    known = {table.name: "table" for table in schema.METADATA.sorted_tables}
    known |= {str(index.name): "index" for table in schema.METADATA.sorted_tables for index in table.indexes}
    statement = "SELECT type, name, rootpage, coalesce(sql, '') FROM sqlite_master"
    for kind, name, page, text in connection.exec_driver_sql(statement).fetchall():
        expected = known.get(name) or (kind if name.startswith("sqlite_") and kind in ("table", "index") else None)
        if kind == "view" and schema.is_view(name, text):
            continue
        if kind != expected or not page or _COMPUTED.search(text):
            raise StoreError(
                f"store={str(path)!r} holds the {kind} {name!r}, which maggy has not made so; nothing was done "
                "with it: if you trust who gave you the file, take that out of a copy, else name another file"
            )


def _set_journal(connection: Connection, path: Path) -> None:
    """Choose the write-ahead log, where readers and the writer never wait for each other; it needs shared memory.

    Network file systems have none, so there the older journal serves. The change needs the file for a moment alone,
    and where another process opens it at the same time SQLite gives up at once instead of waiting.
    """
    wanted = "delete" if _on_network(path) else "wal"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            mode: Any = connection.exec_driver_sql(f"PRAGMA journal_mode={wanted}").scalar_one()
            break
        except DBAPIError as error:
            connection.rollback()
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    connection.rollback()
    if mode != "wal":
        warnings.warn(
            f"store={str(path)!r} is on a file system where SQLite cannot use its write-ahead log: it works, but "
            "readers and the driver wait for each other; a file on a local disk is faster",
            stacklevel=2,
        )


def _on_network(path: Path) -> bool:
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    kind = filesystem(Path(os.path.realpath(path)), mounts)
    return kind in _NETWORK or kind.startswith("fuse.")
