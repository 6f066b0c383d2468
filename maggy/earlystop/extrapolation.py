"""Learning-curve extrapolation: stop a trial that will hardly come to beat the best.

Domhan, Springenberg, Hutter, "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by
Extrapolation of Learning Curves", IJCAI 2015: a weighted ensemble of parametric curves is fitted to the curve so far,
and the trial is stopped where the probability is low that it ends better than the best. The paper samples all
parameters by MCMC, for seconds. A report must be judged within a millisecond: so each family's shape parameters stand
on a grid, and what is left of a curve, where it starts and how far it falls, is linear and has a posterior in closed
form. The shapes are weighted by their evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from maggy.earlystop.base import due
from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Trial

BLOCKS = 24  # points that a curve is condensed to, so that its length costs nothing
FLAT = 1e-9  # what differs by less is level
LEAST_NOISE = 0.01  # of the curve's scale: no family is the truth
FALL = 2.0  # deviation of the prior of a whole curve's fall, in its scale so far
LOOKED_AT = 8  # points of a block
RATES = (1, 2, 4, 8, 16, 32, 64)  # falls within this fraction of the way

Shape = Callable[[float], float]  # of the share of the way that is done, over 0 and up to 1; falling


def _shapes() -> list[Shape]:
    """Return the families over their grids, all falling: power laws, Weibull (exponential among them), MMF.

    MMF is what Domhan et al. call so, and their log-power law as well: both are 1 / (1 + (k·x)^δ).
    """
    powers: list[Shape] = [lambda x, a=a: x**-a for a in (0.25, 0.5, 1.0, 2.0)]  # type: ignore[misc]
    grid = [(rate, bend) for rate in RATES for bend in (0.5, 1.0, 2.0)]
    weibull: list[Shape] = [lambda x, k=k, d=d: math.exp(-((k * x) ** d)) for k, d in grid]  # type: ignore[misc]
    mmf: list[Shape] = [lambda x, k=k, d=d: 1 / (1 + (k * x) ** (2 * d)) for k, d in grid]  # type: ignore[misc]
    return [*powers, *weibull, *mmf]


SHAPES = _shapes()


@dataclass(frozen=True)
class Extrapolation:
    """Stops a trial whose curve, as far as it can be foretold, ends better than the best with too low a probability.

    Where a curve ends is the trial's budget; where it has none, the longest curve that any trial has completed.

    Arguments:
        threshold: the probability below which a trial is stopped, over 0 and under 1.
        min_trials: completed trials, of the same budget, before the rule acts.
        min_points: reports of a trial before it is judged, at least 4.
        interval: steps between two looks at a trial.

    """

    threshold: float = 0.05
    min_trials: int = 3
    min_points: int = 5
    interval: int = 1

    def __post_init__(self) -> None:
        if (
            not 0 < self.threshold < 1
            or self.min_trials < 1
            or self.min_points < 4  # noqa: PLR2004 - two to fit, two to tell noise
            or self.interval < 1
        ):
            raise ConfigError(
                f"{self}: threshold is between 0 and 1, min_trials and interval are at least 1, min_points at least 4"
            )

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """Foretell where the trial's curve ends, and compare with the best."""
        if len(trial.curve) < self.min_points or not due(trial, self.interval):
            return None
        ends = study.index(Ends)
        best, completed = ends.best(trial.budget)
        horizon = ends.longest if trial.budget is None else trial.budget
        beaten = study.objective.best_loss(trial.curve) < best
        if completed < self.min_trials or trial.curve.units() >= horizon or beaten:
            return None
        points = condensed(trial, study, horizon)
        if len(points) < 4:  # noqa: PLR2004 - as above
            return None
        chance = probability(points, best)
        if chance >= self.threshold:
            return None
        value = f"{study.objective.value(best):.6g}"
        return f"curve: at step {trial.curve.steps[-1]} the chance to beat {value} by the end is {100 * chance:.2g} %"


class Ends:
    """Where completed trials came out, by budget, and how far they went."""

    def __init__(self, study: Study) -> None:
        self.longest = 0.0  # units
        self._study = study
        self._best: dict[float | None, tuple[float, int]] = {}

    def update(self, trial: Trial) -> None:
        """Take in a trial when it has completed."""
        if trial.usable:
            best, completed = self.best(trial.budget)
            self._best[trial.budget] = min(best, self._study.loss(trial)), completed + 1
            self.longest = max(self.longest, trial.curve.units())

    def best(self, budget: float | None) -> tuple[float, int]:
        """Return the best loss of those with this budget, and how many have completed."""
        return self._best.get(budget, (math.inf, 0))


def condensed(trial: Trial, study: Study, horizon: float) -> list[tuple[float, float]]:
    """Return (share of the way, mean loss) of at most `BLOCKS` stretches of the curve, without what is not finite."""
    steps, values = trial.curve.steps, trial.curve.values
    shift = steps[0] == 0
    stride = -(-len(steps) // (BLOCKS * LOOKED_AT))
    losses = [
        ((steps[place] + shift) / horizon, study.objective.loss(values[place]))
        for place in range((len(steps) - 1) % stride, len(steps), stride)
        if math.isfinite(values[place]) and steps[place] + shift > 0
    ]
    size = -(-len(losses) // BLOCKS) or 1
    blocks = [losses[max(end - size, 0) : end] for end in range(len(losses), 0, -size)]
    return [(sum(x for x, _ in block) / len(block), sum(y for _, y in block) / len(block)) for block in blocks[::-1]]


def probability(points: Sequence[tuple[float, float]], best: float) -> float:
    """Return the probability that a curve through these points ends, at 1, below `best`.

    A curve is y(x) = start + fall · h(x), where h goes from 0 at the first point to 1 at the end. The fall's prior is
    normal, twice as wide as the curve's scale: what it has fallen so far, or what it has to fall to reach the best,
    whichever is more. A curve that seems to rise is taken for level.
    """
    xs, losses = zip(*points, strict=True)
    low, high = min(losses), max(losses)
    scale = max(high - low, losses[0] - best, abs(high) * FLAT, 1e-300)
    if not math.isfinite(scale) or not all(map(math.isfinite, losses)):
        return 1.0  # beyond what floats hold: nobody is judged by that
    ys = [(loss - low) / scale for loss in losses]
    goal = (best - low) / scale
    count, total, squares = len(ys), math.fsum(ys), math.fsum(map(mul, ys, ys))
    fits = [(sums, math.fsum(map(mul, rises, ys))) for rises, *sums in _bases(tuple(xs))]
    rest = squares - total * total / count
    least = rest
    for (first, second), joint in fits:
        spread = second - first * first / count
        covered = (joint - first * total / count) ** 2 / spread if spread > FLAT else 0.0
        least = min(least, rest - covered)
    noise = max(least / max(count - 3, 1), 0.0) + LEAST_NOISE**2
    weighed = []
    for (first, second), joint in fits:
        # precision of (start, -fall), with the prior of the fall
        a, b, d = count / noise, first / noise, second / noise + FALL**-2
        det = a * d - b * b
        start, fall = (d * total - b * joint) / noise / det, (a * joint - b * total) / noise / det
        fit = (start * total + fall * joint) / noise
        if fall > 0:  # rises: level is the most that is believed
            start, fall = total / count, 0.0
        variance = (d - 2 * b + a) / det + noise
        weighed.append((0.5 * (fit - math.log(det)), start + fall, variance))
    most = max(weight for weight, _, _ in weighed)
    masses = [math.exp(weight - most) for weight, _, _ in weighed]
    below = (
        mass * 0.5 * math.erfc((mean - goal) / math.sqrt(2 * variance))
        for mass, (_, mean, variance) in zip(masses, weighed, strict=True)
    )
    return math.fsum(below) / math.fsum(masses)


@lru_cache(maxsize=128)
def _bases(xs: tuple[float, ...]) -> list[tuple[list[float], float, float]]:
    """Return of each shape how far it has come at the points, from 0 at the first to 1 at the end, and its sums."""
    found = []
    for shape in SHAPES:
        begin, end = shape(xs[0]), shape(1.0)
        if begin - end > FLAT:
            rises = [(begin - shape(x)) / (begin - end) for x in xs]
            found.append((rises, math.fsum(rises), math.fsum(map(mul, rises, rises))))
    return found
