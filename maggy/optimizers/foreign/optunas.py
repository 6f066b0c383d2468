"""Optuna's samplers: `optimizer="optuna:TPESampler"`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import dumps
from maggy.optimizers.foreign.axes import Axis, axes, codes, values
from maggy.searchspace import Searchspace


def make(optimizer: str, searchspace: Searchspace, seed: int, **settings: Any) -> OptunaSampler:
    """Return a sampler by its name. Raises `ConfigError` for one that there is not, or that takes no such settings."""
    known = [name for name in optuna.samplers.__all__ if name.endswith("Sampler") and name != "BaseSampler"]
    if optimizer not in known:
        raise ConfigError(f"Optuna has no sampler {optimizer!r}{nearest(optimizer, known)} (it has {', '.join(known)})")
    try:
        return OptunaSampler(getattr(optuna.samplers, optimizer)(seed=seed % 2**32, **settings), searchspace)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"Optuna's {optimizer} cannot be made: {error}") from error


class OptunaSampler:
    """A sampler with a study of its own in memory."""

    def __init__(self, sampler: optuna.samplers.BaseSampler, searchspace: Searchspace) -> None:
        self._searchspace = searchspace
        self._axes = axes(searchspace)
        self._distributions = {axis.name: _distribution(axis) for axis in self._axes}
        self._open: dict[str, optuna.Trial] = {}
        said = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # a new study would be announced
        try:
            self._study = optuna.create_study(sampler=sampler)
        finally:
            optuna.logging.set_verbosity(said)

    def ask(self) -> dict[str, Any]:
        """Return what the sampler draws."""
        trial = self._study.ask(self._distributions)
        params = values(self._searchspace, self._axes, trial.params)
        self._open[dumps(params)] = trial
        return params

    def tell(self, params: Mapping[str, Any], loss: float | None) -> None:
        """Take in a loss; of a configuration that the sampler has not drawn as well."""
        trial = self._open.pop(dumps(params), None)
        if trial is None:
            state = TrialState.FAIL if loss is None else TrialState.COMPLETE
            known = create_trial(
                state=state, value=loss, params=codes(self._axes, params), distributions=self._distributions
            )
            self._study.add_trial(known)
        elif loss is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, loss)


def _distribution(axis: Axis) -> BaseDistribution:
    match axis.kind:
        case "choice":
            return CategoricalDistribution(range(axis.size))
        case "rank":
            return IntDistribution(0, axis.size - 1)
        case "unit":
            return FloatDistribution(0.0, 1.0)
