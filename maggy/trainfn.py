"""The training function: how its parameters are filled, and whether they can be.

By name: each hyperparameter, and, where the function names them, `hparams` (all of them in a dict), `reporter`,
`budget`, `trial` (its number); `train_args` fill the rest. A `**kwargs`, whatever it is called, takes hyperparameters
and `train_args` that have no parameter of their own. A hyperparameter that is inactive in a trial is passed in none of
these ways, so the function has a default for it. The driver checks this before anything starts, the trial's process
does it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from types import MappingProxyType
from typing import Any

from maggy.errors import ConfigError, nearest

TrainFn = Callable[..., Any]
Parameters = tuple[dict[str, Parameter], bool]  # by name, and whether there is a **kwargs besides
PROVIDED = ("hparams", "reporter", "budget", "trial")


def parameters(train_fn: TrainFn) -> Parameters:
    """Return what the function takes.

    Raises `ConfigError` for what shows no signature.
    """
    if not callable(train_fn):
        raise ConfigError(f"train_fn is of type {type(train_fn).__name__}; it must be a function")
    try:
        found = inspect.signature(train_fn, follow_wrapped=False).parameters
        if any(each.kind is Parameter.VAR_KEYWORD for each in found.values()):
            found = inspect.signature(train_fn).parameters  # a decorator that hands on what it is given
    except (TypeError, ValueError):
        raise ConfigError(f"{label(train_fn)} hides its signature; wrap it in a Python function") from None
    named = {
        name: each for name, each in found.items() if each.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    }
    return named, any(each.kind is Parameter.VAR_KEYWORD for each in found.values())


def label(train_fn: TrainFn) -> str:
    """Return the function as its user would write it: `train()`."""
    return f"{getattr(train_fn, '__name__', type(train_fn).__name__)}()"


def arguments(taken: Parameters, params: Mapping[str, Any], provided: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for one call: of `params` and `provided` what a function with `taken` takes."""
    wanted, open_ended = taken
    kept = {name: value for name, value in provided.items() if name in wanted or (open_ended and name not in PROVIDED)}
    open_ended = open_ended and "hparams" not in wanted  # who names hparams has them all in there
    return kept | {name: value for name, value in params.items() if name in wanted or open_ended}


def check(
    train_fn: TrainFn,
    names: Iterable[str],
    train_args: Iterable[str] = (),
    conditions: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Raise `ConfigError` where the function cannot be called with these hyperparameters.

    `conditions` has those that are absent at times, and what has to be so that they are not.
    """
    wanted, open_ended = parameters(train_fn)
    names, extra = list(names), list(train_args)
    takes = ", ".join(wanted) or "nothing"
    for name, each in wanted.items():
        if each.kind is Parameter.POSITIONAL_ONLY:
            raise ConfigError(f"{label(train_fn)} takes {name!r} by position only; maggy passes parameters by name")
    for name in names:
        if name not in wanted and not open_ended and "hparams" not in wanted:
            raise ConfigError(
                f"{label(train_fn)} has no parameter {name!r}, which the searchspace defines{nearest(name, wanted)}; "
                f"it takes: {takes}"
            )
        if name in conditions and name in wanted and wanted[name].default is Parameter.empty:
            raise ConfigError(
                f"{label(train_fn)} needs {name!r}, which is absent unless {conditions[name]}: "
                f"give it a default, as in {name}=None"
            )
    for name in extra:
        if name in names or name in PROVIDED:
            raise ConfigError(f"train_args has {name!r}, which maggy fills itself; choose another name")
        if name not in wanted and not open_ended:
            raise ConfigError(f"{label(train_fn)} has no parameter {name!r}, which train_args gives; it takes: {takes}")
    filled = {*names, *extra, *PROVIDED}
    for name, each in wanted.items():
        if name not in filled and each.default is Parameter.empty:
            raise ConfigError(
                f"{label(train_fn)} needs {name!r}, which the searchspace does not define{nearest(name, names)}; "
                f"it defines: {', '.join(names) or 'nothing'}"
            )


def names_any(train_fn: TrainFn, wanted: Iterable[str]) -> bool:
    """Whether the function names one of these parameters."""
    return not parameters(train_fn)[0].keys().isdisjoint(wanted)
