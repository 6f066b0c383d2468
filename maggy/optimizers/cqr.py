"""Conformal quantile regression; what it computes stands in `maggy.optimizers.bayes.quantiles`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy.errors import ConfigError
from maggy.optimizers.model import Model
from maggy.study import Study


@dataclass(frozen=True)
class Cqr(Model):
    """Conformal quantile regression with a forest: the choice for categories, steps and noise.

    Salinas et al., ICML 2023.

    Arguments:
        startup: configurations drawn at random before the model is asked.
        trees: in the forest; an ask takes about 1 ms for each.
        candidates: configurations that a draw is made for, half of them near the best ones.

    """

    startup: int = 10
    trees: int = 64
    candidates: int = 1000

    def __post_init__(self) -> None:
        if not (self.startup >= 2 and self.trees >= 1 and self.candidates >= 2):  # noqa: PLR2004 - the least
            raise ConfigError(f"{self}: startup and candidates are at least 2, trees at least 1")

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return the candidate with the best draw; a random configuration while little is measured."""
        from maggy.optimizers.bayes import quantiles

        return quantiles.propose(study, rng, self.startup, self.trees, self.candidates)
