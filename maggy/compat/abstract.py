"""Optimizers written for Maggy 1.x, which are asked with the trial that has ended and remember what they like."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any

from maggy.compat.views import BUDGETS, Space, Trial
from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import DONE, WAIT, Answer, Params, Status, Suggestion


class AbstractOptimizer(ABC):
    """What a custom optimizer of Maggy 1.x inherits from; its instances are optimizers of today.

    Before `initialize`, `searchspace`, `num_trials` and `direction` are there, and from then on `trial_store` (by
    `trial_id`, what has not ended) and `final_store` (a list, what has) are kept up to date. A `Trial` that
    `get_suggestion` returned is the one that is found there.

    What it remembers stands in no log, so it cannot be replayed: a resume begins with an instance that has forgotten
    all but `final_store`, and repeating a study needs random numbers of its own, or `searchspace`'s. Trials that failed
    are in neither store. `finalize_experiment` is never called: what it did is done with the result.
    """

    continues = False  # no suggestion has a parent

    searchspace: Any = None
    num_trials: int | None = None
    direction: str | None = None
    pruner = None

    _study: Study | None = None  # for which it has begun
    _known = 0  # the number of the last trial of it that was seen
    _expected: tuple[int, Trial] | None = None  # what was suggested last, and the number that it will have

    def __init__(self, pruner: str | None = None, pruner_kwargs: Mapping[str, Any] | None = None) -> None:
        if pruner is not None or pruner_kwargs is not None:
            raise ConfigError(
                f"an optimizer of your own cannot have pruner={pruner!r}: give maggy.Hyperband a searcher, which is an "
                "object with propose(study, rng), as in Hyperband(searcher=Mine())"
            )
        self.trial_store: dict[str, Trial] = {}
        self.final_store: list[Trial] = []

    @abstractmethod
    def initialize(self) -> None:
        """Prepare: called once for each call of `lagom`, before its first suggestion."""

    @abstractmethod
    def get_suggestion(self, trial: Trial | None = None) -> Trial | Mapping[str, Any] | str | None:
        """Return what to try next: a `Trial`, or its parameters, with their `budget` where there is one.

        None says that there is no more, `"IDLE"` that it has to be asked again when another trial has ended. `trial`
        has ended since, if one has; each is given once.
        """

    @abstractmethod
    def finalize_experiment(self, trials: list[Trial]) -> Any:
        """Tidy up. It is never called."""

    # -- what Maggy's optimizers had to help themselves ------------------------------------------------------------

    def name(self) -> str:
        """Return the name of the class."""
        return type(self).__name__

    def create_trial(
        self, hparams: Mapping[str, Any], sample_type: str = "random", run_budget: float = 0, model_budget: Any = None
    ) -> Trial:
        """Return a trial of these parameters, with a budget unless it is 0; the rest is its `info_dict`."""
        budget = {"budget": run_budget} if run_budget else {}
        info = {"run_budget": run_budget, "sample_type": sample_type, "model_budget": model_budget}
        return Trial({**hparams, **budget}, info_dict=info)

    def hparams_exist(self, trial: Trial) -> bool:
        """Return whether the same parameters have been tried, or are being tried, whatever the budget."""
        wanted = self._told_apart(trial.params)[0]
        tried = [*self.final_store, *self.trial_store.values()]
        return any(self._told_apart(each.params)[0] == wanted for each in tried)

    def get_hparams_dict(self, trial_ids: Any = "all") -> dict[str, dict[str, Any]]:
        """Return the parameters of the trials that have ended, by `trial_id`: of these, of one, or of all."""
        return {each.trial_id: each.params for each in self._chosen(trial_ids)}

    def get_metrics_dict(self, trial_ids: Any = "all") -> dict[str, float]:
        """Return likewise their values, of which lower is better."""
        sign, ended = -1 if self.direction == "max" else 1, self._chosen(trial_ids)
        return {each.trial_id: sign * each.final_metric for each in ended if each.final_metric is not None}

    def _chosen(self, trial_ids: Any) -> list[Trial]:
        wanted = [trial_ids] if isinstance(trial_ids, str) else trial_ids
        return [each for each in self.final_store if wanted == ["all"] or each.trial_id in wanted]

    def _log(self, msg: object) -> None:
        logging.getLogger(__name__).info("%s: %s", self.name(), msg)

    # -- as an optimizer of today ----------------------------------------------------------------------------------

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Ask for a suggestion as Maggy did."""
        begins = study is not self._study
        if begins:
            self._begin(study, rng)
        self.searchspace.rng, self.num_trials, self.direction = rng, study.num_trials, study.objective.direction
        self._catch_up(study)
        if begins:
            self._ended.clear()  # no news
            self.initialize()
        if not study.remaining:
            return DONE
        answer = self.get_suggestion(self._ended.popleft() if self._ended else None)
        if answer is None:
            return DONE
        if answer == "IDLE":
            return WAIT
        if not isinstance(answer, Trial | Mapping):
            kind = f"{type(answer).__name__}, not a Trial, its parameters, 'IDLE' or None"
            raise TypeError(f"{self.name()}.get_suggestion() returned a {kind}")
        trial = answer if isinstance(answer, Trial) else Trial(answer)
        self._expected = study.next_id, trial
        return Suggestion(*self._told_apart(trial.params))

    def _begin(self, study: Study, rng: Random) -> None:
        """Forget another study; a subclass need not have called `__init__`."""
        self._study = study
        self.searchspace = Space(study.searchspace, rng)
        self.trial_store, self.final_store = {}, []
        self._numbers: dict[str, int] = {}  # of those in trial_store
        self._ended: deque[Trial] = deque()  # and not handed on yet
        self._known, self._expected = 0, None

    def _catch_up(self, study: Study) -> None:
        """Bring both stores up to date."""
        for number in range(self._known + 1, study.next_id):
            recorded = study.trials[number]
            trial = self._mine(number, recorded.params) or Trial.of(recorded)
            self._numbers[trial.trial_id] = number
            self.trial_store[trial.trial_id] = trial
        self._known = study.next_id - 1
        for trial in list(self.trial_store.values()):
            recorded = study.trials[self._numbers[trial.trial_id]]
            trial.follow(recorded)
            if recorded.status.final:
                del self.trial_store[trial.trial_id], self._numbers[trial.trial_id]
                if recorded.status is not Status.FAILED:
                    self.final_store.append(trial)
                    self._ended.append(trial)

    def _mine(self, number: int, params: Params) -> Trial | None:
        """Return the trial that was suggested for this number, if it stands in the log.

        Another may: the user's points come first, and random configurations where an answer failed or came too late.
        """
        expected, mine = self._expected or (0, None)
        if mine is None or number != expected or mine.status != Trial.PENDING:
            return None
        return mine if self._told_apart(mine.params)[0] == params else None

    def _told_apart(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Return parameters without their budget, and it: what the searchspace defines is no budget."""
        names = [name for name in BUDGETS if name in params and name not in self.searchspace]
        budget = params[names[0]] if names else None
        return {name: value for name, value in params.items() if name not in names}, budget
