"""Problems with a known optimum, as learning curves: what optimizers are tested and compared on.

A configuration's curve falls from a common start towards its asymptote, the closed-form function's value there:
`f(x) + (start - f(x)) · exp(-rate · epoch)`, plus noise that is the same each time. So a low budget shows a blurred
picture of the function, as a training run of few epochs does, and rankings may cross. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from maggy.domains import Categorical, Float, Integer
from maggy.searchspace import Searchspace
from maggy.trial import DEFAULT_METRIC, Direction


@dataclass(frozen=True)
class LearningCurve:
    """What the problems of this module share; each adds a searchspace and a function to be minimized.

    Arguments:
        epochs: units of a trial without a budget.
        epoch_seconds: virtual seconds that one takes, times a factor from 0.5 to 1.5 of the configuration's own.
        rate: how fast curves approach their asymptotes, per epoch; the configuration's own factor is from 0.5 to 1.5.
        noise: standard deviation of a report around the curve, as a share of the function's `spread`.
        seed: that of noise, rates and durations.
        direction: `"min"`, or `"max"` for the same problem upside down.
        first_step: 1 to count what has been done, 0 to count as `enumerate` does.

    """

    epochs: int = 27
    epoch_seconds: float = 1.0
    rate: float = 0.2
    noise: float = 0.02
    seed: int = 0
    direction: Direction = "min"
    first_step: int = 1

    optimum: ClassVar[float]
    spread: ClassVar[float]  # what the function's values differ by, roughly
    searchspace: ClassVar[Searchspace]

    def f(self, params: Mapping[str, Any]) -> float:
        """Return the function's value, which is to be minimized."""
        raise NotImplementedError

    def regret(self, value: float) -> float:
        """Return how much worse than the optimum a trial's value is."""
        return (-value if self.direction == "max" else value) - self.optimum

    def curve(
        self, params: Mapping[str, Any], budget: float | None, done: float = 0.0
    ) -> Iterator[tuple[float, int, dict[str, float]]]:
        """Yield (seconds, step, metrics) epoch by epoch, from `done` to `budget`."""
        own = Random(f"{self.seed} {sorted(params.items())}")
        pace, rate = (own.uniform(0.5, 1.5) for _ in range(2))
        floor = self.f(params)
        sign = -1.0 if self.direction == "max" else 1.0
        for epoch in range(1, math.ceil(self.epochs if budget is None else budget) + 1):
            blur = own.gauss(0, self.noise * self.spread)
            if epoch > done:
                above = (self.optimum + 2 * self.spread - floor) * math.exp(-self.rate * rate * epoch)
                value = sign * (floor + above + blur)
                yield self.epoch_seconds * pace, epoch - 1 + self.first_step, {DEFAULT_METRIC: value}


@dataclass(frozen=True)
class Branin(LearningCurve):
    """Two floats, three optima of 0.397887 (Dixon and Szegő, 1978)."""

    optimum: ClassVar[float] = 0.397887
    spread: ClassVar[float] = 50.0
    searchspace: ClassVar[Searchspace] = Searchspace(x=Float(-5.0, 10.0), y=Float(0.0, 15.0))

    def f(self, params: Mapping[str, Any]) -> float:
        """Return Branin's function."""
        x, y = params["x"], params["y"]
        bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
        return float(bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HARTMANN = (  # (alpha, (A…), (P…)), from Hartman 1973 in the form of Dixon and Szegő
    (1.0, (10, 3, 17, 3.5, 1.7, 8), (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886)),
    (1.2, (0.05, 10, 17, 0.1, 8, 14), (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991)),
    (3.0, (3, 3.5, 1.7, 10, 17, 8), (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650)),
    (3.2, (17, 8, 0.05, 10, 0.1, 14), (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381)),
)


@dataclass(frozen=True)
class Hartmann6(LearningCurve):
    """Six floats in [0, 1], one optimum of -3.32237 among six local ones (Hartman, 1973)."""

    optimum: ClassVar[float] = -3.32237
    spread: ClassVar[float] = 1.0
    searchspace: ClassVar[Searchspace] = Searchspace({f"x{i}": Float(0.0, 1.0) for i in range(1, 7)})

    def f(self, params: Mapping[str, Any]) -> float:
        """Return Hartmann's function."""
        x = [params[f"x{i}"] for i in range(1, 7)]
        return -sum(
            alpha * math.exp(-sum(a * (xi - p) ** 2 for a, xi, p in zip(row, x, centre, strict=True)))
            for alpha, row, centre in _HARTMANN
        )


@dataclass(frozen=True)
class Mixed(LearningCurve):
    """A learning rate in the logarithm, a number of units and a category that moves the best rate; the optimum is 0."""

    first_step: int = field(default=0, kw_only=True)

    optimum: ClassVar[float] = 0.0
    spread: ClassVar[float] = 1.0
    searchspace: ClassVar[Searchspace] = Searchspace(
        rate=Float(1e-5, 1e-1, log=True), units=Integer(16, 256), activation=Categorical(["relu", "gelu", "tanh"])
    )
    _BEST: ClassVar[Mapping[str, tuple[float, float]]] = {"relu": (-3, 0.0), "gelu": (-2.5, 0.1), "tanh": (-2, 0.3)}

    def f(self, params: Mapping[str, Any]) -> float:
        """Return 0 for relu at a rate of 0.001 with 128 units, more elsewhere."""
        exponent, handicap = self._BEST[params["activation"]]
        units = math.log2(params["units"] / 128) ** 2 / 10
        return handicap + units + (math.log10(params["rate"]) - exponent) ** 2 / 4


@dataclass(frozen=True)
class Choices(LearningCurve):
    """Twenty-four configurations and no more, for grid search; the optimum is 0."""

    optimum: ClassVar[float] = 0.0
    spread: ClassVar[float] = 1.0
    searchspace: ClassVar[Searchspace] = Searchspace(depth=Integer(1, 6), width=Categorical([8, 16, 32, 64]))

    def f(self, params: Mapping[str, Any]) -> float:
        """Return 0 for a depth of 4 with a width of 32, more elsewhere."""
        return float(abs(params["depth"] - 4) / 5 + abs(math.log2(params["width"]) - 5) / 3)
