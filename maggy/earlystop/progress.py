"""Stop a trial that has ceased to improve."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

from maggy.errors import ConfigError, amount
from maggy.study import Study
from maggy.trial import Trial


@dataclass(frozen=True)
class NoProgress:
    """Stops a trial whose best value has not improved by more than `min_delta` over its last `patience` reports.

    Arguments:
        patience: reports without progress, at least 1.
        min_delta: what counts as progress, in the metric's unit, at least 0.

    """

    patience: int = 10
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1 or not self.min_delta >= 0:
            raise ConfigError(
                f"the no-progress rule has patience={self.patience}, min_delta={self.min_delta}; "
                "patience must be at least 1, min_delta at least 0"
            )

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """Compare the best of the last `patience` losses with the best before them."""
        if len(trial.curve) <= self.patience:
            return None
        best = study.index(BestSoFar).of(trial)
        before, now = best[-1 - self.patience], best[-1]
        if now < before - self.min_delta:
            return None
        return f"no progress: best value {study.objective.value(before):.6g} for {amount(self.patience, 'report')}"


class BestSoFar:
    """The best loss up to each report of the running trials, so that no report looks at the whole curve again."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._best: dict[int, array[float]] = {}

    def update(self, trial: Trial) -> None:
        """Take in the trial's last report, which may have replaced earlier ones; forget a trial that has ended."""
        if trial.status.final:
            self._best.pop(trial.id, None)
        else:
            self.of(trial)

    def of(self, trial: Trial) -> array[float]:
        """Return the best loss up to each point of the trial's curve; infinity before the first finite one."""
        best, values = self._best.setdefault(trial.id, array("d")), trial.curve.values
        del best[max(len(values) - 1, 0) :]
        for value in values[len(best) :]:
            loss = self._study.objective.loss(value) if math.isfinite(value) else math.inf
            best.append(min(loss, best[-1]) if best else loss)
        return best
