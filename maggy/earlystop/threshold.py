"""Stop a trial that has left the range of what can still become good."""

from __future__ import annotations

import math
from dataclasses import dataclass

from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Trial


@dataclass(frozen=True)
class Threshold:
    """Stops a trial whose reported value is below `lower`, above `upper`, NaN or infinite.

    Arguments:
        lower: the least acceptable value, in the metric's unit; None for no bound.
        upper: the largest acceptable value; None for no bound.
        grace_steps: bounds are not looked at up to this step; a value that is not finite stops at any.

    """

    lower: float | None = None
    upper: float | None = None
    grace_steps: int = 0

    def __post_init__(self) -> None:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ConfigError(f"the threshold rule has lower={self.lower} above upper={self.upper}; swap them")

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:  # noqa: ARG002 - needs the trial alone
        """Look at the trial's last value."""
        step, value = trial.curve.steps[-1], trial.curve.values[-1]
        if not math.isfinite(value):
            return f"threshold: the value at step {step} is {value}"
        if self.grace_steps and step <= self.grace_steps:
            return None
        if self.lower is not None and value < self.lower:
            return f"threshold: {value:.6g} at step {step} is below {self.lower:.6g}"
        if self.upper is not None and value > self.upper:
            return f"threshold: {value:.6g} at step {step} is above {self.upper:.6g}"
        return None
