"""Where events are appended and read.

`open_store` is the way in. A store that lives in a database brings SQLAlchemy, which costs a quarter of a second to
import: only opening one does.
"""

from __future__ import annotations

import os
from pathlib import Path

from maggy.errors import ConfigError, StoreError
from maggy.store.base import LEASE, Owner, Store, StudyEntry, check_name
from maggy.store.memory import MemoryStore

__all__ = ["LEASE", "MemoryStore", "Owner", "Store", "StudyEntry", "check_name", "open_store"]

DEFAULT = "./maggy.db"
_FORMS = "a path, 'sqlite:///FILE', 'local,FILE' or 'memory:'"


def open_store(where: str | os.PathLike[str] | Store | None = None, *, existing: bool = False) -> Store:
    """Open the store at `where`: a path, `sqlite:///FILE`, `local,FILE`, `memory:`, or a store, which is returned.

    None means the environment's MAGGY_STORE, else `./maggy.db`. Raises `ConfigError` or `StoreError` where the store
    is of a kind that there is not, or cannot be written; or, with `existing`, where there is no such file yet.
    """
    if where is None:
        where = os.environ.get("MAGGY_STORE") or DEFAULT
    if isinstance(where, os.PathLike):
        return _open_file(Path(where), existing)
    if not isinstance(where, str):
        if isinstance(where, Store):
            return where
        raise ConfigError(f"store={where!r} is a {type(where).__name__}: give {_FORMS}, or a Store")
    if where == "memory:":
        return MemoryStore()
    for prefix in ("sqlite:///", "local,"):
        if where.startswith(prefix) and where != prefix:
            return _open_file(Path(where.removeprefix(prefix)), existing)
    return _open_file(Path(_plain(where)), existing)


def _plain(where: str) -> str:
    """Return `where` if it can only be a path. Says no more of a URL than its scheme: it may hold a password."""
    scheme, url, _ = where.partition("://")
    if url and scheme.partition("+")[0] in ("postgresql", "postgres"):
        raise ConfigError(f"store='{scheme}://…': stores in PostgreSQL come with maggy[postgres] later; give {_FORMS}")
    if where.startswith("dynamodb,"):
        raise ConfigError(f"store='dynamodb,…': maggy keeps no studies in DynamoDB; give {_FORMS}")
    if url or where in ("", "local,", ":memory:"):
        raise ConfigError(
            f"store={scheme + url + '…' if url else where!r} is none of the stores there are: give {_FORMS}"
        )
    return where


def _open_file(path: Path, existing: bool) -> Store:
    if existing and not path.expanduser().exists():
        raise StoreError(f"there is no store at {path}; store= or MAGGY_STORE names it")
    try:
        from maggy.store.sql import SqlStore
        from maggy.store.sqlite import file_url
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sqlalchemy":
            raise
        raise ConfigError(
            "a store in a file needs SQLAlchemy: `pip install sqlalchemy`, or give store='memory:'"
        ) from None
    return SqlStore(file_url(path.expanduser()))
