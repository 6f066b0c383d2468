"""Tests of maggy.driver.pickling."""

import functools
import pickle
import re
import threading

import pytest

from maggy.driver.pickling import pickled
from maggy.errors import ConfigError

LOCK = threading.Lock()


class Trainer:
    """Holds what cannot travel, two levels down."""

    def __init__(self, inside):
        self.parts = {"loader": [1, inside]}

    def train(self, lr):
        return lr

    def __call__(self, lr):
        return lr


class Stubborn:
    """Cannot be pickled as a whole, though all its parts can."""

    def __reduce__(self):
        raise TypeError("I stay here")


def from_closure(lock):
    def train(lr):
        with lock:
            return lr

    return train


def from_global():
    """Make a function whose globals, like a notebook's, are pickled with it."""
    space = {"LOCK": LOCK, "helper": None, "__name__": "__main__"}
    exec("def helper():\n    return LOCK\ndef train(lr):\n    return helper()", space)  # noqa: S102 - a notebook's cell
    return space["train"]


def from_default(lock):
    def train(lr, guard=lock):
        return lr, guard

    return train


def from_nested(lock):
    def inner():
        return lock

    def train(lr):
        return inner(), lr

    return train


def plain(lr, lock=None):
    return lr, lock


@pytest.mark.parametrize(
    ("train_fn", "culprit"),
    [
        (from_closure(LOCK), "train() cannot be sent to executors because of 'lock', of type lock"),
        (from_global(), "because of 'helper.LOCK', of type lock"),
        (from_default(LOCK), "because of 'guard', of type lock"),
        (from_nested(LOCK), "because of 'inner.lock', of type lock"),
        (Trainer(LOCK).train, "because of 'self.parts.loader.1', of type lock"),
        (Trainer(LOCK), "because of 'parts.loader.1', of type lock"),
        (functools.partial(plain, lock=LOCK), "because of 'lock', of type lock"),
        (functools.partial(plain, 1, LOCK), "because of 'args[1]', of type lock"),
        (functools.partial(from_closure(LOCK), lr=1), "because of 'func.lock', of type lock"),
        (from_closure(Stubborn()), "because of 'lock', of type Stubborn (I stay here)"),
        (from_closure({"a": {2: LOCK}}), "because of 'lock.a.2', of type lock"),
    ],
)
def test_the_culprit_is_named(train_fn, culprit):
    """Whatever cannot travel is found under the name by which the function reaches it."""
    with pytest.raises(ConfigError, match=re.escape(culprit)):
        pickled(train_fn, {})


def test_an_open_file_is_named(tmp_path):
    """So is a file, the most frequent of them; the remedy is in the same sentence."""
    with (tmp_path / "log").open("w") as file, pytest.raises(ConfigError) as error:
        pickled(from_closure(file), {})
    assert "because of 'lock', of type TextIOWrapper" in str(error.value)
    assert str(error.value).endswith("; make it inside the function, or pass what it is made from")


def test_train_args_are_named_by_key():
    """An argument that cannot travel is no fault of the function's."""
    with pytest.raises(ConfigError, match=re.escape("because of \"train_args['data'].1\", of type lock")):
        pickled(plain, {"lock": 3, "data": [0, LOCK]})


def test_what_refers_to_itself_is_searched_once():
    """A cycle on the way to the culprit is no endless loop."""
    cycle = {"lock": LOCK}
    cycle["self"] = cycle
    with pytest.raises(ConfigError, match=re.escape("'lock.lock', of type lock")):
        pickled(from_closure(cycle), {})


def test_what_travels_comes_back():
    """A closure and its arguments are themselves again on the other side."""
    train_fn, constants = pickle.loads(pickled(from_closure(memoryview), {"data": [1, 2]}))  # noqa: S301 - ours
    assert (train_fn.__name__, constants) == ("train", {"data": [1, 2]})
