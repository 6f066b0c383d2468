"""Hyperopt's `fmin`, run by maggy: `from maggy.migrate.hyperopt import SparkTrials, fmin, hp, tpe`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from maggy.errors import ConfigError, StudyFailed, nearest
from maggy.migrate import hyperspace
from maggy.migrate.forms import Space
from maggy.migrate.objectives import STATUS_FAIL, STATUS_OK, WithDict
from maggy.optimizers import Optimizer
from maggy.result import Result
from maggy.trial import Status, Trial

__all__ = ["STATUS_FAIL", "STATUS_OK", "SparkTrials", "Trials", "fmin"]

ALGORITHMS = {"tpe": "tpe", "rand": "randomsearch", "anneal": "auto", "atpe": "auto"}
LOSS = "loss"


class Trials:
    """What `fmin` has tried, as Hyperopt tells of it; `result` has all that maggy knows. `parallelism`: executors."""

    def __init__(self, parallelism: int | None = None, timeout: float | None = None, **_: Any) -> None:
        self.parallelism = parallelism
        self.timeout = timeout
        self.result: Result | None = None
        self._space: Space | None = None

    def take(self, result: Result, space: Space) -> None:
        """Take in what was tried."""
        self.result, self._space = result, space

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Each trial that has ended: `tid`, `result`, and `misc` with `vals`."""
        return [] if self.result is None else [self._told(each) for each in self.result.trials if each.status.final]

    @property
    def results(self) -> list[dict[str, Any]]:
        """What each of them returned: `loss`, `status` and other numbers."""
        return [each["result"] for each in self.trials]

    @property
    def best_trial(self) -> dict[str, Any]:
        """The trial with the lowest loss. Raises `StudyFailed` where none has completed."""
        return self._told(_best(self.result))

    @property
    def argmin(self) -> dict[str, Any]:
        """The parameters of the trial with the lowest loss, choices by number."""
        return {} if self._space is None else self._space.point(_best(self.result).params)

    def losses(self) -> list[float | None]:
        """Return the loss of each trial that has ended; None where it has failed."""
        return [each.get(LOSS) for each in self.results]

    def statuses(self) -> list[str]:
        """Return how each trial came out: `ok` or `fail`."""
        return [each["status"] for each in self.results]

    @property
    def tids(self) -> list[int]:
        """The number of each trial that has ended, from 0."""
        return [each["tid"] for each in self.trials]

    @property
    def vals(self) -> dict[str, list[Any]]:
        """The values of each parameter, of those trials that have it, choices by number."""
        found: dict[str, list[Any]] = {}
        for each in self.trials:
            for label, values in each["misc"]["vals"].items():
                found.setdefault(label, []).extend(values)
        return found

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.trials)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"Trials has no {name!r} here, only trials, results, losses(), statuses(), tids, vals, best_trial, argmin; "
            "`result` has all that maggy knows"
        )

    def _told(self, trial: Trial) -> dict[str, Any]:
        point = {} if self._space is None else self._space.point(trial.params)
        good = trial.status is Status.COMPLETED
        told = {**trial.metrics, LOSS: trial.value, "status": STATUS_OK} if good else {"status": STATUS_FAIL}
        vals = {label: [value] for label, value in point.items()}
        return {"tid": trial.id - 1, "result": told, "misc": {"tid": trial.id - 1, "vals": vals}}


class SparkTrials(Trials):
    """The same under its other name: all trials run on Spark anyway."""


def fmin(
    fn: Callable[[Any], Any],
    space: Any,
    algo: Any = "tpe",
    max_evals: int | None = None,
    timeout: float | None = None,
    loss_threshold: float | None = None,
    trials: Any = None,
    rstate: Any = None,
    *,
    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    early_stop_fn: Any = None,
    return_argmin: bool = True,
    show_progressbar: bool = True,
    verbose: bool | int = True,  # noqa: ARG001 - Hyperopt's; maggy's own is quiet, below
    catch_eval_exceptions: bool = False,  # noqa: ARG001 - here one that raises never ends the others
    max_queue_len: int = 1,  # noqa: ARG001 - a model looks one ahead
    **options: Any,
) -> dict[str, Any] | None:
    """Minimize an objective as Hyperopt does, and return the best parameters, choices by number, as `space_eval` wants.

    `algo` is Hyperopt's (`tpe.suggest`), or any optimizer of maggy's; `options` are those of `experiment.lagom`. With
    `trials` of an earlier call its study goes on, until it has `max_evals` of them.

    Raises:
        ConfigError: for what maggy has not: `loss_threshold`, `early_stop_fn`, nodes of its own in the space.
        StudyFailed: where no trial has completed. Otherwise as `lagom`.

    """
    from maggy import experiment

    for name, value in (("loss_threshold", loss_threshold), ("early_stop_fn", early_stop_fn)):
        if value is not None:
            raise ConfigError(f"{name} is not maggy's: bound the study with max_evals= or timeout=")
    if not hyperspace.has_nodes(space):
        raise ConfigError(
            "the space has no hp.uniform, hp.choice or the like: for one of maggy's call experiment.lagom"
        )
    if type(trials).__module__.startswith("hyperopt"):
        raise ConfigError(
            f"trials= is Hyperopt's own {type(trials).__name__}, which would stay empty: "
            "from maggy.migrate.hyperopt import SparkTrials, Trials"
        )
    found = hyperspace.read(space)
    points = None if points_to_evaluate is None else [found.names(point) for point in points_to_evaluate]
    timeout = getattr(trials, "timeout", None) if timeout is None else timeout
    mine: dict[str, Any] = {
        "metric": LOSS,
        "earlystop": None,
        "num_executors": getattr(trials, "parallelism", None) or None,
        "quiet": not show_progressbar,
        "seed": None if rstate is None else int(rstate.integers(2**31)),
        "points_to_evaluate": points,
        "timeout": timeout,
    }
    before = getattr(trials, "result", None)  # who brings trials along goes on with them: max_evals is their total
    if isinstance(before, Result):
        mine |= {"name": before.name, "store": before.store, "resume": True, "seed": None, "points_to_evaluate": None}
    function = WithDict(fn, found.form)
    result = experiment.lagom(function, found.searchspace, _algorithm(algo), "min", max_evals, **mine | options)
    if isinstance(trials, Trials):
        trials.take(result, found)
    return found.point(_best(result).params) if return_argmin else None


def _algorithm(algo: Any) -> str | Optimizer:
    """Return the optimizer that takes the place of one of Hyperopt's; what is no function is one."""
    function = algo.func if isinstance(algo, functools.partial) else algo
    library, _, name = str(getattr(function, "__module__", "")).rpartition(".")
    if not callable(function) or library != "hyperopt":
        return algo or "tpe"
    if name not in ALGORITHMS:
        raise ConfigError(f"algo={name}.suggest is not known here{nearest(name, ALGORITHMS)}; name one of maggy's")
    return ALGORITHMS[name]


def _best(result: Result | None) -> Trial:
    if result is None or result.best_trial is None:
        raise StudyFailed("no trial has completed, so there is no best one: see result.trials for their errors", result)
    return result.best_trial


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module("hyperopt"), name)
