"""What an optimizer is.

An optimizer is a function of the study: the same study and the same random numbers give the same answer, from a fresh
instance as from a used one. It may cache, it may not remember. There is no "tell": what has happened is in the study,
trials that still run included.

Write one as a frozen dataclass of its settings, and let `maggy.testing.contracts.OptimizerContract` test it.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import Answer, Suggestion


class Optimizer(Protocol):
    """Suggests what to try next.

    Five optional attributes tell more: `lookahead` (suggestions to prepare before an executor is idle, 0 where absent),
    `independent` (True: no suggestion depends on a result, so short trials may be given out ahead of need), `quick`
    (True: asking takes microseconds and needs no thread of its own), `continues` (False: no suggestion has a parent, so
    no trial's checkpoint is needed by another) and `check(searchspace)` (raises `ConfigError` for a space that it
    cannot search).
    """

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Return the next suggestion, `WAIT` (ask again when a trial has ended) or `DONE` (there is no more)."""


class QuickOptimizer:
    """What maggy's cheap optimizers share: they answer at once, so nothing is asked ahead of need."""

    lookahead = 0
    quick = True
    continues = False

    def check(self, searchspace: Searchspace) -> None:
        """Accept any searchspace."""


def rng_for(seed: int, number: int) -> Random:
    """Return the random numbers of ask `number`: they depend on nothing but the study's seed and the number.

    The standard library's generator: its stream is promised not to change between versions of Python, and seeding it
    costs 6 µs.
    """
    return Random(f"maggy {seed} {number}")
