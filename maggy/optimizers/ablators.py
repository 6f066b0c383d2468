"""Ablators: optimizers that leave parts out, one or several at a time, and search nothing.

They go through a space whose first values are the *reference*: of a switch `[True, False]` the part is there first, and
left out then. A parameter called `seed` is no part: each configuration is run with each of its values. All
configurations come with the first seed before any comes with the second, so that a study that is broken off has still
seen everything once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any

from maggy.effects import SEED, Change, Runs, changed, harms, label_of, losses, mean
from maggy.errors import ConfigError
from maggy.jsonvalue import identity
from maggy.optimizers.base import QuickOptimizer
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import DONE, WAIT, Answer, Suggestion, Trial


class Ablator(QuickOptimizer):
    """What all ablators share: which spaces they take, and what one part's other values are."""

    def check(self, searchspace: Searchspace) -> None:
        """Raise `ConfigError` where there is nothing to leave out, or what there is cannot be counted."""
        if not _parts(searchspace):
            raise ConfigError(
                "an ablation needs something to leave out: AblationStudy(features=…, layers=…, components=…), or a "
                "searchspace of switches such as augment=[True, False], of which the first value is the reference"
            )
        for name, domain in searchspace.items():
            if domain.size is None:
                raise ConfigError(
                    f"an ablation compares values with the first one, but {name!r} is continuous: list its values, "
                    f"the reference first, as in {name}=[0.1, 0.0]"
                )
        if searchspace.forbidden:
            raise ConfigError(
                "an ablation has no forbidden combinations; say with when= which parts there are only with others"
            )

    def total(self, searchspace: Searchspace) -> int:
        """Return how many trials there can be at most."""
        raise NotImplementedError


class Plans:
    """The changes that each ablator tries, in order: an index that the study keeps, so they are worked out once."""

    def __init__(self, study: Study) -> None:
        self._space = study.searchspace
        self._plans: dict[type, list[Change]] = {}

    def update(self, trial: Trial) -> None:
        """Nothing to do: what is tried does not depend on what comes out."""

    def of(self, ablator: Loco) -> list[Change]:
        """Return the changes that an ablator tries."""
        found = self._plans.get(type(ablator))
        if found is None:
            found = self._plans[type(ablator)] = list(ablator.changes(self._space))
        return found


@dataclass(frozen=True)
class Loco(Ablator):
    """Leaves one component out at a time: a reference trial, then one for each other value of each part."""

    independent = True

    def changes(self, searchspace: Searchspace) -> Iterator[Change]:
        """Yield the changes, in the order in which they are tried."""
        yield {}
        yield from _others(searchspace, {})

    def total(self, searchspace: Searchspace) -> int:
        """Return how many trials there are: changes times seeds."""
        return sum(1 for _ in self.changes(searchspace)) * len(_seeds(searchspace))

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:  # noqa: ARG002 - nothing is drawn
        """Return the change that follows those suggested so far."""
        plan, seeds = study.index(Plans).of(self), _seeds(study.searchspace)
        replicate, rank = divmod(study.sampled, len(plan))
        if not study.remaining or replicate >= len(seeds):
            return DONE
        return _suggested(study.searchspace, plan[rank], seeds[replicate])


@dataclass(frozen=True)
class Pairs(Loco):
    """Leaves one component out at a time, then each two: what they do together is told apart from what each does."""

    def changes(self, searchspace: Searchspace) -> Iterator[Change]:
        """Yield the changes, in the order in which they are tried: single ones first."""
        yield from super().changes(searchspace)
        for first, second in combinations(_others(searchspace, {}), 2):
            both = {**first, **second}
            if len(both) > 1 and both.keys() <= changed(searchspace, both).keys():  # not where one hides the other
                yield both


@dataclass(frozen=True)
class Greedy(Ablator):
    """Goes on leaving out whatever is missed least, for as long as the objective gets no worse by over `tolerance`.

    `tolerance` is in units of the metric. With `forward=True` it begins at the other end, with each part's last value,
    and puts back whatever helps most, for as long as something helps by over `tolerance`. Each round waits for all its
    trials; a part is judged by the mean over seeds that it and what it is compared with have both completed.
    """

    forward: bool = False
    tolerance: float = 0.0

    def total(self, searchspace: Searchspace) -> int:
        """Return how many trials there are if it never stops early."""
        others = sum(1 for _ in _others(searchspace, {}))
        rounds = len(_parts(searchspace))
        return (2 + rounds * others) * len(_seeds(searchspace))

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:  # noqa: ARG002 - nothing is drawn
        """Return what this round has not tried yet, `WAIT` while the rest of it runs."""
        if not study.remaining:
            return DONE
        space, runs = study.searchspace, study.index(Runs)
        base: dict[str, Any] = {}
        wanted: list[Change] = [{}]
        if self.forward:
            base = {name: space[name].nth((space[name].size or 1) - 1) for name in _parts(space)}
            base = {name: value for name, value in base.items() if name in changed(space, base)}
            wanted.append(base)
        while True:
            nexts = list(_restored(space, base) if self.forward else _others(space, base))
            for seed in _seeds(space):
                for change in (*wanted, *nexts):
                    if identity(seed) not in runs.of(change):
                        return _suggested(space, change, seed)
            if any(trial.end is None for change in (*wanted, *nexts) for trial in runs.of(change).values()):
                return WAIT
            best = self._best(study, runs, base, nexts)
            if best is None:
                return DONE
            base, wanted = dict(best), []

    def _best(self, study: Study, runs: Runs, base: Change, nexts: list[Change]) -> Change | None:
        """Return which of the changes to go on from, None where none is good enough."""
        limit = -self.tolerance if self.forward else self.tolerance
        comparable = bool(losses(runs, study, base))
        judged = []
        for rank, change in enumerate(nexts):
            compared = harms(runs, study, change, base) if comparable else [*losses(runs, study, change).values()]
            if compared:
                judged.append((mean(compared), rank))
        if not judged:
            return None
        harm, rank = min(judged)
        good = harm < limit if self.forward else harm <= limit
        return nexts[rank] if good or not comparable else None


def _parts(space: Searchspace) -> list[str]:
    """Return the parameters that can be otherwise than in the reference."""
    return [name for name, domain in space.items() if name != SEED and domain.size != 1]


def _others(space: Searchspace, base: Change) -> Iterator[Change]:
    """Yield the changes that have one part more than `base`, of those that it has a say in."""
    active = changed(space, base)
    for name in _parts(space):
        if name in active and name not in base:
            for rank in range(1, space[name].size or 1):
                yield {**base, name: space[name].nth(rank)}


def _restored(space: Searchspace, base: Change) -> Iterator[Change]:
    """Yield the changes that have one part less than `base`."""
    for name in base:
        rest = {other: value for other, value in base.items() if other != name}
        yield {other: value for other, value in rest.items() if other in changed(space, rest)}


def _seeds(space: Searchspace) -> list[Any]:
    return (space[SEED].grid() or [None]) if SEED in space else [None]


def _suggested(space: Searchspace, change: Change, seed: Any) -> Suggestion:
    params = changed(space, change)
    if SEED in space:
        params = {name: params.get(name, seed) for name in space.keys() if name in params or name == SEED}  # noqa: SIM118 - iterating gives dicts
    why = label_of(space, change)
    return Suggestion(params, why=f"{why[:80]}, seed {seed}" if SEED in space else why[:100])
