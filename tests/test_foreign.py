"""Optimizers of other libraries: the log is replayed into them."""

from random import Random

import pytest

from maggy.domains import Float
from maggy.errors import ConfigError
from maggy.optimizers import Foreign, Wrapped
from maggy.searchspace import Searchspace
from maggy.testing.contracts import OptimizerContract
from maggy.testing.play import play


class TestOptunaTpe(OptimizerContract):
    def optimizer(self):
        return Foreign("optuna:TPESampler", {"n_startup_trials": 4})


class TestOptunaCma(OptimizerContract):
    def optimizer(self):
        return Foreign("optuna:CmaEsSampler", {"n_startup_trials": 2, "warn_independent_sampling": False})


class Memory:
    """Draws at random, and keeps a diary."""

    def __init__(self, searchspace, seed):
        self.searchspace = searchspace
        self.rng = Random(seed)
        self.diary = []

    def ask(self):
        params = self.searchspace.sample(self.rng)
        self.diary.append(params)
        return params

    def tell(self, params, loss):
        self.diary.append((params, loss))


class TestWrapped(OptimizerContract):
    def optimizer(self):
        return Wrapped(Memory)


def test_an_object_hears_all_in_order():
    """What is told lies between the asks where it lay in the log; a trial without a value is told as None."""
    made = []

    def make(searchspace, seed):
        made.append(Memory(searchspace, seed))
        return made[-1]

    space = Searchspace(x=Float(0, 1))

    def train(trial):
        if trial.id == 2:
            raise RuntimeError
        return trial.params["x"]

    study = play(Wrapped(make), train, searchspace=space, num_trials=4, direction="min")
    x = [{"x": trial.params["x"]} for trial in study.trials.values()]
    told = [(x[0], x[0]["x"]), (x[1], None), (x[2], x[2]["x"])]
    assert len(made) == 1
    assert made[0].diary == [x[0], told[0], x[1], told[1], x[2], told[2], x[3]]


def test_what_is_forbidden_is_asked_for_again():
    """An object that does not know of forbidden combinations is told that they failed."""
    space = Searchspace(a=[0, 1], b=[0, 1])
    unbound = space.copy()
    space.forbid(a=0, b=0)
    study = play(Wrapped(lambda _, seed: Memory(unbound, seed)), lambda _: 0.0, searchspace=space, num_trials=20)
    assert len(study.trials) == 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optuna:TPESample", "did you mean 'TPESampler'"),
        ("optna:TPESampler", "did you mean 'optuna'"),
        ("optuna:", "write the library and its optimizer"),
    ],
)
def test_unknown_names(name, said):
    """The nearest right name is told, before anything starts."""
    with pytest.raises(ConfigError, match=said):
        Foreign(name).check(Searchspace(x=Float(0, 1)))
