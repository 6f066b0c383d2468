"""What a stop rule is.

A stop rule is a function of a running trial and its study; it is asked after every report. It says *why* a trial should
stop, in words that a person can check, or None.
"""

from __future__ import annotations

from typing import Protocol

from maggy.study import Study
from maggy.trial import Trial


class StopRule(Protocol):
    """Decides whether a running trial is worth going on with."""

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """Return the reason to stop `trial`, whose curve has just got another point, or None."""


def due(trial: Trial, interval: int) -> bool:
    """Whether the last report entered another stretch of `interval` steps, so that a rule should look."""
    steps = trial.curve.steps
    return len(steps) < 2 or steps[-1] // interval != steps[-2] // interval  # noqa: PLR2004 - two points make a stretch
