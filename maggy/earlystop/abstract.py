"""Stop rules written for Maggy 1.x, which look at running trials and return the names of those to stop."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Self

from maggy.compat.views import Trial as View
from maggy.earlystop.base import due
from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Status, Trial


class AbstractEarlyStop(ABC):
    """What a custom stop rule of Maggy 1.x inherits from; its instances are stop rules of today.

    A rule is asked as soon as a trial has reported, about that trial alone.
    """

    _min_trials = 10
    _interval = 1

    @staticmethod
    @abstractmethod
    def earlystop_check(to_check: Mapping[Any, View], finalized_trials: list[View], direction: str) -> Any:
        """Return the keys of those trials of `to_check` that are to be stopped; None for none.

        `finalized_trials` have completed or were stopped, in the order in which they ended; `direction` is `"max"` or
        `"min"`.
        """

    def every(self, interval: int | None, min_trials: int | None) -> Self:
        """Return this rule so that it looks every `interval` steps, once `min_trials` have ended; None changes nothing.

        Raises `ConfigError` for less than 1.
        """
        rule = copy.copy(self)
        for setting, name, given in (("_interval", "es_interval", interval), ("_min_trials", "es_min", min_trials)):
            if given is not None and not given >= 1:
                raise ConfigError(f"{name}={given!r}; it must be at least 1")
            setattr(rule, setting, getattr(self, setting) if given is None else given)
        return rule

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:
        """Ask the rule as Maggy did."""
        finalized = study.index(Finalized).trials
        if len(finalized) < self._min_trials or not due(trial, self._interval):
            return None
        view = View.of(trial)
        stopped: Collection[Any] = self.earlystop_check({view.trial_id: view}, finalized, study.objective.direction)
        return f"{type(self).__name__} stops it" if stopped and view.trial_id in stopped else None


class NoStoppingRule(AbstractEarlyStop):
    """Maggy's rule that stops nothing."""

    @staticmethod
    def earlystop_check(to_check: Any, finalized_trials: Any, direction: Any) -> None:
        """Stop nothing."""


class Finalized:
    """Views of the trials that have completed or were stopped, in the order in which they ended."""

    def __init__(self, study: Study) -> None:
        ended = [trial for trial in study.trials.values() if _counts(trial)]
        self.trials = [View.of(trial) for trial in sorted(ended, key=lambda trial: trial.end or 0)]
        self._seen = {trial.id for trial in ended}

    def update(self, trial: Trial) -> None:
        """Take in a trial that has ended, once."""
        if _counts(trial) and trial.id not in self._seen:
            self._seen.add(trial.id)
            self.trials.append(View.of(trial))


def _counts(trial: Trial) -> bool:
    return trial.status in (Status.COMPLETED, Status.STOPPED)
