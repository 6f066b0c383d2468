"""Layers of Keras models, sequential and functional."""

import os

import numpy as np
import pytest

from maggy.ablation import models
from maggy.ablation.parts import Part
from maggy.errors import ConfigError

pytest.importorskip("torch", reason="PyTorch, with which Keras computes here, is not installed")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", minversion="3", reason="Keras 3 is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what Keras asks of NumPy and torch
X = np.ones((2, 8))


def sequential():
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(32, activation="relu", name="wide"),
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Dense(4, name="narrow"),
            keras.layers.Dense(3, name="head"),
        ]
    )


def functional():
    given = keras.Input((8,), name="given")
    stem = keras.layers.Dense(16, name="stem")(given)
    block = keras.layers.Dense(16, activation="relu", name="block_dense")(stem)
    block = keras.layers.LayerNormalization(name="block_norm")(block)
    both = keras.layers.Add(name="add")([stem, block])
    return keras.Model(given, keras.layers.Dense(3, name="head")(both))


def without(model, *names, prefix=None):
    return models.without(model, [Part("layer", names, prefix)], check=True)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (sequential, ["wide"]),
        (sequential, ["drop"]),
        (sequential, ["wide", "drop", "narrow"]),
        (functional, ["block_dense"]),
        (functional, ["block_dense", "block_norm"]),
    ],
)
def test_layers_are_passed_by(make, names):
    """What follows is built for what then reaches it, so layers that change the shape can be left out as well."""
    whole = make()
    slim = without(whole, *names)
    assert slim(X).shape == (2, 3)
    assert slim.count_params() < whole.count_params() or names == ["drop"]


def test_a_prefix_stands_for_all_layers_that_begin_so():
    """`block_` is the whole block."""
    slim = without(functional(), prefix="block_")
    assert [type(slim.get_layer(name)).__name__ for name in ("block_dense", "block_norm")] == ["Identity", "Identity"]


def test_weights_are_kept_where_they_fit():
    """A pretrained model stays one: only what follows a layer that changed the shape begins anew."""
    whole = sequential()
    slim = without(whole, "drop")
    assert np.allclose(slim.get_layer("wide").get_weights()[0], whole.get_layer("wide").get_weights()[0])
    assert without(whole, "narrow").get_layer("head").get_weights()[0].shape == (32, 3)


def test_a_compiled_model_stays_compiled():
    """train_fn need not know that a layer is missing."""
    whole = sequential()
    whole.compile("sgd", "mse")
    slim = without(whole, "wide")
    assert slim.compiled
    slim.fit(X, np.zeros((2, 3)), verbose=0)


@pytest.mark.parametrize(
    ("make", "names", "message"),
    [
        (sequential, ["head"], r"without layer 'head' the model's result has shape \(None, 4\), not \(None, 3\)"),
        (functional, ["add"], "layer 'add' joins several inputs"),
        (functional, ["stem"], "without layer 'stem' the model cannot be built"),
        (functional, ["blok_norm"], "no layer 'blok_norm'; did you mean 'block_norm'"),
        (functional, ["given"], "no layer 'given'"),
    ],
)
def test_a_layer_that_cannot_be_left_out_is_refused(make, names, message):
    """The last one, one that joins, the first one where another way around it keeps the old shape."""
    with pytest.raises(ConfigError, match=message):
        without(make(), *names)


def test_a_model_of_its_own_class_is_refused():
    """Nobody can tell what such a model does with its layers."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3, name="dense")

        def call(self, x):
            return self.dense(x)

    with pytest.raises(ConfigError, match="Own is a model of its own class"):
        without(Own(), "dense")


def test_a_model_without_an_input_is_refused():
    """Its layers cannot be built for what reaches them."""
    with pytest.raises(ConfigError, match="does not know its input"):
        without(keras.Sequential([keras.layers.Dense(3, name="a"), keras.layers.Dense(3, name="b")]), "a")
