"""All that is peculiar to PostgreSQL: how a server is reached, a store recognized and made, and what its errors mean.

A store has a schema to itself, in PostgreSQL's sense: the first one of the connection's search path. Its version stands
in a table of its own, `maggy`.

What may go wrong is other than with a file. The server, or the way to it, may be gone without a word: so each wait has
an end, and a connection that was given up is closed. And an append may be lost or done while its confirmation is lost:
so an append that is tried again, behind the same position and with the same rows, is found out to be there already.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import ColumnElement, Connection, Engine, Table, create_engine, literal_column
from sqlalchemy.exc import DBAPIError

from maggy.errors import ConfigError, StoreError, StoreUnavailable
from maggy.store import schema
from maggy.store.database import Turn
from maggy.store.postgres_schema import APPEND, TABLES, UPGRADES, VIEWS, json_of

try:
    import psycopg
except ImportError as error:  # psycopg itself, or the library of PostgreSQL that it needs
    raise ConfigError(
        f"a store in PostgreSQL needs psycopg: `pip install 'maggy[postgres]'` ({' '.join(str(error).split())})"
    ) from None

PATIENCE = 60.0  # seconds of silence of the server for which a person waits: a long list may take some
HASTE = 3.0  # seconds for which a driver does; an append takes milliseconds, unless the server's disk is busy
LOOK = 0.1  # seconds between two looks whether a wait has ended
MARK = 0x6D616767  # "magg": the lock that who makes a store, or names a study, holds for a moment
_FORM = "postgresql://USER@HOST:PORT/DATABASE"
_DEFAULTS = {
    "application_name": "maggy",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# A transaction whose client stands still or is gone must not hold others up. What is confirmed has to be durable. Times
# that came rounded would not fit their checksums. Who has waited for a lock has to see what its last holder has done.
_SETTINGS = """SELECT set_config('lock_timeout', '20s', false),
       set_config('extra_float_digits', '1', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('search_path', quote_ident(current_schema()), false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                  WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"""
_MEANINGS = {
    "password authentication failed": "does not accept that user's password: mend it in the URL, in PGPASSWORD or in "
    "~/.pgpass",
    "no password supplied": "wants a password: give it in PGPASSWORD or in ~/.pgpass",
    "no pg_hba.conf entry": "lets nobody in from here as that user: see its pg_hba.conf",
    "starting up": "is not ready yet: wait a moment",
    "shutting down": "is shutting down: start it again",
    "too many clients": "has too many connections: close some, or raise its max_connections",
    "connection slots": "has too many connections: close some, or raise its max_connections",
    'database "': "has no such database: make it with `createdb`, or name another",
    'role "': "has no such user: make it with `createuser`, or name another",
    "resolve host": "is on a host that is unknown here: mend the URL",
    "translate host": "is on a host that is unknown here: mend the URL",
    "invalid": "cannot be reached so: mend the URL",
}
_STATES = {
    "08": "has broken the connection",
    "25P03": "has ended a connection that stood still",
    "25006": "can only be read: name the primary server",
    "42501": "may not be used so by that user: GRANT it, or name another user, database or schema",
    "53100": "has no room left: make room on its disk",
    "53300": "has too many connections: close some, or raise its max_connections",
    "55P03": "was locked by another process: stop that process",
    "57P": "has ended the connection, or is just starting or ending",
    "XX001": "is damaged: go back to a copy of it",
    "XX002": "is damaged: go back to a copy of it",
}
_PASSING = ("25006", "25P03", "40")  # beyond what psycopg calls operational


class _Patient(psycopg.Connection[Any]):  # type: ignore[misc]  # the driver may be missing
    """A connection that waits for the server's next word for `patience` seconds, then is closed."""

    patience = PATIENCE

    def wait(self, gen: Generator[Any, Any, Any], interval: float = LOOK, **more: Any) -> Any:
        """Run a conversation with the server. Raises `OperationalError` where it falls silent."""
        return super().wait(self._listened(gen), interval, **more)

    def _listened(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass on what `gen` waits for and what comes; psycopg says 0 each `interval` in which nothing has come."""
        heard, ready = time.monotonic(), None
        while True:
            try:
                awaited = next(gen) if ready is None else gen.send(ready)
            except StopIteration as end:
                return end.value
            ready = yield awaited
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > self.patience:
                self.close()
                raise psycopg.OperationalError(f"no answer for {self.patience:g} s")


class Server:
    """A `Database` on the server of a URL, which is given without its scheme."""

    def __init__(self, address: str) -> None:
        self._options, self._shown = _understood(address)
        self._doubts: dict[int, Any] = {}  # by study: the append of which it is not known whether it was done

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Server({self._shown!r})"

    @property
    def patience(self) -> float:
        """Seconds of the server's silence for which a person waits."""
        return PATIENCE

    @property
    def haste(self) -> float:
        """Seconds of the server's silence for which a driver waits."""
        return HASTE

    def open(self, *, existing: bool = False) -> tuple[Engine, Connection]:
        """Open or make the store; return its engine, and a connection for its one writer."""
        engine = self._engine()
        try:
            with self.explained():
                connection = engine.connect()
                try:
                    self._prepare(connection, existing=existing)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            engine.dispose()
            raise
        return engine, connection

    def open_to_read(self) -> Engine:
        """Open the store for reading alone."""
        engine = self._engine(reading=True)
        try:
            with self.explained(), engine.connect() as connection:
                self._check_readable(connection)
        except BaseException:
            engine.dispose()
            raise
        return engine

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn PostgreSQL's errors into a `StoreError` that says what was met and what would be right.

        It is a `StoreUnavailable` where the same may succeed later.
        """
        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            said, state = " ".join(str(cause).split()), getattr(cause, "sqlstate", None) or ""
            meaning = next((text for sign, text in _STATES.items() if state.startswith(sign)), None) if state else None
            if meaning is None:
                meaning = next((text for sign, text in _MEANINGS.items() if sign in said), None)
            passing = isinstance(cause, psycopg.OperationalError) or state.startswith(_PASSING)
            meaning = meaning or ("cannot be reached, or does not answer" if passing and not state else "failed")
            kind = StoreUnavailable if passing else StoreError
            raise kind(f"store={str(self)!r} {meaning} (PostgreSQL: {said})") from cause

    def check(self, connection: Connection) -> None:
        """Do nothing: the server looks after its files, and each row of a log has a checksum."""

    def set_patience(self, connection: Connection, seconds: float) -> None:
        """Let a connection wait so long for the server's next word."""
        driver: Any = connection.connection.dbapi_connection
        driver.patience = seconds

    def begin(self, connection: Connection) -> None:
        """Begin a transaction."""
        connection.exec_driver_sql("BEGIN")

    def lock_names(self, connection: Connection) -> None:
        """Keep others from making stores, and from giving names to studies, until this transaction ends."""
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MARK}, hashtext(current_schema()))")

    def append(self, connection: Connection, turn: Turn, facts: list[Any], points: list[Any]) -> bool:
        """Write a turn in one statement, which is a transaction of its own: one way to the server and back.

        Returns False where the study is not as the turn says; True also where an attempt before this one, of which
        nothing was heard again, has written it.
        """
        last, _, study, _, token = turn
        doubt = self._doubts.get(study)
        self._doubts[study] = given = (turn, facts, points)
        values = (*turn, *_columns(facts, schema.events), *_columns(points, schema.reports))
        written: bool = connection.exec_driver_sql(APPEND, values).scalar_one() == 1
        if not written and doubt == given:
            asked = "SELECT count(*) FROM studies WHERE id = %s AND position = %s AND token = %s"
            written = connection.exec_driver_sql(asked, (study, last, token)).scalar_one() == 1
        del self._doubts[study]
        return written

    def number(self, body: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """Return the number that a body has there, or as a text the JSON of one that is not finite."""
        found = f"({json_of(str(body), 'json')} -> '{key}')"
        return literal_column(f"CASE json_typeof({found}) WHEN 'object' THEN to_json({found}::text) ELSE {found} END")

    def text(self, body: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """Return the text that a body has there."""
        return literal_column(f"({json_of(str(body), 'json')} ->> '{key}')")

    # -- opening ---------------------------------------------------------------------------------------------------

    def _engine(self, *, reading: bool = False) -> Engine:
        return create_engine(
            "postgresql+psycopg://",  # the address, with its password, is the creator's alone
            creator=partial(self._connect, reading=reading),
            isolation_level="AUTOCOMMIT",
            paramstyle="format",
            pool_pre_ping=True,  # for readers: a server that was restarted is no error
            use_native_hstore=False,
        )

    def _connect(self, *, reading: bool) -> _Patient:
        connection: _Patient = _Patient.connect(**self._options, autocommit=True)
        try:
            self._settle(connection)
            if reading:
                connection.execute("SET default_transaction_read_only = on")
        except BaseException:
            connection.close()
            raise
        return connection

    def _settle(self, connection: _Patient) -> None:
        if connection.execute("SELECT current_schema()").fetchone() == (None,):
            raise StoreError(
                f"store={str(self)!r} has no schema that this user can use: GRANT USAGE on one, or name another "
                "with ?options=-csearch_path%3DNAME"
            )
        connection.execute(_SETTINGS)

    def _prepare(self, connection: Connection, *, existing: bool) -> None:
        version = self._version(connection)
        if version == schema.VERSION:
            return
        if version is None and existing:
            raise self._absent()
        self.begin(connection)
        self.lock_names(connection)
        version = self._version(connection)  # another may have been faster
        if version is None:
            encoding: str = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
            if encoding != "UTF8":
                raise StoreError(
                    f"store={str(self)!r} keeps texts as {encoding}, which has not all characters: name a database "
                    "made with `createdb -E UTF8 -T template0`"
                )
            schema.METADATA.create_all(connection, checkfirst=False)
            connection.exec_driver_sql("CREATE TABLE maggy (version BIGINT NOT NULL)")
            connection.exec_driver_sql("INSERT INTO maggy VALUES (%s)", (schema.VERSION,))
            for view in VIEWS.values():
                connection.exec_driver_sql(view)
        for older in range(schema.VERSION if version is None else version, schema.VERSION):
            for statement in UPGRADES[older]:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("UPDATE maggy SET version = %s", (older + 1,))
        connection.commit()

    def _check_readable(self, connection: Connection) -> None:
        if (version := self._version(connection)) is None:
            raise self._absent()
        if version < schema.VERSION:
            raise StoreError(
                f"store={str(self)!r} was written by an earlier maggy, and reading leaves it as it is: bring it up to "
                "date with `maggy create-table`, or by running a study"
            )

    def _version(self, connection: Connection) -> int | None:
        """Return the version of the store's tables, None where there is nothing of it yet.

        Raises `StoreError` for tables of a later version, and for other programs'.
        """
        found = set(connection.exec_driver_sql(TABLES).scalars())
        if not found:
            return None
        if not found >= {"maggy", *schema.METADATA.tables}:
            raise StoreError(
                f"store={str(self)!r} holds {', '.join(sorted(found))} of another program; nothing was done with it: "
                "name another database, or a schema of its own with ?options=-csearch_path%3DNAME"
            )
        version: int = connection.exec_driver_sql("SELECT version FROM maggy").scalar_one()
        if version > schema.VERSION:
            raise StoreError(
                f"store={str(self)!r} was written by a later maggy (its schema is {version}, this one knows "
                f"{schema.VERSION}); it was left as it is: upgrade maggy, or name another database"
            )
        return version

    def _absent(self) -> StoreError:
        return StoreError(
            f"there is no store at {str(self)!r}; --store or MAGGY_STORE names it, and `maggy create-table` makes it"
        )


def _understood(address: str) -> tuple[dict[str, str], str]:
    """Return the options of a URL, and the URL without its password. Raises `ConfigError`.

    No part of what cannot be understood is repeated: a password with an `@` or `/` in it is taken for anything.
    """
    unclear = ConfigError(
        f"store='postgresql://…' is no URL of a database: write {_FORM}, with %40 for an @ in a password, %2F for a /, "
        "%3F for a ? and %25 for a %"
    )
    try:
        found = psycopg.pq.Conninfo.parse(f"postgresql://{address}".encode())
    except (psycopg.Error, UnicodeError):
        raise unclear from None
    given = {each.keyword.decode(): each.val.decode() for each in found if each.val is not None}
    secret = {each.keyword.decode() for each in found if each.dispchar == b"*"}
    host, port = given.get("host", ""), given.get("port", "")
    if "@" in host + port + given.get("dbname", "") or (port and not port.replace(",", "0").isdigit()):
        raise unclear
    return {**_DEFAULTS, "client_encoding": "UTF8", **given}, _without(given, secret)


def _without(given: dict[str, str], secret: set[str]) -> str:
    """Return the URL that some options make, but for those that are secret."""
    shown = {key: value for key, value in given.items() if key not in secret}
    host, plain = shown.get("host", ""), ""
    if not set(host) & set("/,:"):  # no directory of a socket, no list and no IPv6, which stand better behind the `?`
        port = shown.pop("port", "")
        plain = shown.pop("host", "") + (f":{port}" if port else "")
    user, name = (quote(shown.pop(key, ""), safe="") for key in ("user", "dbname"))
    query = f"?{urlencode(shown, quote_via=quote)}" if shown else ""
    return f"postgresql://{user}{'@' * bool(user)}{plain}/{name}{query}"


def _columns(rows: list[Any], table: Table) -> list[str]:
    """Return rows as arrays, one for each column but for the study's id, which is the same in all."""
    return [*map(_array, zip(*rows, strict=True))][1:] if rows else ["{}"] * (len(table.columns) - 1)


def _array(column: Iterable[Any]) -> str:
    """Return a column as PostgreSQL writes an array: what psycopg makes of a list takes several times as long."""
    return "{" + ",".join("NULL" if each is None else _quoted(each) for each in column) + "}"


def _quoted(value: Any) -> str:
    if type(value) is not str:
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
