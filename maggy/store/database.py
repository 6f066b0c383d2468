"""What a database has to know of itself, so that `store.reader` and `store.sql` need not know which one it is.

There are two: `sqlite.File` and `postgres.Server`. All that they have in common is said once, in SQLAlchemy Core; what
is left is here. Connections are in autocommit mode: a reader's statement is a transaction of its own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine

Turn = tuple[int, int, int, int, str | None]
"""Where an append goes: new last position, new `low`, the study's id, the position behind which, and whose token."""


class Database(Protocol):
    """One database, which may hold a store. `str` of it names it to people and to `open_store`, without a password."""

    @property
    def patience(self) -> float:
        """Seconds that a person waits for other processes, or for an answer."""

    @property
    def haste(self) -> float:
        """Seconds that a driver waits, whose executors wait for it meanwhile: it can try again later."""

    def open(self, *, existing: bool = False) -> tuple[Engine, Connection]:
        """Open the store, and make or update it if need be; return its engine, and a connection for its one writer.

        Raises `ConfigError` or `StoreError` with a sentence where that cannot be; with `existing` none is made. What is
        no store of ours, or one of a later version, is left as it is.
        """

    def open_to_read(self) -> Engine:
        """Open the store for reading alone. Raises `StoreError` where there is none, or it has to be updated first."""

    def explained(self) -> AbstractContextManager[None]:
        """Turn the database's errors into a `StoreError`; a `StoreUnavailable` where the same may succeed later."""

    def check(self, connection: Connection) -> None:
        """Raise `StoreError` where the database's own structure is damaged."""

    def set_patience(self, connection: Connection, seconds: float) -> None:
        """Let a connection wait so long."""

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""

    def lock_names(self, connection: Connection) -> None:
        """Keep others from giving names to studies until this transaction ends."""

    def append(self, connection: Connection, turn: Turn, facts: list[Any], points: list[Any]) -> bool:
        """Write and commit a turn; return False, having written nothing, where the study is not as the turn says."""

    def number(self, body: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """Return the number that a body has there, or as a text the JSON of one that is not finite."""

    def text(self, body: ColumnElement[str], key: str) -> ColumnElement[Any]:
        """Return the text that a body has there."""
