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
    """Goes through the grid in order, the last parameter fastest.

    The grid is never built: the k-th combination is k written in the mixed radix of the domains' sizes, so a grid of
    10^12 points costs nothing until it is run.
    """

    def check(self, searchspace: Searchspace) -> None:
        """Raise `ConfigError` where a parameter is continuous and has no `step`."""
        for name, domain in searchspace.items():
            if domain.size is None:
                raise ConfigError(
                    f"grid search needs finitely many values, but {name!r} is continuous: "
                    f"give it a step, as in {name}=Float(low, high, step=0.1), or list its values"
                )

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:  # noqa: ARG002 - nothing is random in a grid
        """Return the combination that follows those suggested so far."""
        size = study.searchspace.size
        if not study.remaining or (size is not None and study.sampled >= size):
            return DONE
        params = {}
        rest = study.sampled
        for name, domain in reversed(study.searchspace.items()):
            rest, digit = divmod(rest, domain.size or 1)
            params[name] = domain.nth(digit)  # grid()[digit] would build them all
        return Suggestion({name: params[name] for name in study.searchspace.keys()})  # noqa: SIM118 - not a dict
