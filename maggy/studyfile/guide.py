"""What stands between an optimizer and the study of a file: replicates, repetitions, and what each trial runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from maggy.events import Ended, Event, Started, StudyOpened, Suggested
from maggy.optimizers.base import Optimizer
from maggy.study import Study
from maggy.trial import AGAIN, DONE, WAIT, Answer, Status, Suggestion, Trial

Work = Callable[[Mapping[str, Any], str, int], Mapping[str, Any] | None]  # for values, the trial's id, its replicate


class Guided:
    """Asks the optimizer for configurations, and has each of them tried as often as there are replicates.

    `work` tells what a trial runs; `again` are trials to be repeated instead, as many as remain of the study; nothing
    is suggested while `held()`.
    """

    lookahead = 0  # the id of a trial is part of what it runs
    quick = False
    continues = False

    def __init__(
        self,
        optimizer: Optimizer,
        work: Work,
        *,
        replicates: int = 0,
        again: Sequence[int] = (),
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._optimizer = optimizer
        self._work = work
        self._replicates = replicates
        self._again = again
        self._held = held

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Return the next replicate, or repetition, or what the optimizer suggests."""
        wanted = WAIT if self._held() else self._next(study, rng)
        if not isinstance(wanted, Suggestion):
            return wanted
        name = f"{study.settings.get('name', '')}:{study.next_id}"
        work = self._work(wanted.params, name, wanted.replicate or 0)
        return Suggestion(wanted.params, wanted.budget, wanted.parent, wanted.why, wanted.group, wanted.replicate, work)

    def _next(self, study: Study, rng: Random) -> Suggestion | Answer:
        own = (trial for trial in reversed(study.trials.values()) if not (trial.why or "").startswith(AGAIN))
        last = None if self._again else next(own, None)
        if last is not None and last.replicate is not None and last.replicate + 1 < self._replicates:
            return Suggestion(last.params, last.budget, None, last.why, last.group, last.replicate + 1)
        if self._again:
            return self._repetition(study)
        answer = self._optimizer.ask(aggregated(study, self._replicates), rng)
        if not isinstance(answer, Suggestion) or not self._replicates:
            return answer
        return Suggestion(answer.params, answer.budget, None, answer.why, study.next_id, 0)

    def _repetition(self, study: Study) -> Suggestion | Answer:
        """Return the next trial to be repeated: as many remain as this invocation has not begun."""
        if not study.remaining:
            return DONE
        trial = study.trials[self._again[len(self._again) - int(study.remaining)]]
        return Suggestion(trial.params, trial.budget, None, f"{AGAIN}{trial.id}", trial.group, trial.replicate)


def aggregated(study: Study, replicates: int) -> Study:
    """Return a study as an optimizer is to see it: repetitions left out, replicates as one trial with their mean."""
    repeated = any((trial.why or "").startswith(AGAIN) for trial in study.trials.values())
    if not replicates and not repeated:
        return study
    groups: dict[int, list[Trial]] = {}
    for trial in study.trials.values():
        if not (trial.why or "").startswith(AGAIN):
            groups.setdefault(trial.group or trial.id, []).append(trial)
    several = max(1, replicates)
    total = None if study.num_trials is None else (study.num_trials + several - 1) // several
    events: list[Event] = [StudyOpened(0.0, {**study.settings, "num_trials": total, "points_to_evaluate": []})]
    for number, members in enumerate(groups.values(), 1):
        events += _as_one(number, members, several)
    return Study.of(events)


def _as_one(number: int, members: Sequence[Trial], several: int) -> list[Event]:
    first = members[0]
    found: list[Event] = [Suggested(0.0, number, first.params, first.budget, None, 0, first.origin, first.why)]
    if all(trial.status.final for trial in members) and len(members) >= several:
        values = [trial.value for trial in members if trial.usable and trial.value is not None]
        whole = len(values) == len(members)
        status, value = (Status.COMPLETED, sum(values) / len(values)) if whole else (Status.FAILED, None)
        found += [Started(0.0, number, 1, ""), Ended(0.0, number, 1, status, value, {})]
    elif first.status is not Status.QUEUED:
        found.append(Started(0.0, number, 1, ""))
    return found
