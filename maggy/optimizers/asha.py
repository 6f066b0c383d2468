"""ASHA: asynchronous successive halving.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020, algorithm 2 (the promotion form). In the stopping form, known from Ray Tune and Syne Tune, no
trial is ever paused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal

from maggy.errors import ConfigError
from maggy.optimizers.base import QuickOptimizer
from maggy.optimizers.rungs import Milestones, Rungs, levels
from maggy.study import Study
from maggy.trial import DONE, WAIT, Answer, Suggestion, Trial


@dataclass(frozen=True)
class Asha(QuickOptimizer):
    """Gives many configurations a small budget and the best 1/η of each rung η times as much.

    Arguments:
        reduction_factor: η > 1; a rung's best 1/η go on, and a rung's budget is η times that of the rung below.
        resource_min: r > 0, the budget of the lowest rung, in whatever unit train_fn counts (epochs, rows, …).
        resource_max: R ≥ r, the budget of the top rung.
        mode: `"promotion"`: a trial ends at its rung; the best are continued by a new trial that has the first one as
            its parent, and its checkpoint. `"stopping"`: a trial is given R at once and is stopped at the first rung
            at which it is not among the best 1/η of those who have been there, itself included.

    """

    reduction_factor: float = 3
    resource_min: float = 1
    resource_max: float = 27
    mode: Literal["promotion", "stopping"] = "promotion"

    def __post_init__(self) -> None:
        if not self.reduction_factor > 1:
            raise ConfigError(f"ASHA's reduction_factor is {self.reduction_factor}; it must be over 1, 3 is usual")
        if not 0 < self.resource_min <= self.resource_max < math.inf:
            raise ConfigError(
                f"ASHA's budgets go from resource_min={self.resource_min} to resource_max={self.resource_max}; "
                "it must be 0 < resource_min <= resource_max, both finite"
            )
        if self.mode not in ("promotion", "stopping"):
            raise ConfigError(f"ASHA's mode is {self.mode!r}; it must be 'promotion' or 'stopping'")

    @cached_property
    def levels(self) -> list[float]:
        """The budgets of the rungs, lowest first."""
        return levels(self.resource_min, self.resource_max, self.reduction_factor)

    @property
    def stops(self) -> bool:
        """Whether this form stops running trials, and so depends on their reports."""
        return self.mode == "stopping"

    @property
    def continues(self) -> bool:  # type: ignore[override]
        """Whether trials are continued by others: in the promotion form."""
        return not self.stops

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Continue the best trial that has earned it, highest rung first; else sample a new configuration."""
        if self.stops:
            return Suggestion(study.searchspace.sample(rng), self.resource_max) if study.remaining else DONE
        rungs = study.index(Rungs)
        for below, above in reversed(list(zip(self.levels, self.levels[1:], strict=False))):
            if (parent := rungs.promotable(below, self.reduction_factor)) is not None:
                return Suggestion(study.trials[parent].params, above, parent)
        if study.remaining:
            return Suggestion(study.searchspace.sample(rng), self.levels[0])
        return WAIT if self._may_promote(study) else DONE

    def _may_promote(self, study: Study) -> bool:
        """Whether a trial that has not ended could still lift somebody: only those at the top rung never do."""
        pending = [*study.running.values(), *(study.trials[number] for number in study.queued)]
        return any(trial.budget is not None and trial.budget < self.resource_max for trial in pending)

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """In the stopping form: stop a trial that has just reached a rung and is not in the rung's best 1/η.

        A rung's first trial goes on; of n there, the best ⌈n/η⌉ do.
        """
        if not self.stops:
            return None
        now = trial.curve.units()
        before = trial.curve.units(-2) if len(trial.curve) > 1 else 0
        milestones = study.index(Milestones)
        for level in self.levels[:-1]:
            if before < level <= now:
                ranked = milestones.at(level)
                allowed = -int(-len(ranked) // self.reduction_factor)
                cutoff = ranked[allowed - 1][0]
                loss = next(loss for loss, number in ranked if number == trial.id)
                if loss > cutoff:
                    value, bar = (f"{study.objective.value(each):.6g}" for each in (loss, cutoff))
                    share = f"the best 1/{self.reduction_factor:g} of {len(ranked)}"
                    return f"rung {level:g}: {value} is not among {share} (cut-off {bar})"
        return None
