"""Grid search: every combination once."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from maggy.errors import ConfigError
from maggy.optimizers.base import QuickOptimizer
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion


@dataclass(frozen=True)
class GridSearch(QuickOptimizer):
    """Goes through the grid in order, the last parameter fastest; each different configuration once.

    The grid is never built: the searchspace finds its k-th configuration by counting, so a grid of 10^12 points costs
    nothing until it is run. Conditions and forbidden combinations are counted with, and nothing is skipped one by one.
    """

    independent = True

    def check(self, searchspace: Searchspace) -> None:
        """Raise `ConfigError` where a parameter is continuous and has no `step`, or the grid cannot be counted."""
        if searchspace.open:
            raise ConfigError("grid search needs to know all parameters before the first trial: write a Searchspace")
        for name, domain in searchspace.items():
            if domain.size is None:
                raise ConfigError(
                    f"grid search needs finitely many values, but {name!r} is continuous: "
                    f"give it a step, as in {name}=Float(low, high, step=0.1), or list its values"
                )
        if searchspace.size is None:
            raise ConfigError(
                "grid search cannot count this searchspace, since too many of its conditions and forbidden "
                "combinations cross one another: use fewer, or define parameters right behind those they depend on"
            )

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:  # noqa: ARG002 - nothing is random in a grid
        """Return the combination that follows those suggested so far."""
        space = study.searchspace
        if not study.remaining or study.sampled >= (space.size or 0):
            return DONE
        return Suggestion(space.nth(study.sampled))
