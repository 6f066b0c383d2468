"""A Gaussian process; what it computes stands in `maggy.optimizers.bayes.surrogate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy.errors import ConfigError
from maggy.optimizers.model import Model
from maggy.study import Study


@dataclass(frozen=True)
class Gp(Model):
    """Bayesian optimization: tries what a Gaussian process expects to improve most on the best so far.

    The choice where trials are dear and most parameters are numbers. An ask takes some tens of milliseconds, and 0.2 s
    after 1,000 measurements. Also the searcher that makes ASHA or Hyperband model-based: it learns from all budgets at
    once (Klein et al., "Model-based Asynchronous Hyperparameter and Neural Architecture Search", arXiv 2003.10865).

    Arguments:
        startup: measurements, at least 2, before which configurations are quasi-random (Sobol).
        fantasies: how often the results of trials that still run are imagined, at least 1.

    """

    startup: int = 10
    fantasies: int = 8

    def __post_init__(self) -> None:
        if not self.startup >= 2 or not self.fantasies >= 1:  # noqa: PLR2004 - two points are the least to learn from
            raise ConfigError(f"{self}: startup is at least 2, fantasies at least 1")

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return the configuration that promises most."""
        from maggy.optimizers.bayes import surrogate

        return surrogate.propose(study, rng, self.startup, self.fantasies)
