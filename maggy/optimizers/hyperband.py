"""Hyperband, asynchronous: several brackets of successive halving that begin at different budgets.

Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization", JMLR 18 (2018): how budgets are shared out among brackets; Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020: each bracket is an ASHA. With a Parzen estimator as searcher it is BOHB (Falkner,
Klein, Hutter, ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from maggy.optimizers.halving import Halving
from maggy.optimizers.rungs import Place, Rung, Rungs
from maggy.study import Study


@dataclass(frozen=True)
class Hyperband(Halving):
    """Hedges ASHA: bracket s begins at r·η^s, so that a few configurations begin at R and none is judged too early.

    Arguments:
        reduction_factor: η > 1; a rung's best 1/η go on, and a rung's budget is η times that of the rung below.
        resource_min: r > 0, the lowest budget, in whatever unit train_fn counts (epochs, rows, …).
        resource_max: R ≥ r, the budget of each bracket's top rung.
        searcher: what proposes new configurations: a name such as `"tpe"`, an instance such as `Tpe(startup=5)`, or
            None for random ones.
        random_share: the share of configurations, from 0 to 1, that is random although there is a searcher, for low
            budgets may mislead it.

    """

    title: ClassVar[str] = "Hyperband"

    @cached_property
    def brackets(self) -> Sequence[Sequence[float]]:
        """The budgets of each bracket's rungs: all of them, all but the lowest, … and R alone."""
        return [self.levels[start:] for start in range(len(self.levels))]

    def begin(self, study: Study) -> float:
        """Return where the bracket begins that lags behind most.

        Brackets spend equal budgets: so of each as many configurations begin as are inverse to what one costs, those
        that it will have promoted included. The largest remainder is served first (as Sainte-Laguë fills seats), which
        keeps to the proportions after any number of configurations.
        """
        began = study.index(Rungs).began
        return min((levels[0] for levels in self.brackets), key=lambda start: (began[start] + 0.5) * self._costs[start])

    @cached_property
    def _costs(self) -> dict[float, float]:
        return {
            bracket[0]: sum(level / self.reduction_factor**place for place, level in enumerate(bracket))
            for bracket in self.brackets
        }

    def why(self, rung: Rung, place: Place) -> str:
        """Say for what a trial is promoted."""
        return f"bracket from {rung.began:g}, {super().why(rung, place)}"
