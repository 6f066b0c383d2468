"""Training functions that take what they are given today under the names that it had."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from maggy.trainfn import TrainFn

RESOURCE = "resource"  # what ASHA's budget was called in Maggy 0.x


class AsBefore:
    """Calls a training function with its budget as `resource`, or among `hparams`, and with fixed ones among these.

    To whoever looks, it takes what the function takes, and `budget`.
    """

    def __init__(self, train_fn: TrainFn, *, in_hparams: bool, fixed: Mapping[str, Any]) -> None:
        self.train_fn = train_fn
        self.in_hparams = in_hparams
        self.fixed = dict(fixed)
        self.__name__ = getattr(train_fn, "__name__", "train_fn")

    @property
    def __signature__(self) -> inspect.Signature:
        """What it takes: `resource` need not be given, and the order of what is passed by name does not matter."""
        taken = dict(inspect.signature(self.train_fn).parameters)
        if RESOURCE in taken:
            taken[RESOURCE] = taken[RESOURCE].replace(default=None)
        taken.setdefault("budget", Parameter("budget", Parameter.KEYWORD_ONLY, default=None))
        named = [
            each.replace(kind=Parameter.KEYWORD_ONLY) if each.kind is Parameter.POSITIONAL_OR_KEYWORD else each
            for each in taken.values()
        ]
        return inspect.Signature(sorted(named, key=lambda each: each.kind))

    def __call__(self, **given: Any) -> Any:
        """Run one trial."""
        taken = inspect.signature(self.train_fn).parameters
        budget = given["budget"] if "budget" in taken else given.pop("budget", None)
        if RESOURCE in taken and (budget is not None or taken[RESOURCE].default is Parameter.empty):
            given.setdefault(RESOURCE, budget)
        if self.in_hparams and "hparams" in given:
            given["hparams"] = {**self.fixed, **given["hparams"], **({} if budget is None else {"budget": budget})}
        return self.train_fn(**given)
