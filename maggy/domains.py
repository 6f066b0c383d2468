"""The four kinds of domain, and all the ways to write one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from numbers import Integral, Real
from typing import Any

from maggy.choices import Categorical, Ordinal
from maggy.domain import Domain
from maggy.errors import ConfigError, nearest
from maggy.numeric import Float, Integer

__all__ = ["TYPES", "Categorical", "Domain", "Float", "Integer", "Ordinal", "domain_from_json", "parse_domain"]

TYPES: dict[str, type[Domain]] = {"DOUBLE": Float, "INTEGER": Integer, "DISCRETE": Ordinal, "CATEGORICAL": Categorical}
"""Maggy's words for the domains."""

_KINDS: dict[str, type[Domain]] = {kind.KIND: kind for kind in (Float, Integer, Categorical, Ordinal)}


def domain_from_json(data: Mapping[str, Any]) -> Domain:
    """Return the domain whose `to_json` gave `data`; ConfigError if none can have."""
    arguments = dict(data)
    name = arguments.pop("type", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"{name!r} is no type of domain, which are: {', '.join(_KINDS)}{nearest(str(name), _KINDS)}")
    known = {f.name: f.default is MISSING for f in fields(kind) if f.init}
    for key in arguments:
        if key not in known:
            raise ConfigError(f"a domain of type {name!r} has no {key!r}{nearest(str(key), known)}")
    if missing := [key for key, required in known.items() if required and key not in arguments]:
        raise ConfigError(f"a domain of type {name!r} needs {' and '.join(map(repr, missing))}, which {data!r} lacks")
    return kind(**arguments)


def parse_domain(name: str, spec: Any) -> Domain:
    """Return the domain that `spec` stands for; ConfigError, naming the parameter, if it stands for none.

    ==============================================  =====================================================
    a domain                                        itself
    `(low, high)`                                   `Integer` if both are ints, `Float` if either is a float
    `[a, b, …]`                                     `Categorical`
    `range(start, stop, step)`                      `Integer`
    `("DOUBLE", [low, high])`, `("INTEGER", …)`,    Maggy's types, in any case, in a tuple or a list
    `("DISCRETE", […])`, `("CATEGORICAL", […])`
    `{"type": "float", "low": 0, "high": 1}`        what `Domain.to_json` gives
    ==============================================  =====================================================
    """
    try:
        return _parse(spec)
    except ConfigError as error:
        raise ConfigError(f"parameter {name!r}: {error}") from None


def _parse(spec: Any) -> Domain:
    match spec:
        case Domain():
            return spec
        case range() if spec:  # before the sequences, as which a long range would be unrolled
            ends = sorted((spec[0], spec[-1]))
            return Integer(*ends, step=abs(spec.step) if len(spec) > 1 else None)
        case (str() as kind, list() | tuple() as region):
            return _parse_typed(kind, region)
        case (str() as kind, *region) if isinstance(spec, tuple) and kind.upper() in TYPES:
            raise ConfigError(f"{spec!r} has its values beside the type; write ({kind!r}, {region!r})")
        case (Real(), Real()) if isinstance(spec, tuple) and not any(isinstance(bound, bool) for bound in spec):
            return _parse_typed("INTEGER" if all(isinstance(bound, Integral) for bound in spec) else "DOUBLE", spec)
        case tuple():
            raise ConfigError(f"a tuple is (low, high), two numbers; write choices as a list: {list(spec)!r}")
        case list():
            return Categorical(spec)
        case Mapping():
            return domain_from_json(spec)
    raise ConfigError(
        f"{spec!r} is no domain; write Float(low, high), Integer(low, high), (low, high) or a list of choices, "
        "which may be a single one"
    )


def _parse_typed(kind: str, region: Sequence[Any]) -> Domain:
    """Return the domain that Maggy's `(TYPE, region)` stands for."""
    domain = TYPES.get(kind.upper())
    if domain is None:
        raise ConfigError(
            f"{kind!r} is no type of parameter, which are: {', '.join(TYPES)}{nearest(kind.upper(), TYPES)} "
            f"(if these are two choices, write Categorical([{kind!r}, {region!r}]))"
        )
    listed = domain in (Categorical, Ordinal)
    if not listed and len(region) != 2:  # noqa: PLR2004 - low and high
        raise ConfigError(f"{kind} takes [low, high], not {region!r}")
    return domain(*([region] if listed else region))
