"""The four kinds of domain: which values one hyperparameter may take.

Rules of this file:

1. A domain is a value: frozen, compared by what it contains, turned into JSON and back without loss.
2. `from_unit` and `to_unit` are the only way between values and numbers: samplers, grids and surrogates all work in
   the unit interval, so that a logarithm or a step is understood in one place.
3. Discrete values own equal cells of the unit interval (in the logarithm where `log` is set) and `to_unit` answers
   with a point inside the value's cell: `from_unit(to_unit(v)) == v`.
4. Values are JSON values, told apart as JSON does: `True` is not `1`, and `1` is not `1.0`.
"""

from __future__ import annotations

import copy
import json
import math
import operator
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from decimal import Context, Decimal
from numbers import Integral, Real
from typing import Any, ClassVar

from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import is_json

_FINEST = 2**40
"""How many steps a domain may have; more blur in a float once logarithms are taken."""

_DECIMAL = Context(prec=50)
"""Arithmetic as people write it: 0.1 + 2 * 0.1 is 0.3. Our own context, since the global one is anybody's to change."""

_text = json.JSONEncoder(sort_keys=True).encode
"""What tells JSON values apart; dicts are equal in any order."""


@dataclass(frozen=True, slots=True, repr=False)
class Domain(ABC):
    """The values that one hyperparameter may take."""

    KIND: ClassVar[str]  # its "type" in JSON

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many values there are; None when continuous."""

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Tell whether `value` is one of this domain's values, in its type too."""

    @abstractmethod
    def _position(self, value: Any) -> float:
        """Return where a value of this domain lies in [0, 1]."""

    @abstractmethod
    def _at(self, u: float) -> Any:
        """Return the value at a position in [0, 1]."""

    @abstractmethod
    def nth(self, rank: int) -> Any:
        """Return the value number `rank`, from 0; asked of discrete domains only."""

    def grid(self) -> list[Any] | None:
        """Return every value in order; None when continuous."""
        return None if self.size is None else [self.nth(rank) for rank in range(self.size)]

    def to_unit(self, value: Any) -> float:
        """Return the position of `value` in [0, 1]; ValueError if it is not a value of this domain."""
        if not self.contains(value):
            raise ValueError(f"{value!r} is not a value of {self!r}")
        return self._position(value)

    def from_unit(self, u: float) -> Any:
        """Return the value at position `u`, 0 and 1 included; ValueError if `u` lies outside."""
        if not 0 <= u <= 1:
            raise ValueError(f"a position in {self!r} is a number from 0 to 1, not {u!r}")
        return self._at(u)

    def sample(self, rng: random.Random) -> Any:
        """Draw one value, at the cost of exactly one `rng.random()` whatever the domain."""
        return self._at(rng.random())

    def to_json(self) -> dict[str, Any]:
        """Return the arguments that made this domain, defaults left out, as JSON values."""
        return {"type": self.KIND, **self._arguments()}

    def _arguments(self) -> dict[str, Any]:
        given = ((f, getattr(self, f.name)) for f in fields(self) if f.init)
        return {
            f.name: copy.deepcopy(list(value)) if isinstance(value, tuple) else value
            for f, value in given
            if value is not f.default
        }

    def __repr__(self) -> str:
        required = {f.name for f in fields(self) if f.default is MISSING}
        parts = [repr(v) if name in required else f"{name}={v!r}" for name, v in self._arguments().items()]
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True, repr=False)
class Float(Domain):
    """The floats from `low` to `high`, both included.

    With `log`, equal ratios are equally likely. With `step`, only low, low + step, low + 2 * step, … not above `high`,
    computed in decimal so that they read as they were meant.
    """

    KIND = "float"

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _normalise(self, _finite)
        if math.isinf(self.high - self.low):
            raise ConfigError(
                f"Float's range from {self.low} to {self.high} is wider than a float; write closer bounds"
            )
        if self.step is None:
            return
        if self.log:
            raise ConfigError(
                f"Float takes log or step, not both, and got log=True and step={self.step}; "
                "leave one out, or list the values in an Ordinal"
            )
        _check_fineness("Float", max(abs(self.low), abs(self.high)) / self.step, "write a larger step or none")

    @property
    def size(self) -> int | None:
        """How many values there are with a step; None without."""
        if self.step is None:
            return None
        low, high, step = (Decimal(repr(x)) for x in (self.low, self.high, self.step))
        return int(_DECIMAL.divide_int(_DECIMAL.subtract(high, low), step)) + 1

    def contains(self, value: object) -> bool:
        """Tell whether `value` is an int or float within the bounds and, as near as floats get, on the grid."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        return math.isclose(self.nth(self._rank(value)), value, rel_tol=0.0, abs_tol=1e-6 * self.step)

    def _position(self, value: float) -> float:
        if (size := self.size) is not None:
            return _centre(self._rank(value), size)
        if self.log:
            return _fraction(math.log(value), math.log(self.low), math.log(self.high))
        return _fraction(value, self.low, self.high)

    def _at(self, u: float) -> float:
        if (size := self.size) is not None:
            return self.nth(_cell(u, size))
        if u in (0.0, 1.0):  # the ends are met exactly, which exp(log(x)) does not promise
            return self.high if u else self.low
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return _clamp(math.exp(low + u * (high - low)), self.low, self.high)
        return _clamp(self.low + u * (self.high - self.low), self.low, self.high)

    def _rank(self, value: float) -> int:
        assert self.step is not None  # noqa: S101 - only asked of grids
        return round((value - self.low) / self.step)

    def nth(self, rank: int) -> float:
        """Return the value number `rank`, from 0."""
        return float(_DECIMAL.fma(Decimal(repr(self.step)), rank, Decimal(repr(self.low))))


@dataclass(frozen=True, slots=True, repr=False)
class Integer(Domain):
    """The integers from `low` to `high`, both included.

    With `log`, each integer is as likely as its share of the logarithm: with bounds 1 and 1000, about a third of the
    draws have one digit. With `step`, only low, low + step, low + 2 * step, … not above `high`.
    """

    KIND = "integer"

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _normalise(self, _whole)
        if self.step == 1:
            object.__setattr__(self, "step", None)  # one way to say it, so that equal domains are equal
        _check_fineness("Integer", self.high if self.log else self.size, "write a smaller range")

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // (self.step or 1) + 1

    def contains(self, value: object) -> bool:
        """Tell whether `value` is an int (3.0 and True are none) within the bounds and on the grid."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % (self.step or 1) == 0

    def _position(self, value: int) -> float:
        if self.log:
            return _fraction(math.log(value), *self._log_edges())
        return _centre((value - self.low) // (self.step or 1), self.size)

    def _at(self, u: float) -> int:
        if not self.log:
            return self.nth(_cell(u, self.size))
        left, right = self._log_edges()
        rank = round((math.exp(left + u * (right - left)) - self.low) / (self.step or 1))
        return self.nth(min(max(rank, 0), self.size - 1))

    def nth(self, rank: int) -> int:
        """Return the value number `rank`, from 0."""
        return self.low + rank * (self.step or 1)

    def _log_edges(self) -> tuple[float, float]:
        """Return the logarithms half a step beyond the first and last value, where their cells end.

        With a wide step that would be no positive number on the left; half of `low` takes its place.
        """
        half = (self.step or 1) / 2
        return math.log(max(self.low - half, self.low / 2)), math.log(self.nth(self.size - 1) + half)


@dataclass(frozen=True, slots=True, repr=False)
class _Listed(Domain):
    """What `Categorical` and `Ordinal` share: JSON values, each once, looked up by their JSON text.

    The texts alone decide equality, since Python's own `==` takes True for 1. A subclass adds one field, the list.
    """

    _ranks: dict[str, int] = field(init=False)
    _options: tuple[Any, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        kind, name = type(self).__name__, fields(self)[-1].name
        given = getattr(self, name)
        if not isinstance(given, list | tuple | range):
            raise ConfigError(f"{kind} takes a list of {name}, not {given!r}")
        if not given:
            raise ConfigError(f"{kind} has no {name}; list at least one")
        ranks: dict[str, int] = {}
        for rank, value in enumerate(given):
            if not is_json(value):
                raise ConfigError(
                    f"{kind}'s {name} must be JSON values, which {value!r} is not; "
                    "write a list for a tuple, a plain number for one of numpy, and nothing infinite or NaN"
                )
            if ranks.setdefault(_text(value), rank) != rank:
                raise ConfigError(f"{kind} lists {value!r} twice; list each of the {name} once")
        own = tuple(json.loads(json.dumps(list(given))))  # nobody else's, and plain: an enum of strings becomes strings
        for attribute, content in (("_ranks", ranks), ("_options", own), (name, own)):
            object.__setattr__(self, attribute, content)

    def __hash__(self) -> int:
        return hash((self.KIND, *self._ranks))

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self._options)

    def contains(self, value: object) -> bool:
        """Tell whether `value` is one of those listed, in its type too: `True` is not `1`, `1` is not `1.0`."""
        return is_json(value) and _text(value) in self._ranks

    def _position(self, value: Any) -> float:
        return _centre(self._ranks[_text(value)], self.size)

    def _at(self, u: float) -> Any:
        return self.nth(_cell(u, self.size))

    def nth(self, rank: int) -> Any:
        return copy.deepcopy(self._options[rank])  # a list or dict among the choices stays ours


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Categorical(_Listed):
    """One of `choices`, JSON values without an order; all are equally likely."""

    KIND = "categorical"

    choices: Sequence[Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Ordinal(_Listed):
    """One of `values`, JSON values in a meaningful order: neighbours are close; all are equally likely."""

    KIND = "ordinal"

    values: Sequence[Any]


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


def _normalise(domain: Float | Integer, number: Any) -> None:
    """Put plain numbers in place of the bounds and the step, and check what both kinds ask of them."""
    kind = type(domain).__name__
    for name in ("low", "high") if domain.step is None else ("low", "high", "step"):
        object.__setattr__(domain, name, number(f"{kind}'s {name}", getattr(domain, name)))
    low, high, step = domain.low, domain.high, domain.step
    if low > high:
        raise ConfigError(f"{kind}'s low {low} is above its high {high}; write {kind}({high}, {low})")
    if not isinstance(domain.log, bool):
        raise ConfigError(f"{kind}'s log is {domain.log!r}; write True or False")
    if domain.log and low <= 0:
        raise ConfigError(f"{kind}'s low is {low}, which has no logarithm; write a low above 0, or leave log out")
    if step is not None and step <= 0:
        raise ConfigError(f"{kind}'s step is {step}; write one above 0")
    if step is not None and step > high - low:
        raise ConfigError(
            f"{kind}'s step {step} is larger than its range from {low} to {high}; write a smaller one or none"
        )


def _finite(what: str, value: object) -> float:
    """Return `value`, Python's or numpy's, as a float."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ConfigError(f"{what} is {value!r}; write a finite number such as 0.1")


def _whole(what: str, value: object) -> int:
    """Return `value`, Python's or numpy's, as an int."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return operator.index(value)
    raise ConfigError(f"{what} is {value!r}; write a whole number such as 8")


def _check_fineness(kind: str, steps: float, remedy: str) -> None:
    if steps > _FINEST:
        raise ConfigError(
            f"{kind} has {Decimal(steps):.3g} steps, finer than the {_FINEST:.3g} that it can tell apart; {remedy}"
        )


def _centre(rank: int, size: int) -> float:
    """Return the middle of the cell of the value number `rank` among `size` equal cells of [0, 1]."""
    return (rank + 0.5) / size


def _cell(u: float, size: int) -> int:
    """Return the number of the cell in which `u` lies; the last cell includes 1."""
    return min(int(u * size), size - 1)


def _fraction(x: float, low: float, high: float) -> float:
    """Return how far `x` is on the way from `low` to `high`; the middle if they are one."""
    return 0.5 if low == high else _clamp((x - low) / (high - low), 0.0, 1.0)


def _clamp(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)
