"""Ray Tune's `Tuner` and `tune.report`, run by maggy: `from maggy.migrate import tune`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

from maggy.earlystop import Median
from maggy.errors import ConfigError, StudyFailed
from maggy.migrate import objectives, tunespace
from maggy.migrate.forms import Constant, Form, Space
from maggy.migrate.objectives import Checkpoint, WithDict
from maggy.optimizers import Asha
from maggy.result import Result
from maggy.searchspace import Searchspace
from maggy.trial import Trial

__all__ = ["Checkpoint", "RunConfig", "TuneConfig", "Tuner", "get_checkpoint", "report", "run", "with_parameters"]

SEARCHES = {
    "BasicVariantGenerator": "randomsearch",
    "OptunaSearch": "tpe",
    "HyperOptSearch": "tpe",
    "BayesOptSearch": "gp",
    "TuneBOHB": "tpe",
}
HALVING = ("AsyncHyperBandScheduler", "ASHAScheduler", "HyperBandScheduler", "HyperBandForBOHB")


def report(metrics: Mapping[str, Any], *, checkpoint: Any = None, **more: Any) -> None:
    """Report the metrics of the next iteration, in an objective; outside of a trial, nothing."""
    if objectives.current is not None:
        objectives.current.report(metrics, checkpoint, **more)


def get_checkpoint() -> Checkpoint | None:
    """Return the checkpoint that the trial is to go on from, if there is one."""
    return None if objectives.current is None else objectives.current.loaded_checkpoint


def with_parameters(trainable: Callable[..., Any], **given: Any) -> Callable[..., Any]:
    """Return the objective with further arguments, the same in each trial."""
    return functools.partial(trainable, **given)


def with_resources(trainable: Callable[..., Any], resources: Any) -> Callable[..., Any]:  # noqa: ARG001 - Spark's to say
    """Return the objective: what a trial gets is Spark's to say, and `gpus_per_trial` an option of `fit`."""
    return trainable


@dataclass
class TuneConfig:
    """How to search; Ray's own will do as well."""

    metric: str | None = None
    mode: str | None = None
    search_alg: Any = None
    scheduler: Any = None
    num_samples: int = 1
    max_concurrent_trials: int | None = None
    time_budget_s: float | timedelta | None = None


@dataclass
class RunConfig:
    """What a study is called; Ray's own will do as well."""

    name: str | None = None
    stop: Any = None


class ResultGrid:
    """What was tried, as Ray tells of it; `result` has all that maggy knows."""

    def __init__(self, result: Result, form: Form) -> None:
        self.result = result
        self._form = form

    def get_best_result(self, metric: str | None = None, mode: str | None = None) -> Tried:
        """Return the best trial.

        Raises `StudyFailed` where none has completed, `ConfigError` for another metric or mode than the study's.
        """
        self._check(metric, mode)
        if self.result.best_trial is None:
            raise StudyFailed("no trial has completed: see result.trials for their errors", self.result)
        return Tried(self.result.best_trial, self._form)

    def _check(self, metric: str | None, mode: str | None) -> None:
        has = self.result.study.objective
        if metric not in (None, has.metric) or mode not in (None, has.direction):
            raise ConfigError(
                f"the study is of metric={has.metric!r}, mode={has.direction!r}: find what is best otherwise among its "
                "trials, min(grid, key=lambda each: each.metrics['loss'])"
            )

    def get_dataframe(self) -> Any:
        """Return a data frame with a row for each trial."""
        return self.result.to_pandas()

    @property
    def best_result(self) -> dict[str, Any]:
        """The best trial's metrics, with `config`. This and what follows are of what `tune.run` returns in Ray."""
        best = self.get_best_result()
        return {**best.metrics, "config": best.config}

    @property
    def best_config(self) -> dict[str, Any]:
        """What the objective was given in the best trial."""
        return dict(self.get_best_result().config)

    @property
    def best_trial(self) -> Tried:
        """The best trial."""
        return self.get_best_result()

    def get_best_config(
        self, metric: str | None = None, mode: str | None = None, scope: str = "last"
    ) -> dict[str, Any]:
        """Return what the objective was given in the best trial."""
        return dict(self.get_best_trial(metric, mode, scope).config)

    def get_best_trial(self, metric: str | None = None, mode: str | None = None, scope: str = "last") -> Tried:
        """Return the best trial, by the values that trials ended with. Raises as `get_best_result`."""
        if scope != "last":
            raise ConfigError(f"scope={scope!r} is not maggy's: trials are compared by what they ended with, 'last'")
        return self.get_best_result(metric, mode)

    @property
    def trials(self) -> list[Tried]:
        """All trials."""
        return list(self)

    @property
    def results_df(self) -> Any:
        """A data frame with a row for each trial."""
        return self.get_dataframe()

    def dataframe(self, metric: str | None = None, mode: str | None = None) -> Any:
        """Return a data frame with a row for each trial."""
        self._check(metric, mode)
        return self.get_dataframe()

    @property
    def errors(self) -> list[str]:
        """The errors of trials that have failed."""
        return [each.error for each in self.result.trials if each.error]

    @property
    def num_errors(self) -> int:
        """How many trials have failed."""
        return len(self.errors)

    @property
    def num_terminated(self) -> int:
        """How many trials have ended otherwise."""
        return sum(each.status.final and not each.error for each in self.result.trials)

    def __getitem__(self, index: int) -> Tried:
        return Tried(self.result.trials[index], self._form)

    def __len__(self) -> int:
        return len(self.result.trials)

    def __iter__(self) -> Iterator[Tried]:
        return (Tried(trial, self._form) for trial in self.result.trials)


class Tried:
    """One trial: `config`, `metrics` (`last_result`), `error`; `trial` is maggy's."""

    def __init__(self, trial: Trial, form: Form) -> None:
        self.trial = trial
        self.config = form.fill(trial.params)
        self.metrics = self.last_result = dict(trial.metrics)
        self.error = trial.error

    @property
    def metrics_dataframe(self) -> Any:
        """A data frame of what was reported of the objective: `step`, `value`. pandas has to be installed."""
        import pandas as pd

        return pd.DataFrame(self.trial.curve.points(), columns=["step", "value"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        hint = "result.checkpoint(trial.trial.id) returns it" if name == "checkpoint" else "`trial` has all of maggy's"
        raise AttributeError(f"a trial has no {name!r} here, only config, metrics and error; {hint}")


class Tuner:
    """Runs an objective: `Tuner(objective, param_space={…}, tune_config=TuneConfig(…)).fit()`."""

    def __init__(
        self,
        trainable: Callable[..., Any],
        *,
        param_space: Mapping[str, Any] | None = None,
        tune_config: Any = None,
        run_config: Any = None,
    ) -> None:
        if isinstance(trainable, type) or not callable(trainable):
            raise ConfigError("the objective is a class, Ray's class API: write a function that calls tune.report()")
        self._fn = trainable
        self._space = param_space or {}
        self._config = tune_config or TuneConfig()
        self._run = run_config or RunConfig()

    def fit(self, **options: Any) -> ResultGrid:
        """Run the study; `options` are those of `experiment.lagom`.

        Raises `ConfigError` where metric or mode is missing, and for a scheduler, a search or a `stop` that has no
        counterpart; otherwise as `lagom`.
        """
        from maggy import experiment

        config = self._config
        if getattr(self._run, "stop", None) is not None:
            raise ConfigError("RunConfig(stop=…) is not maggy's: let the objective end by itself")
        scheduler, search = config.scheduler, config.search_alg
        metric = config.metric or _of(scheduler, "metric") or _of(search, "metric")
        mode = config.mode or _of(scheduler, "mode") or _of(search, "mode")
        if mode is None or metric is None:
            raise ConfigError("say what is optimized, and which way: TuneConfig(metric='loss', mode='min')")
        empty = Space(Searchspace(), Constant(dict(self._space)))
        space = tunespace.read(self._space) if tunespace.has_domains(self._space) else empty
        optimizer, rules = _how(search, scheduler)
        samples = None if config.num_samples == -1 else config.num_samples
        budget = config.time_budget_s
        if tunespace.all_grid(self._space):
            if samples != 1:
                raise ConfigError(
                    "num_samples > 1 would repeat the grid: add a seed to it, tune.grid_search([0, 1, 2])"
                )
            optimizer, samples = "gridsearch", None
        elif not len(space.searchspace):
            optimizer = None
        elif samples is not None:
            samples *= tunespace.lists(self._space)
        mine: dict[str, Any] = {
            "optimizer": optimizer,
            "direction": mode,
            "metric": metric,
            "num_trials": samples,
            "earlystop": rules,
            "timeout": budget.total_seconds() if isinstance(budget, timedelta) else budget,
            "num_executors": config.max_concurrent_trials or None,
            "name": getattr(self._run, "name", None),
        }
        return ResultGrid(
            experiment.lagom(WithDict(self._fn, space.form), space.searchspace, **mine | options), space.form
        )


def run(
    trainable: Callable[..., Any],
    *,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    metric: str | None = None,
    mode: str | None = None,
    num_samples: int = 1,
    scheduler: Any = None,
    search_alg: Any = None,
    time_budget_s: float | None = None,
    stop: Any = None,
    **options: Any,
) -> ResultGrid:
    """Run an objective, as Ray's older interface does; `options` are those of `experiment.lagom`.

    What of Ray's has no meaning here is refused by name, but for how much it prints and what a trial gets.
    """
    for gone in ("verbose", "resources_per_trial", "progress_reporter", "reuse_actors", "log_to_file"):
        options.pop(gone, None)
    how = TuneConfig(metric, mode, search_alg, scheduler, num_samples, None, time_budget_s)
    return Tuner(trainable, param_space=config, tune_config=how, run_config=RunConfig(name, stop)).fit(**options)


def _how(search: Any, scheduler: Any) -> tuple[Any, Any]:
    """Return the optimizer and the stop rules that take the place of Ray's; maggy's own are taken as they are."""
    optimizer = search if search is not None else "randomsearch"
    if type(search).__module__.startswith("ray."):
        name = type(search).__name__
        if name not in SEARCHES:
            raise ConfigError(f"{name} has no counterpart: pass one of maggy's optimizers, such as search_alg='tpe'")
        optimizer = SEARCHES[name]
    kind = type(scheduler).__name__
    if scheduler is None or kind == "FIFOScheduler":
        return optimizer, None
    if not type(scheduler).__module__.startswith("ray."):
        return optimizer, scheduler
    if kind == "MedianStoppingRule":
        return optimizer, Median(max(1, _of(scheduler, "min_samples_required", 3)))
    if kind not in HALVING:
        raise ConfigError(f"{kind} has no counterpart: pass a stop rule of maggy's, such as scheduler='median'")
    rungs = [rung[0] for bracket in _of(scheduler, "brackets", [])[:1] for rung in _of(bracket, "rungs", [])]
    bounds = {
        "resource_min": min(rungs, default=1),
        "resource_max": _of(scheduler, "max_t", _of(scheduler, "max_t_attr")),
        "reduction_factor": _of(scheduler, "reduction_factor", _of(scheduler, "eta", 3)),
    }
    searcher = None if optimizer == "randomsearch" else optimizer
    return Asha(mode="stopping", searcher=searcher, **bounds), None


def _of(given: Any, setting: str, default: Any = None) -> Any:
    """Return a setting of one of Ray's objects, which keep theirs to themselves."""
    return getattr(given, f"_{setting}", default)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module("ray.tune"), name)
