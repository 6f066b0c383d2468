"""Tests of `maggy.compat.calls`: what a call of an older kind stands for."""

import inspect
from types import SimpleNamespace

import pytest

from maggy import GridSearch, Median, Searchspace, Threshold, experiment
from maggy.ablation import AblationStudy
from maggy.compat.calls import ORDER, ORDER_0_5, TODAY, as_before, today
from maggy.compat.configs import HyperparameterOptConfig
from maggy.earlystop import AbstractEarlyStop
from maggy.errors import ConfigError

SPACE = Searchspace(lr=("DOUBLE", [0.01, 0.1]))
STUDY = AblationStudy(components=["augment"])


class Rule(AbstractEarlyStop):
    @staticmethod
    def earlystop_check(to_check, finalized_trials, direction):
        return list(to_check)


def train(lr):
    return lr


@as_before
def called(*args, **named):
    """Tell how lagom would be called."""
    return SimpleNamespace(args=args, **named)


def test_todays_order_is_that_of_0_2():
    """What comes by position today came so in Maggy 0.2."""
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
    positional = [name for name, each in inspect.signature(experiment.lagom).parameters.items() if each.kind == kinds]
    assert positional == list(ORDER[:TODAY])


@pytest.mark.parametrize("named", [{}, {"direction": "min", "es_policy": "median", "es_min": 3}, {"optimizer": "gp"}])
def test_a_call_of_today_is_left_as_it_is(named):
    """Nothing is added, and nobody is warned; Maggy's keywords that are today's are no news."""
    call = {"train_fn": train, "searchspace": SPACE, **named}
    assert today(call) == call


@pytest.mark.usefixtures("quietly")
def test_the_order_of_0_2():
    """All eleven came by position."""
    told = called(train, SPACE, "randomsearch", "min", 5, "digits", 2, "median", 4, 3, "for people")
    assert vars(told) == {
        "args": (),
        "train_fn": train,
        "searchspace": SPACE,
        "optimizer": "randomsearch",
        "direction": "min",
        "num_trials": 5,
        "name": "digits",
        "hb_interval": 2,
        "es_policy": "median",
        "es_interval": 4,
        "es_min": 3,
    }


@pytest.mark.usefixtures("quietly")
def test_the_order_of_0_5_is_told_by_its_name():
    """There the name came second: the only string that could. What this kind of experiment cannot use is left out."""
    told = called(train, "digits", "optimization", SPACE, "asha", "max", 9, None, "loco", "accuracy")
    assert vars(told) == {
        "args": (),
        "train_fn": train,
        "name": "digits",
        "experiment_type": "optimization",
        "searchspace": SPACE,
        "optimizer": "asha",
        "direction": "max",
        "num_trials": 9,
        "optimization_key": "accuracy",
    }
    told = called(train, "parts", "ablation", None, None, "max", 1, STUDY, "loco")
    assert (told.ablation_study, told.ablator) == (STUDY, "loco")
    assert not hasattr(told, "searchspace")
    assert not hasattr(told, "optimizer")
    assert not hasattr(told, "num_trials")
    assert len(ORDER_0_5) == 15


def test_the_keywords_of_0_5_at_their_defaults():
    """Those of the other kind of experiment contradict nothing, and are no news: they are today's as well."""
    call = {"train_fn": train, "experiment_type": "optimization", "searchspace": SPACE, "optimizer": "asha"}
    assert today({**call, "ablation_study": None, "ablator": "loco"}) == call
    call = {"train_fn": train, "experiment_type": "ablation", "ablation_study": STUDY, "num_trials": 3}
    assert today({**call, "searchspace": None, "optimizer": None}) == call


def test_what_is_wrong_with_a_call_is_said_by_the_function():
    """Too many arguments, or one twice, are a TypeError as of any function."""
    with pytest.raises(TypeError, match="positional arguments but 12 were given"):
        experiment.lagom(train, SPACE, *range(10))
    with pytest.raises(TypeError, match="multiple values for argument 'searchspace'"):
        experiment.lagom(train, SPACE, searchspace=SPACE)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'train_fn'"):
        experiment.lagom(searchspace=SPACE)


def test_map_fun_and_description():
    """The function's name up to 0.4; and what is for people, which is kept nowhere. One warning is enough."""
    with pytest.warns(FutureWarning, match="map_fun= is of Maggy 0.5") as warned:
        assert today({"map_fun": train, "description": "to see"}) == {"train_fn": train}
    assert len(warned) == 1
    with pytest.raises(ConfigError, match="but map_fun= says"):
        today({"map_fun": train, "train_fn": len})


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("place", ["searchspace", "config"])
def test_a_config_is_taken_apart(place):
    """By position it stands in the searchspace's place; by name it is `config`. Other options stand beside it."""
    told = today({"train_fn": train, place: HyperparameterOptConfig(5, "randomsearch", SPACE, es_min=4), "seed": 1})
    assert told == {
        "train_fn": train,
        "searchspace": SPACE,
        "optimizer": "randomsearch",
        "num_trials": 5,
        "es_min": 4,
        "seed": 1,
    }


@pytest.mark.usefixtures("quietly")
def test_a_config_and_an_option_that_contradict_each_other_are_refused():
    """Which of them counts is nobody's guess."""
    config = HyperparameterOptConfig(5, "randomsearch", SPACE)
    with pytest.raises(ConfigError, match="num_trials=7, but HyperparameterOptConfig says 5; give one of them"):
        today({"train_fn": train, "config": config, "num_trials": 7})
    assert today({"train_fn": train, "config": config, "num_trials": 5})["num_trials"] == 5


@pytest.mark.usefixtures("quietly")
def test_model_and_data_are_given_to_whom_names_them():
    """They are arguments of the function's, which one that reads its own data need not take."""
    config = HyperparameterOptConfig(5, "randomsearch", SPACE, model=dict, dataset=[1, 2])
    told = today({"train_fn": lambda model, dataset, lr: 1, "config": config, "train_args": {"more": 3}})
    assert told["train_args"] == {"model": dict, "dataset": [1, 2], "more": 3}
    assert "train_args" not in today({"train_fn": train, "config": config})


@pytest.mark.usefixtures("quietly")
def test_when_a_custom_rule_looks():
    """es_min and es_interval are the rule's own, whichever it is; the user's instance stays as it is."""
    mine = Rule()
    told = today({"train_fn": train, "es_policy": mine, "es_min": 2, "es_interval": 5})
    rule = told.pop("es_policy")
    assert (told, rule._min_trials, rule._interval) == ({"train_fn": train}, 2, 5)
    assert (mine._min_trials, mine._interval) == (10, 1)
    with pytest.raises(ConfigError, match="es_min=0; it must be at least 1"):
        today({"es_policy": mine, "es_min": 0})


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"es_policy": Median(), "es_min": 5}, {"es_policy": "median", "es_min": 5}),
        ({"es_policy": "none", "es_min": 5, "es_interval": 1}, {"es_policy": "none"}),
        ({"earlystop": Median(), "es_min": 5}, {"earlystop": Median(), "es_min": 5}),  # so is this, by today's name
        ({"es_policy": Threshold(), "es_min": 5}, {"es_policy": Threshold(), "es_min": 5}),  # refused, as it was
    ],
)
def test_when_other_rules_look(call, expected):
    """MedianStoppingRule() is the median rule; without a rule there was nobody to ask when to look."""
    assert today(call) == expected


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("optimizer", ["GridSearch", GridSearch()])
@pytest.mark.parametrize("old", [{"experiment_type": "optimization"}, {"map_fun": train}])
def test_the_whole_grid_is_searched_as_before(optimizer, old):
    """Whatever num_trials said beside it; today it is a limit, of grid search as well."""
    call = {"searchspace": SPACE, "optimizer": optimizer, "num_trials": 1}
    assert "num_trials" not in today(call | old)
    assert today(call | {"train_fn": train})["num_trials"] == 1
    assert today(call | old | {"optimizer": "randomsearch"})["num_trials"] == 1
