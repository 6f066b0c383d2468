"""What a call asks for, validated: every default in one place, every error a sentence, nothing started yet."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Integral, Real
from random import Random
from typing import Any, cast, get_args

from maggy import plugins
from maggy.command import Command
from maggy.domains import Categorical, Domain, Ordinal
from maggy.earlystop import STOP_RULES, Median, StopRule
from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import dumps
from maggy.optimizers import OPTIMIZERS, VARIANTS, Asha, Foreign, GridSearch, Halving, Optimizer, SingleRun, Wrapped
from maggy.optimizers.ablators import Ablator
from maggy.optimizers.foreign import refuse_objects
from maggy.points import checked as points_of
from maggy.searchspace import DRAWS, Searchspace
from maggy.trial import Direction, Objective

NUM_TRIALS = 100
BEAT = 1.0  # seconds between an executor's signs of life (Maggy's hb_interval)
LEASE = 10.0  # seconds of silence after which an executor's trial is given to another
GRACE = 5.0  # seconds that a trial has to heed a stop before its process is killed
MAX_PARAMS = 128 * 1024  # bytes of a configuration as JSON: it has to fit a message
RELAY_LIMIT = 100_000_000  # bytes of a checkpoint that the driver takes from executors that cannot keep it themselves
LEAST_ALLOWED = 0.02  # of the configurations: of 1,000 draws in a row one is allowed then, but for 2 in 10^9
MAX_LOST = 3  # executors that a trial may cost before it is taken for the cause

# A warm process for all trials of an executor, or a fresh one for each, or none at all, for debugging.
ISOLATIONS = ("executor", "trial", "inline")

# Options that the log does not hold, so a resume is given them again; what is left out changes only what is shown.
PER_CALL = (
    *("launcher", "isolation", "num_executors", "gpus_per_trial", "trials_per_gpu", "resource_profile", "tls"),
    *("timeout", "max_failures", "max_lost", "trial_timeout", "report_timeout", "memory_limit", "keep_checkpoints"),
    *("train_args", "hb_interval", "lease"),
)

_DIRECTIONS: dict[str, Direction] = {"max": "max", "min": "min", "maximize": "max", "minimize": "min"}


@dataclass(frozen=True)
class Gpus:
    """How many GPUs a trial gets, or how many trials share one; neither leaves the environment as it is."""

    per_trial: int | None = None
    per_gpu: int | None = None

    def __post_init__(self) -> None:
        count_or_none("gpus_per_trial", self.per_trial)
        count_or_none("trials_per_gpu", self.per_gpu)
        if self.per_gpu is not None and (self.per_trial or 1) > 1:
            raise ConfigError(f"{self} contradict each other: trials have several GPUs each, or share one")

    def __bool__(self) -> bool:
        return self.per_trial is not None or self.per_gpu is not None

    def __str__(self) -> str:
        options = {"gpus_per_trial": self.per_trial, "trials_per_gpu": self.per_gpu}
        return " and ".join(f"{name}={value}" for name, value in options.items() if value is not None)

    @property
    def amount(self) -> float:
        """GPUs for one trial."""
        return (self.per_trial or 1) / (self.per_gpu or 1)

    def room(self, gpus: int) -> int:
        """Return how many trials so many GPUs are enough for at once."""
        return gpus // (self.per_trial or 1) * (self.per_gpu or 1)


@dataclass(frozen=True)
class StudyConfig:
    """How a study is run. `settings()` is what its log remembers."""

    searchspace: Searchspace
    optimizer: Optimizer
    rules: tuple[StopRule, ...]
    objective: Objective
    num_trials: int | None
    seed: int
    timeout: float | None = None
    beat: float = BEAT
    lease: float = LEASE
    grace: float = GRACE
    max_lost: int = MAX_LOST
    max_failures: int | None = None
    trial_timeout: float | None = None
    report_timeout: float | None = None
    memory_limit: int | None = None
    isolation: str = "executor"
    rules_asked_for: bool = False
    keep_checkpoints: int | None = None
    points: tuple[Mapping[str, Any], ...] = ()
    known: tuple[tuple[Mapping[str, Any], float], ...] = ()
    command: Command | None = None
    guide: Callable[[Optimizer], Optimizer] | None = None  # what stands between the optimizer and the study
    retry: bool = False  # whether trials that failed before are to run again
    remembered: Mapping[str, Any] = field(default_factory=dict)  # further settings

    def settings(self) -> dict[str, Any]:
        """Return what a resume needs to know, as JSON values."""
        return {
            "searchspace": self.searchspace.to_dict(),
            "metric": self.objective.metric,
            "direction": self.objective.direction,
            "num_trials": self.num_trials,
            "seed": self.seed,
            "optimizer": plugins.to_json(self.optimizer, OPTIMIZERS),
            "earlystop": [plugins.to_json(rule, STOP_RULES) for rule in self.rules],
            **({"points_to_evaluate": list(self.points)} if self.points else {}),
            **({"command": self.command.to_json()} if self.command else {}),
            **self.remembered,
        }

    @property
    def passed_again(self) -> list[str]:
        """The options of which the log knows no more than a name, since they are not maggy's own."""
        described = {"optimizer": [plugins.to_json(self.optimizer, OPTIMIZERS)]}
        described["earlystop"] = [plugins.to_json(rule, STOP_RULES) for rule in self.rules]
        return [option for option, each in described.items() if any("custom" in one for one in each)]

    @property
    def needs_reports(self) -> bool:
        """Whether trials that never report make the call pointless: a rule was asked for, or rungs compare trials."""
        return self.rules_asked_for or isinstance(self.optimizer, Halving)

    @property
    def continues(self) -> bool:
        """Whether the optimizer may have trials continued by others."""
        return getattr(self.optimizer, "continues", True)

    @property
    def active_rules(self) -> tuple[StopRule, ...]:
        """The stop rules, the optimizer's own judgement included."""
        return (
            (*self.rules, self.optimizer) if isinstance(self.optimizer, Asha) and self.optimizer.stops else self.rules
        )


def configure(
    searchspace: Searchspace | Mapping[str, Any] | None,
    *,
    optimizer: str | Optimizer | None,
    direction: str,
    metric: str | None,
    num_trials: int | None,
    timeout: float | None,
    earlystop: str | StopRule | Sequence[StopRule] | None,
    es_min: int | None,
    es_interval: int | None,
    hb_interval: float | None,
    max_failures: int | None,
    seed: int,
    max_lost: int | None = None,
    lease: float | None = None,
    trial_timeout: float | None = None,
    report_timeout: float | None = None,
    memory_limit: int | str | None = None,
    isolation: str = "executor",
    keep_checkpoints: int | None = None,
    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    evaluated_rewards: Sequence[float | None] | None = None,
) -> StudyConfig:
    """Validate what a call asks for. Raises `ConfigError`, a full sentence, for what cannot be."""
    space = _space(searchspace)
    chosen = _optimizer(optimizer, space)
    check = getattr(chosen, "check", None)
    if check is not None:
        check(space)
    _check_size(space)
    if not isinstance(chosen, GridSearch):
        _check_odds(space)
    points, known = points_of(points_to_evaluate, evaluated_rewards, space)
    if points and isinstance(chosen, GridSearch | SingleRun | Ablator):
        raise ConfigError("points_to_evaluate are tried before what the optimizer suggests, and this one tries all")
    rules = _rules(earlystop, chosen, es_min, es_interval)
    limits = {"trial_timeout": trial_timeout, "report_timeout": report_timeout, "memory_limit": memory_limit}
    return StudyConfig(
        searchspace=space,
        optimizer=chosen,
        rules=rules,
        objective=Objective(_metric(metric), _direction(direction)),
        num_trials=_num_trials(num_trials, timeout, chosen, space),
        seed=_whole("seed", seed),
        timeout=_seconds("timeout", timeout),
        beat=_seconds("hb_interval", hb_interval) or BEAT,
        lease=_lease(lease, hb_interval),
        max_lost=count_or_none("max_lost", max_lost) or MAX_LOST,
        max_failures=count_or_none("max_failures", max_failures),
        trial_timeout=_seconds("trial_timeout", trial_timeout),
        report_timeout=_seconds("report_timeout", report_timeout),
        memory_limit=_bytes("memory_limit", memory_limit),
        isolation=_isolation(isolation, limits),
        keep_checkpoints=count_or_none("keep_checkpoints", keep_checkpoints),
        points=tuple(points),
        known=tuple(known),
        rules_asked_for=bool(rules) and (earlystop != "default" or es_min is not None or es_interval is not None),
    )


def reconfigured(
    settings: Mapping[str, Any], optimizer: Optimizer | None, rules: Sequence[StopRule] | None
) -> tuple[Optimizer, tuple[StopRule, ...]]:
    """Rebuild a study's optimizer and stop rules from its log; those that are not maggy's own are passed again."""
    chosen = optimizer or plugins.from_json("optimizer", settings["optimizer"], OPTIMIZERS)
    if rules is not None:
        return chosen, tuple(rules)
    return chosen, tuple(plugins.from_json("stop rule", each, STOP_RULES) for each in settings["earlystop"])


def _space(given: Searchspace | Mapping[str, Any] | None) -> Searchspace:
    if given is None:
        return Searchspace()
    if isinstance(given, Searchspace):
        return given.copy()
    if isinstance(given, Mapping):
        return Searchspace(given)
    raise ConfigError(f"the searchspace is of type {type(given).__name__}; write Searchspace(lr=Float(1e-4, 1e-1), …)")


def _check_size(space: Searchspace) -> None:
    """Raise `ConfigError` where a configuration could be larger than a message."""
    largest = {name: max(map(_size, domain.grid() or [0.0])) for name, domain in space.items() if _listed(domain)}
    if sum(largest.values()) > MAX_PARAMS:
        name = max(largest, key=lambda name: largest[name])
        raise ConfigError(
            f"a configuration may have {MAX_PARAMS:,} bytes, but {name!r} alone has choices of {largest[name]:,}: "
            "let the choices be names, and look the large values up in train_fn, or pass them in train_args"
        )


def _check_odds(space: Searchspace) -> None:
    """Raise `ConfigError` where so much is forbidden that drawing again would at times find nothing."""
    if not space.forbidden:
        return
    rng = Random(0)
    points = ([rng.random() for _ in space.keys()] for _ in range(DRAWS))  # noqa: SIM118 - iterating gives dicts
    allowed = sum(space.contains(space.from_unit(point)) for point in points)
    if allowed < LEAST_ALLOWED * DRAWS:
        raise ConfigError(
            f"of {DRAWS} configurations drawn from this searchspace {DRAWS - allowed} are forbidden, too many to draw "
            "again: forbid less, say it with when=, or make what goes together the choices of one Categorical"
        )


def _listed(domain: Domain) -> bool:
    return isinstance(domain, (Categorical, Ordinal))


def _size(value: Any) -> int:
    return len(dumps(value).encode())


def _optimizer(given: str | Optimizer | None, space: Searchspace) -> Optimizer:
    if given == "default":
        given = "randomsearch" if len(space) or space.open else None
    if given is None:
        return SingleRun()
    if isinstance(given, str):
        if ":" in given:
            return Foreign(given)
        named: dict[str, Callable[[], Any]] = {**OPTIMIZERS, **VARIANTS}
        del named["foreign"]  # it has a name of its own, with a colon
        return cast("Optimizer", plugins.by_name("optimizer", given, named))
    refuse_objects(given)
    chosen: Any = plugins.checked("optimizer", given, "ask", "asha")
    return Wrapped.copies(chosen) if callable(getattr(chosen, "tell", None)) and _takes_nothing(chosen.ask) else chosen


def _takes_nothing(ask: Callable[..., Any]) -> bool:
    """Whether an ask is another library's: one of ours takes a study, whatever else its optimizer can do."""
    with suppress(ValueError):  # of what is compiled nobody may know what it takes
        try:
            inspect.signature(ask).bind()
        except TypeError:
            return False
    return True


def _rules(given: Any, optimizer: Optimizer, es_min: int | None, es_interval: int | None) -> tuple[StopRule, ...]:
    count_or_none("es_min", es_min)
    count_or_none("es_interval", es_interval)
    asked = es_min is not None or es_interval is not None
    if asked and given == "default":
        given = "median"
    named = [each.lower() for each in (given if isinstance(given, (list, tuple)) else [given]) if isinstance(each, str)]
    if asked and "median" not in named:
        raise ConfigError(f"es_min and es_interval belong to the median rule; with earlystop={given!r} leave them out")
    median = Median(min_trials=es_min or Median.min_trials, interval=es_interval or Median.interval)
    if given is None or (isinstance(given, str) and given.lower() == "none"):
        return ()
    if given == "default":
        return () if isinstance(optimizer, (Halving, SingleRun, Ablator)) else (median,)
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return tuple(_rule(each, median) for each in several)


def _rule(given: Any, median: Median) -> StopRule:
    if isinstance(given, str):
        named: StopRule = plugins.by_name("stop rule", given, {**STOP_RULES, "none": type(None)})
        return median if isinstance(named, Median) else named
    return cast("StopRule", plugins.checked("stop rule", given, "reason_to_stop", "median"))


def _direction(given: str) -> Direction:
    found = _DIRECTIONS.get(given.lower()) if isinstance(given, str) else None
    if found is None:
        raise ConfigError(f"direction={given!r}; it must be one of {', '.join(map(repr, get_args(Direction)))}")
    return found


def _metric(given: str | None) -> str | None:
    if given is None or (isinstance(given, str) and given):
        return given
    raise ConfigError(f"metric={given!r}; it must be the name of a metric, such as metric='accuracy'")


def _num_trials(given: int | None, timeout: float | None, optimizer: Optimizer, space: Searchspace) -> int | None:
    if given is not None:
        return _count("num_trials", given)
    if isinstance(optimizer, GridSearch):
        return None if space.size is None else int(space.size)
    if isinstance(optimizer, Ablator):
        return optimizer.total(space)
    if isinstance(optimizer, SingleRun):
        return 1
    return None if timeout is not None else NUM_TRIALS


def _lease(given: float | None, beat: float | None) -> float:
    lease, beat = _seconds("lease", given), _seconds("hb_interval", beat) or BEAT
    if lease is not None and lease < 2 * beat:
        raise ConfigError(f"lease={lease:g} s would be over before a late sign of life (one each {beat:g} s) has come")
    return lease or max(LEASE, 5 * beat)


def _bytes(name: str, given: int | str | None) -> int | None:
    if given is None:
        return None
    if isinstance(given, str) and (
        found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", given, re.IGNORECASE)
    ):
        given = int(float(found[1]) * 1024 ** (" KMGT".index(found[2].upper() or " ")))
    if isinstance(given, Integral) and not isinstance(given, bool) and given > 0:
        return int(given)
    raise ConfigError(f"{name}={given!r}; it must be a number of bytes or a text such as '2GB'")


def _isolation(given: str, limits: Mapping[str, Any]) -> str:
    if given not in ISOLATIONS:
        raise ConfigError(f"isolation={given!r}{nearest(str(given), ISOLATIONS)}; it must be one of {ISOLATIONS}")
    for name, limit in limits.items():
        if given == "inline" and limit is not None:
            raise ConfigError(f"{name}={limit!r} takes force, and with isolation='inline' there is no process to end")
    return given


def one_of(name: str, value: Any, default: Any, alias: str, other: Any, unset: Any = None) -> Any:
    """Return what was given under either of two names. Raises `ConfigError` where both were, and differ."""
    if other == unset:
        return value
    if value not in (default, other):
        raise ConfigError(f"{name}={value!r} and {alias}={other!r} are two names for one thing; give one of them")
    return other


def count_or_none(name: str, value: Any) -> int | None:
    """Return `value` where it is None or a whole number of at least 1. Raises `ConfigError` otherwise."""
    return None if value is None else _count(name, value)


def _count(name: str, value: Any) -> int:
    if _whole(name, value) < 1:
        raise ConfigError(f"{name}={value!r}; it must be at least 1")
    return int(value)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigError(f"{name}={value!r}; it must be a whole number")
    return int(value)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    seconds = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{name}={value!r}; it must be a number of seconds, over 0")
    return seconds
