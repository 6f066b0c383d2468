"""Optuna's `create_study` and `Study.optimize`, run by maggy: `from maggy.migrate import optuna`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from importlib import import_module
from typing import Any

from maggy import experiment
from maggy.earlystop import Median, NoProgress, Percentile, StopRule, Threshold
from maggy.errors import ConfigError, StoreError, StudyFailed
from maggy.jsonvalue import is_json
from maggy.migrate.forms import name_of
from maggy.migrate.objectives import Trial as Trial  # noqa: PLC0414 - what annotations of objectives name
from maggy.migrate.objectives import TrialPruned, WithTrial
from maggy.optimizers import Asha
from maggy.result import Result
from maggy.searchspace import OPEN, Searchspace
from maggy.trial import Objective, Status
from maggy.trial import Trial as Tried

__all__ = ["FrozenTrial", "Study", "Trial", "TrialPruned", "create_study", "load_study", "visualization"]

ATTRS = ("number", "value", "datetime_start", "datetime_complete", "duration", "params", "user_attrs", "state")

SAMPLERS = {"TPESampler": "tpe", "RandomSampler": "randomsearch", "GPSampler": "gp", "QMCSampler": "sobol"}
STATES = {
    "COMPLETE": Status.COMPLETED,
    "PRUNED": Status.STOPPED,
    "FAIL": Status.FAILED,
    "RUNNING": Status.RUNNING,
    "WAITING": Status.QUEUED,
}
REFUSED = {
    "delete_study": "`maggy delete STUDY` does it",
    "copy_study": "copy the store",
    "get_all_study_summaries": "`maggy list` has them",
    "get_all_study_names": "`maggy list` has them",
    "importance": "study.result.plot_importance() draws it",
    "integration": "maggy.callbacks has callbacks",
}
PICTURES = {
    "plot_optimization_history": "plot_history",
    "plot_intermediate_values": "plot_curves",
    "plot_param_importances": "plot_importance",
    "plot_parallel_coordinate": "plot_parallel",
    "plot_contour": "plot_contour",
    "plot_slice": "plot_slice",
    "plot_timeline": "plot_timeline",
}
HALVING = ("SuccessiveHalvingPruner", "HyperbandPruner")


class TrialState(IntEnum):
    """What has become of a trial: equal to Optuna's members."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4


class Attributes(dict[str, Any]):
    """What `set_user_attr` has kept: numbers, of trials that completed."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(
            f"{name!r}: of what set_user_attr is given maggy keeps numbers, with trials that complete; the rest stands "
            "in the trial's log"
        )


class FrozenTrial:
    """A trial as Optuna tells of it; it has what maggy's has as well (`id`, `status`, `error`, `curve`, …)."""

    def __init__(self, trial: Tried, objective: Objective) -> None:
        self.trial = trial
        self.number = trial.id - 1
        self.params = dict(trial.params)
        self.value = trial.curve.last if trial.value is None and trial.status is Status.STOPPED else trial.value
        self.values = None if self.value is None else [self.value]
        self.user_attrs = Attributes({name: each for name, each in trial.metrics.items() if name != objective.key})
        self.intermediate_values = dict(trial.curve.points())
        self.datetime_start = _date(trial.started)
        self.datetime_complete = _date(trial.ended)
        both = self.datetime_start and self.datetime_complete
        self.duration = self.datetime_complete - self.datetime_start if both else None  # type: ignore[operator]
        self.last_step = max(self.intermediate_values, default=None)

    @property
    def state(self) -> Any:
        """What has become of it: Optuna's own `TrialState` where that is loaded, so that `is` holds."""
        name = next(name for name, status in STATES.items() if status is self.trial.status)
        theirs = sys.modules.get("optuna.trial")
        return getattr(theirs or sys.modules[__name__], "TrialState")[name]  # noqa: B009 - of either module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "trial" not in self.__dict__:
            raise AttributeError(name)
        try:
            return getattr(self.trial, name)
        except AttributeError:
            raise AttributeError(f"a trial of maggy's has no {name!r}; `.trial` is all of it") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenTrial) and self.trial is other.trial

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"FrozenTrial(number={self.number}, state={self.state!s}, value={self.value}, params={self.params})"


def _date(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at)  # noqa: DTZ006 - Optuna's have no zone


class Study:
    """A study that `optimize` runs and goes on with. `result` has all that maggy knows of it."""

    def __init__(
        self,
        name: str | None,
        direction: str,
        optimizer: Any,
        rules: Any,
        store: Any,
        *,
        resume: bool,
        chosen: bool = True,
    ) -> None:
        self.study_name = name
        self.direction = direction
        self._optimizer, self._rules, self._store, self._resume = optimizer, rules, store, resume
        self._chosen = chosen  # whether a sampler or a pruner was named
        self._points: list[dict[str, Any]] = []
        self._result: Result | None = None

    def enqueue_trial(self, params: Mapping[str, Any]) -> None:
        """Try these parameters first; before the first `optimize` only."""
        if self._result is not None:
            raise ConfigError("what is to be tried first has to be said before the first optimize()")
        self._points.append({name_of(name): value if is_json(value) else str(value) for name, value in params.items()})

    def optimize(
        self,
        func: Callable[[Trial], Any],
        n_trials: int | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        catch: Any = (),  # noqa: ARG002 - here one that raises never ends the others
        callbacks: Any = None,
        gc_after_trial: bool = False,  # noqa: ARG002 - trials run in processes of their own
        show_progress_bar: bool = False,  # noqa: ARG002 - `quiet` is maggy's option
        **options: Any,
    ) -> None:
        """Run so many further trials; `n_jobs` above 1 is `num_executors`. `options` are those of `experiment.lagom`.

        Raises `ConfigError` for `callbacks`, otherwise as `lagom`.
        """
        if callbacks:
            raise ConfigError("callbacks= is not maggy's: a stop rule, a view or the log's readers take its place")
        again = self._result is not None
        before = self._before(options.get("store", self._store))
        done = 0 if before is None else before.study.sampled
        mine: dict[str, Any] = {
            "optimizer": self._optimizer,
            "direction": self.direction,
            "num_trials": None if n_trials is None else done + n_trials,
            "timeout": timeout,
            "num_executors": n_jobs if n_jobs > 1 else None,
            "name": self.study_name,
            "store": self._store,
            "resume": self._resume or again,
            "points_to_evaluate": None if again else self._points or None,
        }
        if self._rules != "default" and not again:
            mine["earlystop"] = self._rules
        if again or (before is not None and not self._chosen):
            mine.pop("optimizer")  # the log has it
        self._result = experiment.lagom(WithTrial(func), Searchspace({OPEN: True}), **mine | options)
        self.study_name, self._store = self._result.name, self._result.store

    @property
    def result(self) -> Result:
        """What was found. Raises `StudyFailed` before the first `optimize`."""
        found = self._before(self._store)
        if found is None:
            raise StudyFailed("nothing was tried yet: call optimize()")
        return found

    def _before(self, store: Any) -> Result | None:
        """Return what was tried up to now, by an earlier process too where the study is one to load."""
        if self._result is not None or not self._resume or self.study_name is None:
            return self._result
        return _found(self.study_name, store)

    @property
    def best_trial(self) -> FrozenTrial:
        """The best trial. Raises `StudyFailed` where none has completed."""
        if self.result.best_trial is None:
            raise StudyFailed("no trial has completed: see result.trials for their errors", self.result)
        return FrozenTrial(self.result.best_trial, self.result.study.objective)

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """The best trial alone: there is one objective."""
        return [self.best_trial]

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's parameters, those that it has named."""
        return dict(self.best_trial.params)

    @property
    def best_value(self) -> float:
        """The best trial's value."""
        return float(self.best_trial.value or 0.0)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials."""
        return self.get_trials()

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:  # noqa: ARG002 - they are values
        """Return all trials, or those in some of Optuna's states: COMPLETE, PRUNED, FAIL, RUNNING, WAITING."""
        wanted = None if states is None else {STATES[getattr(each, "name", each)] for each in states}
        found = self._before(self._store)
        trials = [] if found is None else [FrozenTrial(trial, found.study.objective) for trial in found.trials]
        return [trial for trial in trials if wanted is None or trial.status in wanted]

    def trials_dataframe(self, attrs: Sequence[str] = ATTRS, multi_index: bool = False) -> Any:
        """Return a data frame with a row for each trial, and Optuna's columns; pandas has to be installed."""
        import pandas as pd

        if multi_index:
            raise ConfigError("multi_index=True is not maggy's: columns are called params_x")
        rows = []
        for trial in self.trials:
            row: dict[str, Any] = {}
            for name in attrs:
                told = trial.state.name if name == "state" else getattr(trial, name)
                row |= {f"{name}_{key}": each for key, each in told.items()} if isinstance(told, dict) else {name: told}
            rows.append(row)
        columns = dict.fromkeys(name for attr in attrs for row in rows for name in row if _belongs(name, attr))
        return pd.DataFrame(rows, columns=list(columns))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"a Study here has no {name!r}: maggy asks and tells by itself, and keeps no attributes of studies; what "
            "there is has optimize(), enqueue_trial(), trials, best_trial and result"
        )


def _belongs(column: str, attr: str) -> bool:
    return column == attr or column.startswith(f"{attr}_")


def load_study(*, study_name: str | None = None, storage: Any = None, sampler: Any = None, pruner: Any = None) -> Study:
    """Return a study that is there. Raises `ConfigError` where it is not, otherwise as `create_study`."""
    before = None if study_name is None else _found(study_name, storage)
    if before is None:
        raise ConfigError(f"there is no study {study_name!r} in {storage or 'the store'}: `maggy list` has their names")
    way = {"min": "minimize", "max": "maximize"}[before.study.objective.direction]
    return create_study(
        study_name=study_name, storage=storage, sampler=sampler, pruner=pruner, direction=way, load_if_exists=True
    )


class _Pictures:
    """Optuna's `visualization`, of the studies here."""

    def __getattr__(self, name: str) -> Callable[[Study], Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in PICTURES:
            raise AttributeError(f"there is no {name!r} here; there are {', '.join(PICTURES)}")

        def draw(study: Study, params: Sequence[str] | None = None) -> Any:
            return getattr(study.result, PICTURES[name])(*(params or ()))

        return draw


visualization = _Pictures()


def create_study(
    *,
    storage: Any = None,
    sampler: Any = None,
    pruner: Any = None,
    study_name: str | None = None,
    direction: str | None = None,
    load_if_exists: bool = False,
    directions: Any = None,
) -> Study:
    """Return a study; Optuna's default, to minimize, holds.

    `storage` is maggy's store, a path or a URL, and no file of Optuna's. `sampler` and `pruner` are Optuna's, of which
    maggy takes its own counterpart, or maggy's.

    Raises:
        ConfigError: for several directions, and for a sampler or pruner that has no counterpart.

    """
    if directions is not None and len(directions) != 1:
        raise ConfigError("maggy optimizes one value: return the one that matters, and report the others")
    way = direction if directions is None else directions[0]
    way = getattr(way, "name", way) or "minimize"
    if storage is not None and not isinstance(storage, str):
        raise ConfigError(f"storage is of type {type(storage).__name__}; name a store of maggy's, such as 'maggy.db'")
    rules, asha = _rules(pruner)
    optimizer = _sampler(sampler)
    if asha is not None:
        settings = {} if sampler is None or optimizer == "randomsearch" else {"searcher": optimizer}
        optimizer = Asha(mode="stopping", **asha, **settings)
    chosen = sampler is not None or asha is not None
    return Study(study_name, str(way).lower(), optimizer, rules, storage, resume=load_if_exists, chosen=chosen)


def _found(name: str, store: Any) -> Result | None:
    """Return the latest study of a name, if there is one, as `load_if_exists` wants."""
    from maggy.call import opened_store

    try:
        with opened_store(store, existing=True) as where:
            latest = where.latest(name)
            return None if latest is None else experiment.load(latest, where)
    except StoreError:  # there is none, or lagom says what is wrong with it
        return None


def _sampler(given: Any) -> Any:
    """Return the optimizer that takes the place of one of Optuna's samplers; Optuna's own where there is no other."""
    if given is None:
        return "tpe"
    if not type(given).__module__.startswith("optuna."):
        return given
    name = type(given).__name__
    return SAMPLERS.get(name, f"optuna:{name}")


def _rules(given: Any) -> tuple[Any, dict[str, Any] | None]:
    """Return the stop rules that take the place of one of Optuna's pruners, or what ASHA is told."""
    name = type(given).__name__
    if given is None or not type(given).__module__.startswith("optuna."):
        return ("default" if given is None else given), None
    if name in HALVING:
        return None, _halving(given)
    if name == "NopPruner":
        return None, None
    if name == "PatientPruner":
        inner, _ = _rules(_of(given, "wrapped_pruner")) if _of(given, "wrapped_pruner") is not None else (None, None)
        patient: list[StopRule] = [NoProgress(max(1, _of(given, "patience")), _of(given, "min_delta"))]
        return patient + ([inner] if inner is not None else []), None
    if name == "ThresholdPruner":
        bounds = [None if abs(each) == float("inf") else each for each in (_of(given, "lower"), _of(given, "upper"))]
        return Threshold(bounds[0], bounds[1], _of(given, "n_warmup_steps")), None
    if name in ("MedianPruner", "PercentilePruner"):
        when = (max(1, _of(given, "n_startup_trials")), _of(given, "interval_steps"), _of(given, "n_warmup_steps"))
        return Median(*when) if name == "MedianPruner" else Percentile(_of(given, "percentile"), *when), None
    raise ConfigError(
        f"{name} has no counterpart: pass a stop rule of maggy's, such as 'median', or an optimizer 'asha'"
    )


def _of(given: Any, setting: str) -> Any:
    """Return a setting of one of Optuna's pruners, which keep theirs to themselves."""
    return getattr(given, f"_{setting}", None)


def _halving(given: Any) -> dict[str, Any]:
    lowest, highest = _of(given, "min_resource"), _of(given, "max_resource")
    if not isinstance(lowest, int) or not isinstance(highest, int):
        raise ConfigError(
            f"{type(given).__name__} without numbers for its resources: pass sampler=maggy.Asha(mode='stopping', "
            "resource_min=…, resource_max=…), which does the same"
        )
    return {"resource_min": lowest, "resource_max": highest, "reduction_factor": _of(given, "reduction_factor")}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in REFUSED:
        raise AttributeError(f"optuna.{name} knows nothing of maggy's studies: {REFUSED[name]}")
    return getattr(import_module("optuna"), name)
