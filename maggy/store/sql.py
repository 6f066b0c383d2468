"""A store in an SQL database, through SQLAlchemy: an SQLite file, or PostgreSQL.

There is one connection for writing, behind a lock; how it is read stands in `store.reader`, and what is peculiar to
each database in `store.sqlite` and `store.postgres`.

Most callers wait for other processes' transactions as long as seems right for a person. What a driver does in the midst
of a study (`append`, `renew`, `requests`, `release`) waits for the database's `haste` only: its event loop stands still
meanwhile. So a connection that has broken is made anew on a thread, and those in haste are told to try again later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from maggy.errors import StoreUnavailable
from maggy.events import Event, Reported, body
from maggy.jsonvalue import dumps
from maggy.store.base import Owner, check_name, numbered
from maggy.store.database import Database
from maggy.store.reader import SqlReader, crc_of, crc_of_report, found_in
from maggy.store.schema import requests, studies

_FREE = {"token": "", "host": "", "pid": 0, "started": "", "since": 0.0, "renewed": 0.0}
_MOMENT = 0.05  # seconds in which a new connection is there, mostly


class SqlStore(SqlReader):
    """A `Store` in a database; with `existing` only in one that is there."""

    def __init__(self, database: Database, *, existing: bool = False) -> None:
        self._existing = existing
        self._lock = Lock()
        self._tokens: dict[str, tuple[int, str]] = {}  # of the owners that claimed through this store
        self._begun: dict[str, dict[int, int]] = {}  # of those studies: where trials begin that have not ended
        self._fresh: Future[Connection] | None = None  # a connection to write with, in place of one that has broken
        super().__init__(database)
        self._haste = database.haste
        self._patience: float | None = None  # of the writing connection; None where it is not known

    def _opened(self) -> Engine:
        engine, self._writer = self._database.open(existing=self._existing)
        return engine

    def create(self, base: str, now: float) -> str:
        """Create a study under the first free name of that base."""
        check_name(base)
        with self._writing() as connection:
            self._database.lock_names(connection)
            taken = set(connection.scalars(select(studies.c.name)))
            number, name = next(pair for pair in numbered(base) if pair[1] not in taken)
            connection.execute(insert(studies).values(name=name, base=base, number=number, created=now))
        return name

    def claim(self, study: str, owner: Owner, now: float) -> None:
        """Make `owner` the study's owner and this store its hand. Raises `StudyOwned` where another lives.

        A study that has a log already is only added to where the file is sound. Whose it is can be read while others
        write, and is looked at once more when it is this one's turn.
        """
        holder = {"token": owner.token, "host": owner.host, "pid": owner.pid, "started": owner.started}
        with self._reading() as connection:
            entry = found_in(connection, study)[1]
            entry.check_free(owner, now)
            known = entry.position
            if known:
                self._database.check(connection)
        begun: dict[int, int] = {}
        _note_begun(begun, self.facts(study, ("Suggested", "Ended", "Requeued"), unfinished=True))
        low = next(iter(begun.values()), known + 1) - 1
        with self._writing() as connection:
            id_, entry = found_in(connection, study, hold=True)
            entry.check_free(owner, now)
            mine = update(studies).where(studies.c.id == id_)
            connection.execute(mine.values(since=now, renewed=now, low=low, **holder))
        self._tokens[study], self._begun[study] = (id_, owner.token), begun

    def renew(self, study: str, owner: Owner, now: float) -> None:
        """Say that `owner` lives. Raises `StudyMoved` where it is not the study's owner any more."""
        mine = (studies.c.name == study, studies.c.token == owner.token)
        with self._writing(self._haste) as connection:
            if not connection.execute(update(studies).where(*mine).values(renewed=now)).rowcount:
                raise found_in(connection, study)[1].moved(owner.token)

    def release(self, study: str, owner: Owner) -> None:
        """Let the study go, where `owner` still holds it."""
        mine = (studies.c.name == study, studies.c.token == owner.token)
        with self._writing(self._haste) as connection:
            if not connection.execute(update(studies).where(*mine).values(_FREE)).rowcount:
                found_in(connection, study)

    def append(self, study: str, after: int, events: Sequence[Event]) -> int:
        """Make the events durable, all or none. Raises `StudyMoved` where the study has moved on without us."""
        last = after + len(events)
        id_, token = self._tokens.get(study, (0, None))
        begun = self._begun.setdefault(study, {})
        low = next(iter(begun.values()), after + 1) - 1
        facts, points = _rows(id_, after, events)
        if any(kind == "Requeued" for _, _, _, kind, *_ in facts):
            low = 0  # such a trial may have begun anywhere
        turn = (last, low, id_, after, token)
        with self._held(self._haste) as connection:
            if not self._database.append(connection, turn, facts, points):
                raise found_in(connection, study)[1].moved(token, after)
        _note_begun(begun, ((position, kind, trial) for _, position, _, kind, trial, *_ in facts))
        return last

    def request(self, study: str, what: str) -> None:
        """Leave a wish for the study's driver."""
        with self._writing() as connection:
            id_, _ = found_in(connection, study)
            connection.execute(insert(requests).values(study=id_, what=what))

    def requests(self, study: str) -> list[str]:
        """Take the wishes that were left. Looking costs no write: a driver does it every second."""
        with self._held(self._haste) as connection:
            id_, _ = found_in(connection, study)
            if connection.scalar(select(requests.c.id).where(requests.c.study == id_).limit(1)) is None:
                return []
        with self._writing(self._haste) as connection:
            wishes = select(requests.c.id, requests.c.what).where(requests.c.study == id_).order_by(requests.c.id)
            taken = connection.execute(wishes).fetchall()
            connection.execute(delete(requests).where(requests.c.id.in_([wish.id for wish in taken])))
        return [wish.what for wish in taken]

    def delete(self, study: str, now: float) -> None:
        """Forget a study and its log. Raises `StudyOwned` where a living owner holds it.

        Whoever else writes to the file waits meanwhile: 2 s for a million events.
        """
        with self._writing() as connection:
            id_, entry = found_in(connection, study, hold=True)
            entry.check_free(None, now)
            connection.execute(delete(studies).where(studies.c.id == id_))  # its events and reports go with it
        self._tokens.pop(study, None)

    def close(self) -> None:
        """Let go of files and connections. Studies stay claimed until they are released."""
        with self._lock:
            self._closed = True
            self._writer.close()
            if self._fresh is not None:
                self._fresh.add_done_callback(_close)
            self._engine.dispose()

    @contextmanager
    def _writing(self, patience: float | None = None) -> Iterator[Connection]:
        """Hold the write lock for one transaction: committed at the end, rolled back by any error."""
        with self._held(patience) as connection:
            self._database.begin(connection)
            yield connection
            connection.commit()

    @contextmanager
    def _held(self, patience: float | None) -> Iterator[Connection]:
        """Hold the connection that writes. Other threads and other processes are waited for so long, each."""
        if patience is None:
            patience = self._database.patience
        if not self._lock.acquire(timeout=patience):
            raise StoreUnavailable(f"store={str(self)!r} is being written by another thread of this process")
        try:
            self._check_open()
            with self._database.explained():
                if self._writer.invalidated:
                    self._mend(_MOMENT if patience == self._haste else patience)
                if patience != self._patience:
                    self._database.set_patience(self._writer, patience)
                    self._patience = patience
                try:
                    yield self._writer
                finally:
                    self._writer.rollback()  # what has not been committed; nothing, as a rule
        finally:
            self._lock.release()

    def _mend(self, patience: float) -> None:
        """Take a new connection in place of the one that has broken, if it is there in time."""
        if self._fresh is None:
            self._fresh = Future()
            Thread(target=_settle, args=(self._fresh, self._engine), name="maggy-store", daemon=True).start()
        if not wait([self._fresh], patience).done:
            raise StoreUnavailable(f"store={str(self)!r} has lost its connection, and waits for another")
        fresh, self._fresh = self._fresh, None
        made = fresh.result()
        self._writer.close()
        self._writer, self._patience = made, None


def _settle(fresh: Future[Connection], engine: Engine) -> None:
    try:
        fresh.set_result(engine.connect())
    except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
        fresh.set_exception(error)


def _close(fresh: Future[Connection]) -> None:
    if fresh.exception() is None:
        fresh.result().invalidate()  # closing alone would give it back to a pool that nobody has any more


def _rows(study: int, after: int, events: Sequence[Event]) -> tuple[list[Any], list[Any]]:
    """Return the rows of both tables, made before the transaction: what has no JSON form is refused without a trace."""
    facts: list[Any] = []
    points: list[Any] = []
    for position, event in enumerate(events, after + 1):
        if type(event) is Reported:
            metrics = dumps(event.metrics)
            crc = crc_of_report(study, position, event.at, metrics, event.trial, event.attempt, event.step)
            points.append((study, position, event.at, event.trial, event.attempt, event.step, metrics, crc))
        else:
            content = body(event)
            at, trial, kind = content.pop("at"), content.pop("trial", None), type(event).__name__
            text = dumps(content)
            facts.append((study, position, at, kind, trial, text, crc_of(study, position, at, kind, text, trial)))
    return facts, points


def _note_begun(begun: dict[int, int], facts: Iterable[tuple[Any, ...]]) -> None:
    """Keep where each trial begins, in order, until it ends; facts begin with position, kind, trial."""
    for position, kind, trial, *_ in facts:
        if kind == "Suggested":
            begun[trial] = position
        elif kind == "Ended":
            begun.pop(trial, None)
        elif kind == "Requeued":
            others = dict(begun)
            begun.clear()
            begun |= {trial: 1} | others  # anywhere
