"""Layers of Keras models, sequential and functional: the model is built again with the layer passed by.

Layers that follow are built for the shape that then reaches them, so most layers that change it can be left out; what
comes out of the model must keep its shape. Weights are kept where they still fit.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras

from maggy.errors import ConfigError


def names(model: Any) -> list[str]:
    """Return the names of the layers, without those that only stand for inputs."""
    return [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def reduced(model: Any, gone: Collection[str], example: Any, *, check: bool) -> Any:  # noqa: ARG001 - it is built anyway
    """Return the model built again without these. Raises `ConfigError` where that cannot be."""
    what = f"layer {next(iter(gone))!r}" if len(gone) == 1 else f"the group {', '.join(map(repr, gone))}"
    if not isinstance(model, keras.Sequential) and type(model).__name__ != "Functional":
        raise ConfigError(
            f"{type(model).__name__} is a model of its own class, which cannot be built again without {what}: make it "
            "of Sequential or by the functional interface, or give a model without it: models={'name': function}"
        )
    if example is not None and not model.built:
        model(example)
    if not model.built:
        raise ConfigError("the Keras model does not know its input: begin it with keras.Input(shape=…)")
    for layer in model.layers:
        if layer.name in gone and _merges(layer):
            raise ConfigError(f"layer {layer.name!r} joins several inputs, of which none could be handed on: keep it")
    try:
        # Keras 3: what the function returns stands in the layer's place.
        slim = keras.models.clone_model(
            model,
            clone_function=lambda layer: (
                keras.layers.Identity(name=layer.name)
                if layer.name in gone
                else type(layer).from_config(layer.get_config())
            ),
        )
    except Exception as error:
        raise ConfigError(
            f"without {what} the model cannot be built ({str(error).strip().splitlines()[0]}): leave out a group that "
            "keeps the shape as a whole, or give a model without it: models={'name': function}"
        ) from error
    if slim.output_shape != model.output_shape:
        raise ConfigError(
            f"without {what} the model's result has shape {slim.output_shape}, not {model.output_shape}: the last "
            "layer that changes the shape cannot be left out"
        )
    _keep_weights(model, slim)
    if model.compiled:
        slim.compile_from_config(model.get_compile_config())
    return slim


def _merges(layer: Any) -> bool:
    return isinstance(layer.input, list) and len(layer.input) > 1


def _keep_weights(model: Any, slim: Any) -> None:
    for before, after in zip(model.layers, slim.layers, strict=False):
        shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (before, after)]
        if before.name == after.name and shapes[0] == shapes[1] and shapes[0]:
            after.set_weights(before.get_weights())
