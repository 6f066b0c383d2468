"""What leaving something out does to the objective: differences to the reference, paired by seed.

Rules of this file:

1. The *reference* is each parameter's first value: nothing is left out. A *change* says which parameters have another.
2. A parameter called `seed` is no part to leave out: its values are replicates, and a change is run with each of them.
3. Only trials that completed with a finite value count, and a change's trial only where the reference has completed
   with the same seed. What the seed does to both then cancels out (common random numbers), which is what makes a few
   replicates tell anything.
4. An interval is Student's, of the mean of these differences, at 95 %. It is right for one change looked at by itself:
   of twenty changes that do nothing, one has an interval without 0 on average.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from maggy.errors import last_line
from maggy.jsonvalue import dumps, identity
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import Status, Trial

SEED = "seed"
CONFIDENCE = 0.95
ROUNDING = 1e-12  # of a value: by so much sums of the same numbers in another order may differ

Change = Mapping[str, Any]  # parameters that are not as in the reference, and what they are
Key = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one change does. `value`, `effect`, `low` and `high` are as the user measures the objective.

    `effect` is the mean difference to the reference over `n` seeds, `low` and `high` its 95 % interval, None where
    there are fewer than two. `harm` is the same with the sign turned so that more is worse. `interaction`, for a change
    of two parts, is how much its effect differs from the sum of their own. `why` tells of the trials that do not count.
    """

    label: str
    change: Change
    n: int
    value: float | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    harm: float = -math.inf
    interaction: float | None = None
    why: str = ""

    @property
    def verdict(self) -> str:
        """The word for what the interval says, `needed`, `harmful`, `unclear`, or nothing where there is none."""
        if self.effect is None or self.low is None or self.high is None:
            return ""
        if self.low <= 0 <= self.high:
            return "unclear"
        return "needed" if self.harm > 0 else "harmful"


def reference(space: Searchspace) -> dict[str, Any]:
    """Return each parameter's first value, without the seed."""
    return changed(space, {})


def changed(space: Searchspace, change: Change) -> dict[str, Any]:
    """Return the configuration, without the seed, in which the change is made to the reference."""
    params: dict[str, Any] = {}
    for name, domain in space.items():
        if name != SEED and space.active(name, params):
            params[name] = change[name] if name in change else domain.nth(0)
    return params


def change_of(space: Searchspace, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration has otherwise than the reference."""
    return {
        name: value
        for name, value in params.items()
        if name != SEED and identity(value) != identity(space[name].nth(0))
    }


def key_of(change: Change) -> Key:
    """Return what tells changes apart."""
    return frozenset((name, identity(value)) for name, value in change.items())


def label_of(space: Searchspace, change: Change) -> str:
    """Return a change as a person would write it: `without petal width`, `activation = tanh`."""
    if not change:
        return "reference"
    gone = [_part(space, name) for name, value in change.items() if value is False or value is None]
    other = [f"{name} = {_shown(value)}" for name, value in change.items() if value is not False and value is not None]
    listed = " and ".join(filter(None, [", ".join(gone[:-1]), *gone[-1:]]))
    return ", ".join([*([f"without {listed}"] if gone else []), *other])


def _part(space: Searchspace, name: str) -> str:
    first = space[name].nth(0)
    return first if isinstance(first, str) else name


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)


class Runs:
    """A study's trials by what is changed and by seed: an index that the study keeps."""

    def __init__(self, study: Study) -> None:
        self._space = study.searchspace
        self._known: set[int] = set()
        self.changes: dict[Key, Change] = {}
        self._trials: dict[Key, dict[str, Trial]] = {}

    def update(self, trial: Trial) -> None:
        """Take in a trial; the index holds the trial itself, so later news of it needs nothing."""
        if trial.id not in self._known:
            self._known.add(trial.id)
            change = change_of(self._space, trial.params)
            key = key_of(change)
            self.changes.setdefault(key, change)
            self._trials.setdefault(key, {})[identity(trial.params.get(SEED))] = trial

    def of(self, change: Change) -> dict[str, Trial]:
        """Return the trials with this change, by seed."""
        return self._trials.get(key_of(change), {})


def losses(runs: Runs, study: Study, change: Change) -> dict[str, float]:
    """Return the losses of the trials that count, by seed."""
    return {seed: study.loss(trial) for seed, trial in runs.of(change).items() if trial.usable}


def harms(runs: Runs, study: Study, change: Change, base: Change) -> list[float]:
    """Return by how much worse than with `base` each seed has come out with the change."""
    after, before = losses(runs, study, change), losses(runs, study, base)
    return [_difference(after[seed], before[seed]) for seed in after if seed in before]


def _difference(after: float, before: float) -> float:
    return 0.0 if math.isclose(after, before, rel_tol=ROUNDING) else after - before


def effects(study: Study) -> list[Effect]:
    """Return what each change has done, the most harmful first, the reference before all."""
    runs = study.index(Runs)
    alone: dict[Key, float] = {}
    found = [_effect(runs, study, change) for change in list(runs.changes.values()) if change]
    for each in found:
        if len(each.change) == 1 and each.effect is not None:
            alone[key_of(each.change)] = each.effect
    with_both = [_with_interaction(each, alone) for each in found]
    worst_first = sorted(with_both, key=lambda each: -each.harm)
    return [_reference(runs, study), *worst_first]


def _reference(runs: Runs, study: Study) -> Effect:
    values = list(losses(runs, study, {}).values())
    value = study.objective.value(mean(values)) if values else None
    return Effect("reference", {}, len(values), value, why=_why(runs.of({})))


def _effect(runs: Runs, study: Study, change: Change) -> Effect:
    label, why = label_of(study.searchspace, change), _why(runs.of(change))
    own = list(losses(runs, study, change).values())
    value = study.objective.value(mean(own)) if own else None
    worse = harms(runs, study, change, {})
    if not worse:
        return Effect(label, change, 0, value, why=why)
    harm, half = mean(worse), half_width(worse)
    ends = () if half is None else sorted(study.objective.value(end) for end in (harm - half, harm + half))
    low, high = ends or (None, None)
    return Effect(label, change, len(worse), value, study.objective.value(harm), low, high, harm, why=why)


def _with_interaction(effect: Effect, alone: Mapping[Key, float]) -> Effect:
    if len(effect.change) != 2 or effect.effect is None:  # noqa: PLR2004 - of two parts
        return effect
    singly = [alone.get(key_of({name: value})) for name, value in effect.change.items()]
    if None in singly:
        return effect
    together = effect.effect - sum(each for each in singly if each is not None)
    return replace(effect, interaction=together)


def _why(trials: Mapping[str, Trial]) -> str:
    """Say what became of the trials that do not count."""
    told = []
    for status in (Status.FAILED, Status.STOPPED):
        some = [trial for trial in trials.values() if trial.status is status]
        if some:
            cause = last_line(some[0].error) if status is Status.FAILED else (some[0].stop_reason or "")
            told.append(f"{len(some)} {status}: {cause}")
    return "; ".join(told)


# -- Student's t ---------------------------------------------------------------------------------------------------


def mean(values: list[float]) -> float:
    """Return the mean; infinite, or NaN, where differences are too large for a float, and never an error."""
    return sum(value / len(values) for value in values)


def half_width(values: list[float]) -> float | None:
    """Return half the width of the mean's interval; None where there are fewer than two values."""
    if len(values) < 2:  # noqa: PLR2004
        return None
    middle, degrees = mean(values), len(values) - 1
    variance = sum((value - middle) * (value - middle) for value in values) / degrees
    return quantile(degrees, CONFIDENCE) * math.sqrt(variance / len(values))


def quantile(degrees: int, inside: float) -> float:
    """Return the t for which Student's variable with so many degrees of freedom is in ±t with probability `inside`."""
    low, high = 0.0, 1.0
    while _between(high, degrees) < inside:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _between(middle, degrees) < inside else (low, middle)
    return high


def _between(t: float, degrees: int) -> float:
    """Return P(|T| < t) for a whole number of degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees % 2:
        return 2 / math.pi * (angle + sine * sum(_terms(cosine, 2, degrees)))
    return sine * sum(_terms(cosine, 1, degrees))


def _terms(cosine: float, first: int, degrees: int) -> Iterator[float]:
    """Yield the terms of the series: powers of the cosine from `first - 1`, up to `degrees - 2`."""
    term = cosine if first == 2 else 1.0  # noqa: PLR2004
    for power in range(first, degrees, 2):
        yield term
        term *= cosine**2 * power / (power + 1)
