"""A store in an SQL database, through SQLAlchemy; for now in an SQLite file.

There is one connection for writing, behind a lock, and a pool for reading. A read goes page by page, each page a
statement of its own: the log only grows, so pages fit together, and a reader that stops halfway holds nothing.

The three statements of an append are compiled once and sent to the driver as they are; SQLAlchemy's own execution
costs 70 µs more for 3 events and 250 µs more for 100, of some 200 and 400 with the disk.

Most callers wait for other processes' transactions as long as seems right for a person. What a driver does in the midst
of a study (`append`, `renew`, `requests`, `release`) waits for `HASTE` only: its event loop stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

from sqlalchemy import URL, Connection, delete, insert, make_url, select, update

from maggy.errors import ConfigError, StoreError, StoreUnavailable
from maggy.events import Event, Reported, body, restored
from maggy.jsonvalue import dumps, loads
from maggy.store import schema, sqlite
from maggy.store.base import Owner, StudyEntry, check_name, no_study, numbered
from maggy.store.schema import requests, studies

_PAGE = 4096
_FREE = {"token": "", "host": "", "pid": 0, "started": "", "since": 0.0, "renewed": 0.0}


class SqlStore:
    """A `Store` in the database at `url`, which is `sqlite:///FILE`."""

    def __init__(self, url: str | URL) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            raise ConfigError("SqlStore takes sqlite:///FILE; a store without a file is MemoryStore")
        self._path = Path(parsed.database).absolute()
        self._lock = Lock()
        self._tokens: dict[str, tuple[int, str]] = {}  # of the owners that claimed through this store
        self._engine, self._writer = sqlite.open_file(self._path)
        self._patience = sqlite.PATIENCE  # of the writing connection
        self._closed = False
        dialect = self._engine.dialect
        self._advance = str(schema.ADVANCE.compile(dialect=dialect))
        self._add_events = str(schema.ADD_EVENTS.compile(dialect=dialect))
        self._add_reports = str(schema.ADD_REPORTS.compile(dialect=dialect))

    def __repr__(self) -> str:
        return f"SqlStore({str(self._path)!r})"

    def __str__(self) -> str:
        return str(self._path)

    def create(self, base: str, now: float) -> str:
        """Create a study under the first free name of that base."""
        check_name(base)
        with self._writing() as connection:
            taken = set(connection.scalars(select(studies.c.name)))
            number, name = next(pair for pair in numbered(base) if pair[1] not in taken)
            connection.execute(insert(studies).values(name=name, base=base, number=number, created=now))
        return name

    def latest(self, base: str) -> str | None:
        """Return the study with the highest number of that base, else the one of that very name, else None."""
        of_base = select(studies.c.name).where(studies.c.base == base).order_by(studies.c.number.desc()).limit(1)
        with self._reading() as connection:
            found: str | None = connection.scalar(of_base)
            return found or connection.scalar(select(studies.c.name).where(studies.c.name == base))

    def studies(self) -> list[StudyEntry]:
        """Return all studies, the oldest first."""
        with self._reading() as connection:
            return [_entry(row) for row in connection.execute(select(studies).order_by(studies.c.id))]

    def claim(self, study: str, owner: Owner, now: float) -> None:
        """Make `owner` the study's owner and this store its hand. Raises `StudyOwned` where another lives.

        A study that has a log already is only added to where the file is sound.
        """
        holder = {"token": owner.token, "host": owner.host, "pid": owner.pid, "started": owner.started}
        with self._reading() as connection:
            if _found(connection, study)[1].position:
                sqlite.check(connection, self._path)
        with self._writing() as connection:
            id_, entry = _found(connection, study)
            entry.check_free(owner, now)
            connection.execute(update(studies).where(studies.c.id == id_).values(since=now, renewed=now, **holder))
        self._tokens[study] = id_, owner.token

    def renew(self, study: str, owner: Owner, now: float) -> None:
        """Say that `owner` lives. Raises `StudyMoved` where it is not the study's owner any more."""
        mine = (studies.c.name == study, studies.c.token == owner.token)
        with self._writing(sqlite.HASTE) as connection:
            if not connection.execute(update(studies).where(*mine).values(renewed=now)).rowcount:
                raise _found(connection, study)[1].moved(owner.token)

    def release(self, study: str, owner: Owner) -> None:
        """Let the study go, where `owner` still holds it."""
        mine = (studies.c.name == study, studies.c.token == owner.token)
        with self._writing(sqlite.HASTE) as connection:
            if not connection.execute(update(studies).where(*mine).values(_FREE)).rowcount:
                _found(connection, study)

    def append(self, study: str, after: int, events: Sequence[Event]) -> int:
        """Make the events durable, all or none. Raises `StudyMoved` where the study has moved on without us."""
        last = after + len(events)
        id_, token = self._tokens.get(study, (0, None))
        facts, points = _rows(id_, after, events)
        with self._writing(sqlite.HASTE) as connection:
            if not connection.exec_driver_sql(self._advance, (last, id_, after, token)).rowcount:
                raise _found(connection, study)[1].moved(token, after)
            if facts:
                connection.exec_driver_sql(self._add_events, facts)
            if points:
                connection.exec_driver_sql(self._add_reports, points)
        return last

    def read(self, study: str, after: int = 0) -> Iterator[Event | None]:
        """Yield the events behind position `after`, one for each position; None for a kind of a later version."""
        with self._reading() as connection:
            id_, entry = _found(connection, study)
        return self._pages(study, id_, after, entry.position)

    def request(self, study: str, what: str) -> None:
        """Leave a wish for the study's driver."""
        with self._writing() as connection:
            id_, _ = _found(connection, study)
            connection.execute(insert(requests).values(study=id_, what=what))

    def requests(self, study: str) -> list[str]:
        """Take the wishes that were left. Looking costs no write: a driver does it every second."""
        with self._held(sqlite.HASTE) as connection:
            id_, _ = _found(connection, study)
            if connection.scalar(select(requests.c.id).where(requests.c.study == id_).limit(1)) is None:
                return []
        with self._writing(sqlite.HASTE) as connection:
            wishes = select(requests.c.what).where(requests.c.study == id_).order_by(requests.c.id)
            taken = list(connection.scalars(wishes))
            connection.execute(delete(requests).where(requests.c.study == id_))
        return taken

    def close(self) -> None:
        """Let go of the file. Studies stay claimed until they are released."""
        with self._lock:
            self._closed = True
            self._writer.close()
            self._engine.dispose()

    def _pages(self, study: str, id_: int, after: int, last: int) -> Iterator[Event | None]:
        """Yield page by page; what was there when the reading began, up to `last`, has to be there."""
        while True:
            with self._reading() as connection:
                rows = connection.execute(schema.PAGE, {"study": id_, "after": after, "limit": _PAGE}).fetchall()
            for row in rows:
                after += 1
                yield _event(study, id_, after, row)
            if len(rows) < _PAGE:
                break
        if after < last:
            raise _missing(study, after + 1)

    @contextmanager
    def _writing(self, patience: float | None = None) -> Iterator[Connection]:
        """Hold the write lock for one transaction: committed at the end, rolled back by any error."""
        with self._held(sqlite.PATIENCE if patience is None else patience) as connection:
            connection.exec_driver_sql(sqlite.BEGIN)
            yield connection
            connection.commit()

    @contextmanager
    def _held(self, patience: float) -> Iterator[Connection]:
        """Hold the connection that writes. Other threads and other processes are waited for so long, each."""
        if not self._lock.acquire(timeout=patience):
            raise StoreUnavailable(f"store={str(self._path)!r} is being written by another thread of this process")
        try:
            self._check_open()
            with sqlite.explained(self._path):
                if patience != self._patience:
                    sqlite.set_patience(self._writer, patience)
                    self._patience = patience
                try:
                    yield self._writer
                finally:
                    self._writer.rollback()  # what has not been committed; nothing, as a rule
        finally:
            self._lock.release()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_open()
        with sqlite.explained(self._path), self._engine.connect() as connection:
            yield connection

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"store={str(self._path)!r} has been closed: open it again")


def _rows(study: int, after: int, events: Sequence[Event]) -> tuple[list[Any], list[Any]]:
    """Return the rows of both tables, made before the transaction: what has no JSON form is refused without a trace."""
    facts: list[Any] = []
    points: list[Any] = []
    for position, event in enumerate(events, after + 1):
        if type(event) is Reported:
            metrics = dumps(event.metrics)
            crc = _crc(study, position, event.at, "Reported", metrics, event.trial, event.attempt, event.step)
            points.append((study, position, event.at, event.trial, event.attempt, event.step, metrics, crc))
        else:
            content = body(event)
            at, trial, kind = content.pop("at"), content.pop("trial", None), type(event).__name__
            text = dumps(content)
            facts.append((study, position, at, kind, trial, text, _crc(study, position, at, kind, text, trial)))
    return facts, points


def _crc(study: int, position: int, at: float, kind: str, text: str, *numbers: int | None) -> int:
    """Return the checksum of a row; its numbers are the trial, and a report's attempt and step."""
    whole = [int(number) for number in numbers if number is not None]
    return crc32(f"{study} {position} {float(at)!r} {kind} {whole} {text}".encode("utf-8", "surrogatepass"))


def _check_crc(crc: int | None, *row: Any) -> None:
    if crc is not None and crc != _crc(*row):
        raise ValueError("its checksum is another")


def _missing(study: str, position: int) -> StoreError:
    return StoreError(f"position {position} of study {study!r} is missing: go back to a copy of the store")


def _event(study: str, id_: int, expected: int, row: Any) -> Event | None:
    position, at, kind, trial, attempt, step, text, crc = row
    if position != expected:
        raise _missing(study, expected)
    try:
        _check_crc(crc, id_, position, at, kind, text, trial, attempt, step)
        content = loads(text)
        if kind == "Reported":
            return Reported(at, trial, attempt, step, content)
        return restored(kind, {**content, "at": at, "trial": trial})
    except (ValueError, TypeError) as error:
        raise StoreError(f"position {position} of study {study!r} is not a {kind} event: {error}") from error


def _found(connection: Connection, study: str) -> tuple[int, StudyEntry]:
    """Return a study's id and entry. Raises `StoreError` where there is none."""
    row = connection.execute(select(studies).where(studies.c.name == study)).one_or_none()
    if row is None:
        # In a damaged file a name may be anything.
        raise no_study(study, map(str, connection.scalars(select(studies.c.name))))
    return row.id, _entry(row)


def _entry(row: Any) -> StudyEntry:
    owner = Owner(row.host, row.pid, row.started, row.token) if row.token else None
    return StudyEntry(row.name, row.base, row.number, row.created, row.position, owner, row.since, row.renewed)
