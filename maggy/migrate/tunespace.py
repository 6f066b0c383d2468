"""Ray Tune's searchspaces: what `tune.uniform`, `tune.choice` and the others make, read without Ray.

Unbounded distributions are cut at four standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from maggy.domains import Domain, Float, Integer
from maggy.errors import ConfigError
from maggy.migrate.forms import SPREAD, Applied, Builder, Constant, Form, Items, Space, Value, Where, listed, sequence

GRID = "grid_search"


def is_domain(value: object) -> bool:
    """Whether this is one of Ray Tune's domains."""
    return any(kind.__name__ == "Domain" and kind.__module__.startswith("ray.tune") for kind in type(value).__mro__)


def is_grid(value: object) -> bool:
    """Whether this is what `tune.grid_search` returns."""
    return isinstance(value, Mapping) and set(value) == {GRID}


def has_domains(space: object) -> bool:
    """Whether this is one of Ray Tune's searchspaces."""
    return is_domain(space) or any(map(_varies, _parts(space)))


def all_grid(space: object) -> bool:
    """Whether a searchspace of Ray Tune's has lists to go through, and nothing to draw."""
    if is_grid(space):
        return True
    return has_domains(space) and not is_domain(space) and all(all_grid(x) or not _varies(x) for x in _parts(space))


def _varies(space: object) -> bool:
    return is_grid(space) or has_domains(space)


def _parts(space: object) -> list[Any]:
    """Return what a dict or list has in it."""
    if isinstance(space, Mapping):
        return list(space.values())
    return list(space) if isinstance(space, list | tuple) else []


def read(space: Mapping[str, Any]) -> Space:
    """Return Ray Tune's searchspace as ours. Raises `ConfigError` for what it cannot be."""
    builder = Builder()
    return builder.space(_read(space, "", None, builder))


def _read(given: Any, label: str, where: Where, builder: Builder) -> Form:
    if is_grid(given):
        return _choice(given[GRID], label, where, builder)
    if isinstance(given, Mapping):
        below = f"{label}/" if label else ""
        return Items({key: _read(each, f"{below}{key}", where, builder) for key, each in given.items()})
    if isinstance(given, list | tuple) and has_domains(given):
        together = sequence if isinstance(given, tuple) else listed
        return Applied(together, [_read(each, f"{label}/{n}", where, builder) for n, each in enumerate(given)])
    if not is_domain(given):
        return Constant(given)
    kind = type(given).__name__
    if kind == "Categorical":
        return _choice(given.categories, label, where, builder)
    if kind not in ("Float", "Integer"):
        raise ConfigError(f"{label!r} is computed by a function (tune.sample_from): compute it in the objective")
    sampler = given.get_sampler()
    q = getattr(sampler, "q", None)
    domain = _domain(given, type(getattr(sampler, "sampler", sampler)).__name__.lstrip("_"), sampler, q, label)
    rounded = q if getattr(domain, "step", None) is None else None
    return Value(builder.add(label, domain, where), rounded, int if kind == "Integer" else None)


def _choice(options: Any, label: str, where: Where, builder: Builder) -> Form:
    def option(given: Any, here: Where) -> Form:
        if not has_domains(given):
            return Constant(given)
        return _read(given, f"{label}/{here[1] if here else 0}", here, builder)  # options may have the same keys

    return builder.choose(label, list(options), None, where, option)


def _domain(given: Any, drawn: str, sampler: Any, q: float | None, label: str) -> Domain:
    if drawn == "Normal":
        normal = getattr(sampler, "sampler", sampler)
        mean, sd = float(normal.mean), float(normal.sd)
        return Float(mean - SPREAD * sd, mean + SPREAD * sd, mean=mean, sd=sd)
    low, high, log = given.lower, given.upper, drawn == "LogUniform"
    if drawn not in ("Uniform", "LogUniform"):
        raise ConfigError(f"{label!r} is drawn by {drawn}, which maggy does not know: write tune.uniform or another")
    if type(given).__name__ == "Integer":
        if q is None or q == 1:
            return Integer(int(low), int(high) - 1, log=log)
        first, last = math.ceil(low / q - 1e-9) * int(q), math.floor(high / q + 1e-9) * int(q)
        return Integer(first, last, step=int(q) if last > first else None, log=log)
    if q is None or log:
        return Float(float(low), float(high), log=log)
    first, last = math.ceil(low / q - 1e-9) * q, math.floor(high / q + 1e-9) * q
    return Float(first, last, step=q if last > first else None)


def lists(space: object) -> int:
    """Return how many combinations there are of what `tune.grid_search` lists; one where it lists nothing."""
    if is_grid(space) and isinstance(space, Mapping):
        return len(space[GRID])
    return math.prod(map(lists, _parts(space)))
