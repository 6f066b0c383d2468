"""Layers of PyTorch's modules: a layer that is left out hands on what it is given.

What follows must be able to take that, so a layer has to keep the shape, or a group that is left out together. That is
seen from the layers themselves (`in_features` and the like), and for certain from an example input.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from maggy.errors import ConfigError

# What goes in and what comes out, by the attributes of layers that say so.
_SIZES = (("in_features", "out_features"), ("in_channels", "out_channels"), ("num_embeddings", "embedding_dim"))
_SEVERAL = ("RNNBase", "MultiheadAttention", "RNNCellBase")  # return more than one value, or take a state


class Passed(nn.Module):  # type: ignore[misc]  # its types are not read
    """Stands where a layer was, and hands on the first thing that it is given."""

    def forward(self, given: Any, *others: Any, **named: Any) -> Any:  # noqa: ARG002 - masks and the like
        """Return what was given."""
        return given


def names(model: Any) -> list[str]:
    """Return the names of all submodules, nested ones with dots, those that hold others before these."""
    return [name for name, _ in model.named_modules() if name]


def reduced(model: Any, gone: Collection[str], example: Any, *, check: bool) -> Any:
    """Return the module with these layers passed by. Raises `ConfigError` where the shape would change."""
    inner = {name for name in gone if any(name.startswith(f"{other}.") for other in gone)}
    outermost = [name for name in names(model) if name in gone and name not in inner]
    layers = [model.get_submodule(name) for name in outermost]
    if check:
        _check_kinds(outermost, layers)
    if check and example is None:
        _check_sizes(outermost, layers)
    before = None
    if check and example is not None:
        try:
            before = _shapes(model, example)
        except Exception as error:
            raise ConfigError(f"the model does not run with the example: {error}") from error
    for name in outermost:
        owner, _, own = name.rpartition(".")
        setattr(model.get_submodule(owner), own, Passed())
    if before is not None:
        _check_shapes(outermost, before, model, example)
    return model


def _check_kinds(gone: list[str], layers: list[Any]) -> None:
    for name, layer in zip(gone, layers, strict=True):
        kinds = {kind.__name__ for kind in type(layer).__mro__}
        if not kinds.isdisjoint(_SEVERAL):
            raise ConfigError(
                f"layer {name!r} is a {type(layer).__name__}, which returns several values: nothing can be handed on "
                "in its place; leave out the block that it belongs to, or give a model without it: models={…}"
            )
        if "ModuleList" in kinds or "ModuleDict" in kinds:
            raise ConfigError(f"{name!r} is a list of layers: leave its members out, with prefix='{name}.'")


def _check_sizes(gone: list[str], layers: list[Any]) -> None:
    """Raise `ConfigError` where what goes into the first of these is not of the size that comes out of the last."""
    sizes = [size for layer in layers if (size := _size(layer)) is not None]
    if sizes and sizes[0][0] != sizes[-1][1]:
        what = f"layer {gone[0]!r}" if len(gone) == 1 else f"the group {', '.join(map(repr, gone))}"
        raise ConfigError(_refusal(what, f"from {sizes[0][0]} to {sizes[-1][1]}"))
    for name, layer in zip(gone, layers, strict=True):
        stride = getattr(layer, "stride", 1)
        if len(gone) == 1 and hasattr(layer, "kernel_size") and stride not in (1, (1,), (1, 1), (1, 1, 1)):
            raise ConfigError(_refusal(f"layer {name!r}", f"by its stride of {stride}"))
        if len(gone) == 1 and isinstance(layer, nn.Flatten | nn.Unflatten):
            raise ConfigError(_refusal(f"layer {name!r}", "as it is there to do"))


def _size(layer: Any) -> tuple[Any, Any] | None:
    """Return what goes into a layer and what comes out, of a container its first and last that tell."""
    for before, after in _SIZES:
        if hasattr(layer, before) and hasattr(layer, after):
            return getattr(layer, before), getattr(layer, after)
    if isinstance(layer, nn.Sequential):
        inner = [size for child in layer if (size := _size(child)) is not None]
        return (inner[0][0], inner[-1][1]) if inner else None
    return None


def _refusal(what: str, how: str) -> str:
    return (
        f"{what} changes the shape, {how}, so what follows could not work without it: leave out a group that keeps the "
        "shape as a whole, or give a model without it: models={'name': function}"
    )


def _check_shapes(gone: list[str], before: Any, model: Any, example: Any) -> None:
    what = f"layer {gone[0]!r}" if len(gone) == 1 else f"the group {', '.join(map(repr, gone))}"
    try:
        after = _shapes(model, example)
    except Exception as error:
        raise ConfigError(f"without {what} the model does not run ({error}); {_refusal(what, 'it seems')}") from error
    if after != before:
        raise ConfigError(_refusal(what, f"which would make the model's result {after}, not {before}"))


def _shapes(model: Any, example: Any) -> Any:
    """Return the shapes of what comes out for an example, leaving the model as it was."""
    trial = copy.deepcopy(model).eval()  # statistics of batches would move otherwise
    with torch.no_grad():
        found = trial(*example) if isinstance(example, tuple) else trial(example)
    several = found if isinstance(found, tuple | list) else [found]
    return [tuple(each.shape) for each in several if hasattr(each, "shape")]
