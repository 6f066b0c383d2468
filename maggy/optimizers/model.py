"""Optimizers that learn a model of the study.

A model is a `Searcher`: it proposes configurations, for plain search as well as for the lowest rung of ASHA. What it
computes with stands in `maggy.optimizers.bayes` and is loaded at the first ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion


class Searcher(Protocol):
    """Proposes configurations."""

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return a configuration to try next."""


class Model:
    """What optimizers share that learn a model: asking takes a while, so one suggestion is prepared ahead."""

    lookahead = 1
    quick = False
    continues = False

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return a configuration to try next."""
        raise NotImplementedError

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Suggest one new configuration, until `num_trials` are suggested."""
        return Suggestion(self.propose(study, rng)) if study.remaining else DONE
