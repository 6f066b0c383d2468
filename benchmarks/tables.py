"""Real hyperparameter landscapes, as tables: training is looked up instead of done.

`data/*.npz` were built with scikit-learn 1.9.1 on data that it ships: for hundreds of random configurations the
validation metric and the training time after each epoch. What is asked for between them is the mean of the five nearest
rows, weighted by their inverse distance in the unit cube (a category that differs counts 0.7); a row itself is exact.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maggy.domains import Categorical, Domain, Float, Integer
from maggy.searchspace import Searchspace
from maggy.trial import Direction

DATA = Path(__file__).parent / "data"
NEAREST = 5
DIFFERS = 0.7  # the distance of two categories
FULL_SECONDS = 10.0  # virtual seconds of a training in full, on average: the tables' own times to scale


class Table:
    """A problem for the simulator (see `maggy.testing.virtual.Problem`): loss or error by epoch, to be minimized."""

    direction: Direction = "min"

    def __init__(self, name: str) -> None:
        with np.load(DATA / f"{name}.npz", allow_pickle=False) as data:
            self.meta = json.loads(str(data["meta"]))
            values = data["val_error" if self.meta["metric"] == "error" else "val_loss"].astype(float)
            times, rows = data["time"].astype(float), data["X"].astype(float)
        self.name = name
        self.epochs = values.shape[1]
        self.searchspace = Searchspace({each[0]: _domain(*each[1:]) for each in self.meta["space"]})
        self._values = values
        self._seconds = np.diff(times, axis=1, prepend=0.0) * FULL_SECONDS / times[:, -1].mean()
        self._rows = np.column_stack([_units(rows[:, column], *each[1:]) for column, each in enumerate(self._space)])
        self._categorical = np.array([each[1] == "cat" for each in self._space])
        self._look_up = lru_cache(maxsize=100_000)(self._interpolated)

    @property
    def _space(self) -> list[list[Any]]:
        space: list[list[Any]] = self.meta["space"]
        return space

    def regret(self, value: float) -> float:
        """Return how much worse than the best a value is, as a share of what the median configuration is worse."""
        return max(0.0, float((value - self.meta["best"]) / (self.meta["median"] - self.meta["best"])))

    def f(self, params: Mapping[str, Any]) -> float:
        """Return the value after a training in full."""
        return float(self._look_up(tuple(params[each[0]] for each in self._space))[0][-1])

    def curve(
        self, params: Mapping[str, Any], budget: float | None, done: float = 0.0
    ) -> Iterator[tuple[float, int, dict[str, float]]]:
        """Yield (virtual seconds, epoch, metrics) from `done` to `budget`."""
        values, seconds = self._look_up(tuple(params[each[0]] for each in self._space))
        for epoch in range(int(done) + 1, math.ceil(self.epochs if budget is None else budget) + 1):
            yield float(seconds[epoch - 1]), epoch, {"metric": float(values[epoch - 1])}

    def _interpolated(self, values: tuple[Any, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        point = [
            float(each[2].index(value)) if each[1] == "cat" else float(_units(np.array([value]), *each[1:])[0])
            for value, each in zip(values, self._space, strict=True)
        ]
        apart = self._rows - np.array(point)
        apart = np.where(self._categorical, DIFFERS * (apart != 0), apart)
        distances = np.sqrt((apart**2).sum(axis=1))
        nearest = np.argpartition(distances, NEAREST)[:NEAREST]
        if distances[nearest].min() < 1e-9:
            nearest = nearest[[distances[nearest].argmin()]]
            weights = np.ones(1)
        else:
            weights = 1 / distances[nearest]
            weights /= weights.sum()
        return weights @ self._values[nearest], weights @ self._seconds[nearest]


def _domain(kind: str, *bounds: Any) -> Domain:
    if kind == "cat":
        return Categorical(bounds[0])
    low, high, log = bounds
    return Float(float(low), float(high), log=log) if kind == "float" else Integer(int(low), int(high), log=log)


def _units(values: NDArray[Any], kind: str, *bounds: Any) -> NDArray[np.float64]:
    if kind == "cat":
        return values.astype(float)
    low, high, log = bounds
    scaled = np.log(values) if log else values.astype(float)
    low, high = (math.log(low), math.log(high)) if log else (low, high)
    units: NDArray[np.float64] = (scaled - low) / (high - low)
    return units
