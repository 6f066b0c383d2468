"""The tree-structured Parzen estimator; what it computes stands in `maggy.optimizers.bayes.parzen`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy.errors import ConfigError
from maggy.optimizers.model import Model
from maggy.study import Study


@dataclass(frozen=True)
class Tpe(Model):
    """Tree-structured Parzen estimator: sees which configurations are good, and tries where those are dense.

    Fast, at home in any searchspace, conditional ones too. Bergstra et al., NeurIPS 2011; multivariate as in BOHB.

    Arguments:
        startup: configurations drawn at random before the model is asked.
        good_share: the share of the measurements that are called good, over 0 and under 1; 25 at most.
        candidates: how many configurations are drawn from the good ones' density, to choose the best of.

    """

    startup: int = 10
    good_share: float = 0.1
    candidates: int = 48

    def __post_init__(self) -> None:
        if not self.startup >= 1 or not self.candidates >= 1 or not 0 < self.good_share < 1:
            raise ConfigError(f"{self}: startup and candidates are at least 1, good_share is between 0 and 1")

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return the most promising of some candidates; a random configuration while little is measured."""
        from maggy.optimizers.bayes import parzen

        return parzen.propose(study, rng, self.startup, self.good_share, self.candidates)
