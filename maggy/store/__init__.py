"""Where events are appended and read.

`open_store` is the way in. A store that lives in a database brings SQLAlchemy, which costs a quarter of a second to
import: only opening one does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maggy.errors import ConfigError
from maggy.store.base import LEASE, Fact, Owner, Reader, Store, StudyEntry, check_name
from maggy.store.memory import MemoryStore

__all__ = [
    "LEASE",
    "Fact",
    "MemoryStore",
    "Owner",
    "Reader",
    "Store",
    "StudyEntry",
    "check_name",
    "open_reader",
    "open_store",
]

DEFAULT = "./maggy.db"
_SERVER = re.compile(r"postgres(?:ql)?(?:\+(\w*))?://")
_FORMS = "a path, 'sqlite:///FILE', 'local,FILE', 'postgresql://USER@HOST/DATABASE' or 'memory:'"


def open_store(where: str | os.PathLike[str] | Store | None = None, *, existing: bool = False) -> Store:
    """Open the store at `where`: a path or URL (`docs/store.md`), `memory:`, or a store, which is returned.

    None means the environment's MAGGY_STORE, else `./maggy.db`. Raises `ConfigError` or `StoreError` where the store
    is of a kind that there is not, or cannot be written; or, with `existing`, where there is none yet.
    """
    if where is None:
        where = os.environ.get("MAGGY_STORE") or DEFAULT
    if not isinstance(where, str | os.PathLike):
        if isinstance(where, Store):
            return where
        raise ConfigError(f"store={where!r} is a {type(where).__name__}: give {_FORMS}, or a Store")
    if where == "memory:":
        return MemoryStore()
    with _needing_sqlalchemy():
        from maggy.store.sql import SqlStore

        return SqlStore(_database(where), existing=existing)


def open_reader(where: str | os.PathLike[str] | None = None) -> Reader:
    """Open the store at `where`, as `open_store` knows it, for reading alone: no file is made, and nobody waits.

    Raises `ConfigError` or `StoreError` where there is no such store.
    """
    where = os.environ.get("MAGGY_STORE") or DEFAULT if where is None else where
    if where == "memory:":
        raise ConfigError("a store in memory is seen by its own process alone; name a file")
    with _needing_sqlalchemy():
        from maggy.store.reader import SqlReader

        return SqlReader(_database(where))


def _database(where: str | os.PathLike[str]) -> Any:
    """Return the `Database` that is meant. Raises `ConfigError` where it is none that there is."""
    if isinstance(where, str) and (url := _SERVER.match(where)):
        if url[1] not in (None, "psycopg"):
            raise ConfigError(f"store='postgresql+{url[1]}://…': maggy uses psycopg; write postgresql://…")
        from maggy.store.postgres import Server

        return Server(where[url.end() :])
    path = _path(where)
    from maggy.store.sqlite import File

    return File(path)


def _path(where: str | os.PathLike[str]) -> Path:
    """Return the file that is meant. Raises `ConfigError` where it is none."""
    if isinstance(where, str):
        prefix = next((each for each in ("sqlite:///", "local,") if where.startswith(each) and where != each), None)
        where = _plain(where) if prefix is None else where.removeprefix(prefix)
    return Path(where).expanduser()


def _plain(where: str) -> str:
    """Return `where` if it can only be a path. Says no more of a URL than its scheme: it may hold a password."""
    scheme, url, _ = where.partition("://")
    if where.startswith("dynamodb,"):
        raise ConfigError(f"store='dynamodb,…': maggy keeps no studies in DynamoDB; give {_FORMS}")
    if url or where in ("", "local,", ":memory:"):
        raise ConfigError(
            f"store={scheme + url + '…' if url else where!r} is none of the stores there are: give {_FORMS}"
        )
    return where


@contextmanager
def _needing_sqlalchemy() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sqlalchemy":
            raise
        raise ConfigError(
            "a store in a file or database needs SQLAlchemy: `pip install sqlalchemy`, or give store='memory:'"
        ) from None
