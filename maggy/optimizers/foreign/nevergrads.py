"""Nevergrad's optimizers: `optimizer="nevergrad:NGOpt"`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nevergrad

from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import dumps
from maggy.optimizers.foreign.axes import Axis, axes, codes, values
from maggy.searchspace import Searchspace

BUDGET = 100  # trials that an optimizer may plan with, where its settings do not say; NGOpt chooses by it


def make(optimizer: str, searchspace: Searchspace, seed: int, **settings: Any) -> NevergradOptimizer:
    """Return an optimizer by its name. Raises `ConfigError` for one that there is not, or with no such settings."""
    known = list(nevergrad.optimizers.registry)
    if optimizer not in known:
        raise ConfigError(f"nevergrad has no optimizer {optimizer!r}{nearest(optimizer, known)}")
    try:
        return NevergradOptimizer(optimizer, searchspace, seed, settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"nevergrad's {optimizer} cannot be made: {error}") from error


class NevergradOptimizer:
    """An optimizer with its parametrization."""

    def __init__(self, optimizer: str, searchspace: Searchspace, seed: int, settings: Mapping[str, Any]) -> None:
        self._searchspace = searchspace
        self._axes = axes(searchspace)
        self._space = nevergrad.p.Dict(**{axis.name: _parameter(axis) for axis in self._axes})
        self._space.random_state.seed(seed % 2**32)
        self._optimizer = nevergrad.optimizers.registry[optimizer](self._space, **{"budget": BUDGET, **settings})
        self._open: dict[str, Any] = {}

    def ask(self) -> dict[str, Any]:
        """Return what the optimizer would try."""
        candidate = self._optimizer.ask()
        params = values(self._searchspace, self._axes, candidate.value)
        self._open[dumps(params)] = candidate
        return params

    def tell(self, params: Mapping[str, Any], loss: float | None) -> None:
        """Take in a loss. Nevergrad has no word for a trial without one: such a candidate is forgotten."""
        candidate = self._open.pop(dumps(params), None)
        if loss is not None:
            if candidate is None:
                candidate = self._space.spawn_child(new_value=codes(self._axes, params))
            self._optimizer.tell(candidate, loss)


def _parameter(axis: Axis) -> Any:
    match axis.kind:
        case "choice":
            return nevergrad.p.Choice(list(range(axis.size)))
        case "rank":
            return nevergrad.p.TransitionChoice(list(range(axis.size)))
        case "unit":
            return nevergrad.p.Scalar(lower=0.0, upper=1.0)
