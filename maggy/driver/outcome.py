"""What an executor says of a trial's end, judged."""

from __future__ import annotations

import math

from maggy.events import Ended
from maggy.rpc.messages import Finished
from maggy.study import Study
from maggy.trial import Status, Trial


def outcome(trial: Trial, message: Finished, study: Study, now: float) -> Ended:
    """Judge what an executor says of a trial's end: a completed trial needs a finite value of the objective."""
    value = message.value
    if value is None and message.status != Status.FAILED:
        picked = study.objective.pick(message.metrics)
        # The last report may be an earlier attempt's: one that goes on from a checkpoint has nothing left to report.
        value = trial.curve.last if picked is None else picked
    status, error = message.status, message.error
    if status == Status.COMPLETED:
        if value is None:
            others = ", ".join(map(repr, message.metrics))
            error = f"no value of {study.objective.key!r}: train_fn returned none and reported none"
            error += f", only {others}" if others else ""
        elif not math.isfinite(value):
            error = f"train_fn returned {value} as {study.objective.key!r}"
        if error:
            status = Status.FAILED
    reason = (trial.stop_reason or "train_fn raised StopTrial") if status == Status.STOPPED else None
    return Ended(now, trial.id, message.attempt, status, value, message.metrics, reason, error)
