"""Numbers in the unit interval: evenly, in the logarithm, or as a normal distribution has them.

`cell` and `centre` are for discrete values with equal cells; a `Scale` is for all others.
"""

from __future__ import annotations

import math
import operator
from numbers import Integral, Real
from statistics import NormalDist

from maggy.errors import ConfigError

_STANDARD = NormalDist()
_BELL = 4.0
"""Standard deviations around the mean within which the prior is the normal distribution. What it has beyond them
(0.003 % on a side) is spread evenly up to the bound: further out, floats near 1 could not tell values apart."""
_TAIL = _STANDARD.cdf(-_BELL)
_FLAT = 1e4
"""A standard deviation of so many ranges is flat to 9 digits; a larger one would cost digits and change nothing."""


class Scale:
    """A rising map of the numbers from `low` to `high` onto [0, 1], and back.

    With `log`, in the logarithm, for which `low` is above 0. With `mean` and `sd`, by the distribution function of the
    normal distribution cut off at the ends; with both, of the log-normal one, whose median is `mean` and whose
    logarithm has the standard deviation `sd`.
    """

    __slots__ = ("_ends", "_left", "_log", "_mean", "_normal", "_right", "_sd", "_share")

    def __init__(
        self, low: float, high: float, *, log: bool = False, mean: float | None = None, sd: float | None = None
    ) -> None:
        self._log = log
        self._ends = low, high
        self._left, self._right = self._axis(low), self._axis(high)
        self._normal = mean is not None and sd is not None and self._left < self._right
        self._mean = self._axis(mean) if mean is not None else 0.0
        self._sd = min(sd or 0.0, _FLAT * (self._right - self._left))
        self._share = (self._below(self._left), self._below(self._right)) if self._normal else (0.0, 1.0)

    def fraction(self, number: float) -> float:
        """Return where a number lies in [0, 1]; the middle where there is only one."""
        x, (first, last) = self._axis(number), self._share
        if self._normal:
            return clamp((self._below(x) - first) / (last - first), 0.0, 1.0)
        if self._left == self._right:
            return 0.5
        return clamp((x - self._left) / (self._right - self._left), 0.0, 1.0)

    def number(self, u: float) -> float:
        """Return the number at a position in [0, 1]."""
        if u in (0.0, 1.0):  # the ends are met exactly, which exp(log(x)) does not promise
            return self._ends[int(u)]
        first, last = self._share
        x = self._at(first + u * (last - first)) if self._normal else self._left + u * (self._right - self._left)
        return clamp(math.exp(x) if self._log else x, *self._ends)

    def _axis(self, number: float) -> float:
        return math.log(number) if self._log else number

    def _below(self, x: float) -> float:
        """Return the distribution's share below a point of the axis."""
        reach = _BELL * self._sd
        left, right = self._mean - reach, self._mean + reach
        if x < left:
            return _TAIL * (x - self._left) / (left - self._left)
        if x > right:
            return 1 - _TAIL * (self._right - x) / (self._right - right)
        return _STANDARD.cdf((x - self._mean) / self._sd)

    def _at(self, share: float) -> float:
        """Return the point of the axis below which the distribution has this share."""
        reach = _BELL * self._sd
        left, right = self._mean - reach, self._mean + reach
        if share < _TAIL:
            return self._left + share / _TAIL * (left - self._left)
        if share > 1 - _TAIL:
            return self._right - (1 - share) / _TAIL * (self._right - right)
        return self._mean + self._sd * _STANDARD.inv_cdf(share)


def centre(rank: int, size: int) -> float:
    """Return the middle of the cell of the value number `rank` among `size` equal cells of [0, 1]."""
    return (rank + 0.5) / size


def cell(u: float, size: int) -> int:
    """Return the number of the cell in which `u` lies; the last cell includes 1."""
    return min(int(u * size), size - 1)


def clamp(x: float, low: float, high: float) -> float:
    """Return `x`, or the bound that it is beyond."""
    return min(max(x, low), high)


def finite(what: str, value: object) -> float:
    """Return `value`, Python's or numpy's, as a float; ConfigError where it is no finite number."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ConfigError(f"{what} is {value!r}; write a finite number such as 0.1")


def whole(what: str, value: object) -> int:
    """Return `value`, Python's or numpy's, as an int; ConfigError where it is no whole number."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return operator.index(value)
    raise ConfigError(f"{what} is {value!r}; write a whole number such as 8")
