"""Random search: the baseline that every other optimizer has to beat (Bergstra and Bengio, JMLR 13, 2012)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from maggy.optimizers.base import QuickOptimizer
from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion


@dataclass(frozen=True)
class RandomSearch(QuickOptimizer):
    """Draws every configuration independently."""

    independent = True

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Draw one configuration, until `num_trials` are drawn."""
        return Suggestion(study.searchspace.sample(rng)) if study.remaining else DONE
