"""scikit-optimize: `optimizer="skopt:GP"`, or another of its base estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import skopt
from skopt.space import Categorical, Dimension, Integer, Real

from maggy.optimizers.bayes.gaussian import one_thread
from maggy.optimizers.foreign.axes import Axis, Codes

NAMES = ["GP", "RF", "ET", "GBRT"]


class Optimizer:
    """Its `Optimizer`, made anew at each ask from what is known: so what is still being tried can have a loss, too."""

    def __init__(self, name: str, axes: Sequence[Axis], seed: int, settings: Mapping[str, Any]) -> None:
        self._names = [axis.name for axis in axes]
        dimensions = [_dimension(axis) for axis in axes]
        self._made = partial(
            skopt.Optimizer, dimensions, **{"base_estimator": name, "random_state": seed % 2**32, **settings}
        )
        self._rng = self._made().rng  # goes on from ask to ask
        self._known: list[tuple[list[float], float]] = []
        self._open: list[list[float]] = []

    @one_thread
    def ask(self) -> tuple[list[float], Codes]:
        """Return the point that follows all others, supposing the best loss so far for those that are being tried."""
        best = min((loss for _, loss in self._known), default=0.0)
        known = self._known + [(point, best) for point in self._open]
        optimizer = self._made()
        optimizer.rng = self._rng
        if known:
            optimizer.tell(*map(list, zip(*known, strict=True)))
        point = optimizer.ask()
        self._open.append(point)
        return point, dict(zip(self._names, point, strict=True))

    def tell(self, asked: list[float] | None, codes: Codes, loss: float | None) -> None:
        """Take in a loss; scikit-optimize has no word for a trial without one."""
        if asked is not None:
            self._open.remove(asked)
        if loss is not None:
            self._known.append(([codes[name] for name in self._names], loss))


def _dimension(axis: Axis) -> Dimension:
    match axis.kind:
        case "choice":
            return Categorical(list(range(axis.size)))
        case "rank":
            return Integer(0, axis.size - 1)
        case "unit":
            return Real(0.0, 1.0)
