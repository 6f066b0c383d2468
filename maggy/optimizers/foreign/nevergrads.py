"""Nevergrad's optimizers: `optimizer="nevergrad:NGOpt"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nevergrad

from maggy.optimizers.foreign.axes import Axis, Codes

NAMES = list(nevergrad.optimizers.registry)
BUDGET = 100  # trials that an optimizer may plan with, where its settings do not say; NGOpt chooses by it


class Optimizer:
    """An optimizer with its parametrization."""

    def __init__(self, name: str, axes: Sequence[Axis], seed: int, settings: Mapping[str, Any]) -> None:
        self._space = nevergrad.p.Dict(**{axis.name: _parameter(axis) for axis in axes})
        self._space.random_state.seed(seed % 2**32)
        self._optimizer = nevergrad.optimizers.registry[name](self._space, **{"budget": BUDGET, **settings})

    def ask(self) -> tuple[Any, Codes]:
        """Return a candidate."""
        candidate = self._optimizer.ask()
        return candidate, candidate.value

    def tell(self, asked: Any, codes: Codes, loss: float | None) -> None:
        """Take in a loss. Nevergrad has no word for a trial without one: such a candidate is forgotten."""
        if loss is not None:
            candidate = self._space.spawn_child(new_value=dict(codes)) if asked is None else asked
            self._optimizer.tell(candidate, loss)


def _parameter(axis: Axis) -> Any:
    match axis.kind:
        case "choice":
            return nevergrad.p.Choice(list(range(axis.size)))
        case "rank":
            return nevergrad.p.TransitionChoice(list(range(axis.size)))
        case "unit":
            return nevergrad.p.Scalar(lower=0.0, upper=1.0)
