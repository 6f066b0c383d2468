"""Models without some of their layers or steps: which library's a model is, and what the libraries share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from maggy.ablation.parts import Part
from maggy.errors import ConfigError, amount, nearest


class Surgeon(Protocol):
    """What takes parts out of one library's models; a module of this folder."""

    def names(self, model: Any) -> list[str]:
        """Return the names of the parts that a model has."""

    def reduced(self, model: Any, gone: Collection[str], example: Any, *, check: bool) -> Any:
        """Return the model without these, which it has. Raises `ConfigError` where that cannot be.

        The model is the caller's own. `check` is to find out all that can be; with `example`, an input, from what comes
        out of the model.
        """


def surgeon_for(model: Any) -> Surgeon | None:
    """Return what can take this model apart; None where nothing can, as for a class or function that makes one."""
    if isinstance(model, type):
        return None
    homes = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "keras" in homes:  # before torch: with that backend its layers are torch modules as well
        from maggy.ablation import kerases

        return kerases
    if "torch" in homes:
        from maggy.ablation import torches

        return torches
    if hasattr(model, "set_params") and hasattr(model, "get_params"):
        from maggy.ablation import pipelines

        return pipelines
    return None


def built(model: Any, make: Callable[[Callable[..., Any]], Any]) -> Any:
    """Return a model of one's own: of a function what it makes, of a model a copy."""
    if surgeon_for(model) is None and callable(model):
        return make(model)
    return copy.deepcopy(model)


def without(model: Any, parts: Collection[Part], example: Any = None, *, check: bool = False) -> Any:
    """Return the model without these parts; it may be changed. Raises `ConfigError` where one cannot be left out."""
    if not parts:
        return model
    surgeon = surgeon_for(model)
    if surgeon is None:
        raise ConfigError(
            f"of a model of type {type(model).__name__} nothing can be left out: it must be a PyTorch module, a Keras "
            "model or a scikit-learn pipeline; others are given whole, with models={'name': function}"
        )
    has = surgeon.names(model)
    gone = list(dict.fromkeys(name for part in parts for name in members(part, has)))
    return surgeon.reduced(model, gone, example, check=check)


def members(part: Part, has: list[str]) -> Iterable[str]:
    """Return the names of a part's members. Raises `ConfigError` for one that the model does not have."""
    if part.prefix is None:
        for name in part.members:
            if name not in has:
                known = ", ".join(map(repr, has[:30])) + (f" and {len(has) - 30} more" if len(has) > 30 else "")  # noqa: PLR2004
                raise ConfigError(f"the model has no {part.kind} {name!r}{nearest(name, has)} (it has {known})")
        return part.members
    found = [name for name in has if name.startswith(part.prefix)]
    if not found:
        raise ConfigError(
            f"no {part.kind} of the model begins with {part.prefix!r}; it has {amount(len(has), part.kind)}: "
            f"{', '.join(map(repr, has[:30]))}"
        )
    return found
