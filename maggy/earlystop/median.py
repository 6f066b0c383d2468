"""The median stopping rule.

Golovin, Solnik, Moitra, Kochanski, Karro, Sculley, "Google Vizier: A Service for Black-Box Optimization", KDD 2017,
section 3.2.2: stop a trial at step s if its best value so far is worse than the median of the running averages, up to
step s, of the trials that have ended.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

from maggy.earlystop.base import due
from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Status, Trial


@dataclass(frozen=True)
class Median:
    """Stops a trial whose best value is worse than the median of the others' running averages at the same step.

    Arguments:
        min_trials: trials that must have ended before the rule acts (Maggy's `es_min`).
        interval: steps between two looks at a trial (Maggy's `es_interval`).
        grace_steps: the rule leaves a trial alone up to this step.

    Trials that were stopped count as far as they came and no further: leaving them out would let the bar rise with each
    stop, until only the best survive.

    """

    min_trials: int = 10
    interval: int = 1
    grace_steps: int = 0

    def __post_init__(self) -> None:
        if self.min_trials < 1 or self.interval < 1 or self.grace_steps < 0:
            raise ConfigError(
                f"the median rule has min_trials={self.min_trials}, interval={self.interval}, "
                f"grace_steps={self.grace_steps}; the first two must be at least 1, the last at least 0"
            )

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """Compare the trial's best loss with the median at its last step."""
        if (found := beaten(self, trial, study, 0.5)) is None:
            return None
        value, bar, count = found
        step = trial.curve.steps[-1]
        return f"median rule: best value {value} by step {step} is worse than the median {bar} of {count}"


@dataclass(frozen=True)
class Percentile:
    """Stops a trial whose best value is worse than what the best part of the others had on average at the same step.

    Arguments:
        percentile: over 0 and under 100; 25 lets those go on that keep up with the best quarter, 50 is the median rule.
        min_trials: trials that must have ended before the rule acts.
        interval: steps between two looks at a trial.
        grace_steps: the rule leaves a trial alone up to this step.

    """

    percentile: float = 25.0
    min_trials: int = 10
    interval: int = 1
    grace_steps: int = 0

    def __post_init__(self) -> None:
        if self.min_trials < 1 or self.interval < 1 or self.grace_steps < 0 or not 0 < self.percentile < 100:  # noqa: PLR2004
            raise ConfigError(
                f"{self}: percentile is between 0 and 100, min_trials and interval are at least 1, "
                "grace_steps is at least 0"
            )

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """Compare the trial's best loss with the percentile at its last step."""
        if (found := beaten(self, trial, study, self.percentile / 100)) is None:
            return None
        value, bar, count = found
        step, share = trial.curve.steps[-1], f"best {self.percentile:g} % of {count}"
        return f"percentile rule: best value {value} by step {step} is worse than {bar}, which the {share} reach"


def beaten(rule: Median | Percentile, trial: Trial, study: Study, share: float) -> tuple[str, str, int] | None:
    """Return the trial's best value, the one that it fell short of, and of how many; None where it goes on."""
    step = trial.curve.steps[-1]
    if step <= rule.grace_steps and rule.grace_steps:
        return None
    if study.counts[Status.COMPLETED] + study.counts[Status.STOPPED] < rule.min_trials or not due(trial, rule.interval):
        return None
    averages = study.index(RunningAverages).at(step)
    if len(averages) < rule.min_trials:
        return None
    bar = averages[int(len(averages) * share)]  # of two the worse: when in doubt, go on
    best = study.objective.best_loss(trial.curve)
    if best <= bar:
        return None
    return f"{study.objective.value(best):.6g}", f"{study.objective.value(bar):.6g}", len(averages)


class RunningAverages:
    """The mean loss up to a step of every ended trial that came so far, sorted; steps come up on demand."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._sorted: dict[int, list[float]] = {}
        self._ended: list[tuple[Sequence[int], Sequence[float]]] = []  # steps, and the mean loss up to each

    def update(self, trial: Trial) -> None:
        """Take in a trial's averages when it has completed or was stopped, once."""
        if trial.status in (Status.COMPLETED, Status.STOPPED) and trial.curve:
            ended = trial.curve.steps, self._means(trial)
            self._ended.append(ended)
            for step, averages in self._sorted.items():
                _insert(averages, ended, step)

    def at(self, step: int) -> list[float]:
        """Return the running averages at `step`, best first."""
        averages = self._sorted.get(step)
        if averages is None:
            averages = self._sorted[step] = []
            for ended in self._ended:
                _insert(averages, ended, step)
        return averages

    def _means(self, trial: Trial) -> Sequence[float]:
        """Return the mean of the finite losses up to each point, NaN as long as there are none."""
        means = array("d")
        total, count = 0.0, 0
        for loss in map(self._study.objective.loss, trial.curve.values):
            if math.isfinite(loss):
                total, count = total + loss, count + 1
            means.append(total / count if count else math.nan)
        return means


def _insert(averages: list[float], ended: tuple[Sequence[int], Sequence[float]], step: int) -> None:
    steps, means = ended
    if steps[-1] >= step and (place := bisect_right(steps, step)) and not math.isnan(mean := means[place - 1]):
        insort(averages, mean)
