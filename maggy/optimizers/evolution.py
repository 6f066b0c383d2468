"""Asynchronous differential evolution.

Storn and Price, "Differential Evolution", Journal of Global Optimization 11, 1997, in the form DE/rand/1/bin. There are
no generations: every new configuration competes for one place of the population with whoever holds it when it has
ended, so no executor waits for another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from maggy.errors import ConfigError
from maggy.optimizers.base import QuickOptimizer
from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion, Trial


class Population:
    """The best trial of each place. The k-th configuration of a study competes for place k modulo the places."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._sampled: dict[int, int] = {}  # the rank of each new configuration, from 0
        self._best: dict[int, dict[int, Trial]] = {}  # by number of places

    def update(self, trial: Trial) -> None:
        """Note a new configuration's rank, and what a trial that has completed is worth."""
        if trial.parent is None:
            self._sampled.setdefault(trial.id, len(self._sampled))
        for places, best in self._best.items():
            self._compete(trial, places, best)

    def of(self, places: int) -> dict[int, Trial]:
        """Return who holds each place, where anybody does."""
        if places not in self._best:
            best = self._best[places] = {}
            for trial in self._study.trials.values():
                self._compete(trial, places, best)
        return self._best[places]

    def _compete(self, trial: Trial, places: int, best: dict[int, Trial]) -> None:
        if trial.usable and trial.id in self._sampled:
            place = self._sampled[trial.id] % places
            holder = best.get(place)
            if holder is None or (self._study.loss(trial), trial.id) < (self._study.loss(holder), holder.id):
                best[place] = trial


@dataclass(frozen=True)
class DifferentialEvolution(QuickOptimizer):
    """Moves good configurations along the differences between others.

    Arguments:
        population: places, at least 4. The first configurations, one for each, are drawn at random.
        mutation_factor: how much of a difference is added, over 0 and at most 2.
        crossover_rate: the probability, from 0 to 1, with which a parameter comes from the mutant and not from the
            configuration that it competes with; one always does.

    """

    population: int = 16
    mutation_factor: float = 0.5
    crossover_rate: float = 0.9

    def __post_init__(self) -> None:
        if self.population < 4:  # noqa: PLR2004 - a target and three others
            raise ConfigError(f"differential evolution's population is {self.population}; it must be at least 4")
        if not 0 < self.mutation_factor <= 2 or not 0 <= self.crossover_rate <= 1:  # noqa: PLR2004
            raise ConfigError(f"{self}: it must be 0 < mutation_factor <= 2 and 0 <= crossover_rate <= 1")

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Breed a configuration for the next place; draw one while the population is not there yet."""
        if not study.remaining:
            return DONE
        holders = study.index(Population).of(self.population)
        place = study.sampled % self.population
        others = [holder for other, holder in sorted(holders.items()) if other != place]
        if study.sampled < self.population or len(others) < 3:  # noqa: PLR2004 - for a difference and where it is added
            return Suggestion(study.searchspace.sample(rng))
        space = study.searchspace
        base, plus, minus = (self._point(study, trial, rng) for trial in rng.sample(others, 3))
        target = self._point(study, holders.get(place) or rng.choice(others), rng)
        always = rng.randrange(len(target)) if target else 0
        mixes = [axis == always or rng.random() < self.crossover_rate for axis in range(len(target))]
        child = [
            _reflected(b + self.mutation_factor * (p - m)) if mixes[axis] else t
            for axis, (t, b, p, m) in enumerate(zip(target, base, plus, minus, strict=True))
        ]
        params = space.from_unit(child)
        return Suggestion(params if space.contains(params) else space.sample(rng))

    def _point(self, study: Study, trial: Trial, rng: Random) -> list[float]:
        """Return where a configuration lies; a parameter that it lacks may be anywhere."""
        return [rng.random() if math.isnan(u) else u for u in study.searchspace.to_unit(trial.params)]


def _reflected(u: float) -> float:
    """Return a position in the unit interval, mirrored at its ends."""
    u = math.fmod(abs(u), 2.0)
    return 2.0 - u if u > 1 else u
