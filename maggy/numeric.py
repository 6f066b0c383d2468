"""The numeric domains: `Float` and `Integer`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from maggy.domain import Domain
from maggy.errors import ConfigError
from maggy.scales import Scale, cell, centre, finite, whole

_FINEST = 2**40
"""How many steps a domain may have; more blur in a float once logarithms are taken."""

_FINEST_PRIOR = 2**28
"""The same where a prior makes cells narrow."""

_DECIMAL = Context(prec=50)
"""Arithmetic as people write it: 0.1 + 2 * 0.1 is 0.3. Our own context, since the global one is anybody's to change."""


@dataclass(frozen=True, slots=True, repr=False)
class _Number(Domain):
    """What `Float` and `Integer` share: bounds, and a scale between them unless all values have equal cells."""

    low: Any
    high: Any
    log: bool = field(default=False, kw_only=True)
    step: Any = field(default=None, kw_only=True)
    mean: float | None = field(default=None, kw_only=True)
    sd: float | None = field(default=None, kw_only=True)
    _scale: Scale | None = field(init=False, compare=False)

    def rank(self, value: Any) -> int:
        """Return the number of one of the values, from 0; asked of discrete domains only."""
        rank: int = round((value - self.low) / (self.step or 1))
        return rank

    def _position(self, value: Any) -> float:
        if self._scale is None:
            return centre(self.rank(value), self.size or 1)
        return self._scale.fraction(value)

    def _at(self, u: float) -> Any:
        if self._scale is None:
            return self.nth(cell(u, self.size or 1))
        number = self._scale.number(u)
        return number if self.size is None else self.nth(min(max(self.rank(number), 0), self.size - 1))

    def _set_scale(self) -> None:
        """Lay the scale: up to half a step beyond the first and the last value, where the values' cells end.

        With a logarithm and a wide step that would be no positive number on the left; half of `low` takes its place.
        """
        low, high, scale = self.low, self.high, None
        if self.size is not None and (self.log or self.mean is not None):
            half = (self.step or 1) / 2
            low, high = low - half, self.nth(self.size - 1) + half
            low = max(low, self.low / 2) if self.log else low
        if self.size is None or self.log or self.mean is not None:
            scale = Scale(low, high, log=self.log, mean=self.mean, sd=self.sd)
        object.__setattr__(self, "_scale", scale)


@dataclass(frozen=True, slots=True, repr=False)
class Float(_Number):
    """The floats from `low` to `high`, both included.

    With `log`, equal ratios are equally likely. With `step`, only low, low + step, low + 2 * step, … not above `high`,
    computed in decimal so that they read as they were meant.

    With `mean` and `sd`, a normal distribution cut off at the bounds. With `log` besides, a log-normal one: `mean` is
    its median, in the parameter's own unit, and `sd` the standard deviation of the natural logarithm (0.7 is a factor
    of 2, 2.3 one of 10). More than four `sd` from the mean, all values are equally likely, and together
    at most 0.003 % on a side.
    """

    KIND = "float"

    low: float
    high: float
    step: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        Domain.__post_init__(self)
        _normalise(self, finite)
        if math.isinf(self.high - self.low):
            raise ConfigError(
                f"Float's range from {self.low} to {self.high} is wider than a float; write closer bounds"
            )
        if self.step is not None:
            if self.log:
                raise ConfigError(
                    f"Float takes log or step, not both, and got log=True and step={self.step}; "
                    "leave one out, or list the values in an Ordinal"
                )
            _check_fineness(self, max(abs(self.low), abs(self.high)) / self.step, "write a larger step or none")
        self._set_scale()

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
        return math.isclose(self.nth(self.rank(value)), value, rel_tol=0.0, abs_tol=1e-6 * self.step)

    def nth(self, rank: int) -> float:
        """Return the value number `rank`, from 0."""
        return float(_DECIMAL.fma(Decimal(repr(self.step)), rank, Decimal(repr(self.low))))


@dataclass(frozen=True, slots=True, repr=False)
class Integer(_Number):
    """The integers from `low` to `high`, both included.

    With `log`, each integer is as likely as its share of the logarithm: with bounds 1 and 1000, about a third of the
    draws have one digit. With `step`, only low, low + step, low + 2 * step, … not above `high`. With `mean` and `sd`, a
    (log-)normal distribution as in `Float`, of which each integer has the share from half a step below it to half a
    step above.
    """

    KIND = "integer"

    low: int
    high: int
    step: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        Domain.__post_init__(self)
        _normalise(self, whole)
        if self.step == 1:
            object.__setattr__(self, "step", None)  # one way to say it, so that equal domains are equal
        furthest = max(abs(self.low), abs(self.high))
        _check_fineness(self, furthest if self.log or self.mean is not None else self.size, "write a smaller range")
        self._set_scale()

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // (self.step or 1) + 1

    def contains(self, value: object) -> bool:
        """Tell whether `value` is an int (3.0 and True are none) within the bounds and on the grid."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % (self.step or 1) == 0

    def nth(self, rank: int) -> int:
        """Return the value number `rank`, from 0."""
        return self.low + rank * (self.step or 1)


def _normalise(domain: _Number, number: Any) -> None:
    """Put plain numbers in place of those that were given, and check what both kinds ask of them."""
    kind = type(domain).__name__
    for name, plain in (("low", number), ("high", number), ("step", number), ("mean", finite), ("sd", finite)):
        if name in ("low", "high") or getattr(domain, name) is not None:
            object.__setattr__(domain, name, plain(f"{kind}'s {name}", getattr(domain, name)))
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
    if domain.mean is not None or domain.sd is not None:
        _check_prior(domain)


def _check_prior(domain: _Number) -> None:
    kind, mean, sd = type(domain).__name__, domain.mean, domain.sd
    if mean is None or sd is None:
        raise ConfigError(f"{kind} takes mean and sd together, and got mean={mean} and sd={sd}; write both or neither")
    if not domain.low <= mean <= domain.high:
        raise ConfigError(f"{kind}'s mean {mean} lies outside of its bounds {domain.low} and {domain.high}")
    if sd <= 0:
        raise ConfigError(f"{kind}'s sd is {sd}; write one above 0")


def _check_fineness(domain: _Number, steps: float, remedy: str) -> None:
    finest = _FINEST if domain.mean is None else _FINEST_PRIOR
    if steps > finest:
        raise ConfigError(
            f"{type(domain).__name__} has {Decimal(steps):.3g} steps, finer than the {finest:.3g} that it can tell "
            f"apart; {remedy}"
        )
