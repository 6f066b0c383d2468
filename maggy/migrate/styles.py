"""Whose an objective is, told by its signature, its code and its searchspace; and what it becomes here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from inspect import Parameter
from typing import Any

from maggy import trainfn
from maggy.command import Command
from maggy.errors import ConfigError, nearest
from maggy.migrate import hyperspace, tunespace
from maggy.migrate.objectives import Objective, WithDict, WithTrial, names_in
from maggy.searchspace import OPEN, RESERVED, Searchspace
from maggy.trainfn import PROVIDED, TrainFn

DICTS = ("config", "params", "hparams", "space", "args", "kwargs", "hyperparameters", "cfg")  # of objectives' arguments
Adopted = tuple[TrainFn | Command, Any, str | None]


def adopted(
    train_fn: TrainFn | Command,
    space: Any,
    direction: str | None,
    filled: Collection[str] = (),
    *,
    resume: bool = False,
) -> Adopted:
    """Return a training function, a searchspace and a direction; what is of no other library as it is.

    `filled` are the names of arguments that are given besides. Hyperopt minimizes. Raises `ConfigError` where no
    direction is given for those that may do either, or where it cannot be told what an objective wants.
    """
    if isinstance(train_fn, Command | Objective):
        return train_fn, space, direction
    if hyperspace.has_nodes(space):
        found = hyperspace.read(space)
        return WithDict(train_fn, found.form), found.searchspace, direction or "min"
    if tunespace.has_domains(space):
        found = tunespace.read(space)
        return WithDict(train_fn, found.form), found.searchspace, _named(direction, "Ray Tune's spaces", resume=resume)
    if space is not None and not isinstance(space, Searchspace | Mapping):
        return train_fn, space, direction  # an ablation study, or what will be refused
    alone = _alone(train_fn, filled)
    if alone is None or (space and alone in space):
        return train_fn, space, direction
    words = set(names_in(train_fn))
    if any(word.startswith("suggest_") for word in words):
        known = {} if space is None else Searchspace(space).to_dict()
        direction = _named(direction, "Optuna's objectives, which minimize by default", resume=resume)
        return WithTrial(train_fn), Searchspace({**known, OPEN: True}), direction
    if alone in {*PROVIDED, *RESERVED}:
        return train_fn, space, direction
    if not space and resume:
        return train_fn, space, direction  # the study knows its parameters
    if not space:
        raise ConfigError(
            f"{trainfn.label(train_fn)} takes one argument, {alone!r}, and it cannot be told what that is to be: for a "
            "dict of parameters, as with Hyperopt and Ray Tune, give a searchspace; "
            "an objective of Optuna's calls trial.suggest_float() and the like, in its own code or its module's "
            "functions, else pass it to maggy.migrate.optuna.create_study().optimize()"
        )
    if alone not in DICTS and nearest(alone, Searchspace(space).keys()):
        return train_fn, space, direction  # a parameter that was mistyped, and will be refused
    return WithDict(train_fn), space, direction or ("min" if {"loss", "status"} <= words else None)


def _named(direction: str | None, whose: str, *, resume: bool) -> str | None:
    if direction is None and not resume:
        raise ConfigError(f"say which way is better, direction='min' or 'max': {whose} may mean either")
    return direction


def _alone(train_fn: Any, filled: Collection[str]) -> str | None:
    """Return the name of the only argument that a function cannot do without, if there is just one."""
    if isinstance(train_fn, type) or not callable(train_fn):
        return None
    wanted, _ = trainfn.parameters(train_fn)
    needed = [name for name, each in wanted.items() if each.default is Parameter.empty and name not in filled]
    return needed[0] if len(needed) == 1 else None
