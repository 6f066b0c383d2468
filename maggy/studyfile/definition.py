"""What a study file defines, as values: pure, and checked.

The dicts that come in are those of `prelude`; what a file of Python has made by hand may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from maggy.configuration import NUM_TRIALS
from maggy.domain import Domain
from maggy.domains import Categorical, Float, Integer, Ordinal
from maggy.errors import ConfigError, nearest
from maggy.optimizers import OPTIMIZERS, VARIANTS, Cqr, Foreign, Gp, GridSearch, Optimizer, RandomSearch
from maggy.searchspace import Searchspace
from maggy.studyfile.oracle import OwnOracle


@dataclass(frozen=True)
class System:
    """Where trials run: `parallelism` at once, over all studies; 0 for as many as there are cores."""

    kind: str
    name: str
    parallelism: int = 0
    preamble: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A step that has to be done before trials that need it, once."""

    name: str
    systems: tuple[System, ...]
    script: str
    if_not_exist: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunConfig:
    """What one trial runs."""

    script: str
    systems: tuple[System, ...]
    files: tuple[str, ...] = ()
    datasets: tuple[Dataset, ...] = ()


@dataclass(frozen=True)
class Definition:
    """A study of a file. `index` is by what its function is called, `takes` what that takes besides the values."""

    name: str
    index: int
    searchspace: Searchspace
    metric: str
    direction: str
    optimizer: Optimizer
    seed: int | None
    replicates: int = 0
    description: str = ""
    takes: tuple[str, ...] = ()
    acquires: bool = False

    @property
    def num_trials(self) -> int | None:
        """How many configurations there are to try; None where that is not for the file to say."""
        return self.searchspace.size if isinstance(self.optimizer, GridSearch) else NUM_TRIALS


def definition(found: Mapping[str, Any], index: int, call: Callable[..., Any]) -> Definition:
    """Read a study; `call` asks its oracle, where that is a function of the file.

    Raises `ConfigError`, naming study and parameter, for what cannot be searched.
    """
    name = found["name"]
    try:
        space = Searchspace({key: domain(value) for key, value in found["params"].items()})
        own = found["oracle"] == {"oracle": "own"}
        asked = OwnOracle(f"of study {name}", found["params"], found["objective"], call)
        optimizer, seed = (asked, None) if own else oracle(found["oracle"])
        if isinstance(optimizer, GridSearch):
            _check_grid(space)
        check = getattr(optimizer, "check", None)
        if check is not None:
            check(space)
    except ConfigError as error:
        raise ConfigError(f"study {name!r}: {error}") from None
    objective = found["objective"]
    return Definition(
        name,
        index,
        space,
        objective["metric"],
        objective["direction"],
        optimizer,
        seed,
        found["replicates"],
        found["description"],
        tuple(found["takes"]),
        found["acquires"],
    )


def _check_grid(space: Searchspace) -> None:
    """Raise `ConfigError`, in a study file's words, for what has no grid."""
    for name, each in space.items():
        if each.size is None:
            raise ConfigError(
                f"parameter {name} is not discrete: list its values for grid_search, or name another oracle, such as "
                "skopt()"
            )


def domain(found: Mapping[str, Any]) -> Domain:
    """Return the domain of a parameter. A range ends before its second end."""
    if found["param"] == "discrete":
        values = found["values"]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return Ordinal(values) if numbers else Categorical(values)
    low, end = found["ends"]
    return Float(low, math.nextafter(end, -math.inf)) if isinstance(low, float) else Integer(low, end - 1)


def oracle(found: Any) -> tuple[Optimizer, int | None]:
    """Return the optimizer that an oracle means, and its seed where it has one.

    A text is the name of one of maggy's optimizers.
    """
    if isinstance(found, str):
        if ":" in found:
            return Foreign(found), None
        named: dict[str, Any] = {**OPTIMIZERS, **VARIANTS}
        made = named.get(found.lower())
        if made is None:
            raise ConfigError(f"there is no oracle {found!r}{nearest(found.lower(), named)}")
        chosen: Optimizer = made()
        return chosen, None
    match found["oracle"]:
        case "grid_search":
            return GridSearch(), None
        case "random":
            return RandomSearch(), found["seed"]
        case _:
            return skopt(**{name: value for name, value in found.items() if name != "oracle"}), None


def skopt(base_estimator: str, n_initial_points: int, acq_func: str, acq_optimizer: str) -> Optimizer:
    """Return our own model of the kind that these options of scikit-optimize mean."""
    known: dict[str, Any] = {"GP": Gp, "RF": Cqr, "ET": Cqr, "GBRT": Cqr}
    if base_estimator not in known:
        raise ConfigError(f"skopt(base_estimator={base_estimator!r}); it must be one of {', '.join(known)}")
    if acq_func not in ("gp_hedge", "LCB", "EI", "PI") or acq_optimizer not in ("auto", "sampling", "lbfgs"):
        raise ConfigError(f"skopt(acq_func={acq_func!r}, acq_optimizer={acq_optimizer!r}) is nothing that skopt knows")
    if n_initial_points < 1:
        raise ConfigError(f"skopt(n_initial_points={n_initial_points}); it must be at least 1")
    return cast("Optimizer", known[base_estimator](startup=max(2, n_initial_points)))


def run_config(found: Any, who: str) -> RunConfig:
    """Read what a study's function has returned. Raises `ConfigError`, naming the study, where that is no run."""
    if not isinstance(found, Mapping) or "script" not in found or "systems" not in found or "dataset" in found:
        raise ConfigError(f"the function of study {who!r} returned {found!r}; it must return run_config(…)")
    datasets = tuple(
        Dataset(each["dataset"], systems(each["systems"]), each["script"], each["if_not_exist"], tuple(each["files"]))
        for each in found["datasets"]
    )
    return RunConfig(found["script"], systems(found["systems"]), tuple(found["files"]), datasets)


def systems(found: Sequence[Mapping[str, Any]]) -> tuple[System, ...]:
    """Read a list of systems."""
    return tuple(
        System(each["system"], each["name"], each["parallelism"], each["preamble"], each.get("resources") or {})
        for each in found
    )
