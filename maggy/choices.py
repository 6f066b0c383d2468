"""The domains that list their values: `Categorical` and `Ordinal`."""

from __future__ import annotations

import copy
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from numbers import Integral
from typing import Any, ClassVar

from maggy.domain import Domain
from maggy.errors import ConfigError
from maggy.jsonvalue import identity, is_json
from maggy.scales import cell, centre, finite

_LIGHTEST = 1e-9
"""The least share of the weights; a cell of the unit interval may not vanish."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Listed(Domain):
    """What `Categorical` and `Ordinal` share: JSON values, each once, looked up by their JSON text.

    The texts alone decide equality, since Python's own `==` takes True for 1. A subclass names the field of its list.
    """

    LIST: ClassVar[str]

    _ranks: dict[str, int] = field(init=False)
    _options: tuple[Any, ...] = field(init=False)
    _edges: tuple[float, ...] = field(init=False)  # where cells meet in [0, 1], unless all are equally wide

    def _given(self) -> list[Any]:
        """Return what was listed, checked."""
        kind, name = type(self).__name__, self.LIST
        given = getattr(self, name)
        if not isinstance(given, list | tuple | range):
            raise ConfigError(f"{kind} takes a list of {name}, not {given!r}")
        if not given:
            raise ConfigError(f"{kind} has no {name}; list at least one")
        for value in given:
            if not is_json(value):
                raise ConfigError(
                    f"{kind}'s {name} must be JSON values, which {value!r} is not; "
                    "write a list for a tuple, a plain number for one of numpy, and nothing infinite or NaN"
                )
        return list(given)

    def _keep(self, options: Mapping[str, Any], edges: tuple[float, ...] = ()) -> None:
        """Keep the options, by their texts: nobody else's, and plain, an enum of strings becomes strings."""
        own = tuple(json.loads(json.dumps(list(options.values()))))
        ranks = {text: rank for rank, text in enumerate(options)}
        for attribute, content in (("_ranks", ranks), ("_options", own), ("_edges", edges), (self.LIST, own)):
            object.__setattr__(self, attribute, content)

    def _identity(self) -> tuple[Any, ...]:
        return (self.KIND, *self._ranks, self._edges, self.when)

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, _Listed) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self._options)

    def contains(self, value: object) -> bool:
        """Tell whether `value` is one of those listed, in its type too: `True` is not `1`, `1` is not `1.0`."""
        return is_json(value) and identity(value) in self._ranks

    def rank(self, value: Any) -> int:
        """Return the number of one of the values, from 0."""
        return self._ranks[identity(value)]

    def _position(self, value: Any) -> float:
        rank = self.rank(value)
        if not self._edges:
            return centre(rank, self.size)
        return ((0.0, *self._edges)[rank] + (*self._edges, 1.0)[rank]) / 2

    def _at(self, u: float) -> Any:
        return self.nth(bisect_right(self._edges, u) if self._edges else cell(u, self.size))

    def nth(self, rank: int) -> Any:
        """Return the value number `rank`, from 0."""
        return copy.deepcopy(self._options[rank])  # a list or dict among the choices stays ours


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Categorical(_Listed):
    """One of `choices`, JSON values without an order.

    All are equally likely, or as likely as `weights` say: of `Categorical(["adam", "sgd"], weights=[3, 1])`, three
    draws in four are the first. A choice that is listed twice has twice the weight.
    """

    KIND = "categorical"
    LIST = "choices"

    choices: Sequence[Any]
    weights: Sequence[float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        Domain.__post_init__(self)
        given = self._given()
        options: dict[str, Any] = {}
        summed: dict[str, float] = {}
        for value, weight in zip(given, _weights(self.weights, len(given)), strict=True):
            text = identity(value)
            options.setdefault(text, value)
            summed[text] = summed.get(text, 0) + weight
        weights, total = tuple(summed.values()), sum(summed.values())
        shares = [weight / total for weight in weights]
        if not min(shares) >= _LIGHTEST:
            raise ConfigError(f"Categorical's weights are {weights}; none may be below {_LIGHTEST:g} of their sum")
        equal = len(set(weights)) == 1
        object.__setattr__(self, "weights", None if equal else weights)  # one way to say it
        self._keep(options, () if equal else tuple(accumulate(shares[:-1])))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Ordinal(_Listed):
    """One of `values`, JSON values in a meaningful order: neighbours are close; all are equally likely."""

    KIND = "ordinal"
    LIST = "values"

    values: Sequence[Any]

    def __post_init__(self) -> None:
        Domain.__post_init__(self)
        options: dict[str, Any] = {}
        for value in self._given():
            if (text := identity(value)) in options:
                raise ConfigError(f"Ordinal lists {value!r} twice; list each of the values once")
            options[text] = value
        self._keep(options)


def _weights(given: object, size: int) -> list[float]:
    """Return the weights of so many choices as plain numbers, ones where there are none."""
    if given is None:
        return [1] * size
    if not isinstance(given, list | tuple) or len(given) != size:
        raise ConfigError(f"Categorical has weights={given!r}; list {size}, one for each of the choices")
    plain: list[float] = []
    for each in given:
        number = finite("a weight of Categorical's", each)
        if number <= 0:
            raise ConfigError(f"a weight of Categorical's is {each!r}; write one above 0, or leave the choice out")
        plain.append(int(each) if isinstance(each, Integral) else number)
    return plain
