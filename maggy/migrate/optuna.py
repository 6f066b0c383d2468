"""Optuna's `create_study` and `Study.optimize`, run by maggy: `from maggy.migrate import optuna`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from maggy.earlystop import Median, NoProgress, Percentile, StopRule, Threshold
from maggy.errors import ConfigError, StoreError, StudyFailed
from maggy.jsonvalue import is_json
from maggy.migrate.forms import name_of
from maggy.migrate.objectives import Trial as Trial  # noqa: PLC0414 - what annotations of objectives name
from maggy.migrate.objectives import TrialPruned, WithTrial
from maggy.optimizers import Asha, Optimizer
from maggy.result import Result
from maggy.searchspace import OPEN, Searchspace
from maggy.trial import Status
from maggy.trial import Trial as Tried

__all__ = ["Study", "Trial", "TrialPruned", "create_study"]

SAMPLERS = {"TPESampler": "tpe", "RandomSampler": "randomsearch", "GPSampler": "gp", "QMCSampler": "sobol"}
STATES = {
    "COMPLETE": Status.COMPLETED,
    "PRUNED": Status.STOPPED,
    "FAIL": Status.FAILED,
    "RUNNING": Status.RUNNING,
    "WAITING": Status.QUEUED,
}
HALVING = ("SuccessiveHalvingPruner", "HyperbandPruner")


class Study:
    """A study that `optimize` runs and goes on with. `result` has all that maggy knows of it."""

    def __init__(
        self, name: str | None, direction: str, optimizer: str | Optimizer, rules: Any, store: Any, *, resume: bool
    ) -> None:
        self.study_name = name
        self.direction = direction
        self._optimizer, self._rules, self._store, self._resume = optimizer, rules, store, resume
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
        from maggy import experiment

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
        if again:
            mine.pop("optimizer")
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
    def best_trial(self) -> Tried:
        """The best trial. Raises `StudyFailed` where none has completed."""
        if self.result.best_trial is None:
            raise StudyFailed("no trial has completed: see result.trials for their errors", self.result)
        return self.result.best_trial

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's parameters, those that it has named."""
        return dict(self.best_trial.params)

    @property
    def best_value(self) -> float:
        """The best trial's value."""
        return float(self.best_trial.value or 0.0)

    @property
    def trials(self) -> list[Tried]:
        """All trials."""
        return self.result.trials

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[Tried]:  # noqa: ARG002 - they are values
        """Return all trials, or those in some of Optuna's states: COMPLETE, PRUNED, FAIL, RUNNING, WAITING."""
        wanted = None if states is None else {STATES[getattr(each, "name", each)] for each in states}
        return [trial for trial in self.trials if wanted is None or trial.status in wanted]

    def trials_dataframe(self) -> Any:
        """Return a data frame with a row for each trial."""
        return self.result.to_pandas()


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
    return Study(study_name, str(way).lower(), optimizer, rules, storage, resume=load_if_exists)


def _found(name: str, store: Any) -> Result | None:
    """Return the latest study of a name, if there is one, as `load_if_exists` wants."""
    from maggy import experiment
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
    return getattr(import_module("optuna"), name)
