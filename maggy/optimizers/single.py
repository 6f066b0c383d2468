"""No optimizer: the function is run, and that is all."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from maggy.errors import ConfigError
from maggy.optimizers.base import QuickOptimizer
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion


@dataclass(frozen=True)
class SingleRun(QuickOptimizer):
    """Runs the training function `num_trials` times (once by default) without parameters."""

    def check(self, searchspace: Searchspace) -> None:
        """Raise `ConfigError` where there is something to search."""
        if len(searchspace) or searchspace.open:
            raise ConfigError(
                "a searchspace was given, but optimizer=None runs the function as it is: "
                "name an optimizer, such as 'asha' or 'randomsearch', or leave the searchspace out"
            )

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:  # noqa: ARG002 - there is nothing to draw
        """Suggest the empty configuration until `num_trials` is reached."""
        return Suggestion({}) if study.remaining else DONE
