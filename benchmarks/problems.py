"""Problems to compare optimizers on: a searchspace, a function to be minimized, and what regret is.

Closed forms in their usual boxes, and tables of real trainings in full (see `tables`). Figures are published for
`PROBLEMS`; `OTHERS` were looked at as well while settings were chosen, so that these fit more than the published ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from tables import Table

from maggy import Categorical, Float, Integer, Searchspace
from maggy.testing.problems import Branin, Hartmann6


@dataclass(frozen=True)
class Problem:
    """A function of a configuration. Regret is its value less `best`, as a share of `scale`."""

    searchspace: Searchspace
    f: Callable[[Mapping[str, Any]], float]
    best: float = 0.0
    scale: float = 1.0

    def regret(self, value: float) -> float:
        """Return how much worse than the best a value is; 0 for what is better than the best row of a table."""
        return max(0.0, (value - self.best) / self.scale)

    @property
    def numeric(self) -> bool:
        """Whether no parameter is a category."""
        return not any(isinstance(domain, Categorical) for _, domain in self.searchspace.items())


def _xs(params: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([params[f"x{i}"] for i in range(len(params))])


def _box(dimensions: int, low: float, high: float) -> Searchspace:
    return Searchspace({f"x{i}": Float(low, high) for i in range(dimensions)})


_OFFSET = np.random.RandomState(7).uniform(-15, 15, 10)  # else the optimum is in the middle of the box


def ackley10(params: Mapping[str, Any]) -> float:
    """Return Ackley's function, shifted: a funnel under thousands of ripples."""
    z = _xs(params) - _OFFSET
    bowl, ripples = -20 * math.exp(-0.2 * math.sqrt((z**2).mean())), -math.exp(np.cos(2 * np.pi * z).mean())
    return float(bowl + ripples + 20 + math.e)


def rosenbrock(params: Mapping[str, Any]) -> float:
    """Return Rosenbrock's function: a bent valley."""
    x = _xs(params)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def mixed7(params: Mapping[str, Any]) -> float:
    """Return a loss like that of training a network: which optimizer it is moves the best rate."""
    exponent, handicap = {"adam": (-3.2, 0.0), "sgd": (-1.3, 0.05), "rmsprop": (-3.6, 0.1), "adagrad": (-2.0, 0.2)}[
        params["optimizer"]
    ]
    activation = {"gelu": 0.0, "relu": 0.05, "silu": 0.02, "tanh": 0.3, "elu": 0.15}[params["activation"]]
    rate = (math.log10(params["rate"]) - exponent) ** 2 / 2
    width = math.log2(params["units"] / 180) ** 2 / 12 * (1.5 if params["activation"] == "tanh" else 1.0)
    layers = (params["layers"] - 3) ** 2 / 20
    decay = (math.log10(params["decay"]) + 4 + 0.3 * (params["layers"] - 3)) ** 2 / 30
    dropout = 2 * (params["dropout"] - 0.15 - 0.05 * (params["layers"] - 3)) ** 2
    return float(handicap + activation + 1.5 * (1 - math.exp(-rate)) + width + layers + decay + dropout)


_MIXED7 = Searchspace(
    optimizer=Categorical(["adam", "sgd", "rmsprop", "adagrad"]),
    activation=Categorical(["relu", "gelu", "silu", "tanh", "elu"]),
    rate=Float(1e-6, 1.0, log=True),
    units=Integer(8, 1024, log=True),
    layers=Integer(1, 8),
    decay=Float(1e-7, 1e-1, log=True),
    dropout=Float(0.0, 0.7),
)


def styblinski(params: Mapping[str, Any]) -> float:
    """Return the function of Styblinski and Tang, from 0: one deep hole in each corner, of which one is deepest."""
    x = _xs(params)
    return float((x**4 - 16 * x**2 + 5 * x).sum() / 2 + 39.16616570377142 * len(x))


def levy(params: Mapping[str, Any]) -> float:
    """Return Levy's function."""
    w = 1 + (_xs(params) - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    last = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(np.sin(np.pi * w[0]) ** 2 + middle + last)


def choices8(params: Mapping[str, Any]) -> float:
    """Return what eight categories of four choices cost, of which neighbours depend on each other."""
    code = [params[f"c{i}"] for i in range(8)]
    alone = sum(abs(c - (3 * i) % 4) * (1 + i % 3) for i, c in enumerate(code))
    together = sum(2.0 for a, b in pairwise(code) if (a + b) % 3 == 0)
    return float((alone + together) / 8)


def branches(params: Mapping[str, Any]) -> float:
    """Return a loss whose parameters depend on the choice of a model: a bowl, or a narrower and deeper one."""
    if params["learner"] == "forest":
        return float(0.2 + (math.log2(params["trees"] / 300) / 6) ** 2 + ((params["depth"] - 14) / 20) ** 2)
    ridge = (math.log10(params["c"]) - 1) ** 2 / 4
    if params["kernel"] == "linear":
        return 0.35 + ridge
    return float(1 - math.exp(-ridge - (math.log10(params["gamma"]) + 2.5 + 0.3 * math.log10(params["c"])) ** 2))


_BRANCHES = Searchspace(
    learner=Categorical(["forest", "svm"]),
    trees=Integer(8, 1024, log=True, when={"learner": "forest"}),
    depth=Integer(1, 30, when={"learner": "forest"}),
    kernel=Categorical(["linear", "rbf"], when={"learner": "svm"}),
    c=Float(1e-3, 1e4, log=True, when={"learner": "svm"}),
    gamma=Float(1e-6, 10.0, log=True, when={"kernel": "rbf"}),
)

_NOISE = np.random.RandomState(3).normal(size=4096)


def noisy5(params: Mapping[str, Any]) -> float:
    """Return a bowl in five dimensions under noise, the same for the same configuration."""
    x = _xs(params)
    return float(((x - 0.37) ** 2).sum() + 0.1 * _NOISE[int(abs(float(x.sum())) * 1e9) % len(_NOISE)])


def _table(name: str) -> Problem:
    table = Table(name)
    return Problem(table.searchspace, table.f, table.meta["best"], table.meta["median"] - table.meta["best"])


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "branin": lambda: Problem(Branin.searchspace, Branin().f, Branin.optimum),
    "hartmann6": lambda: Problem(Hartmann6.searchspace, Hartmann6().f, Hartmann6.optimum),
    "ackley10": lambda: Problem(_box(10, -32.768, 32.768), ackley10),
    "rosenbrock5": lambda: Problem(_box(5, -5.0, 10.0), rosenbrock),
    "mixed7": lambda: Problem(_MIXED7, mixed7),
    "mlp-digits": lambda: _table("mlp-digits"),
    "hgb-diabetes": lambda: _table("hgb-diabetes"),
    "svm-digits": lambda: _table("svm-digits"),
    "rf-diabetes": lambda: _table("rf-diabetes"),
}

OTHERS: dict[str, Callable[[], Problem]] = {
    "styblinski4": lambda: Problem(_box(4, -5.0, 5.0), styblinski),
    "levy8": lambda: Problem(_box(8, -10.0, 10.0), levy),
    "choices8": lambda: Problem(Searchspace({f"c{i}": Categorical([0, 1, 2, 3]) for i in range(8)}), choices8),
    "branches": lambda: Problem(_BRANCHES, branches),
    "noisy5": lambda: Problem(_box(5, 0.0, 1.0), noisy5, -0.3),
}
