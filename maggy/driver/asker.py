"""Asking the optimizer: at once where that takes microseconds, on a thread of its own where it may take seconds."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from maggy.errors import ConfigError
from maggy.events import Event
from maggy.optimizers.base import Optimizer, rng_for
from maggy.points import wished
from maggy.study import Study
from maggy.trial import Answer, Suggestion

Answered = Callable[[int, Suggestion | Answer | Exception, int], None]


class Asker(Protocol):
    """Gets answers from an optimizer; `answered(number, answer or exception, seen)` is called with each."""

    def ask(self, number: int, study: Study, answered: Answered) -> None:
        """Ask for suggestion `number`."""

    def recorded(self, events: Sequence[Event]) -> None:
        """Take in what has been recorded."""

    def close(self) -> None:
        """Ask no more."""


def answer_to(optimizer: Optimizer, study: Study, seed: int, number: int) -> Suggestion | Answer | Exception:
    """Ask once, and see that the answer lies in the searchspace."""
    try:
        answer = optimizer.ask(study, rng_for(seed, number))
        if isinstance(answer, Suggestion):
            answer = wished(answer, study, lambda: rng_for(seed, number))
            _check(answer, study, type(optimizer).__name__)
    except BaseException as error:  # noqa: BLE001 - somebody else's optimizer may raise anything, SystemExit too
        return _failure(error, f"{type(optimizer).__name__}.ask()")
    if isinstance(answer, (Suggestion, Answer)):
        return answer
    return ConfigError(f"{type(optimizer).__name__}.ask() answered {answer!r}: not a Suggestion, WAIT or DONE")


def _failure(error: BaseException, who: str) -> Exception:
    return error if isinstance(error, Exception) else ConfigError(f"{who} raised {error!r}")


def _check(answer: Suggestion, study: Study, who: str) -> None:
    try:
        study.searchspace.check(answer.params)
    except ConfigError as error:
        raise ConfigError(f"{who}.ask() suggested what cannot be: {error}") from None
    budget, parent = answer.budget, answer.parent
    if budget is not None and (type(budget) not in (int, float) or not 0 < budget < math.inf):
        raise ConfigError(f"{who}.ask() suggested budget={budget!r}; it must be None or a plain number over 0")
    if parent is not None and (type(parent) is not int or parent not in study.trials):
        raise ConfigError(f"{who}.ask() suggested parent={parent!r}, which is no trial of the study")


class InlineAsker:
    """Asks in the driver's own thread, with the scheduler's own study: for optimizers that call themselves quick."""

    def __init__(self, optimizer: Optimizer, seed: int) -> None:
        self._optimizer = optimizer
        self._seed = seed

    def ask(self, number: int, study: Study, answered: Answered) -> None:
        """Ask and answer at once."""
        answered(number, answer_to(self._optimizer, study, self._seed, number), study.position)

    def recorded(self, events: Sequence[Event]) -> None:
        """Nothing to do: the study is the scheduler's."""

    def close(self) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class _Question:
    number: int
    position: int
    answered: Answered


class ThreadAsker:
    """Asks on a thread, which folds a copy of the log of its own; reports and stops are served meanwhile.

    An index of the optimizer's that raises as it is updated is the optimizer's failure, from then on.
    """

    def __init__(self, optimizer: Optimizer, seed: int, history: Iterable[Event | None]) -> None:
        self._optimizer = optimizer
        self._seed = seed
        self._study = Study.of(history)
        self._work: queue.SimpleQueue[Sequence[Event] | _Question | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="maggy-optimizer", daemon=True)
        self._thread.start()

    def ask(self, number: int, study: Study, answered: Answered) -> None:
        """Have the thread ask, once it has folded the log up to where `study` stands now."""
        self._work.put(_Question(number, study.position, answered))

    def recorded(self, events: Sequence[Event]) -> None:
        """Hand the events to the thread."""
        self._work.put(events)

    def close(self) -> None:
        """Let the thread end after what it is at; it is a daemon, so it holds nobody up."""
        self._closed = True
        self._work.put(None)

    def _serve(self) -> None:
        asked: _Question | None = None
        broken: Exception | None = None
        while (work := self._work.get()) is not None and not self._closed:
            if isinstance(work, _Question):
                asked = work
            elif broken is None:
                broken = self._fold(work)
            if asked is not None and asked.number < self._study.next_id:
                asked = None  # it took too long, and something else has taken its place
            if asked is not None and (broken or self._study.position >= asked.position):
                answer = broken or answer_to(self._optimizer, self._study, self._seed, asked.number)
                asked.answered(asked.number, answer, self._study.position)
                asked = None

    def _fold(self, events: Sequence[Event]) -> Exception | None:
        try:
            for event in events:
                self._study.apply(event)
        except BaseException as error:  # noqa: BLE001 - as in `answer_to`
            return _failure(error, f"an index of {type(self._optimizer).__name__}")
        return None
