"""What the optimizer has been asked and has answered, and what stands in where it does not answer.

1. One ask is out at a time.
2. `WAIT` is over when a trial has ended later than the position *that the optimizer had seen*. Comparing with the
   position at the answer would lose the end that came in between, and hang; comparing with "or at" would spin.
3. `DONE` is a promise: nobody is asked again.
4. An optimizer that fails at its first answer ends the study: nothing is lost by it. One that has answered before and
   fails now, or takes longer than `PATIENCE`, does not: a random configuration takes its place, and the log says so.
   Only where it also says what each trial is to do (`work`), nobody can take its place, and the study ends.
"""

from __future__ import annotations

import math

from maggy.errors import ConfigError
from maggy.events import Suggested
from maggy.optimizers.base import rng_for
from maggy.study import Study
from maggy.trial import DONE, WAIT, Answer, Suggestion

PATIENCE = 60.0  # seconds
LONGEST_ORIGIN = 300  # characters
LONGEST_WHY = 100
UNANSWERED = "the optimizer has not answered"


class Asking:
    """The asks of one study. `failed` is why it cannot go on, `stood_in` why an answer was replaced last."""

    def __init__(self, study: Study) -> None:
        self.failed: str | None = None
        self.stood_in: str | None = None
        self.done = False
        self.out: int | None = None  # the number of the ask that is out
        self.due = math.inf  # when patience with it ends
        self._study = study
        self._waits: int | None = None  # the position seen by the ask that was answered with WAIT
        self._proven = any(trial.origin is None for trial in study.trials.values())
        self._overdue: int | None = None  # the first ask that has not been answered in time, and still is not

    @property
    def waits(self) -> bool:
        """Whether the optimizer wants to see another end before it is asked again."""
        return self._waits is not None and self._study.last_end <= self._waits

    def ask(self, now: float) -> int:
        """Begin an ask and return its number."""
        self._waits = None
        self.out = self._study.next_id
        self.due = now + (PATIENCE if self._overdue is None else 0.0)  # it is still at the one before
        return self.out

    def answered(
        self, number: int, answer: Suggestion | Answer | Exception, seen: int, now: float, *, busy: bool
    ) -> Suggested | None:
        """Take in an answer, and return what is to be recorded of it. `busy`: trials run or are queued."""
        if self._overdue is not None and number >= self._overdue:
            self._overdue = None  # it answers again, if too late
        if number != self.out:
            return None
        self.out, self.due = None, math.inf
        if isinstance(answer, Exception):
            if not self._proven:
                self.failed = f"the optimizer failed: {answer}"[:LONGEST_ORIGIN]
                return None
            return self._stand_in(number, f"the optimizer failed: {answer}", now, busy=busy)
        self._proven = True
        return self._taken(number, answer, seen, now, busy=busy)

    def overdue(self, now: float, *, busy: bool) -> Suggested | None:
        """Take in that time has passed; return what is to be recorded in an answer's place."""
        if self.out is None or now < self.due:
            return None
        number, self.out, self.due = self.out, None, math.inf
        if self._overdue is None:
            self._overdue = number
        return self._stand_in(number, f"{UNANSWERED} for {PATIENCE:.0f} s", now, busy=busy)

    def _stand_in(self, number: int, why: str, now: float, *, busy: bool) -> Suggested | None:
        first = self._study.trials.get(1)
        if (not self._study.remaining and not busy) or (first is not None and first.work is not None):
            self.failed = why[:LONGEST_ORIGIN]  # nothing can stand in for what only the optimizer knows
            return None
        try:
            params = self._study.searchspace.sample(rng_for(self._study.settings.get("seed", 0), number))
        except ConfigError as error:  # a grid search is begun where draws find next to nothing that is allowed
            self.failed = f"{why[:LONGEST_ORIGIN]}, and no random configuration can take its place: {error}"
            return None
        self.stood_in = why[:LONGEST_ORIGIN]
        drawn = Suggestion(params, first.budget if first else None)
        return self._taken(number, drawn, self._study.position, now, busy=busy, origin=self.stood_in)

    def _taken(
        self, number: int, answer: Suggestion | Answer, seen: int, now: float, *, busy: bool, origin: str | None = None
    ) -> Suggested | None:
        if isinstance(answer, Suggestion) and answer.parent is None and not self._study.remaining:
            answer = WAIT if busy else DONE  # an optimizer that does not count is held to num_trials
        if isinstance(answer, Suggestion):
            params, why = dict(answer.params), None if answer.why is None else str(answer.why)[:LONGEST_WHY]
            more = answer.group, answer.replicate, answer.work
            return Suggested(now, number, params, answer.budget, answer.parent, seen, origin, why, *more)
        if answer is WAIT:
            self._waits = seen
        else:
            self.done = True
        return None
