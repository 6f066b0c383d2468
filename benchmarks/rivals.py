"""Optimizers that are asked and told, maggy's and others', behind one pair of methods.

`ask()` returns a number and a configuration; `tell(number, value)` gives what came of it, in whatever order. What has
been asked for and not been told is running, and each library is told so in its own way. A library that is not installed
is left out: ``pip install optuna hyperopt smac scikit-optimize torch`` (Optuna's Gaussian process needs torch).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Protocol

from maggy import Categorical, Float, Searchspace
from maggy.events import Ended, Started, StudyOpened, Suggested
from maggy.optimizers import OPTIMIZERS, VARIANTS
from maggy.optimizers.base import rng_for
from maggy.study import Study
from maggy.trial import Status, Suggestion
from maggy.version import VERSION

Params = Mapping[str, Any]


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

    def __init__(self, name: str, searchspace: Searchspace, trials: int, seed: int) -> None:
        self._optimizer = {**OPTIMIZERS, **VARIANTS}[name]()
        self._study, self._seed = Study(), seed
        settings = {"searchspace": searchspace.to_dict(), "direction": "min", "num_trials": trials, "seed": seed}
        self._study.apply(StudyOpened(0.0, settings))

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

    def __init__(self) -> None:
        self.running: dict[int, Any] = {}
        self._asked = 0

    def number(self, what: Any) -> int:
        """Return the number of something that runs now."""
        self._asked += 1
        self.running[self._asked] = what
        return self._asked


class Optuna(Numbered):
    """A sampler of Optuna's, each parameter suggested in its own kind. A study in memory knows what runs."""

    def __init__(self, sampler: str, searchspace: Searchspace, seed: int, **settings: Any) -> None:
        import optuna

        super().__init__()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = searchspace
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed, **settings))

    def ask(self) -> tuple[int, Params]:
        """Ask the study for a trial."""
        trial = self._study.ask()
        return self.number(trial), self._suggested(trial)

    def _suggested(self, trial: Any) -> Params:
        params: dict[str, Any] = {}
        for name, domain in self._space.items():
            if isinstance(domain, Categorical):
                params[name] = trial.suggest_categorical(name, list(domain.choices))
            else:
                suggest = trial.suggest_float if isinstance(domain, Float) else trial.suggest_int
                params[name] = suggest(name, domain.low, domain.high, log=domain.log)
        return params

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

    def __init__(self, searchspace: Searchspace, seed: int) -> None:
        import hyperopt
        import numpy as np

        super().__init__()
        self._hyperopt, self._rng = hyperopt, np.random.default_rng(seed)
        self._space = searchspace
        self._domain = hyperopt.Domain(lambda params: params, {name: self._spec(name) for name, _ in searchspace.items()})
        self._trials = hyperopt.Trials()

    def _spec(self, name: str) -> Any:
        hp, domain = self._hyperopt.hp, self._space[name]
        if isinstance(domain, Categorical):
            return hp.choice(name, list(range(len(domain.choices))))
        if isinstance(domain, Float):
            kind = hp.loguniform if domain.log else hp.uniform
            return kind(name, *((math.log(domain.low), math.log(domain.high)) if domain.log else (domain.low, domain.high)))
        if domain.log:  # each whole number as far as it is rounded to
            return hp.qloguniform(name, math.log(domain.low - 0.499), math.log(domain.high + 0.499), 1)
        return hp.uniformint(name, domain.low, domain.high)

    def ask(self) -> tuple[int, Params]:
        """Have it suggest one document."""
        number = self._trials.new_trial_ids(1)
        self._trials.refresh()
        (document,) = self._hyperopt.tpe.suggest(number, self._domain, self._trials, int(self._rng.integers(2**31)))
        document["state"] = self._hyperopt.JOB_STATE_RUNNING
        self._trials.insert_trial_docs([document])
        self._trials.refresh()
        found = {name: value[0] for name, value in document["misc"]["vals"].items()}
        params = {
            name: domain.choices[int(found[name])]
            if isinstance(domain, Categorical)
            else found[name]
            if isinstance(domain, Float)
            else min(max(round(found[name]), domain.low), domain.high)
            for name, domain in self._space.items()
        }
        return self.number(number[0]), params

    def tell(self, number: int, value: float) -> None:
        """Complete the document."""
        self._complete(number, value)

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Insert complete documents."""
        for params, value in measured:
            number, _ = self.ask()
            document = self._document(self.running[number])
            for name, domain in self._space.items():
                choice = isinstance(domain, Categorical)
                document["misc"]["vals"][name] = [domain.choices.index(params[name]) if choice else params[name]]
            self._complete(number, value)

    def _document(self, tid: int) -> Any:
        trials = self._trials._dynamic_trials  # noqa: SLF001 - as fmin does
        return next(each for each in trials if each["tid"] == tid)

    def _complete(self, number: int, value: float) -> None:
        document = self._document(self.running.pop(number))
        document["state"] = self._hyperopt.JOB_STATE_DONE
        document["result"] = {"loss": value, "status": self._hyperopt.STATUS_OK}
        self._trials.refresh()


class Smac(Numbered):
    """SMAC3 with its facade for hyperparameters (a random forest); it knows what was asked for."""

    def __init__(self, searchspace: Searchspace, trials: int, workers: int, seed: int) -> None:
        import smac
        from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, UniformFloatHyperparameter
        from ConfigSpace import UniformIntegerHyperparameter as Whole

        super().__init__()
        self._space = searchspace
        self._configurations = space = ConfigurationSpace(seed=seed)
        for name, domain in searchspace.items():
            if isinstance(domain, Categorical):
                space.add(CategoricalHyperparameter(name, list(range(len(domain.choices)))))
            else:
                kind = UniformFloatHyperparameter if isinstance(domain, Float) else Whole
                space.add(kind(name, domain.low, domain.high, log=domain.log))
        self._folder = tempfile.TemporaryDirectory()
        scenario = smac.Scenario(
            space, deterministic=True, n_trials=trials, seed=seed, output_directory=self._folder.name, n_workers=1
        )
        facade = smac.HyperparameterOptimizationFacade
        self._smac = facade(scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False)

    def ask(self) -> tuple[int, Params]:
        """Ask."""
        info = self._smac.ask()
        params = {
            name: domain.choices[info.config[name]] if isinstance(domain, Categorical) else info.config[name]
            for name, domain in self._space.items()
        }
        return self.number(info), params

    def tell(self, number: int, value: float) -> None:
        """Tell."""
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(self.running.pop(number), TrialValue(cost=value))

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Tell."""
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo, TrialValue

        for params, value in measured:
            values = {
                name: domain.choices.index(params[name]) if isinstance(domain, Categorical) else params[name]
                for name, domain in self._space.items()
            }
            self._smac.tell(TrialInfo(Configuration(self._configurations, values), seed=0), TrialValue(cost=value))


class Skopt(Numbered):
    """scikit-optimize's Gaussian process. What runs is told to a copy as being as good as the best (a constant liar)."""

    def __init__(self, searchspace: Searchspace, seed: int) -> None:
        import skopt
        from skopt import space

        super().__init__()
        self._space = searchspace
        dimensions = [
            space.Categorical(list(domain.choices), name=name)
            if isinstance(domain, Categorical)
            else (space.Real if isinstance(domain, Float) else space.Integer)(
                domain.low, domain.high, prior="log-uniform" if domain.log else "uniform", name=name
            )
            for name, domain in searchspace.items()
        ]
        self._optimizer = skopt.Optimizer(dimensions, base_estimator="GP", random_state=seed)

    def ask(self) -> tuple[int, Params]:
        """Ask."""
        optimizer = self._optimizer
        if self.running and not optimizer.models:
            point = optimizer.space.rvs(random_state=optimizer.rng)[0]
        elif self.running:
            optimizer = optimizer.copy()
            for other in self.running.values():
                optimizer.tell(other, min(optimizer.yi))
            point = optimizer.ask()
        else:
            point = optimizer.ask()
        return self.number(point), dict(zip((name for name, _ in self._space.items()), point, strict=True))

    def tell(self, number: int, value: float) -> None:
        """Tell."""
        self._optimizer.tell(self.running.pop(number), value)

    def know(self, measured: Sequence[tuple[Params, float]]) -> None:
        """Tell all at once."""
        points = [[params[name] for name, _ in self._space.items()] for params, _ in measured]
        self._optimizer.tell(points, [value for _, value in measured])


Maker = Callable[[Searchspace, int, int, int], Rival]
OWN = ("auto", "gp", "tpe", "cqr", "sobol", "randomsearch", "de")
RIVALS: dict[str, tuple[str, Maker]] = {
    **{
        name: ("maggy", lambda space, trials, workers, seed, name=name: Own(name, space, trials, seed))  # type: ignore[misc]
        for name in OWN
    },
    "optuna tpe": (
        "optuna",
        lambda space, trials, workers, seed: Optuna(
            "TPESampler", space, seed, multivariate=True, group=True, constant_liar=workers > 1
        ),
    ),
    "optuna gp": ("optuna", lambda space, trials, workers, seed: Optuna("GPSampler", space, seed)),
    "hyperopt tpe": ("hyperopt", lambda space, trials, workers, seed: Hyperopt(space, seed)),
    "smac": ("smac", Smac),
    "skopt gp": ("scikit-optimize", lambda space, trials, workers, seed: Skopt(space, seed)),
}
"""By name: the distribution that it comes from, and what makes it for (searchspace, trials, workers, seed)."""


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
    try:
        needed = [library, "torch"] if name == "optuna gp" else [library]
        return VERSION if library == "maggy" else [version(each) for each in needed][0]
    except PackageNotFoundError:
        return None
