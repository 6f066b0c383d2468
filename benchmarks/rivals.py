"""Optimizers that are asked and told, maggy's and others', behind one pair of methods.

`ask()` returns a number and a configuration; `tell(number, value)` gives what came of it, in whatever order. What has
been asked for and not been told is running, and each library is told so in its own way. A library that is not installed
is left out: ``pip install optuna hyperopt smac scikit-optimize torch`` (Optuna's Gaussian process needs torch).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from maggy import Categorical, Float, Integer, Searchspace
from maggy.events import Ended, Started, StudyOpened, Suggested
from maggy.optimizers import OPTIMIZERS, VARIANTS, Optimizer
from maggy.optimizers.base import rng_for
from maggy.study import Study
from maggy.trial import Status, Suggestion
from maggy.version import VERSION

Params = Mapping[str, Any]


class Task(NamedTuple):
    """What an optimizer is made for."""

    searchspace: Searchspace
    trials: int
    workers: int
    seed: int

    @property
    def numbers(self) -> dict[str, Float | Integer]:
        """The parameters that are numbers."""
        return {name: domain for name, domain in self.searchspace.items() if isinstance(domain, Float | Integer)}

    @property
    def choices(self) -> dict[str, Sequence[Any]]:
        """The choices of those that are categories."""
        return {name: domain.choices for name, domain in self.searchspace.items() if isinstance(domain, Categorical)}

    def params(self, values: Mapping[str, Any], *, codes: bool = False) -> dict[str, Any]:
        """Return a configuration in the searchspace's order; `codes`: categories are given by number."""
        found = {name: choices[int(values[name])] for name, choices in self.choices.items()} if codes else {}
        return {name: {**values, **found}[name] for name, _ in self.searchspace.items()}

    def coded(self, params: Params) -> dict[str, Any]:
        """Return a configuration with categories by number."""
        return {**params, **{name: choices.index(params[name]) for name, choices in self.choices.items()}}


class Rival(Protocol):
    """What is compared."""

    def ask(self) -> tuple[int, Params]:
        """Return a number and a configuration."""

    def tell(self, number: int, value: float) -> None:
        """Take in a loss."""

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Take in configurations that were not asked for, and their losses."""


class Own:
    """An optimizer of maggy's on a study in memory."""

    def __init__(self, name: str, task: Task) -> None:
        known: dict[str, Any] = {**OPTIMIZERS, **VARIANTS}
        self._optimizer: Optimizer = known[name]()
        self._study, self._seed = Study(), task.seed
        settings = {"direction": "min", "num_trials": task.trials, "seed": task.seed}
        self._study.apply(StudyOpened(0.0, {"searchspace": task.searchspace.to_dict(), **settings}))

    def ask(self) -> tuple[int, Params]:
        """Record what is suggested as running."""
        number = self._study.next_id
        answer = self._optimizer.ask(self._study, rng_for(self._seed, number))
        if not isinstance(answer, Suggestion):
            raise RuntimeError(f"asked for a configuration, it answers {answer}")  # noqa: TRY004 - no type is wrong
        self._start(number, answer)
        return number, answer.params

    def _start(self, number: int, what: Suggestion) -> None:
        self._study.apply(Suggested(0.0, number, what.params, what.budget, what.parent, self._study.position))
        self._study.apply(Started(0.0, number, 1, "benchmark"))

    def tell(self, number: int, value: float) -> None:
        """Record the end."""
        self._study.apply(Ended(0.0, number, 1, Status.COMPLETED, value, {"metric": value}))

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Record them as suggested and ended."""
        for params, value in measured:
            number = self._study.next_id
            self._start(number, Suggestion(params))
            self.tell(number, value)


class Numbered:
    """What is running, by number."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.running: dict[int, Any] = {}
        self._asked = 0

    def number(self, what: Any) -> int:
        """Return the number of something that runs now."""
        self._asked += 1
        self.running[self._asked] = what
        return self._asked


class Optuna(Numbered):
    """A sampler of Optuna's, each parameter suggested in its own kind. A study in memory knows what runs."""

    def __init__(self, sampler: str, task: Task) -> None:
        import optuna

        super().__init__(task)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        tpe = {"multivariate": True, "group": True, "constant_liar": task.workers > 1}
        settings = tpe if sampler == "TPESampler" else {}
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=task.seed, **settings))

    def ask(self) -> tuple[int, Params]:
        """Ask the study for a trial."""
        trial = self._study.ask()
        return self.number(trial), self._suggested(trial)

    def _suggested(self, trial: Any) -> Params:
        params = {name: trial.suggest_categorical(name, list(each)) for name, each in self.task.choices.items()}
        for name, domain in self.task.numbers.items():
            suggest: Any = trial.suggest_float if isinstance(domain, Float) else trial.suggest_int
            params[name] = suggest(name, domain.low, domain.high, log=domain.log)
        return self.task.params(params)

    def tell(self, number: int, value: float) -> None:
        """Tell the study."""
        self._study.tell(self.running.pop(number), value)

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Enqueue them, so that the study asks for them first."""
        for params, value in measured:
            self._study.enqueue_trial(dict(params))
            trial = self._study.ask()
            self._suggested(trial)
            self._study.tell(trial, value)


class Hyperopt(Numbered):
    """Hyperopt's TPE. Its trials that run are in its list, but it makes no use of them."""

    def __init__(self, task: Task) -> None:
        import hyperopt
        import numpy as np

        super().__init__(task)
        self._hyperopt, self._rng = hyperopt, np.random.default_rng(task.seed)
        spec = {name: hyperopt.hp.choice(name, list(range(len(each)))) for name, each in task.choices.items()}
        spec |= {name: self._spec(name, domain) for name, domain in task.numbers.items()}
        self._domain = hyperopt.Domain(lambda params: params, spec)
        self._trials = hyperopt.Trials()

    def _spec(self, name: str, domain: Float | Integer) -> Any:
        hp, low, high = self._hyperopt.hp, domain.low, domain.high
        if isinstance(domain, Float):
            return hp.loguniform(name, math.log(low), math.log(high)) if domain.log else hp.uniform(name, low, high)
        if domain.log:  # each whole number as far as it is rounded to
            return hp.qloguniform(name, math.log(low - 0.499), math.log(high + 0.499), 1)
        return hp.uniformint(name, low, high)

    def ask(self) -> tuple[int, Params]:
        """Have it suggest one document."""
        new = self._trials.new_trial_ids(1)
        self._trials.refresh()
        (document,) = self._hyperopt.tpe.suggest(new, self._domain, self._trials, int(self._rng.integers(2**31)))
        document["state"] = self._hyperopt.JOB_STATE_RUNNING
        self._trials.insert_trial_docs([document])
        self._trials.refresh()
        found = {name: value[0] for name, value in document["misc"]["vals"].items()}
        for name, domain in self.task.numbers.items():
            if isinstance(domain, Integer):
                found[name] = min(max(round(found[name]), domain.low), domain.high)
        return self.number(new[0]), self.task.params(found, codes=True)

    def tell(self, number: int, value: float) -> None:
        """Complete the document."""
        document = self._document(self.running.pop(number))
        document["state"] = self._hyperopt.JOB_STATE_DONE
        document["result"] = {"loss": value, "status": self._hyperopt.STATUS_OK}
        self._trials.refresh()

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Put them in the place of what is suggested."""
        for params, value in measured:
            number, _ = self.ask()
            document = self._document(self.running[number])
            document["misc"]["vals"].update({name: [each] for name, each in self.task.coded(params).items()})
            self.tell(number, value)

    def _document(self, tid: int) -> Any:
        trials = self._trials._dynamic_trials  # noqa: SLF001 - as fmin does
        return next(each for each in trials if each["tid"] == tid)


class Smac(Numbered):
    """SMAC3 with its facade for hyperparameters (a random forest); it knows what was asked for."""

    def __init__(self, task: Task) -> None:
        import ConfigSpace
        import smac

        super().__init__(task)
        self._space = ConfigSpace.ConfigurationSpace(seed=task.seed)
        for name, choices in task.choices.items():
            self._space.add(ConfigSpace.CategoricalHyperparameter(name, list(range(len(choices)))))
        for name, domain in task.numbers.items():
            whole = isinstance(domain, Integer)
            kind: Any = ConfigSpace.UniformIntegerHyperparameter if whole else ConfigSpace.UniformFloatHyperparameter
            self._space.add(kind(name, domain.low, domain.high, log=domain.log))
        self._folder = tempfile.TemporaryDirectory()
        scenario = smac.Scenario(
            self._space, deterministic=True, n_trials=task.trials, seed=task.seed, output_directory=self._folder.name
        )
        facade = smac.HyperparameterOptimizationFacade
        self._smac = facade(scenario, self._unused, overwrite=True, logging_level=False)

    @staticmethod
    def _unused(config: Any, seed: int = 0) -> float:
        """Stand where SMAC wants a function to call: it is only asked and told."""
        raise NotImplementedError

    def ask(self) -> tuple[int, Params]:
        """Ask."""
        info = self._smac.ask()
        return self.number(info), self.task.params(dict(info.config), codes=True)

    def tell(self, number: int, value: float) -> None:
        """Tell."""
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(self.running.pop(number), TrialValue(cost=value))

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Tell."""
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo, TrialValue

        for params, value in measured:
            configuration = Configuration(self._space, self.task.coded(params))
            self._smac.tell(TrialInfo(configuration, seed=0), TrialValue(cost=value))


class Skopt(Numbered):
    """scikit-optimize's Gaussian process. A copy is told that what runs is as good as the best (a constant liar)."""

    def __init__(self, task: Task) -> None:
        import skopt
        from skopt import space

        super().__init__(task)
        dimensions = {name: space.Categorical(list(choices)) for name, choices in task.choices.items()}
        for name, domain in task.numbers.items():
            kind = space.Real if isinstance(domain, Float) else space.Integer
            dimensions[name] = kind(domain.low, domain.high, prior="log-uniform" if domain.log else "uniform")
        self._optimizer = skopt.Optimizer(
            list(task.params(dimensions).values()), base_estimator="GP", random_state=task.seed
        )

    def ask(self) -> tuple[int, Params]:
        """Ask."""
        optimizer = self._optimizer
        if self.running and not optimizer.models:
            point = optimizer.space.rvs(random_state=optimizer.rng)[0]
        else:
            if self.running:
                optimizer = optimizer.copy()
                optimizer.tell(list(self.running.values()), [min(optimizer.yi)] * len(self.running))
            point = optimizer.ask()
        return self.number(point), dict(zip(dict(self.task.searchspace.items()), point, strict=True))

    def tell(self, number: int, value: float) -> None:
        """Tell."""
        self._optimizer.tell(self.running.pop(number), value)

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Tell all at once."""
        points = [list(self.task.params(params).values()) for params, _ in measured]
        self._optimizer.tell(points, [value for _, value in measured])


OWN = ("auto", "gp", "tpe", "cqr", "de", "sobol", "randomsearch")
RIVALS: dict[str, tuple[str, Callable[[Task], Rival]]] = {
    **{name: ("maggy", partial(Own, name)) for name in OWN},
    "optuna tpe": ("optuna", partial(Optuna, "TPESampler")),
    "optuna gp": ("optuna", partial(Optuna, "GPSampler")),
    "hyperopt tpe": ("hyperopt", Hyperopt),
    "smac": ("smac", Smac),
    "skopt gp": ("scikit-optimize", Skopt),
}
"""By name: the library that an optimizer comes from, and what makes it."""


def one_thread() -> None:
    """Have every library compute on one thread, so that many can be run at once."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)


def available(name: str) -> str | None:
    """Return the version of the library that an optimizer comes from; None where it is not installed."""
    library = RIVALS[name][0]
    if name == "optuna gp" and not find_spec("torch"):
        return None
    try:
        return VERSION if library == "maggy" else version(library)
    except PackageNotFoundError:
        return None
