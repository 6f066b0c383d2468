"""Data without some of its columns: data frames, arrays, mappings of columns, and tuples that begin with one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from maggy.errors import ConfigError, nearest


def columns(data: Any) -> list[Any] | None:
    """Return the names of the columns, or their numbers; None for what has none that could be told."""
    if isinstance(data, tuple | list):
        return columns(data[0]) if data else None
    if isinstance(data, Mapping):
        return list(data)
    if hasattr(data, "columns"):
        return list(data.columns)
    shape = getattr(data, "shape", None)
    return list(range(shape[1])) if isinstance(shape, tuple) and len(shape) == 2 else None  # noqa: PLR2004


def without(data: Any, gone: Collection[Any]) -> Any:
    """Return the data without these columns, and nothing that the caller could change in the original.

    Raises `ConfigError` for a column that there is not, and for data that has none.
    """
    if isinstance(data, tuple | list) and data:
        rest = tuple(_own(each) for each in data[1:])
        return type(data)((without(data[0], gone), *rest)) if type(data) in (tuple, list) else data
    if not gone:
        return _own(data)
    has = columns(data)
    if has is None:
        raise ConfigError(
            f"of data of type {type(data).__name__} no column can be left out: return a data frame, an array of two "
            "dimensions or a mapping of columns, or write a data function that names `without` and leaves them out"
        )
    check(gone, has)
    if isinstance(data, Mapping):
        return {name: _own(column) for name, column in data.items() if name not in gone}
    if hasattr(data, "columns") and hasattr(data, "drop"):
        names = list(gone)
        return data.drop(names) if type(data).__module__.startswith("polars") else data.drop(columns=names)
    return data[:, [number for number in has if number not in gone]]


def check(gone: Iterable[Any], has: Collection[Any]) -> None:
    """Raise `ConfigError` for columns that there are not."""
    for name in gone:
        if name not in has:
            if isinstance(name, str) and all(isinstance(each, int) for each in has):
                raise ConfigError(
                    f"the data has no feature {name!r}: columns of an array have numbers, 0 to {len(has) - 1}; "
                    "pass a data frame, or name all columns: features=[…], in their order"
                )
            known = ", ".join(map(repr, has))
            raise ConfigError(f"the data has no feature {name!r}{nearest(str(name), map(str, has))} (it has {known})")


def local(data: Any) -> Any:
    """Return the data as something that can travel: a Spark data frame is collected, here, once."""
    if any(kind.__module__.startswith("pyspark.sql") for kind in type(data).__mro__) and hasattr(data, "toPandas"):
        return data.toPandas()
    return data


def _own(data: Any) -> Any:
    """Return a copy of what has a `copy()` of its own; what cannot be copied so is handed on as it is."""
    copy = getattr(data, "copy", None)
    return copy() if callable(copy) else data
