"""The searchspace: which hyperparameters there are, and what each may be.

    space = Searchspace(lr=Float(1e-5, 1e-1, log=True), units=Integer(16, 512), activation=["relu", "gelu"])

Rules of this file:

1. Parameters have an order, that of their definition: it is the order of the axes of the unit cube, and two
   searchspaces that differ only in it are different, since the same seed draws other configurations from them.
2. Whatever can be written as a domain goes through `parse_domain`: Python literals, Maggy's tuples, JSON.
3. Names become keyword arguments of the training function: what cannot be one is refused here, not on an executor.
4. A parameter whose `when` does not hold is inactive: it is absent from the configuration, and its axis of the unit
   cube says nothing. It costs a random number all the same, so that no other parameter's draws shift.
"""

from __future__ import annotations

import json
import keyword
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from maggy.combinations import Case, Grid, bind, contradiction
from maggy.conditions import Condition
from maggy.domains import TYPES, Domain, Float, Integer, parse_domain
from maggy.errors import ConfigError, nearest

RESERVED = frozenset({"reporter", "budget", "trial", "hparams", "model", "dataset"})
"""What a training function may ask for besides its hyperparameters."""

FORBIDDEN = "!forbidden"
"""The key of the forbidden combinations in JSON, which can name no parameter."""

OPEN = "!open"
"""The key in JSON that says that trials may name parameters themselves, with `reporter.suggest`."""

DRAWS = 1000
"""How many configurations in a row may be drawn that are forbidden."""


class Searchspace:
    """An ordered collection of named domains.

    Each parameter is a domain or whatever `parse_domain` reads as one; a mapping, or another searchspace, may come
    first. ConfigError, naming the parameter, for whatever cannot be. Domains never change; a searchspace only grows,
    by `add` and `forbid`, so whoever keeps one keeps a `copy`.

    Maggy's methods are here with its meaning, except that `get`, `values`, `items` and attributes give domains, which
    know more than a list of bounds. A parameter called like a method (`names`, `size`, …) is `space["size"]`; `**space`
    gives the parameters, without the forbidden combinations.
    """

    def __init__(self, params: Mapping[str, Any] | Searchspace = MappingProxyType({}), /, **more: Any) -> None:
        self._domains: dict[str, Domain] = {}
        self._conditions: dict[str, Case] = {}
        self._forbidden: dict[Condition, Case] = {}
        self._numbered: Grid | None = None
        if isinstance(params, Searchspace):
            params = {**dict(params.items()), FORBIDDEN: params.forbidden, OPEN: params.open}
        if not isinstance(params, Mapping):
            raise ConfigError(f"a searchspace is a mapping from names to domains, not {params!r}")
        forbidden = [*_combinations(params), *_combinations(more)]
        given = [pair for each in (params, more) for pair in each.items() if pair[0] not in (FORBIDDEN, OPEN)]
        self._open = params.get(OPEN) is True or more.get(OPEN) is True
        names = [name for name, _ in given]
        for rank, (name, domain) in enumerate(given):
            self._add(name, domain, later=names[rank + 1 :])
        self._forbid(forbidden)

    def add(self, name: str, domain: Any) -> None:
        """Append a parameter; ConfigError if the name, the domain or its `when` cannot be."""
        self._add(name, domain)

    def _add(self, name: str, spec: Any, later: Sequence[str] = ()) -> None:
        _check_name(name)
        if name in self._domains:
            raise ConfigError(f"parameter {name!r} is defined twice: first as {self._domains[name]!r}")
        domain = parse_domain(name, spec)
        if isinstance(domain.when, Condition):
            if name in domain.when:
                raise ConfigError(f"parameter {name!r} depends on itself; leave it out of its when")
            case = bind(f"parameter {name!r} depends on", domain.when, self._domains, later)
            if clash := contradiction(case, self._conditions):
                raise ConfigError(
                    f"parameter {name!r} would never be active: its conditions, with those of the parameters that it "
                    f"depends on, leave no value to {clash!r}"
                )
            # Nothing that is forbidden names it yet, so the others can be active whenever they could.
            _check_reach([name], {**self._domains, name: domain}, {**self._conditions, name: case}, self._forbidden)
            self._conditions[name] = case
        self._domains[name] = domain
        self._numbered = None

    def forbid(self, /, **values: Any) -> None:
        """Forbid all configurations in which each of the parameters named has the value, or one of the values.

        `space.forbid(kernel="poly", degree=[4, 5])`. ConfigError if a parameter is unknown or continuous, if it has no
        such value, or if nothing would be left. Each draw of a forbidden configuration is repeated.
        """
        self._forbid([values])

    def _forbid(self, combinations: Sequence[Any]) -> None:
        forbidden = dict(self._forbidden)
        for each in combinations:
            condition = Condition(each, "a forbidden combination")
            if not condition:
                raise ConfigError("a forbidden combination names no parameter; write forbid(name=value)")
            case = forbidden[condition] = bind("a forbidden combination has", condition, self._domains)
            if clash := contradiction(case, self._conditions):
                raise ConfigError(
                    f"it cannot be that {condition}, and need not be forbidden: with what these parameters depend on, "
                    f"no value is left to {clash!r}"
                )
        grid = Grid(self._domains, self._conditions, list(forbidden.values())) if combinations else None
        if grid and grid.size == 0:
            raise ConfigError(
                f"nothing is left of the searchspace, since it is forbidden that {'; '.join(map(str, forbidden))}"
            )
        _check_reach(self._conditions, self._domains, self._conditions, forbidden)
        self._forbidden, self._numbered = forbidden, grid

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
    def conditional(self) -> bool:
        """Whether some parameter has a `when`, so that not all configurations have the same names."""
        return bool(self._conditions)

    @property
    def open(self) -> bool:
        """Whether trials may name further parameters, and need not have all (`"!open"` among those given)."""
        return self._open

    @property
    def forbidden(self) -> list[Condition]:
        """The combinations that are forbidden."""
        return list(self._forbidden)

    @property
    def size(self) -> int | None:
        """How many different configurations there are, 1 (the empty one) without parameters.

        None when any parameter is continuous, or when so many conditions and forbidden combinations cross one another
        that it would take too long to count (over 4,096 states, see `maggy.combinations`).
        """
        if self._open or any(domain.size is None for domain in self._domains.values()):
            return None
        return self._grid().size

    def nth(self, rank: int) -> dict[str, Any]:
        """Return configuration number `rank` of the `size` that there are, the last parameter going fastest.

        Parameters that depend on one another go together. ValueError where there is no such number.
        """
        size = self.size
        if size is None or not 0 <= rank < size:
            raise ValueError(f"there is no configuration number {rank} among {size}")
        return self._grid().nth(rank)

    def _grid(self) -> Grid:
        if self._numbered is None:
            self._numbered = Grid(self._domains, self._conditions, list(self._forbidden.values()))
        return self._numbered

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
        if not isinstance(other, Searchspace):
            return NotImplemented
        same = self.items() == other.items() and self._forbidden.keys() == other._forbidden.keys()
        return same and self._open == other._open

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        more = ({FORBIDDEN: self.forbidden} if self._forbidden else {}) | ({OPEN: True} if self._open else {})
        told = [f"{name}={domain!r}" for name, domain in self.items()] + ([f"**{more!r}"] if more else [])
        return f"Searchspace({', '.join(told)})"

    # -- configurations ----------------------------------------------------------------------------

    def active(self, name: str, params: Mapping[str, Any]) -> bool:
        """Tell whether parameter `name` is part of the configuration, given those defined before it that are."""
        if name not in self._domains:
            raise KeyError(self._unknown(name))
        case = self._conditions.get(name)
        return case is None or case.holds(params)

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Draw one configuration, with one `rng.random()` per parameter, in order, whether it is active or not.

        What is forbidden is drawn again; ConfigError when a thousand draws in a row were forbidden.
        """
        for _ in range(DRAWS):
            params = self.from_unit([rng.random() for _ in self._domains])
            if self._banned(params) is None:
                return params
        raise ConfigError(
            f"{DRAWS} configurations in a row were drawn that are forbidden; forbid less, or say it with when="
        )

    def to_unit(self, params: Mapping[str, Any]) -> list[float]:
        """Return the configuration's point in the unit cube, NaN on the axes of inactive parameters.

        ValueError or KeyError if it is not of this space; in an open one, NaN on the axes of which it says nothing.
        """
        point = []
        for name, domain in self._domains.items():
            if self._open and not (name in params and domain.contains(params[name])):
                point.append(math.nan)
                continue
            active = self.active(name, params)
            if not active and name in params:
                raise ValueError(self._inactive(name, params[name]))
            point.append(domain.to_unit(params[name]) if active else math.nan)
        return point

    def from_unit(self, point: Sequence[float]) -> dict[str, Any]:
        """Return the configuration at a point of the unit cube; ValueError if it lies outside.

        On the axis of an inactive parameter the point may be anywhere, NaN included. What is found may be forbidden:
        `contains` tells.
        """
        params: dict[str, Any] = {}
        for (name, domain), u in zip(self._domains.items(), point, strict=True):
            case = self._conditions.get(name)
            if case is None or case.holds(params):
                params[name] = domain.from_unit(u)
        return params

    def contains(self, params: object) -> bool:
        """Tell whether `params` has exactly the active names, each with one of its values, and is not forbidden."""
        return self._flaw(params) is None

    def check(self, params: object) -> None:
        """Raise ConfigError, saying what is wrong first, unless `params` is a configuration of this space."""
        if flaw := self._flaw(params):
            raise ConfigError(flaw)

    def _flaw(self, params: object) -> str | None:
        if not isinstance(params, Mapping):
            return f"a configuration is a mapping from names to values, not {params!r}"
        for name in params if not self._open else ():
            if name not in self._domains:
                return self._unknown(name)
        for name, domain in self._domains.items():
            if not self.active(name, params):
                if name in params:
                    return self._inactive(name, params[name])
            elif name not in params and not self._open:
                return f"parameter {name!r} is missing; it takes a value of {domain!r}"
            elif name in params and not domain.contains(params[name]):
                return f"parameter {name!r} is {params[name]!r}, which is not a value of {domain!r}"
        if (banned := self._banned(params)) is not None:
            return f"it is forbidden that {banned}"
        return None

    def _banned(self, params: Mapping[str, Any]) -> Condition | None:
        """Return the first forbidden combination that the configuration has."""
        for condition, case in self._forbidden.items():
            if case.holds(params):
                return condition
        return None

    def _inactive(self, name: str, value: Any) -> str:
        return f"parameter {name!r} is {value!r}, but it is absent unless {self._domains[name].when}"

    def _unknown(self, name: object) -> str:
        known = ", ".join(self._domains) or "none"
        return f"the searchspace has no parameter {name!r}, only: {known}{nearest(str(name), self._domains)}"

    # -- as data -----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON values; `Searchspace(**space.to_dict()) == space`."""
        more: dict[str, Any] = {FORBIDDEN: [each.to_json() for each in self._forbidden]} if self._forbidden else {}
        more |= {OPEN: True} if self._open else {}
        return {name: domain.to_json() for name, domain in self._domains.items()} | more

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
        allowed = [f"it is no longer forbidden that {each}" for each in self.forbidden if each not in other.forbidden]
        banned = [f"it is now forbidden that {each}" for each in other.forbidden if each not in self.forbidden]
        return gone + changed + new + moved + allowed + banned


def _combinations(given: Mapping[str, Any]) -> list[Any]:
    found = given.get(FORBIDDEN, [])
    if not isinstance(found, list):
        raise ConfigError(f"the forbidden combinations are a list of mappings, not {found!r}")
    return found


def _check_reach(
    names: Iterable[str],
    domains: Mapping[str, Domain],
    conditions: Mapping[str, Case],
    forbidden: Mapping[Condition, Case],
) -> None:
    """Raise `ConfigError` for one of these conditional parameters that is active in no configuration that is allowed.

    Where there are too many states to tell, it is let pass.
    """
    for condition, name in {domains[name].when: name for name in names}.items() if forbidden else ():
        if Grid(domains, conditions, list(forbidden.values()), required=conditions[name]).size == 0:
            raise ConfigError(
                f"parameter {name!r} would never be active: it is absent unless {condition}, and that cannot be, since "
                f"it is forbidden that {'; '.join(map(str, forbidden))}"
            )


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
