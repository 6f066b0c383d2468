"""A whole study in one process and no time: for tests of optimizers and stop rules, and for trying them out.

::

    study = play(Asha(), lambda trial: trial.params["x"], searchspace=Searchspace(x=(0.0, 1.0)), workers=4)
    study.best.params

It drives an optimizer as the scheduler does, and holds it to its promises: `AssertionError` for a `WAIT` while nothing
runs, for a suggestion after `DONE`, for more configurations than `num_trials`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from maggy.earlystop.base import StopRule
from maggy.events import Ended, Event, Reported, Started, StopRequested, StudyOpened, Suggested
from maggy.optimizers.base import Optimizer, rng_for
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import DONE, WAIT, Answer, Direction, Status, Suggestion, Trial

Function = Callable[[Trial], float | Iterable[float]]
"""A training function for `play`: a trial's value, or its curve at steps 1, 2, …, of which the last is the value."""
Watch = Callable[[Study, int, Suggestion | Answer], None]


def play(
    optimizer: Optimizer,
    function: Function,
    *,
    searchspace: Searchspace,
    num_trials: int | None = 20,
    direction: Direction = "max",
    rules: Sequence[StopRule] = (),
    workers: int = 1,
    seed: int = 0,
    limit: int = 1000,
    watch: Watch | None = None,
    log: list[Event] | None = None,
) -> Study:
    """Play a study to its end and return it.

    Arguments:
        optimizer: what suggests.
        function: called with each trial that starts. What it raises, at once or in the middle of a curve that it
            yields, makes the trial fail, and so does a last value that is not finite.
        searchspace: what is searched.
        num_trials: configurations to sample; None for no end but `limit`.
        direction: `"max"` or `"min"`.
        rules: stop rules, asked after every report.
        workers: how many trials run at a time; whose turn it is to report is drawn from `seed`.
        seed: of the suggestions too, as in a real study.
        limit: trials after which the play is broken off.
        watch: called with (study, number, answer) after each ask, before the answer is recorded.
        log: receives the events.

    """
    study = Study()
    game = _Game(study, optimizer, function, rules, seed, watch, [] if log is None else log)
    settings = {"searchspace": searchspace.to_dict(), "direction": direction, "num_trials": num_trials, "seed": seed}
    game.record(StudyOpened(0.0, settings))
    while len(study.trials) < limit:
        if len(study.running) < workers and game.begin():
            continue
        if not study.running:
            break
        game.go_on(turns=Random(f"{seed} {study.position}"))
    return study


class _Game:
    """A study, with the curves that are still to be reported."""

    def __init__(
        self,
        study: Study,
        optimizer: Optimizer,
        function: Function,
        rules: Sequence[StopRule],
        seed: int,
        watch: Watch | None,
        log: list[Event],
    ) -> None:
        self._study = study
        self._optimizer = optimizer
        self._function = function
        self._rules = rules
        self._seed = seed
        self._watch = watch
        self._log = log
        self._curves: dict[int, Iterator[float]] = {}
        self._answered: tuple[Answer, int] | None = None  # WAIT or DONE, and where the log's last end was

    def record(self, event: Event) -> None:
        self._study.apply(event)
        self._log.append(event)

    @property
    def _now(self) -> float:
        return float(self._study.position)

    def begin(self) -> bool:
        """Ask and start what is suggested; False where there is nothing to start now."""
        study = self._study
        if self._answered is not None and self._answered[1] == study.last_end:
            return False
        number, seen = study.next_id, study.position
        answer = self._optimizer.ask(study, rng_for(self._seed, number))
        if self._watch is not None:
            self._watch(study, number, answer)
        _promise(answer is not WAIT or study.running, f"ask {number} answers WAIT while nothing runs: for what?")
        done = self._answered is not None and self._answered[0] is DONE
        _promise(answer is DONE or not done, f"ask {number} answers {answer} after DONE")
        if isinstance(answer, Answer):
            self._answered = answer, study.last_end
            return False
        _promise(isinstance(answer, Suggestion), f"ask {number} answers {answer!r}: not a Suggestion, WAIT or DONE")
        _promise(answer.parent is not None or study.remaining, f"ask {number} samples more than num_trials")
        self._answered = None
        self.record(Suggested(self._now, number, answer.params, answer.budget, answer.parent, seen, why=answer.why))
        self.record(Started(self._now, number, 1, "player"))
        self._curves[number] = self._values(study.trials[number])
        return True

    def _values(self, trial: Trial) -> Iterator[float]:
        given = self._function(trial)
        if isinstance(given, Iterable):
            yield from given
        else:
            yield given

    def go_on(self, turns: Random) -> None:
        """Let one of the running trials report once more, or end."""
        trial = self._study.trials[turns.choice(sorted(self._curves))]
        try:
            value = next(self._curves[trial.id])
        except StopIteration:
            last = trial.curve.last
            usable = last is not None and math.isfinite(last)
            self._end(trial, Status.COMPLETED if usable else Status.FAILED, None if usable else f"the value is {last}")
        except Exception as error:  # noqa: BLE001 - the function's own
            self._end(trial, Status.FAILED, repr(error))
        else:
            step = trial.curve.units() + 1
            self.record(Reported(self._now, trial.id, trial.attempt, step, {"metric": float(value)}))
            reasons = (rule.reason_to_stop(trial, self._study) for rule in self._rules)
            if reason := next(filter(None, reasons), None):
                self.record(StopRequested(self._now, trial.id, trial.attempt, reason))
                self._end(trial, Status.STOPPED)

    def _end(self, trial: Trial, status: Status, error: str | None = None) -> None:
        value = trial.curve.last
        metrics = {} if value is None else {"metric": value}
        self.record(
            Ended(self._now, trial.id, trial.attempt, status, value, metrics, trial.stop_reason, error),
        )
        del self._curves[trial.id]


def _promise(kept: object, what: str) -> None:
    if not kept:
        raise AssertionError(what)
