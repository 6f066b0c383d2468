"""The tables of a store in SQL.

`events` and `reports` share one numbering per study: `studies.position` is the last position given out, and an append
moves it. Reports are the bulk, so they have a table of their own: lists and leaderboards read a few facts per trial,
whatever the number of reports. Bodies are strict JSON; a metric that is not finite reads `{"$f": "nan"}`.

Each row of a log has a checksum: a database notices damage to its own structure, not a digit that has become another.

A change of the tables raises `VERSION`; a store with a higher version is refused, one with a lower is brought up to
date when it is opened for writing: a file by the statements in `UPGRADES`, PostgreSQL by its own.

`studies.low` says how far the log may be skipped by those who want only trials that have not ended: those begin behind
it. It may lag behind, and 0 is always right.

The views are for people; maggy's own code reads the tables. Those here are SQLite's; in them a number that is not
finite is a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)

VERSION = 5
METADATA = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # 64 bits each

studies = Table(
    "studies",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("base", Text, nullable=False, index=True),
    Column("number", NUMBER, nullable=False),
    Column("created", Double, nullable=False),
    Column("position", NUMBER, nullable=False, server_default="0"),
    Column("low", NUMBER, nullable=False, server_default="0"),
    # Who holds it; the empty token is nobody's.
    Column("token", Text, nullable=False, server_default=""),
    Column("host", Text, nullable=False, server_default=""),
    Column("pid", NUMBER, nullable=False, server_default="0"),
    Column("started", Text, nullable=False, server_default=""),
    Column("since", Double, nullable=False, server_default="0"),
    Column("renewed", Double, nullable=False, server_default="0"),
)


def _log(name: str, *columns: Column[Any]) -> Table:
    """Return a table of positions. Without SQLite's rowid the primary key is the table: one B-tree to write."""
    return Table(
        name,
        METADATA,
        Column("study", ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        Column("position", NUMBER, primary_key=True, autoincrement=False),
        Column("at", Double, nullable=False),
        *columns,
        Column("crc", NUMBER, nullable=True),  # null where an earlier version wrote the row
        sqlite_with_rowid=False,
    )


events = _log(
    "events",
    Column("kind", Text, nullable=False),
    Column("trial", NUMBER, nullable=True),
    Column("body", Text, nullable=False),
)
reports = _log(
    "reports",
    Column("trial", NUMBER, nullable=False),
    Column("attempt", NUMBER, nullable=False),
    Column("step", NUMBER, nullable=False),
    Column("metrics", Text, nullable=False),
)
requests = Table(
    "requests",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("study", ForeignKey("studies.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("what", Text, nullable=False),
)

# A trial as it stands: one row each, of the latest of its facts. One that was queued again has not ended; one that has
# named parameters itself has all of them.
_TRIALS = """CREATE VIEW trials AS
SELECT studies.name AS study, life.trial,
       CASE WHEN latest.body IS NOT NULL THEN json_extract(latest.body, '$.status')
            WHEN given > queued THEN 'running' ELSE 'queued' END AS status,
       coalesce(json_extract(latest.body, '$.value."$f"'), json_extract(latest.body, '$.value')) AS value,
       json_extract(suggested, '$.budget') AS budget,
       json_extract(suggested, '$.parent') AS parent,
       json_extract(coalesce(named.body, suggested), '$.params') AS params,
       json_extract(latest.body, '$.metrics') AS metrics,
       json_extract(latest.body, '$.reason') AS reason,
       json_extract(latest.body, '$.error') AS error,
       attempts, created_at, started_at, latest.at AS ended_at
  FROM (SELECT study, trial,
               max(CASE kind WHEN 'Suggested' THEN body END) AS suggested,
               max(CASE kind WHEN 'Started' THEN position END) AS given,
               max(CASE WHEN kind IN ('Suggested', 'Lost', 'Requeued') THEN position END) AS queued,
               max(CASE kind WHEN 'Ended' THEN position END) AS ended,
               max(CASE kind WHEN 'Drawn' THEN position END) AS drawn,
               sum(kind = 'Started') AS attempts,
               max(CASE kind WHEN 'Suggested' THEN at END) AS created_at,
               max(CASE kind WHEN 'Started' THEN at END) AS started_at
          FROM events WHERE trial IS NOT NULL GROUP BY study, trial) AS life
  JOIN studies ON studies.id = life.study
  LEFT JOIN events AS latest ON latest.study = life.study AND latest.position = ended AND ended > queued
  LEFT JOIN events AS named ON named.study = life.study AND named.position = drawn"""

_METRICS = """CREATE VIEW metrics AS
SELECT studies.name AS study, trial, attempt, step, key AS metric,
       CASE type WHEN 'object' THEN json_extract(value, '$."$f"') ELSE value END AS value, at
  FROM reports JOIN studies ON studies.id = reports.study, json_each(reports.metrics)"""

# Of each study the best completed trial at the largest budget, as `result.best_trial`.
_BEST = """CREATE VIEW best AS
SELECT study, trial, value, budget, params, metrics
  FROM (SELECT trials.*, row_number() OVER (
               PARTITION BY trials.study ORDER BY coalesce(budget, 0) DESC,
               CASE json_extract(opened.body, '$.settings.direction') WHEN 'min' THEN value ELSE -value END,
               ended_at, trials.trial) AS place
          FROM trials JOIN studies ON studies.name = trials.study
          JOIN events AS opened ON opened.study = studies.id AND opened.position = 1
         WHERE trials.status = 'completed' AND typeof(value) <> 'text')
 WHERE place = 1"""

# Whoever changes a text raises VERSION as well: a file whose views have another text is taken for a stranger's.
VIEWS = {"trials": _TRIALS, "metrics": _METRICS, "best": _BEST}
EARLIER = {  # SHA-256 of texts
    ("trials", "b0b3db49c47535f14c59d015b9a45afd9fa489de182d8a8e56b4e73e197bc5d0"),
    ("trials", "7f74dc821b77ae5a2560b083f16714dd196a21ca0af5dea770a0930ca16c9b1b"),
}


def is_view(name: str, text: str) -> bool:
    """Whether a view has a text that maggy has given it, now or in an earlier version."""
    return VIEWS.get(name) == text or (name, sha256(text.encode()).hexdigest()) in EARLIER


UPGRADES = {
    1: ("ALTER TABLE events ADD COLUMN crc INTEGER", "ALTER TABLE reports ADD COLUMN crc INTEGER"),
    2: ("ALTER TABLE studies ADD COLUMN low INTEGER NOT NULL DEFAULT 0", *VIEWS.values()),
    3: ("DROP VIEW trials", _TRIALS),  # the one before took no notice of trials that are queued again
    4: ("DROP VIEW trials", _TRIALS),  # nor of what trials have named themselves
}

Member = Callable[[ColumnElement[str], str], ColumnElement[Any]]  # what a body has at a key, in a database's own words

# The three statements of an append.
ADD_EVENTS = insert(events)
ADD_REPORTS = insert(reports)
ADVANCE = (
    update(studies)
    .values(position=bindparam("last"), low=bindparam("low"))
    .where(
        studies.c.id == bindparam("study"),
        studies.c.position == bindparam("after"),
        studies.c.token == bindparam("owner"),
    )
)


def _behind(table: Table) -> ColumnElement[bool]:
    return and_(table.c.study == bindparam("study"), table.c.position > bindparam("after"))


_FACT = (events.c.position, events.c.at, events.c.kind, events.c.trial, null(), null(), events.c.body, events.c.crc)
_POINT: tuple[Any, ...] = (
    reports.c.position,
    reports.c.at,
    literal_column("'Reported'"),
    reports.c.trial,
    reports.c.attempt,
    reports.c.step,
    reports.c.metrics,
    reports.c.crc,
)

# One page of a log, in order; both tables are read along their primary keys and merged.
PAGE = (
    union_all(select(*_FACT).where(_behind(events)), select(*_POINT).where(_behind(reports)))
    .order_by("position")
    .limit(bindparam("limit"))
)

OF_ALL = (
    select(*_FACT).where(events.c.study == bindparam("study"), events.c.trial.is_not(None)).order_by(events.c.position)
)
OF_TRIALS = OF_ALL.where(events.c.trial.in_(bindparam("trials", expanding=True)))
REPORTS = (
    select(*_POINT)
    .where(
        reports.c.study == bindparam("study"),
        reports.c.position.between(bindparam("first"), bindparam("last")),
        reports.c.trial == bindparam("trial"),
    )
    .order_by(reports.c.position)
)
LAST_REPORTS = (
    select(*_POINT)
    .where(reports.c.study == bindparam("study"))
    .order_by(reports.c.position.desc())
    .limit(bindparam("limit"))
)


def facts(kinds: Sequence[str], bodies: Sequence[str], number: Member, text: Member) -> Select[Any]:
    """Return the query for `SqlReader.facts`: what it takes out of a body costs half of what Python would take."""
    kind, body = events.c.kind, events.c.body
    picked = case((kind == "Ended", number(body, "value")), (kind == "Suggested", number(body, "budget")))
    word = case((kind == "Ended", text(body, "status")), (kind == "Started", text(body, "executor")))
    wanted = case((kind.in_(bodies), body)) if bodies else null()
    columns = (events.c.position, kind, events.c.trial, events.c.at, word, picked, wanted)
    wanted_kinds = (kind.in_(kinds),) if kinds else ()
    return select(*columns).where(_behind(events), *wanted_kinds).order_by(events.c.position)
