"""The tables of a store in SQL.

`events` and `reports` share one numbering per study: `studies.position` is the last position given out, and an append
moves it. Reports are the bulk, so they have a table of their own: lists and leaderboards read a few facts per trial,
whatever the number of reports. Bodies are strict JSON; a metric that is not finite reads `{"$f": "nan"}`.

Each row of a log has a checksum: a database notices damage to its own structure, not a digit that has become another.

A change of the tables raises `VERSION`; a file with a higher version is refused, one with a lower is brought up to date
by the statements in `UPGRADES` when it is opened.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)

VERSION = 2
UPGRADES = {1: ("ALTER TABLE events ADD COLUMN crc INTEGER", "ALTER TABLE reports ADD COLUMN crc INTEGER")}
METADATA = MetaData()

studies = Table(
    "studies",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("base", Text, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("position", Integer, nullable=False, server_default="0"),
    # Who holds it; the empty token is nobody's.
    Column("token", Text, nullable=False, server_default=""),
    Column("host", Text, nullable=False, server_default=""),
    Column("pid", Integer, nullable=False, server_default="0"),
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
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("at", Double, nullable=False),
        *columns,
        Column("crc", Integer, nullable=True),  # null where an earlier version wrote the row
        sqlite_with_rowid=False,
    )


events = _log(
    "events",
    Column("kind", Text, nullable=False),
    Column("trial", Integer, nullable=True),
    Column("body", Text, nullable=False),
)
reports = _log(
    "reports",
    Column("trial", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("metrics", Text, nullable=False),
)
requests = Table(
    "requests",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study", ForeignKey("studies.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("what", Text, nullable=False),
)

# The three statements of an append; their parameters go by position.
ADD_EVENTS = insert(events)
ADD_REPORTS = insert(reports)
ADVANCE = (
    update(studies)
    .values(position=bindparam("last"))
    .where(
        studies.c.id == bindparam("study"),
        studies.c.position == bindparam("after"),
        studies.c.token == bindparam("owner"),
    )
)


def _behind(table: Table) -> ColumnElement[bool]:
    return and_(table.c.study == bindparam("study"), table.c.position > bindparam("after"))


# One page of a log, in order; both tables are read along their primary keys and merged.
PAGE = (
    union_all(
        select(
            events.c.position,
            events.c.at,
            events.c.kind,
            events.c.trial,
            null(),
            null(),
            events.c.body,
            events.c.crc,
        ).where(_behind(events)),
        select(
            reports.c.position,
            reports.c.at,
            literal_column("'Reported'"),
            reports.c.trial,
            reports.c.attempt,
            reports.c.step,
            reports.c.metrics,
            reports.c.crc,
        ).where(_behind(reports)),
    )
    .order_by("position")
    .limit(bindparam("limit"))
)
