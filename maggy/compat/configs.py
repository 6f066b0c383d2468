"""The configs of Maggy 1.x, which `experiment.lagom` takes in the place of a searchspace and options."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from maggy import optimizers
from maggy.ablation import AblationStudy
from maggy.compat.gone import TfDistributedConfig, TorchDistributedConfig
from maggy.compat.optimizers import NAMED

__all__ = [
    "AblationConfig",
    "BaseConfig",
    "HyperparameterOptConfig",
    "LagomConfig",
    "OptimizationConfig",
    "TfDistributedConfig",
    "TorchDistributedConfig",
]


class LagomConfig:
    """What all configs share: options of `lagom`, and what the function is given besides.

    A `description` is for people, and kept nowhere.
    """

    def options(self) -> dict[str, Any]:
        """Return the options of `lagom` that this stands for; what is at its default is left to today's."""
        raise NotImplementedError

    def provided(self) -> dict[str, Any]:
        """Return what the function is given by name, where it names it."""
        return {}

    def fixed(self) -> Mapping[str, Any] | None:
        """Return hyperparameters that are the same for all trials; None where trials have none at all."""
        return None

    def _changed(self, *names: str) -> dict[str, Any]:
        """Return those of these fields that are not at their defaults."""
        usual = {field.name: field.default for field in fields(self)}  # type: ignore[arg-type]  # all are dataclasses
        return {name: getattr(self, name) for name in names if getattr(self, name) != usual[name]}


def is_grid(optimizer: object) -> bool:
    """Whether this is grid search, by its name or as an instance."""
    return isinstance(optimizer, optimizers.GridSearch) or str(optimizer).lower() == "gridsearch"


@dataclass
class BaseConfig(LagomConfig):
    """Run the function once, as it is."""

    name: str | None = None
    hb_interval: float = 1
    description: str = ""

    def options(self) -> dict[str, Any]:
        """Return the options of `lagom` that this stands for."""
        return {"optimizer": None, **self._changed("name", "hb_interval")}


@dataclass
class _Search(LagomConfig):
    num_trials: int
    optimizer: Any
    searchspace: Any
    optimization_key: str | None = None
    direction: str = "max"
    es_interval: int = 1
    es_min: int = 10
    es_policy: Any = "median"
    name: str | None = None
    description: str = ""
    hb_interval: float = 1

    def options(self) -> dict[str, Any]:
        """Return the options of `lagom` that this stands for.

        `"asha"`, `"gp"` and `"tpe"` have Maggy's settings, and grid search tries the whole grid, as it did there.
        """
        named = self.optimizer.lower() if isinstance(self.optimizer, str) else None
        optimizer = NAMED[named]() if named in NAMED else self.optimizer
        changed = self._changed(
            "optimization_key", "direction", "es_interval", "es_min", "es_policy", "name", "hb_interval"
        )
        trials = {} if is_grid(optimizer) else {"num_trials": self.num_trials}
        return {"searchspace": self.searchspace, "optimizer": optimizer, **trials, **changed}

    def fixed(self) -> Mapping[str, Any]:
        """Return hyperparameters that are the same for all trials."""
        return {}


@dataclass
class HyperparameterOptConfig(_Search):
    """Find good hyperparameters. `model` and `dataset` are handed to a function that names them."""

    model: Any = None
    dataset: Any = None

    def provided(self) -> dict[str, Any]:
        """Return model and data."""
        return {"model": self.model, "dataset": self.dataset}


@dataclass
class OptimizationConfig(_Search):
    """The same by its older name. `fixed_hp` are hyperparameters that are the same for all trials."""

    fixed_hp: Mapping[str, Any] | None = None

    def provided(self) -> dict[str, Any]:
        """Return the hyperparameters that do not change."""
        return dict(self.fixed())

    def fixed(self) -> Mapping[str, Any]:
        """Return the hyperparameters that do not change."""
        return self.fixed_hp or {}


@dataclass
class AblationConfig(LagomConfig):
    """Leave parts out. `model` and `dataset` are for a study that has none."""

    ablation_study: AblationStudy
    ablator: Any = "loco"
    direction: str = "max"
    name: str | None = None
    description: str = ""
    hb_interval: float = 1
    model: Any = None
    dataset: Any = None

    def options(self) -> dict[str, Any]:
        """Return the options of `lagom` that this stands for."""
        study = copy.copy(self.ablation_study)
        study.model = copy.copy(study.model)
        study.model.base = self.model if study.model.base is None else study.model.base
        study.dataset = self.dataset if study.dataset is None else study.dataset
        return {"searchspace": study, **self._changed("ablator", "direction", "name", "hb_interval")}
