"""What is read of a store in an SQL database: its studies, their logs, and a few facts of each trial.

There is a pool of connections for reading. A read goes page by page, each page a statement of its own: the log only
grows, so pages fit together, and a reader that stops halfway holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from zlib import crc32

from sqlalchemy import Connection, Engine, select

from maggy.errors import StoreError
from maggy.events import Event, Reported, restored
from maggy.jsonvalue import loads, loads_own
from maggy.store import schema
from maggy.store.base import Fact, Owner, StudyEntry, is_name, no_study
from maggy.store.database import Database
from maggy.store.schema import studies

_PAGE = 4096
_FEW = 500  # trials that one question can name; of more, all are read
_TRIAL, _TIME = {int, type(None)}, {float}  # of what types these are
_OF_STUDIES = {"name": str, "base": str, "created": float, "position": int, "since": float, "renewed": float}
_LAST = 50_000  # reports among which each trial's last one is looked for: some 20 ms


class SqlReader:
    """What can be read of the store in a database; a `SqlStore` can also be written.

    Opened as it is it never writes, makes no store, and waits for nobody who writes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = self._opened()
        self._closed = False

    def _opened(self) -> Engine:
        return self._database.open_to_read()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        return str(self._database)

    def latest(self, base: str) -> str | None:
        """Return the study with the highest number of that base, else the one of that very name, else None."""
        if not is_name(base):
            return None
        of_base = select(studies.c.name).where(studies.c.base == base).order_by(studies.c.number.desc()).limit(1)
        with self._reading() as connection:
            found: str | None = connection.scalar(of_base)
            return found or connection.scalar(select(studies.c.name).where(studies.c.name == base))

    def studies(self) -> list[StudyEntry]:
        """Return all studies, the oldest first."""
        with self._reading() as connection:
            return [_entry(row) for row in connection.execute(select(studies).order_by(studies.c.id))]

    def read(self, study: str, after: int = 0) -> Iterator[Event | None]:
        """Yield the events behind position `after`, one for each position; None for a kind of a later version."""
        with self._reading() as connection:
            id_, entry = found_in(connection, study)
        return self._pages(study, id_, after, entry.position)

    def facts(
        self, study: str, kinds: Sequence[str] = (), *, bodies: Sequence[str] = (), unfinished: bool = False
    ) -> list[Fact]:
        """Return what lists need to know of events of these kinds, or of all but reports, in order.

        Of the kinds in `bodies` their bodies as well. With `unfinished`, only of events from where the oldest trial
        begins that has not ended: what stands before is not read.
        """
        with self._reading() as connection:
            id_, _ = found_in(connection, study)
            low = connection.scalar(select(studies.c.low).where(studies.c.id == id_)) if unfinished else 0
            # The driver's own rows: SQLAlchemy's would double the time that a long log takes.
            query = schema.facts(kinds, bodies, self._database.number, self._database.text)
            found: Any = connection.execute(query, {"study": id_, "after": low}).cursor
            rows = cast("list[Fact]", found.fetchall())
        if not ({type(row[2]) for row in rows} <= _TRIAL and {type(row[3]) for row in rows} <= _TIME):
            position, kind = next(row[:2] for row in rows if type(row[2]) not in _TRIAL or type(row[3]) not in _TIME)
            what = "its trial or time is no number"
            raise StoreError(f"position {position} of study {study!r} is no {kind} event: {what}")
        return rows

    def of_trials(self, study: str, trials: Collection[int]) -> Iterator[Event]:
        """Yield the events of these trials but for what they reported, in order."""
        with self._reading() as connection:
            id_, _ = found_in(connection, study)
            asked: dict[str, Any] = {"study": id_, "trials": list(trials)}
            few = len(trials) <= _FEW
            for row in connection.execute(schema.OF_TRIALS if few else schema.OF_ALL, asked).fetchall():
                if row.trial in trials and (event := _event(study, id_, row.position, row)) is not None:
                    yield event

    def reports(self, study: str, trial: int) -> Iterator[Reported]:
        """Yield what a trial has reported, in order; of the reports of others only those meanwhile are looked at."""
        with self._reading() as connection:
            id_, entry = found_in(connection, study)
            facts = connection.execute(schema.OF_TRIALS, {"study": id_, "trials": [trial]}).fetchall()
            begins = [row.position for row in facts if row.kind == "Started"]
            if not begins:
                return
            # A trial that has failed may be queued again, and reports once more.
            end = facts[-1].position if facts[-1].kind == "Ended" else entry.position
            asked = {"study": id_, "trial": trial, "first": begins[0], "last": end}
            for row in connection.execute(schema.REPORTS, asked).fetchall():
                event = _event(study, id_, row.position, row)
                if isinstance(event, Reported):
                    yield event

    def last_reports(self, study: str, trials: Collection[int]) -> dict[int, Reported]:
        """Return the last report of each of these trials that has one among the last that the study had."""
        found: dict[int, Reported] = {}
        with self._reading() as connection:
            id_, _ = found_in(connection, study)
            for row in connection.execute(schema.LAST_REPORTS, {"study": id_, "limit": _LAST}):
                if row.trial in trials and row.trial not in found:
                    event = _event(study, id_, row.position, row)
                    if isinstance(event, Reported):
                        found[row.trial] = event
                    if len(found) == len(trials):
                        break
        return found

    def close(self) -> None:
        """Let go of files and connections."""
        self._closed = True
        self._engine.dispose()

    def _pages(self, study: str, id_: int, after: int, last: int) -> Iterator[Event | None]:
        """Yield page by page; what was there when the reading began, up to `last`, has to be there."""
        while True:
            with self._reading() as connection:
                page: Any = connection.execute(schema.PAGE, {"study": id_, "after": after, "limit": _PAGE}).cursor
                rows = page.fetchall()  # the driver's own: SQLAlchemy's would add a third to the time of a long log
            reported = _contents(id_, after, rows)
            for row in rows:
                after += 1
                if reported is not None and row[2] == "Reported":
                    yield Reported(row[1], row[3], row[4], row[5], next(reported))
                else:
                    yield _event(study, id_, after, row)
            if len(rows) < _PAGE:
                break
        if after < last:
            raise _missing(study, after + 1)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_open()
        with self._database.explained(), self._engine.connect() as connection:
            yield connection

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"store={str(self)!r} has been closed: open it again")


def crc_of(study: int, position: int, at: float, kind: str, text: str, trial: int | None) -> int:
    """Return the checksum of a row that is no report."""
    listed = "" if trial is None else int(trial)
    return crc32(f"{study} {position} {float(at)!r} {kind} [{listed}] {text}".encode("utf-8", "surrogatepass"))


def crc_of_report(study: int, position: int, at: float, text: str, trial: int, attempt: int, step: int) -> int:
    """Return the checksum of a report's row."""
    numbers = f"{int(trial)}, {int(attempt)}, {int(step)}"
    return crc32(f"{study} {position} {float(at)!r} Reported [{numbers}] {text}".encode("utf-8", "surrogatepass"))


def _missing(study: str, position: int) -> StoreError:
    return StoreError(f"position {position} of study {study!r} is missing: go back to a copy of the store")


def _content(crc: int | None, text: str, checksum: Callable[..., int], *row: Any) -> Any:
    if crc is None:
        return loads(text)
    if crc != checksum(*row):
        raise ValueError("its checksum is another")
    return loads_own(text)


def _contents(id_: int, after: int, rows: Sequence[Any]) -> Iterator[Any] | None:
    """Return what stands in the reports of a page, all at once as they are most of a long log; None if a row is odd."""
    if [row[0] for row in rows] != list(range(after + 1, after + 1 + len(rows))):
        return None
    reports = [row for row in rows if row[2] == "Reported"]
    try:
        sums = [
            crc32(f"{id_} {where} {at!r} Reported [{trial}, {attempt}, {step}] {text}".encode("utf-8", "surrogatepass"))
            for where, at, _, trial, attempt, step, text, _ in reports
        ]
        contents: list[Any] = loads_own(f"[{','.join([row[6] for row in reports])}]")
    except (ValueError, TypeError):
        return None
    intact = len(contents) == len(reports) and sums == [row[7] for row in reports]
    return iter(contents) if intact and all(type(each) is dict for each in contents) else None


def _metrics(content: Any) -> dict[str, Any]:
    if type(content) is not dict:
        raise TypeError(f"its metrics are of type {type(content).__name__}")
    return content


def _event(study: str, id_: int, expected: int, row: Any) -> Event | None:
    position, at, kind, trial, attempt, step, text, crc = row
    if position != expected:
        raise _missing(study, expected)
    try:
        if kind == "Reported":
            content = _content(crc, text, crc_of_report, id_, position, at, text, trial, attempt, step)
            return Reported(at, trial, attempt, step, _metrics(content))
        content = _content(crc, text, crc_of, id_, position, at, kind, text, trial)
        return restored(kind, {**content, "at": at, "trial": trial})
    except (ValueError, TypeError) as error:
        raise StoreError(f"position {position} of study {study!r} is no {kind} event: {error}") from error


def _askable(study: object) -> bool:
    """Whether a database can be asked for that name; a stranger's store may have names that no study may be given."""
    return isinstance(study, str) and "\0" not in study and study.encode("utf-8", "ignore").decode() == study


def found_in(connection: Connection, study: str, *, hold: bool = False) -> tuple[int, StudyEntry]:
    """Return a study's id and entry. Raises `StoreError` where there is none.

    With `hold` nobody else changes it until this transaction ends; in SQLite nobody could anyway.
    """
    wanted = select(studies).where(studies.c.name == study)
    row = connection.execute(wanted.with_for_update() if hold else wanted).one_or_none() if _askable(study) else None
    if row is None:
        # In a damaged file a name may be anything.
        raise no_study(study, map(str, connection.scalars(select(studies.c.name))))
    return row.id, _entry(row)


def _entry(row: Any) -> StudyEntry:
    for column, kind in _OF_STUDIES.items():
        if type(found := getattr(row, column)) is not kind:  # SQLite keeps what it is given, and a file may be damaged
            raise StoreError(
                f"of study {str(row.name)!r} the store has {column}={found!r:.80}: go back to a copy of it"
            )
    owner = Owner(row.host, row.pid, row.started, row.token) if row.token else None
    return StudyEntry(row.name, row.base, row.number, row.created, row.position, owner, row.since, row.renewed)
