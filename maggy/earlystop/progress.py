"""Stop a trial that has ceased to improve."""

from __future__ import annotations

import math
from dataclasses import dataclass

from maggy.errors import ConfigError
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
        losses = [study.objective.loss(value) if math.isfinite(value) else math.inf for value in trial.curve.values]
        before, lately = min(losses[: -self.patience]), min(losses[-self.patience :])
        if lately < before - self.min_delta:
            return None
        return f"no progress: best value {study.objective.value(before):.6g} for {self.patience} reports"
