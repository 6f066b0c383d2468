"""What must always hold of a scheduler; tests and the simulator check it after every input."""

from __future__ import annotations

from collections.abc import Mapping

from maggy.driver.crew import MOST_AHEAD, Worker
from maggy.study import Study
from maggy.trial import Status


def check_executors(executors: Mapping[str, Worker], idle: Mapping[str, Worker], study: Study) -> None:
    """Raise `AssertionError` where executors and trials do not match."""
    busy = {name: worker for name, worker in executors.items() if worker.given}
    away = {name for name, worker in executors.items() if worker.gone is not None}
    hold(busy.keys() | idle.keys() | away == executors.keys(), "idle, busy and away are all executors")
    hold(not away & idle.keys(), "nobody who is away is idle")
    hold(not busy.keys() & idle.keys(), "nobody is both idle and busy")
    hold(all(len(worker.given) <= 1 + MOST_AHEAD for worker in busy.values()), "nobody has more ahead than is allowed")
    held = [given.trial.id for worker in busy.values() for given in worker.given]
    hold(sorted(held) == sorted(study.running), "each running trial has one executor, and the other way round")
    for number in study.queued:
        hold(study.trials[number].status is Status.QUEUED, "the queue holds queued trials")
    hold(len(study.queued) == study.counts[Status.QUEUED], "every queued trial is in the queue")


def hold(condition: object, what: str) -> None:
    """Raise `AssertionError` where `condition` is false."""
    if not condition:
        raise AssertionError(f"broken invariant: {what}")
