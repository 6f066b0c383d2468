"""scikit-optimize: `optimizer="skopt:GP"`, or another of its base estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import skopt
from skopt.space import Categorical, Dimension, Integer, Real

from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import dumps
from maggy.optimizers.foreign.axes import Axis, axes, codes, values
from maggy.searchspace import Searchspace

ESTIMATORS = ("GP", "RF", "ET", "GBRT")


def make(optimizer: str, searchspace: Searchspace, seed: int, **settings: Any) -> SkoptOptimizer:
    """Return an optimizer by its base estimator. Raises `ConfigError` for one that there is not."""
    if optimizer not in ESTIMATORS:
        raise ConfigError(
            f"scikit-optimize has no base estimator {optimizer!r}{nearest(optimizer, ESTIMATORS)} "
            f"(it has {', '.join(ESTIMATORS)})"
        )
    try:
        return SkoptOptimizer(optimizer, searchspace, seed, settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"scikit-optimize with {optimizer} cannot be made: {error}") from error


class SkoptOptimizer:
    """Its `Optimizer`, which gives several points at once where some are still being tried."""

    def __init__(self, estimator: str, searchspace: Searchspace, seed: int, settings: Mapping[str, Any]) -> None:
        self._searchspace = searchspace
        self._axes = axes(searchspace)
        self._optimizer = skopt.Optimizer(
            [_dimension(axis) for axis in self._axes], base_estimator=estimator, random_state=seed % 2**32, **settings
        )
        self._open: set[str] = set()

    def ask(self) -> dict[str, Any]:
        """Return the point that follows those that are being tried, for which it supposes the best loss so far."""
        for count in range(len(self._open) + 1, len(self._open) + 3):
            for point in self._optimizer.ask(n_points=count, strategy="cl_min"):
                params = self._params(point)
                if dumps(params) not in self._open:
                    self._open.add(dumps(params))
                    return params
        return params

    def tell(self, params: Mapping[str, Any], loss: float | None) -> None:
        """Take in a loss; scikit-optimize has no word for a trial without one."""
        self._open.discard(dumps(params))
        if loss is not None:
            found = codes(self._axes, params)
            self._optimizer.tell([found[axis.name] for axis in self._axes], loss)

    def _params(self, point: list[Any]) -> dict[str, Any]:
        return values(
            self._searchspace, self._axes, {axis.name: code for axis, code in zip(self._axes, point, strict=True)}
        )


def _dimension(axis: Axis) -> Dimension:
    match axis.kind:
        case "choice":
            return Categorical(list(range(axis.size)))
        case "rank":
            return Integer(0, axis.size - 1) if axis.size > 1 else Categorical([0])
        case "unit":
            return Real(0.0, 1.0)
