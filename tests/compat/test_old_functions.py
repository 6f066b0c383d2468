"""Tests of `maggy.compat.functions`, and of which functions are taken for old ones."""

import cloudpickle
import pytest

from maggy import AblationStudy, Command, Searchspace, trainfn
from maggy.compat.calls import today
from maggy.compat.configs import BaseConfig, HyperparameterOptConfig, OptimizationConfig
from maggy.compat.functions import AsBefore

SPACE = {"lr": (0.01, 0.1)}
CONFIG = HyperparameterOptConfig(5, "asha", SPACE)


def run(train_fn, budget, **params):
    """Call a function as a trial's process does."""
    provided = {"hparams": dict(params), "budget": budget, "reporter": None, "trial": 1}
    return train_fn(**trainfn.arguments(trainfn.parameters(train_fn), params, provided))


def before(train_fn, **call):
    """Return the function that lagom is given."""
    return today({"train_fn": train_fn, **call})["train_fn"]


def test_resource_is_the_budget():
    """As ASHA's budget was called first; whoever looks at the function sees that it takes one."""
    with pytest.warns(FutureWarning, match="a parameter `resource` is of Maggy"):
        train_fn = before(lambda resource, lr: (lr, resource), searchspace=SPACE)
    assert run(train_fn, 4.0, lr=0.1) == (0.1, 4.0)
    assert trainfn.names_any(train_fn, ["budget"])
    trainfn.check(train_fn, ["lr"])
    assert run(cloudpickle.loads(cloudpickle.dumps(train_fn)), 4.0, lr=0.1) == (0.1, 4.0)


def test_a_resource_of_the_users_is_theirs():
    """A hyperparameter or an argument of this name is no budget, also where only a study's log knows of it."""

    def train_fn(resource=7):
        return resource

    assert before(train_fn, searchspace={"resource": (1, 5)}) is train_fn
    assert before(train_fn, train_args={"resource": 1}) is train_fn
    assert before(train_fn, searchspace=Searchspace(resource=[1, 5])) is train_fn
    assert before(train_fn, searchspace=AblationStudy(components=["resource"])) is train_fn
    assert run(AsBefore(train_fn, in_hparams=False, fixed={}), 4.0, resource=2) == 2
    assert run(AsBefore(train_fn, in_hparams=False, fixed={}), None) == 7


@pytest.mark.usefixtures("quietly")
def test_hparams_hold_the_budget_as_they_did():
    """With a config of 1.x, where the optimizer gives budgets; the function may take it by name as well."""
    assert run(before(lambda hparams: hparams, config=CONFIG), 3.0, lr=0.1) == {"lr": 0.1, "budget": 3.0}
    assert run(before(lambda hparams: hparams, config=CONFIG), None, lr=0.1) == {"lr": 0.1}
    both = before(lambda hparams, budget: (hparams, budget), config=CONFIG)
    assert run(both, 3.0, lr=0.1) == ({"lr": 0.1, "budget": 3.0}, 3.0)


@pytest.mark.usefixtures("quietly")
def test_fixed_hyperparameters_are_among_the_others():
    """By name and in hparams, whichever the function takes."""
    config = OptimizationConfig(5, "randomsearch", SPACE, fixed_hp={"units": 8})
    assert run(before(lambda hparams: hparams, config=config), None, lr=0.1) == {"units": 8, "lr": 0.1}
    assert today({"train_fn": lambda lr, units: 1, "config": config})["train_args"] == {"units": 8}


@pytest.mark.usefixtures("quietly")
def test_other_functions_are_left_alone():
    """Those of today, programs, and those that run as they are."""

    def train_fn(hparams):
        return hparams

    assert before(train_fn, searchspace=SPACE) is train_fn
    assert before(train_fn, config=BaseConfig()) is train_fn
    command = Command("echo %(lr)f")
    assert before(command, config=CONFIG) is command


@pytest.mark.usefixtures("quietly")
def test_what_is_missing_is_missing_still():
    """A function in old words is checked as any other."""
    train_fn = before(lambda resource, units, *, more=1: 1, searchspace=SPACE)
    with pytest.raises(ValueError, match="has no parameter 'lr', which the searchspace defines; it takes: "):
        trainfn.check(train_fn, ["lr"])
