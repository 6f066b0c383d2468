"""The searchspace: which hyperparameters there are, and what each may be.

    space = Searchspace(lr=Float(1e-5, 1e-1, log=True), units=Integer(16, 512), activation=["relu", "gelu"])

Rules of this file:

1. Parameters have an order, that of their definition: it is the order of the axes of the unit cube, and two
   searchspaces that differ only in it are different, since the same seed draws other configurations from them.
2. Whatever can be written as a domain goes through `parse_domain`: Python literals, Maggy's tuples, JSON.
3. Names become keyword arguments of the training function: what cannot be one is refused here, not on an executor.
"""

from __future__ import annotations

import json
import keyword
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

from maggy.domains import Categorical, Domain, Float, Integer, Ordinal, domain_from_json
from maggy.errors import ConfigError, nearest

RESERVED = frozenset({"reporter", "budget", "trial", "hparams", "model", "dataset"})
"""What a training function may ask for besides its hyperparameters."""

TYPES: dict[str, type[Domain]] = {"DOUBLE": Float, "INTEGER": Integer, "DISCRETE": Ordinal, "CATEGORICAL": Categorical}
"""Maggy's words for the domains."""


class Searchspace:
    """An ordered collection of named domains.

    Each parameter is a domain or whatever `parse_domain` reads as one; a mapping, or another searchspace, may come
    first. ConfigError, naming the parameter, for whatever cannot be. Domains never change; a searchspace only grows,
    by `add`, so whoever keeps one keeps a `copy`.

    Maggy's methods are here with its meaning, except that `get`, `values`, `items` and attributes give domains, which
    know more than a list of bounds. A parameter called like a method (`names`, `size`, …) is `space["size"]`.
    """

    def __init__(self, params: Mapping[str, Any] | Searchspace = MappingProxyType({}), /, **more: Any) -> None:
        self._domains: dict[str, Domain] = {}
        if not isinstance(params, Mapping | Searchspace):
            raise ConfigError(f"a searchspace is a mapping from names to domains, not {params!r}")
        for given in (params, more):
            for name in given.keys():  # noqa: SIM118 - iterating over a searchspace gives dicts
                self.add(name, given[name])

    def add(self, name: str, domain: Any) -> None:
        """Append a parameter; ConfigError if the name or the domain cannot be."""
        _check_name(name)
        if name in self._domains:
            raise ConfigError(f"parameter {name!r} is defined twice: first as {self._domains[name]!r}")
        self._domains[name] = parse_domain(name, domain)

    def copy(self) -> Searchspace:
        """Return a searchspace of its own with the same parameters."""
        return Searchspace(self)

    # -- what is in it -----------------------------------------------------------------------------

    def names(self) -> dict[str, str]:
        """Return Maggy's type of each parameter: DOUBLE, INTEGER, DISCRETE or CATEGORICAL."""
        words = {kind: word for word, kind in TYPES.items()}
        return {name: words[type(domain)] for name, domain in self._domains.items()}

    def keys(self) -> list[str]:
        """Return the parameters' names, in order."""
        return list(self._domains)

    def values(self) -> list[Domain]:
        """Return the domains, in order."""
        return list(self._domains.values())

    def items(self) -> list[tuple[str, Domain]]:
        """Return names and domains, in order."""
        return list(self._domains.items())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the domain of `name`, or `default` if there is no such parameter."""
        return self._domains.get(name, default)

    @property
    def size(self) -> int | None:
        """How many configurations there are, 1 (the empty one) without parameters; None when any is continuous."""
        sizes = [domain.size for domain in self._domains.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate as Maggy did, over dicts with `name`, `type` and `values` (bounds or choices)."""
        for name, word in self.names().items():
            domain = self._domains[name]
            region = [domain.low, domain.high] if isinstance(domain, Float | Integer) else domain.grid()
            yield {"name": name, "type": word, "values": region}

    def __len__(self) -> int:
        return len(self._domains)

    def __contains__(self, name: object) -> bool:
        return name in self._domains

    def __getitem__(self, name: str) -> Domain:
        if name not in self._domains:
            raise KeyError(self._unknown(name))
        return self._domains[name]

    def __getattr__(self, name: str) -> Domain:
        # Reads __dict__, since pickle and copy ask for attributes before there is a _domains.
        if name not in self.__dict__.get("_domains", {}):
            raise AttributeError(self._unknown(name) if "_domains" in self.__dict__ else name)
        return self._domains[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._domains]

    def __eq__(self, other: object) -> bool:
        return self.items() == other.items() if isinstance(other, Searchspace) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"Searchspace({', '.join(f'{name}={domain!r}' for name, domain in self._domains.items())})"

    # -- configurations ----------------------------------------------------------------------------

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Draw one configuration, with one `rng.random()` per parameter, in order."""
        return {name: domain.sample(rng) for name, domain in self._domains.items()}

    def to_unit(self, params: Mapping[str, Any]) -> list[float]:
        """Return the configuration's point in the unit cube; ValueError or KeyError if it is not of this space."""
        return [domain.to_unit(params[name]) for name, domain in self._domains.items()]

    def from_unit(self, point: Sequence[float]) -> dict[str, Any]:
        """Return the configuration at a point of the unit cube; ValueError if it lies outside."""
        return {name: domain.from_unit(u) for (name, domain), u in zip(self._domains.items(), point, strict=True)}

    def contains(self, params: object) -> bool:
        """Tell whether `params` has exactly this space's names, each with one of its values."""
        return self._flaw(params) is None

    def check(self, params: object) -> None:
        """Raise ConfigError, saying what is wrong first, unless `params` is a configuration of this space."""
        if flaw := self._flaw(params):
            raise ConfigError(flaw)

    def _flaw(self, params: object) -> str | None:
        if not isinstance(params, Mapping):
            return f"a configuration is a mapping from names to values, not {params!r}"
        for name in params:
            if name not in self._domains:
                return self._unknown(name)
        for name, domain in self._domains.items():
            if name not in params:
                return f"parameter {name!r} is missing; it takes a value of {domain!r}"
            if not domain.contains(params[name]):
                return f"parameter {name!r} is {params[name]!r}, which is not a value of {domain!r}"
        return None

    def _unknown(self, name: object) -> str:
        known = ", ".join(self._domains) or "none"
        return f"the searchspace has no parameter {name!r}, only: {known}{nearest(str(name), self._domains)}"

    # -- as data -----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the space as JSON values; `Searchspace(**space.to_dict()) == space`."""
        return {name: domain.to_json() for name, domain in self._domains.items()}

    def json(self) -> str:
        """Return the space as JSON, whose order is part of it: do not sort the keys."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> Searchspace:
        """Return the space from which `json()` or `to_dict()` made `data`; Maggy's own JSON is read as well."""
        if not isinstance(data, str):
            return cls(data)
        try:
            return cls(json.loads(data))
        except json.JSONDecodeError as error:
            raise ConfigError(f"the searchspace is no JSON: {error}") from error

    def differences(self, other: Searchspace) -> list[str]:
        """Return one sentence for each thing that is different in `other`, the later one; none if they are equal."""
        gone = [f"{name!r} was {domain!r} and is gone" for name, domain in self.items() if name not in other]
        new = [f"{name!r} is new: {domain!r}" for name, domain in other.items() if name not in self]
        common = [name for name in self.keys() if name in other]
        changed = [
            f"{name!r} was {self[name]!r} and is now {other[name]!r}" for name in common if self[name] != other[name]
        ]
        order = [name for name in other.keys() if name in self]  # noqa: SIM118 - iterating gives dicts
        moved = [f"the order was {', '.join(common)} and is now {', '.join(order)}"] if common != order else []
        return gone + changed + new + moved


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


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"{name!r} cannot name a parameter; write a string")
    if name in RESERVED:
        raise ConfigError(
            f"{name!r} cannot name a parameter, since training functions receive something else under it "
            f"(also reserved: {', '.join(sorted(RESERVED - {name}))}); write another, such as {name + '_'!r}"
        )
    if not name.isidentifier() or keyword.iskeyword(name):
        usable = re.sub(r"\W", "_", name) or "_"
        usable = usable + "_" if keyword.iskeyword(usable) else usable if usable.isidentifier() else "_" + usable
        raise ConfigError(
            f"{name!r} cannot name a parameter, since it cannot name an argument of a function; write {usable!r}"
        )
