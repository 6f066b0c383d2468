"""The training function as bytes, and where that cannot be, who is to blame."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import cloudpickle

from maggy.errors import ConfigError
from maggy.trainfn import TrainFn, label


def pickled(train_fn: TrainFn, train_args: Mapping[str, Any]) -> bytes:
    """Return the function and its constant arguments as bytes for the executors.

    Raises `ConfigError` naming what cannot travel: a lock, an open file, a Spark session, …
    """
    try:
        data: bytes = cloudpickle.dumps((train_fn, dict(train_args)))
    except Exception as error:
        where = next(_culprits(train_fn, train_args), None)
        who = f"{where[0]}, of type {type(where[1]).__name__}" if where else "something that it refers to"
        raise ConfigError(
            f"{label(train_fn)} cannot be sent to executors because of {who} ({error}); "
            "make it inside the function, or pass what it is made from"
        ) from error
    return data


def _culprits(train_fn: TrainFn, train_args: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what cannot be pickled, by the name under which the function knows it."""
    for name, value in train_args.items():
        yield from _blame(f"train_args[{name!r}]", value, set())
    yield from _blame("", train_fn, set())


def _blame(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(value) in seen or _travels(value):
        return
    seen.add(id(value))
    deeper = [found for part, each in _parts(value) for found in _blame(f"{name}.{part}" if name else part, each, seen)]
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
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True
