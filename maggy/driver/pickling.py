"""The training function as bytes, and where that cannot be, who is to blame."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Iterator, Mapping
from typing import Any

import cloudpickle

from maggy.errors import ConfigError
from maggy.trainfn import TrainFn, label

# What PySpark keeps on the driver. Some of it could be pickled, and would be of no use in a trial's process.
_BOUND = {
    "SparkContext",
    "SparkSession",
    "SQLContext",
    "DataFrame",
    "Series",
    "RDD",
    "Column",
    "Broadcast",
    "Accumulator",
}


def pickled(train_fn: TrainFn, train_args: Mapping[str, Any]) -> bytes:
    """Return the function and its constant arguments as bytes for the executors.

    Raises `ConfigError` naming what cannot travel: a lock, an open file, a Spark session, …
    """
    try:
        return _dumps((train_fn, dict(train_args)))
    except Exception as error:
        name, value = next(_culprits(train_fn, train_args), ("", None))
        who = f"{name}, of type {type(value).__name__}" if name else "something that it refers to"
        if isinstance(error, _BoundError) or _bound(value):
            why = (
                "which is of use on the driver only; read the data before the study (df.toPandas(), or "
                "df.write.parquet(…)) and pass it, or its path, with train_args={…}"
            )
            raise ConfigError(f"{label(train_fn)} cannot be sent to executors because of {who}, {why}") from error
        raise ConfigError(
            f"{label(train_fn)} cannot be sent to executors because of {who} ({error}); "
            "make it inside the function, or pass what it is made from"
        ) from error


class _BoundError(TypeError):
    """Something of Spark's that belongs to the driver was to be pickled."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if _bound(obj):
            raise _BoundError(type(obj).__name__)
        return super().reducer_override(obj)


def _dumps(value: Any) -> bytes:
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


def _bound(value: Any) -> bool:
    return any(kind.__name__ in _BOUND and kind.__module__.startswith("pyspark.") for kind in type(value).__mro__)


def _culprits(train_fn: TrainFn, train_args: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what cannot be pickled, by the name under which the function knows it."""
    for name, value in train_args.items():
        yield from _blame(f"train_args[{name!r}]", value, set())
    yield from _blame("", train_fn, set())


def _blame(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(value) in seen or _travels(value):
        return
    seen.add(id(value))
    deeper = (
        []
        if _bound(value)
        else [found for part, each in _parts(value) for found in _blame(f"{name}.{part}" if name else part, each, seen)]
    )
    if deeper:
        yield from deeper
    elif name:
        yield f"{name!r}", value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, as far as a user can name it."""
    if inspect.ismethod(value):
        yield "self", value.__self__
    elif inspect.isfunction(value):
        found = inspect.getclosurevars(value)
        yield from {**found.globals, **found.nonlocals}.items()
        defaults = {k: p.default for k, p in inspect.signature(value).parameters.items() if p.default is not p.empty}
        yield from defaults.items()
    elif isinstance(value, functools.partial):
        yield "func", value.func
        yield from value.keywords.items()
        yield from ((f"args[{place}]", each) for place, each in enumerate(value.args))
    elif isinstance(value, Mapping):
        yield from ((str(key), each) for key, each in value.items())
    elif isinstance(value, (list, tuple, set)):
        yield from ((str(place), each) for place, each in enumerate(value))
    else:
        yield from getattr(value, "__dict__", {}).items()


def _travels(value: Any) -> bool:
    try:
        _dumps(value)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True
