"""Optuna's samplers: `optimizer="optuna:TPESampler"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from maggy.optimizers.foreign.axes import Axis, Codes

QUIET = "warn_independent_sampling"


def _defaults(name: str) -> dict[str, Any]:
    parameters = signature(getattr(optuna.samplers, name)).parameters.values()
    return {each.name: each.default for each in parameters}


NAMES = [name for name in optuna.samplers.__all__ if name.endswith("Sampler") and "seed" in _defaults(name)]


class Optimizer:
    """A sampler with a study of its own in memory.

    What it does not model, as CMA-ES categories, it draws at random: and would say so, but for the settings, at each
    trial and parameter.
    """

    def __init__(self, name: str, axes: Sequence[Axis], seed: int, settings: Mapping[str, Any]) -> None:
        quiet = {QUIET: False} if _defaults(name).get(QUIET) is True else {}
        sampler = getattr(optuna.samplers, name)(**{"seed": seed % 2**32, **quiet, **settings})
        self._distributions = {axis.name: _distribution(axis) for axis in axes}
        said = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # a new study would be announced
        try:
            self._study = optuna.create_study(sampler=sampler)
        finally:
            optuna.logging.set_verbosity(said)

    def ask(self) -> tuple[optuna.Trial, Codes]:
        """Return what the sampler draws."""
        trial = self._study.ask(self._distributions)
        return trial, trial.params

    def tell(self, asked: optuna.Trial | None, codes: Codes, loss: float | None) -> None:
        """Take in a loss."""
        state = TrialState.FAIL if loss is None else TrialState.COMPLETE
        if asked is not None:
            self._study.tell(asked, loss, state)
        else:
            self._study.add_trial(
                create_trial(state=state, value=loss, params=dict(codes), distributions=self._distributions)
            )


def _distribution(axis: Axis) -> BaseDistribution:
    match axis.kind:
        case "choice":
            return CategoricalDistribution(range(axis.size))
        case "rank":
            return IntDistribution(0, axis.size - 1)
        case "unit":
            return FloatDistribution(0.0, 1.0)
