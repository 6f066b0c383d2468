"""ASHA: asynchronous successive halving.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020, algorithm 2 (the promotion form). In the stopping form, known from Ray Tune and Syne Tune, no
trial is ever paused. With a model that proposes the configurations it is what Klein, Tiao, Lienart, Archambeau,
Seeger, "Model-based Asynchronous Hyperparameter and Neural Architecture Search", arXiv 2003.10865, call MOBSTER.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

from maggy.errors import ConfigError
from maggy.optimizers.halving import Halving
from maggy.optimizers.pasha import Rankings
from maggy.optimizers.rungs import Milestones
from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion, Trial


@dataclass(frozen=True)
class Asha(Halving):
    """Gives many configurations a small budget and the best 1/η of each rung η times as much.

    Arguments:
        reduction_factor: η > 1; a rung's best 1/η go on, and a rung's budget is η times that of the rung below.
        resource_min: r > 0, the budget of the lowest rung, in whatever unit train_fn counts (epochs, rows, …).
        resource_max: R ≥ r, the budget of the top rung.
        searcher: what proposes new configurations: a name such as `"tpe"`, an instance such as `Tpe(startup=5)`, or
            None for random ones.
        random_share: the share of configurations, from 0 to 1, that is random although there is a searcher, for low
            budgets may mislead it. In the promotion form they have the same share of each rung's places, for which
            they compete among themselves: with 1/2 half of the work is that of an ASHA without a searcher.
        mode: `"promotion"`: a trial ends at its rung; the best are continued by a new trial that has the first one as
            its parent, and its checkpoint. `"stopping"`: a trial is given R at once and is stopped at the first rung
            at which it is not among the best 1/η of those who have been there, itself included.
        progressive: the top rung is the second at first, and grows to R only as far as the rankings of neighbouring
            rungs disagree (PASHA, see `maggy.optimizers.pasha`); in the promotion form.

    """

    random_share: float = 1 / 2
    mode: Literal["promotion", "stopping"] = "promotion"
    progressive: bool = False

    title: ClassVar[str] = "ASHA"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("promotion", "stopping"):
            raise ConfigError(f"ASHA's mode is {self.mode!r}; it must be 'promotion' or 'stopping'")
        if self.progressive and self.stops:
            raise ConfigError("ASHA is progressive by promoting later; with mode='stopping' leave progressive out")

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Whether this form stops running trials, and so depends on their reports."""
        return self.mode == "stopping"

    @property
    def continues(self) -> bool:  # type: ignore[override]
        """Whether trials are continued by others: in the promotion form."""
        return not self.stops

    @property
    def brackets(self) -> Sequence[Sequence[float]]:
        """The only bracket's budgets."""
        return [self.levels]

    def begin(self, study: Study) -> float:  # noqa: ARG002 - always the same
        """Return the lowest budget."""
        return self.levels[0]

    def reach(self, study: Study) -> float:
        """Return R; where progressive, the lowest budget that is enough to tell the good from the bad."""
        return study.index(Rankings).reach(self.levels) if self.progressive else self.resource_max

    def propose(self, study: Study, rng: Random, budget: float) -> Suggestion:
        """Return a new configuration; in the stopping form the searcher learns from what trials had at the rungs."""
        if self.stops and self.searcher is not None:
            from maggy.optimizers.bayes.observed import Observed

            study.index(Observed).take(self.levels[:-1])
        return super().propose(study, rng, budget)

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Continue the best trial that has earned it, highest rung first; else begin a new configuration."""
        if self.stops:
            return self.propose(study, rng, self.resource_max) if study.remaining else DONE
        return super().ask(study, rng)

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
