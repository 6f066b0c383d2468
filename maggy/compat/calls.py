"""Calls of `lagom` as Maggy 0.2, 0.5 and 1.x took them, said in today's words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from maggy import compat, trainfn
from maggy.ablation import AblationStudy
from maggy.command import Command
from maggy.compat.configs import LagomConfig, is_grid
from maggy.compat.functions import RESOURCE, AsBefore
from maggy.earlystop import AbstractEarlyStop, Median
from maggy.errors import ConfigError
from maggy.searchspace import Searchspace

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Today's order is that of 0.2, as far as that takes arguments by position.
_LATER = ("hb_interval", "es_policy", "es_interval", "es_min", "description")
ORDER = ("train_fn", "searchspace", "optimizer", "direction", "num_trials", "name", *_LATER)
TODAY = ORDER.index("hb_interval")  # how many may come by position
ORDER_0_5 = (
    *("train_fn", "name", "experiment_type", "searchspace", "optimizer", "direction", "num_trials"),
    *("ablation_study", "ablator", "optimization_key", *_LATER),
)


def as_before(lagom: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let `lagom` also be called as it was in Maggy 0.2, 0.5 and 1.x."""
    understood = cast("Callable[..., _R]", lagom)

    @functools.wraps(lagom)
    def either(*args: Any, **named: Any) -> _R:
        order = ORDER_0_5 if len(args) > 1 and isinstance(args[1], str) else ORDER
        places = dict(zip(order, args, strict=False))
        if len(args) > len(order) or not places.keys().isdisjoint(named):
            return understood(*args, **named)  # which says what is wrong with it, as of any function
        told = today({**places, **named}, ordered=order is ORDER_0_5 or len(args) > TODAY)
        return understood(**told)

    return cast("Callable[_P, _R]", either)


def today(call: Mapping[str, Any], *, ordered: bool = False) -> dict[str, Any]:
    """Return the arguments of `lagom` that a call of any kind stands for; one of today's is returned as it is.

    `ordered` tells of arguments that came by position, where they do not today. A warning is given, once in a process,
    where something is not today's. Raises `ConfigError` for what contradicts itself.
    """
    given = dict(call)
    if ordered:
        compat.tell("the order of these arguments")
    if ordered or "experiment_type" in given:
        _apart(given, ordered=ordered)
    if (ordered or "experiment_type" in given or "map_fun" in given) and is_grid(given.get("optimizer")):
        given.pop("num_trials", None)  # Maggy tried the whole grid, whatever stood there
    if "map_fun" in given:
        compat.tell("map_fun=")
        _give(given, {"train_fn": given.pop("map_fun")}, "map_fun=")
    if "description" in given:
        compat.tell("description=")
        del given["description"]
    if "config" in given:
        _give(given, {"searchspace": given.pop("config")}, "config=")
    fixed: Mapping[str, Any] | None = None
    if isinstance(config := given.get("searchspace"), LagomConfig):
        compat.tell(type(config).__name__)
        del given["searchspace"]
        _give(given, config.options(), type(config).__name__)
        fixed = config.fixed()
        if provided := _named(given, config.provided()):
            given["train_args"] = {**provided, **(given.get("train_args") or {})}
    _policy(given)
    _function(given, fixed)
    return given


def _give(given: dict[str, Any], more: Mapping[str, Any], where: str) -> None:
    for name, value in more.items():
        if name in given and given[name] is not value and given[name] != value:
            raise ConfigError(f"{name}={given[name]!r}, but {where} says {value!r}; give one of them")
        given[name] = value


def _apart(given: dict[str, Any], *, ordered: bool) -> None:
    """Leave out what Maggy 0.5 took, and had no use for in this kind of experiment."""
    ablation = given.get("ablation_study") is not None
    for name in ("searchspace", "optimizer") if ablation else ("ablation_study", "ablator"):
        if given.get(name) in (None, "loco", "none"):
            given.pop(name, None)
    if ablation and ordered:
        given.pop("num_trials", None)  # which had to be there for what came after it


def _named(given: Mapping[str, Any], provided: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is provided and the function names."""
    if not provided or isinstance(given.get("train_fn"), Command):
        return {}
    takes, _ = trainfn.parameters(cast("trainfn.TrainFn", given.get("train_fn")))
    return {name: value for name, value in provided.items() if name in takes}


def _policy(given: dict[str, Any]) -> None:
    """Let Maggy's way to say when a rule looks hold for rules that are instances."""
    asked = "es_policy" if "es_policy" in given else "earlystop"
    rule, when = given.get(asked), ("es_interval", "es_min")
    if isinstance(rule, AbstractEarlyStop):
        compat.tell(f"{type(rule).__name__}, an AbstractEarlyStop,")
        given[asked] = rule.every(*(given.pop(name, None) for name in when))
    elif asked == "es_policy" and rule == Median() and not given.keys().isdisjoint(when):
        given[asked] = "median"  # with when it looks
    elif asked == "es_policy" and (rule is None or (isinstance(rule, str) and rule.lower() == "none")):
        for name in when:
            given.pop(name, None)


def _function(given: dict[str, Any], fixed: Mapping[str, Any] | None) -> None:
    """Have a function that knows budgets by an old name given them so. `fixed` is None where no config was given."""
    train_fn = given.get("train_fn")
    if train_fn is None or isinstance(train_fn, Command):
        return
    takes, _ = trainfn.parameters(train_fn)
    in_hparams = fixed is not None and "hparams" in takes
    as_resource = RESOURCE in takes and not _defines(given, RESOURCE)
    if as_resource:
        compat.tell("a parameter `resource`")
    if as_resource or in_hparams:
        given["train_fn"] = AsBefore(train_fn, in_hparams=in_hparams, fixed=fixed or {})


def _defines(given: Mapping[str, Any], name: str) -> bool:
    space: Any = given.get("searchspace")
    space = space.components if isinstance(space, AblationStudy) else space
    known = [each for each in (space, given.get("train_args")) if isinstance(each, Mapping | Searchspace)]
    return any(name in each for each in known)
