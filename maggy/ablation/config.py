"""Maggy 1.x's way to ask for an ablation: a study and how it is run, in one object."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from maggy.ablation.study import AblationStudy


@dataclass(frozen=True)
class AblationConfig:
    """What `experiment.lagom(train_fn, config)` takes in the place of an `AblationStudy` and options.

    `model` and `dataset` are for a study that has none; `description` is for people, and kept nowhere.
    """

    ablation_study: AblationStudy
    ablator: Any = "loco"
    direction: str = "max"
    name: str | None = None
    description: str = ""
    hb_interval: float | None = None
    model: Any = None
    dataset: Any = None

    def options(self) -> dict[str, Any]:
        """Return the options of `lagom` that this stands for."""
        study = copy.copy(self.ablation_study)
        study.model = copy.copy(study.model)
        study.model.base = self.model if study.model.base is None else study.model.base
        study.dataset = self.dataset if study.dataset is None else study.dataset
        told = {"searchspace": study, "ablator": self.ablator, "direction": self.direction}
        more = {"name": self.name, "hb_interval": self.hb_interval}
        return told | {option: value for option, value in more.items() if value is not None}
