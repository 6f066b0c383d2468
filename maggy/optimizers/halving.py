"""Successive halving by asynchronous promotion: what ASHA and Hyperband share.

Configurations begin with a small budget; whoever is among the best 1/η of a rung goes on with η times as much. A ladder
of rungs is a *bracket*: ASHA has one, Hyperband several that begin at different budgets.

Where a model proposes, two things are different. Its configurations get better, so that the newest are always among the
best of a rung: all would go on at once. So of a rung no more than 1/η go on, until all is sampled (the delayed ASHA of
Li et al., "Hyper-Tune", VLDB 2022). And what is good at a low budget may be bad at a large one, which a model of low
budgets would never find out: so a share of the configurations is random (Falkner et al., "BOHB", ICML 2018). Where all
begin at the lowest rung they have a share of each rung's places, too, for which they compete among themselves, as
without a model. Against the model's they would have no chance: it knows best what is good at the lowest rung.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from random import Random
from typing import ClassVar, cast

from maggy import plugins
from maggy.errors import ConfigError
from maggy.optimizers.model import Searcher
from maggy.optimizers.rungs import RANDOM, Place, Rung, Rungs, levels
from maggy.optimizers.searchers import searcher_of
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import DONE, WAIT, Answer, Suggestion


@dataclass(frozen=True)
class Halving:
    """Promotes within brackets; a subclass says which there are and where a new configuration begins."""

    reduction_factor: float = 3
    resource_min: float = 1
    resource_max: float = 27
    searcher: str | Searcher | None = field(default=None, metadata=plugins.NESTED)
    random_share: float = 1 / 3

    title: ClassVar[str] = "successive halving"
    stops: ClassVar[bool] = False  # whether running trials are stopped: then it is a stop rule as well
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.reduction_factor > 1:
            raise ConfigError(
                f"{self.title}'s reduction_factor is {self.reduction_factor}; it must be over 1, 3 is usual"
            )
        if not 0 < self.resource_min <= self.resource_max < math.inf:
            raise ConfigError(
                f"{self.title}'s budgets go from resource_min={self.resource_min} to resource_max={self.resource_max}; "
                "it must be 0 < resource_min <= resource_max, both finite"
            )
        if not 0 <= self.random_share <= 1:
            raise ConfigError(f"{self.title}'s random_share is {self.random_share}; it must be from 0 to 1")
        object.__setattr__(self, "searcher", searcher_of(self.searcher))

    @property
    def quick(self) -> bool:
        """Whether an answer takes microseconds: not where a model proposes."""
        return self.searcher is None

    @property
    def lookahead(self) -> int:
        """Suggestions to prepare before an executor is idle: one where a model proposes."""
        return 0 if self.searcher is None else 1

    def check(self, searchspace: Searchspace) -> None:
        """Raise `ConfigError` for a space that the searcher cannot search."""
        if (check := getattr(self.searcher, "check", None)) is not None:
            check(searchspace)

    @cached_property
    def levels(self) -> list[float]:
        """The budgets of all rungs, lowest first."""
        return levels(self.resource_min, self.resource_max, self.reduction_factor)

    @property
    def brackets(self) -> Sequence[Sequence[float]]:
        """The budgets of each bracket's rungs, lowest first."""
        raise NotImplementedError

    @cached_property
    def apart(self) -> bool:
        """Whether random configurations have places of their own: beside a model's, all of which begin alike."""
        return self.searcher is not None and len(self.brackets) == 1

    def begin(self, study: Study) -> float:
        """Return the budget with which the next new configuration begins."""
        raise NotImplementedError

    def reach(self, study: Study) -> float:  # noqa: ARG002 - needed where it is overridden
        """Return the largest budget to which trials are promoted now."""
        return self.resource_max

    def why(self, rung: Rung, place: Place) -> str:
        """Say for what a trial is promoted."""
        return f"rung {rung.budget:g}: rank {place.rank} of {place.among}{' random ones' if rung.apart else ''}"

    def propose(self, study: Study, rng: Random, budget: float) -> Suggestion:
        """Return a new configuration: the searcher's, or a random one, which says so where it is to be told apart."""
        if self.searcher is None or rng.random() < self.random_share:
            return Suggestion(study.searchspace.sample(rng), budget, why=RANDOM if self.apart else None)
        return Suggestion(cast("Searcher", self.searcher).propose(study, rng), budget)

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Continue the best trial that has earned it, the highest rung first; else begin a new configuration."""
        rungs, reach = study.index(Rungs), self.reach(study)
        for rung, above in self._climbs:
            if above > reach:
                continue
            strictly = self.searcher is not None and not rung.apart and study.remaining > 0
            if (place := rungs.promotable(rung, self.reduction_factor, strictly=strictly)) is not None:
                return Suggestion(study.trials[place.trial].params, above, place.trial, self.why(rung, place))
        if study.remaining:
            return self.propose(study, rng, self.begin(study))
        return WAIT if self._may_promote(study) else DONE

    @cached_property
    def _climbs(self) -> list[tuple[Rung, float]]:
        """Each rung with the budget above it, the highest first."""
        ladders = (True, False) if self.apart else (False,)  # who is sure of places takes them first
        climbs = [
            (Rung(bracket[0], below, apart), above)
            for bracket in self.brackets
            for below, above in pairwise(bracket)
            for apart in ladders
        ]
        return sorted(climbs, key=lambda climb: climb[1], reverse=True)

    def _may_promote(self, study: Study) -> bool:
        """Whether a trial that has not ended could still lift somebody: only those at the top rung never do."""
        pending = [*study.running.values(), *(study.trials[number] for number in study.queued)]
        return any(trial.budget is not None and trial.budget < self.resource_max for trial in pending)
