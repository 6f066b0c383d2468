"""The optimizers of Maggy 0.5 and 1.x, by their names and arguments: each returns one of today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from maggy import compat
from maggy import optimizers as today
from maggy.errors import ConfigError, nearest
from maggy.optimizers import Halving, Hyperband, Optimizer
from maggy.optimizers.model import Searcher

PRUNER = ("min_budget", "max_budget", "eta", "n_iterations")


def Asha(reduction_factor: float = 2, resource_min: float = 1, resource_max: float = 4) -> today.Asha:  # noqa: N802
    """Return ASHA, by promotion. The defaults are Maggy's; today's are 3, 1 and 27."""
    return today.Asha(reduction_factor, resource_min, resource_max)


def RandomSearch(pruner: str | None = None, pruner_kwargs: Mapping[str, Any] | None = None) -> Optimizer:  # noqa: N802
    """Return random search, or Hyperband where it is the pruner."""
    return today.RandomSearch() if pruner is None else _hyperband(pruner, pruner_kwargs)


def GridSearch() -> today.GridSearch:  # noqa: N802
    """Return grid search."""
    return today.GridSearch()


def SingleRun() -> today.SingleRun:  # noqa: N802
    """Return what runs a function as it is."""
    return today.SingleRun()


def GP(  # noqa: N802
    async_strategy: str = "impute",
    impute_strategy: str = "cl_min",
    acq_fun: str | None = None,
    acq_fun_kwargs: Mapping[str, Any] | None = None,
    acq_optimizer: str = "lbfgs",
    acq_optimizer_kwargs: Mapping[str, Any] | None = None,
    **common: Any,
) -> Optimizer:
    """Return the Gaussian process, with `startup=num_warmup_trials`, or Hyperband with it where that is the pruner.

    The other arguments have no counterpart: what is told of trials that still run, and what is maximized, is chosen by
    the optimizer. A warning names those that are not at their defaults.
    """
    lost = {
        "async_strategy": async_strategy if async_strategy != "impute" else None,
        "impute_strategy": impute_strategy if impute_strategy != "cl_min" else None,
        "acq_fun": acq_fun,
        "acq_fun_kwargs": acq_fun_kwargs,
        "acq_optimizer": acq_optimizer if acq_optimizer != "lbfgs" else None,
        "acq_optimizer_kwargs": acq_optimizer_kwargs,
    }
    return _bayes("GP", lambda startup: today.Gp(startup=startup), lost, **common)


def TPE(  # noqa: N802
    gamma: float = 0.15,
    n_samples: int = 24,
    bw_estimation: str = "normal_reference",
    bw_factor: float = 3,
    **common: Any,
) -> Optimizer:
    """Return the Parzen estimator with `good_share=gamma`, `candidates=n_samples` and `startup=num_warmup_trials`.

    Or Hyperband with it where that is the pruner. Bandwidths are its own, and a warning says so where they are given.
    """
    lost = {
        "bw_estimation": bw_estimation if bw_estimation != "normal_reference" else None,
        "bw_factor": bw_factor if bw_factor != 3 else None,  # noqa: PLR2004 - Maggy's default
    }
    return _bayes("TPE", lambda startup: today.Tpe(startup, gamma, n_samples), lost, **common)


NAMED: dict[str, Callable[[], Optimizer]] = {"asha": Asha, "gp": GP, "tpe": TPE}
"""The names in a config of 1.x that stand for other settings there than they do today."""


def _bayes(
    name: str,
    make: Callable[[int], Any],
    lost: dict[str, Any],
    *,
    num_warmup_trials: int = 15,
    random_fraction: float = 0.33,
    interim_results: bool = False,
    interim_results_interval: int = 10,
    pruner: str | None = None,
    pruner_kwargs: Mapping[str, Any] | None = None,
) -> Optimizer:
    lost = {
        **lost,
        "interim_results": interim_results or None,
        "interim_results_interval": interim_results_interval if interim_results else None,
    }
    if pruner is None and pruner_kwargs is None:
        lost["random_fraction"] = random_fraction if random_fraction != 0.33 else None  # noqa: PLR2004 - Maggy's
    if given := ", ".join(f"{key}={value!r}" for key, value in lost.items() if value is not None):
        compat.warn(f"{name}({given}): this has no counterpart and changes nothing")
    searcher = make(num_warmup_trials)
    if pruner is None and pruner_kwargs is None:
        chosen: Optimizer = searcher
        return chosen
    return _hyperband(pruner, pruner_kwargs, searcher, random_fraction)


def _hyperband(
    pruner: str | None,
    settings: Mapping[str, Any] | None,
    searcher: Searcher | None = None,
    random_share: float = Halving.random_share,
) -> Hyperband:
    """Return Hyperband for Maggy's arguments of it. Raises `ConfigError` for what these were not."""
    given = dict(settings or {})
    if pruner != "hyperband":
        raise ConfigError(f"pruner={pruner!r}; the only one that Maggy had is 'hyperband'")
    for name in given:
        if name not in PRUNER:
            raise ConfigError(f"pruner_kwargs has {name!r}{nearest(name, PRUNER)}; it takes {', '.join(PRUNER)}")
    missing = [name for name in PRUNER[:3] if name not in given]
    if missing:
        raise ConfigError(f"pruner_kwargs lacks {', '.join(missing)}; it takes {', '.join(PRUNER)}")
    chosen = Hyperband(given["eta"], given["min_budget"], given["max_budget"], searcher, random_share)
    if rounds := given.get("n_iterations"):
        compat.warn(
            f"pruner_kwargs: n_iterations={rounds} began {_began(chosen, rounds)} configurations; here "
            "num_trials says how many begin, and this changes nothing"
        )
    return chosen


def _began(chosen: Hyperband, rounds: int) -> int:
    """Return how many configurations so many of Maggy's rounds, one bracket each, began with."""
    brackets, eta = len(chosen.levels), chosen.reduction_factor
    climbs = [brackets - 1 - number % brackets for number in range(rounds)]
    return sum(int(brackets // (climb + 1) * eta**climb) for climb in climbs)
