"""What must hold of every log, whoever wrote it: checked from the events alone, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maggy.errors import amount
from maggy.events import (
    Drawn,
    Ended,
    Event,
    Lost,
    Reported,
    Requeued,
    Saved,
    Started,
    StopRequested,
    StudyClosed,
    StudyOpened,
    StudyResumed,
    Suggested,
    body,
    restored,
)
from maggy.jsonvalue import dumps, loads
from maggy.rpc.messages import Run
from maggy.study import Study
from maggy.trial import Status


def stored(event: Event) -> Event | None:
    """Return the event as it comes back from a store: through JSON."""
    return restored(type(event).__name__, loads(dumps(body(event))))


def hold(condition: object, what: str) -> None:
    """Raise `AssertionError` where `condition` is false."""
    if not condition:
        raise AssertionError(f"broken invariant: {what}")


def check_log(log: Sequence[Event]) -> Study:
    """Fold a log, and raise `AssertionError` at the first event that cannot follow those before it.

    A trial is suggested once, under the next number; it is started only from the queue. Of those that an executor
    holds it runs the first, which alone reports, saves, is asked to stop and ends, at the attempt that runs; it ends
    once. No more than `num_trials` configurations are sampled. A closed study has nothing that runs.
    """
    study = Study()
    for position, event in enumerate(log, 1):
        if flaw := _flaw(study, event):
            raise AssertionError(f"event {position}, {event}: {flaw}")
        study.apply(stored(event))
        if study.position != position:
            raise AssertionError(f"event {position} is counted as {study.position}")
    return study


class Lineages:
    """What a log says that attempts may go on from, worked out apart from the fold."""

    def __init__(self, log: Iterable[Event]) -> None:
        self._parents: dict[int, int | None] = {}
        self._saved: dict[int, list[str]] = {}  # the last two, the latest first; one where the trial has ended
        for event in log:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in the next event."""
        if isinstance(event, Suggested):
            self._parents[event.trial] = event.parent
            self._saved[event.trial] = []
        elif isinstance(event, Saved):
            self._saved[event.trial] = [event.checkpoint, *self._saved[event.trial][:1]]
        elif isinstance(event, Ended):
            del self._saved[event.trial][1:]

    def check(self, run: Run) -> None:
        """Raise `AssertionError` where a trial is to go on from anything but the last checkpoints of its lineage."""
        lineage = [run.trial]
        while (parent := self._parents[lineage[-1]]) is not None:
            lineage.append(parent)
        hold(run.restore == [name for each in lineage for name in self._saved[each]], f"{run} is as the log has it")


def _flaw(study: Study, event: Event) -> str | None:
    """Say why `event` cannot be the next one, or None."""
    if isinstance(event, StudyOpened) != (study.position == 0):
        return "a log begins with StudyOpened, once"
    if study.closed is not None and not isinstance(event, StudyResumed):
        return "the study is closed"
    match event:
        case Suggested():
            return _suggested(study, event)
        case Started():
            return _started(study, event)
        case Saved() if not event.checkpoint.startswith(f"{event.trial}/{event.attempt}-"):
            return "the checkpoint is another's"
        case Drawn() if not study.searchspace.open:
            return "the searchspace is not open"
        case Reported() | Drawn() | Saved() | StopRequested() | Lost() | Ended():
            return _running(study, event)
        case Requeued():
            trial = study.trials.get(event.trial)
            return None if trial is not None and trial.status is Status.FAILED else "the trial has not failed"
        case StudyClosed():
            return "trials still run" if study.running else None
    return None


def _suggested(study: Study, event: Suggested) -> str | None:
    if event.trial != study.next_id:
        return f"the next trial is number {study.next_id}"
    if not 0 < event.seen <= study.position:
        return f"the optimizer cannot have seen that of {amount(study.position, 'event')}"
    if event.parent is None and not study.remaining:
        return "all of num_trials are sampled"
    if event.parent is not None and event.parent not in study.trials:
        return "its parent is unknown"
    return None if study.searchspace.contains(event.params) else "params are not of the searchspace"


def _started(study: Study, event: Started) -> str | None:
    trial = study.trials.get(event.trial)
    if trial is None or trial.status is not Status.QUEUED:
        return "the trial is not queued"
    if event.attempt != trial.attempt:
        return f"the trial is at attempt {trial.attempt}"
    return None


def _running(study: Study, event: Reported | Drawn | Saved | StopRequested | Lost | Ended) -> str | None:
    trial = study.running.get(event.trial)
    if trial is None:
        return "the trial does not run"
    if event.attempt != trial.attempt:
        return f"attempt {trial.attempt} runs"
    first = next(other.id for other in study.running.values() if other.executor == trial.executor)
    if first != trial.id and not isinstance(event, Lost):
        return f"its executor runs trial {first} before"
    if isinstance(event, StopRequested) and trial.stop_reason is not None:
        return "it was asked to stop before"
    if isinstance(event, Ended) and not Status(event.status).final:
        return "that is no end"
    return None
