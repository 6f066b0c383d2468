"""Tests of maggy.configuration."""

import json
import math
import re
import threading
from dataclasses import dataclass

import pytest

from maggy import (
    Asha,
    Float,
    GridSearch,
    Hyperband,
    Integer,
    Median,
    NoProgress,
    RandomSearch,
    Searchspace,
    Threshold,
    experiment,
)
from maggy.configuration import BEAT, LEASE, NUM_TRIALS, configure, reconfigured
from maggy.errors import ConfigError
from maggy.jsonvalue import dumps, loads
from maggy.optimizers import SingleRun
from maggy.testing.play import play
from maggy.trial import DONE, Objective

CONTINUOUS = {"lr": (0.0, 1.0)}
GRID = {"units": [1, 2, 3], "layers": (1, 2)}
NONE_GIVEN = {
    "optimizer": "default",
    "direction": "max",
    "metric": None,
    "num_trials": None,
    "timeout": None,
    "earlystop": "default",
    "es_min": None,
    "es_interval": None,
    "hb_interval": None,
    "max_failures": None,
    "seed": 1,
}


@dataclass(frozen=True)
class Mine:
    """A user's optimizer."""

    def ask(self, study, rng):
        return DONE


def configured(space=CONTINUOUS, **options):
    """Configure as a call without arguments does, but for `options`."""
    return configure(space, **{**NONE_GIVEN, **options})


def train(lr=None):
    return lr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optimizer": "ahsa"}, "there is no optimizer 'ahsa'; did you mean 'asha'? (there are 'asha', 'randomsearch'"),
        ({"optimizer": "asha-stoping"}, "did you mean 'asha-stopping'?"),
        ({"optimizer": "qqq"}, "there is no optimizer 'qqq' (there are "),
        ({"optimizer": Asha}, "the optimizer is the class Asha; pass a name such as 'asha', or an instance"),
        ({"optimizer": Asha.__init__}, "the optimizer is the function __init__; pass a name such as 'asha'"),
        ({"optimizer": 42}, "the optimizer is of type int; pass a name"),
        ({"optimizer": "gridsearch"}, "'lr' is continuous: give it a step, as in lr=Float(low, high, step=0.1)"),
        ({"optimizer": GridSearch()}, "'lr' is continuous"),
        ({"optimizer": None}, "a searchspace was given, but optimizer=None runs the function as it is"),
        ({"earlystop": "medain"}, "there is no stop rule 'medain'; did you mean 'median'?"),
        ({"es_policy": "medain"}, "there is no stop rule 'medain'; did you mean 'median'?"),
        ({"earlystop": Median}, "the stop rule is the class Median; pass a name such as 'median', or an instance"),
        ({"earlystop": [Median(), 3]}, "the stop rule is of type int"),
        ({"earlystop": ["median", "medain"]}, "did you mean 'median'?"),
        ({"num_trials": 0}, "num_trials=0; it must be at least 1"),
        ({"num_trials": -3}, "num_trials=-3; it must be at least 1"),
        ({"num_trials": 1.5}, "num_trials=1.5; it must be a whole number"),
        ({"num_trials": "10"}, "num_trials='10'; it must be a whole number"),
        ({"num_trials": True}, "num_trials=True; it must be a whole number"),
        ({"direction": "up"}, "direction='up'; it must be one of 'max', 'min'"),
        ({"mode": "up"}, "direction='up'; it must be one of 'max', 'min'"),
        ({"direction": "min", "mode": "max"}, "direction='min' and mode='max' are two names for one thing"),
        ({"metric": "a", "optimization_key": "b"}, "metric='a' and optimization_key='b' are two names for one thing"),
        ({"earlystop": "median", "es_policy": "none"}, "earlystop='median' and es_policy='none' are two names"),
        ({"earlystop": "median", "es_policy": None}, "earlystop='median' and es_policy=None are two names"),
        ({"metric": 3}, "metric=3; it must be the name of a metric"),
        ({"metric": ""}, "metric=''; it must be the name of a metric"),
        ({"timeout": 0}, "timeout=0; it must be a number of seconds, over 0"),
        ({"timeout": -1.5}, "timeout=-1.5; it must be a number of seconds, over 0"),
        ({"timeout": math.inf}, "timeout=inf; it must be a number of seconds, over 0"),
        ({"timeout": math.nan}, "timeout=nan; it must be a number of seconds, over 0"),
        ({"timeout": "60"}, "timeout='60'; it must be a number of seconds, over 0"),
        ({"timeout": True}, "timeout=True; it must be a number of seconds, over 0"),
        ({"hb_interval": 0}, "hb_interval=0; it must be a number of seconds, over 0"),
        ({"hb_interval": "1"}, "hb_interval='1'; it must be a number of seconds, over 0"),
        ({"es_min": 0}, "es_min=0; it must be at least 1"),
        ({"es_interval": 0}, "es_interval=0; it must be at least 1"),
        ({"es_interval": 0.5}, "es_interval=0.5; it must be a whole number"),
        ({"max_failures": 0}, "max_failures=0; it must be at least 1"),
        ({"seed": 1.5}, "seed=1.5; it must be a whole number"),
        ({"num_executors": 0}, "num_executors=0; it must be at least 1"),
        ({"launcher": "yarn"}, "launcher='yarn'; it must be 'spark' or 'local'"),
        ({"name": "a/b"}, "'a/b' cannot name a study"),
        ({"searchspace": [("lr", 0, 1)]}, "the searchspace is of type list; write Searchspace(lr="),
        ({"searchspace": {"lr": (1.0, 0.0)}}, "parameter 'lr'"),
        (
            {"searchspace": {"opt": ["sgd"], "lr": Float(0, 1, when={"opt": "sgd"})}, "optimizer": "gridsearch"},
            "'lr' is continuous",
        ),
        (
            {"searchspace": {"opt": ["sgd"], "lr": Float(0, 1, when={"opt": "adam"})}},
            "parameter 'lr' depends on 'opt' being 'adam', which is not a value",
        ),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_started(options, sentence, tmp_path, monkeypatch):
    """Every option that cannot be is refused in words, before a file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        experiment.lagom(train, **{"searchspace": CONTINUOUS, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_function_that_cannot_do_without_what_may_be_absent_is_refused(tmp_path, monkeypatch):
    """A conditional parameter is absent at times, so the function has a default for it."""

    def fit(opt, momentum):
        return momentum

    monkeypatch.chdir(tmp_path)
    space = Searchspace(opt=["sgd", "adam"], momentum=Float(0, 1, when={"opt": "sgd"}))
    with pytest.raises(ConfigError, match="needs 'momentum', which is absent unless opt is 'sgd': give it a default"):
        experiment.lagom(fit, space)
    assert list(tmp_path.iterdir()) == []


def test_a_space_that_is_nearly_all_forbidden_is_refused():
    """Nobody can draw from it; a grid finds what is left."""
    space = Searchspace(a=(1, 200), b=["x"])
    space.forbid(a=range(2, 201), b="x")
    with pytest.raises(
        ConfigError, match=r"of 1000 configurations drawn .* 99\d are forbidden, too many to draw again"
    ):
        configured(space)
    assert configured(space, optimizer="grid").num_trials == 1
    space = Searchspace(a=(1, 10))
    space.forbid(a=range(2, 11))
    assert configured(space).searchspace == space


@pytest.mark.parametrize(
    ("space", "options", "expected"),
    [
        (CONTINUOUS, {}, NUM_TRIALS),
        (CONTINUOUS, {"optimizer": "asha"}, NUM_TRIALS),
        (CONTINUOUS, {"timeout": 5}, None),
        (CONTINUOUS, {"timeout": 5, "num_trials": 7}, 7),
        (GRID, {"optimizer": "gridsearch"}, 6),
        (GRID, {"optimizer": "grid", "timeout": 5}, 6),
        (GRID, {"optimizer": "gridsearch", "num_trials": 4}, 4),
        ({"a": [1, 2], "b": Integer(1, 3, when={"a": 2})}, {"optimizer": "gridsearch"}, 4),
        (None, {"optimizer": None}, 1),
        (None, {}, 1),
        (None, {"timeout": 5}, 1),
        (None, {"num_trials": 3}, 3),
    ],
)
def test_how_many_trials_where_nobody_says(space, options, expected):
    """The whole grid, one run without an optimizer, no bound where there is a timeout, else 100."""
    assert configured(space, **options).num_trials == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (Median(),)),
        ({"optimizer": Mine()}, (Median(),)),
        ({"optimizer": "asha"}, ()),
        ({"optimizer": "asha-stopping"}, ()),
        ({"optimizer": "bohb"}, ()),
        ({"optimizer": "asha", "earlystop": "median"}, (Median(),)),
        ({"earlystop": None}, ()),
        ({"earlystop": "none"}, ()),
        ({"earlystop": "None"}, ()),
        ({"earlystop": []}, ()),
        ({"earlystop": "MEDIAN", "es_min": 3, "es_interval": 2}, (Median(min_trials=3, interval=2),)),
        ({"es_min": 3}, (Median(min_trials=3),)),
        ({"earlystop": "noprogress"}, (NoProgress(),)),
        ({"earlystop": "nan"}, (Threshold(),)),
        ({"earlystop": NoProgress(patience=2)}, (NoProgress(patience=2),)),
        ({"earlystop": ["median", Threshold(upper=9)], "es_min": 3}, (Median(min_trials=3), Threshold(upper=9))),
    ],
)
def test_stop_rules_where_nobody_says_and_where_somebody_does(options, expected):
    """The median rule for optimizers without rungs, none for those with; names, instances and several of them."""
    assert configured(**options).rules == expected


def test_an_optimizer_by_any_name():
    """Names are case-insensitive; a searchspace alone means random search, nothing at all a single run."""
    assert configured().optimizer == RandomSearch()
    assert configured(None).optimizer == SingleRun()
    assert configured(optimizer="RandomSearch").optimizer == RandomSearch()
    assert configured(optimizer="asha").optimizer == Asha()
    assert configured(optimizer="ASHA-stopping").optimizer == Asha(mode="stopping")
    assert configured(optimizer="pasha").optimizer == Asha(progressive=True)
    assert configured(optimizer="bohb").optimizer == Hyperband(searcher="tpe")
    assert configured(optimizer=(mine := Mine())).optimizer is mine


class Counting:
    """An object as other libraries have them: asked and told, with a memory of its own."""

    def __init__(self):
        self.asked = 0

    def ask(self):
        self.asked += 1
        return {"lr": 1 / self.asked}

    def tell(self, params, loss):
        pass


def test_an_object_with_ask_and_tell_is_copied():
    """Each study, and each resume, goes on from the object as it was given; the object is left alone."""
    given = Counting()
    given.ask()
    for _ in range(2):
        study = play(
            configured(optimizer=given).optimizer, lambda _: 0.0, searchspace=Searchspace(CONTINUOUS), num_trials=2
        )
        assert [trial.params["lr"] for trial in study.trials.values()] == [1 / 2, 1 / 3]
    assert given.asked == 1


def test_an_optimizer_may_have_a_tell_of_its_own():
    """Who is asked with a study is one of ours, whatever else it can do."""

    class Ours(RandomSearch):
        def tell(self, what):
            pass

    assert isinstance(configured(optimizer=Ours()).optimizer, Ours)


def test_an_object_that_cannot_be_copied_is_refused():
    """A function that makes it has to be passed in its place."""
    given = Counting()
    given.lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"of type Counting, .* no copy of it can be made .* pass Wrapped\(make\)"):
        configured(optimizer=given)


def test_the_rest_has_defaults():
    """Beats, lease and direction are filled in; a slow beat makes the lease longer."""
    config = configured(direction="minimize", metric="loss")
    assert (config.beat, config.lease, config.objective) == (BEAT, LEASE, Objective("loss", "min"))
    assert (configured(hb_interval=30).beat, configured(hb_interval=30).lease) == (30, 150)


def test_the_config_keeps_a_searchspace_of_its_own():
    """Whoever adds to a searchspace later changes no study."""
    space = Searchspace(lr=Float(0, 1))
    config = configured(space)
    space.add("units", Integer(1, 5))
    assert config.searchspace.keys() == ["lr"]


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, False),
        ({"earlystop": None}, False),
        ({"earlystop": "none"}, False),
        ({"earlystop": "median"}, True),
        ({"optimizer": "asha"}, True),
        ({"optimizer": "asha-stopping"}, True),
        ({"optimizer": "hyperband"}, True),
    ],
)
def test_who_depends_on_reports(options, needed):
    """ASHA does, and a rule that was asked for; the default rule does not."""
    assert configured(**options).needs_reports is needed


def test_the_stopping_form_is_its_own_rule():
    """asha-stopping judges beside the rules; the promotion form does not."""
    stopping = configured(optimizer="asha-stopping", earlystop="nan")
    assert stopping.active_rules == (Threshold(), Asha(mode="stopping"))
    assert configured(optimizer="asha").active_rules == ()


@pytest.mark.parametrize(
    ("space", "options"),
    [
        (CONTINUOUS, {"metric": "loss", "direction": "min", "num_trials": 5}),
        (GRID, {"optimizer": "grid", "earlystop": None}),
        (CONTINUOUS, {"optimizer": Asha(4, 0.5, 64), "earlystop": [Median(2), Threshold(upper=math.inf)]}),
        (CONTINUOUS, {"optimizer": "asha-stopping", "timeout": 5}),
        (None, {}),
    ],
)
def test_settings_survive_json(space, options):
    """What the log remembers rebuilds searchspace, optimizer, rules and objective, infinities included."""
    config = configured(space, **options)
    settings = loads(dumps(config.settings()))
    assert reconfigured(settings, None, None) == (config.optimizer, config.rules)
    assert Searchspace.from_json(settings["searchspace"]) == config.searchspace
    assert Objective(settings["metric"], settings["direction"]) == config.objective
    assert (settings["num_trials"], settings["seed"]) == (config.num_trials, 1)


def test_a_custom_optimizer_is_remembered_by_its_class_alone():
    """It has to be passed again, and so has a custom rule; what is passed again wins."""
    settings = json.loads(dumps(configured(optimizer=Mine()).settings()))
    assert settings["optimizer"] == {"custom": f"{__name__}.Mine"}
    with pytest.raises(ConfigError, match=r"optimizer is .*\.Mine, which no log can hold: pass it again"):
        reconfigured(settings, None, None)
    assert reconfigured(settings, Mine(), [NoProgress()]) == (Mine(), (NoProgress(),))
