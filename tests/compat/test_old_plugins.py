"""Tests of the classes that plug-ins of Maggy 1.x inherit from, and of what these see."""

import math
import statistics
from random import Random

import pytest

from maggy import DONE, Float, Integer, Searchspace
from maggy.compat.abstract import AbstractOptimizer
from maggy.compat.views import Space, Trial
from maggy.earlystop import AbstractEarlyStop, MedianStoppingRule, NoStoppingRule
from maggy.earlystop.median import Median
from maggy.errors import ConfigError
from maggy.events import Ended, Reported, Started, StopRequested, StudyOpened, Suggested
from maggy.study import Study
from maggy.testing.contracts import StopRuleContract
from maggy.testing.play import play

SPACE = Searchspace(x=Float(0, 1), n=Integer(1, 9), kind=["a", "b"])


class Buffered(AbstractOptimizer):
    """Draws all when it begins, as Maggy's random search did, and never calls its base."""

    def __init__(self):
        self.heard = []

    def initialize(self):
        self.buffer = self.searchspace.get_random_parameter_values(self.num_trials)

    def get_suggestion(self, trial=None):
        self.heard.append(trial)
        return self.create_trial(self.buffer.pop()) if self.buffer else None

    def finalize_experiment(self, trials):
        raise AssertionError("it is never called")


class Halves(AbstractOptimizer):
    """Goes on with the better half of the first round, for which it waits; keeps the trials that it has returned."""

    def initialize(self):
        self.first, self.promoted = [], []

    def get_suggestion(self, trial=None):
        if len(self.first) < self.num_trials // 2:
            self.first.append(Trial({**self.searchspace.get_random_parameter_values(1)[0], "resource": 1}))
            return self.first[-1]
        if any(each.status != Trial.FINALIZED for each in self.first):
            return "IDLE"
        best = max((each for each in self.first if each not in self.promoted), key=lambda each: each.final_metric)
        self.promoted.append(best)
        params = {name: best.params[name] for name in self.searchspace.names()}
        return self.create_trial(params, "promoted", 3)

    def finalize_experiment(self, trials):
        return None


def test_an_optimizer_with_a_buffer():
    """It is asked once for each trial, with each trial that has ended, in their order."""
    optimizer = Buffered()
    study = play(optimizer, lambda trial: trial.params["x"], searchspace=SPACE, num_trials=6)
    assert [trial.params["n"] in range(1, 10) for trial in study.trials.values()] == [True] * 6
    assert [each and each.final_metric for each in optimizer.heard] == [
        None,
        *(trial.value for trial in list(study.trials.values())[:5]),
    ]
    assert [trial.params for trial in optimizer.final_store] == [trial.params for trial in study.trials.values()]
    assert (optimizer.direction, optimizer.num_trials, optimizer.name()) == ("max", 6, "Buffered")


def test_the_trials_that_it_returned_are_those_that_it_finds():
    """Status, value and curve come to be on them; "IDLE" waits, and budgets stand among the parameters as they did."""
    optimizer = Halves()
    study = play(
        optimizer, lambda trial: [trial.params["x"] / 2, trial.params["x"]], searchspace=SPACE, num_trials=8, workers=4
    )
    assert [trial.budget for trial in study.trials.values()] == [1] * 4 + [3] * 4
    tried = [trial.params["x"] for trial in study.trials.values()]
    assert tried[4:] == sorted(tried[:4], reverse=True)
    assert all(each.metric_history == [each.params["x"] / 2, each.params["x"]] for each in optimizer.final_store[:4])


def test_the_stores_hold_what_runs_and_what_has_ended():
    """What failed is in neither; what was stopped says so; a trial of the user's is seen as well."""
    optimizer, study = Buffered(), Study()
    space = Searchspace(x=Float(0, 1))
    opened = StudyOpened(0.0, {"searchspace": space.to_dict(), "direction": "min", "num_trials": 9})
    for event in [
        opened,
        *[Suggested(0.0, number, {"x": number / 10}, None, None, 0) for number in (1, 2, 3, 4)],
        *[Started(float(number), number, 1, f"executor-{number}") for number in (1, 2, 3, 4)],
        *(Reported(5.0, 1, 1, 0, {"metric": 0.5}), Reported(6.0, 1, 1, 1, {"metric": 0.25})),
        Ended(7.0, 1, 1, "completed", 0.2, {}),
        Ended(7.0, 2, 1, "failed", None, {}, error="ValueError"),
        *(Reported(8.0, 3, 1, 0, {"metric": 0.9}), StopRequested(8.0, 3, 1, "bad")),
        Ended(9.0, 3, 1, "stopped", None, {}, reason="bad"),
    ]:
        study.apply(event)
    optimizer.ask(study, Random(0))
    assert optimizer.heard == [None]  # what had ended before it was there is in the store, and no news
    done, stopped = optimizer.final_store
    assert (done.params, done.metric_history, done.final_metric, done.duration) == ({"x": 0.1}, [0.5, 0.25], 0.2, 6000)
    assert (stopped.status, stopped.get_early_stop(), stopped.final_metric) == (Trial.FINALIZED, True, 0.9)
    [running] = optimizer.trial_store.values()
    assert (running.params, running.status, running.early_stop, running.start) == ({"x": 0.4}, "RUNNING", False, 4.0)
    assert optimizer.get_metrics_dict() == {done.trial_id: 0.2, stopped.trial_id: 0.9}
    assert optimizer.get_hparams_dict(done.trial_id) == {done.trial_id: {"x": 0.1}}
    assert optimizer.hparams_exist(Trial({"x": 0.4, "budget": 3}))
    assert not optimizer.hparams_exist(Trial({"x": 0.7}))
    study.apply(Suggested(9.0, 5, {"x": 0.99}, None, None, 0))  # not what it said: another stands in the log
    optimizer.ask(study, Random(1))
    assert {"x": 0.99} in [each.params for each in optimizer.trial_store.values()]


def test_an_instance_may_be_used_again():
    """Each study begins it anew, as Maggy did; what it keeps itself is its own affair."""
    optimizer = Buffered()
    for num_trials in (3, 5):
        study = play(optimizer, lambda trial: trial.params["x"], searchspace=SPACE, num_trials=num_trials)
        assert len(study.trials) == len(optimizer.final_store) == num_trials


def test_an_answer_that_is_none_of_these_is_named():
    """Maggy failed somewhere else, later."""

    class Mine(Buffered):
        def get_suggestion(self, trial=None):
            return ("lr", 0.1)

    with pytest.raises(TypeError, match=r"Mine.get_suggestion\(\) returned a tuple, not a Trial, its parameters"):
        play(Mine(), lambda trial: 1.0, searchspace=SPACE, num_trials=3)


def test_a_value_of_0_is_a_value():
    """As anywhere in maggy."""
    optimizer = Buffered()
    play(optimizer, lambda trial: 0.0, searchspace=SPACE, num_trials=3)
    assert list(optimizer.get_metrics_dict().values()) == [0.0] * 3


def test_num_trials_holds_for_all():
    """One that never ends is held to what the user asked for."""

    class Endless(Buffered):
        def get_suggestion(self, trial=None):
            return self.searchspace.get_random_parameter_values(1)[0]

    assert len(play(Endless(), lambda trial: 1.0, searchspace=SPACE, num_trials=3).trials) == 3
    assert Endless().ask(Study.of([StudyOpened(0.0, {"num_trials": 0})]), Random(0)) is DONE


def test_an_optimizer_of_ones_own_has_no_pruner():
    """The sentence names what does the same."""

    class Mine(Buffered):
        def __init__(self, **named):
            AbstractOptimizer.__init__(self, **named)

    assert Mine().pruner is None
    with pytest.raises(ConfigError, match=r"cannot have pruner='hyperband': give maggy.Hyperband a searcher"):
        Mine(pruner="hyperband", pruner_kwargs={})


def test_a_resource_may_be_a_hyperparameter():
    """What the searchspace defines is no budget."""
    space = Searchspace(resource=Integer(1, 3))
    study = play(Buffered(), lambda trial: 1.0, searchspace=space, num_trials=2)
    assert [trial.params["resource"] in (1, 2, 3) and trial.budget for trial in study.trials.values()] == [None, None]


def test_the_searchspace_that_plug_ins_see():
    """It gives regions where today's gives domains."""
    space = Space(SPACE, Random(0))
    assert space.names() == {"x": space.DOUBLE, "n": space.INTEGER, "kind": space.CATEGORICAL}
    assert (space.get("x"), space.n, space.get("y", 3), "n" in space) == ([0.0, 1.0], [1, 9], 3, True)
    assert space.to_dict()["kind"] == space.values()[2] == ("CATEGORICAL", ["a", "b"])
    assert [each["name"] for each in space.items()] == space.keys() == ["x", "n", "kind"]
    assert all(SPACE.contains(params) for params in space.get_random_parameter_values(5))
    with pytest.raises(AttributeError, match="no parameter 'y'"):
        space.y  # noqa: B018


class Worst(AbstractEarlyStop):
    """Stops whoever is below all that have ended, by their last value."""

    @staticmethod
    def earlystop_check(to_check, finalized_trials, direction):
        sign = 1 if direction == "max" else -1
        last = [trial.metric_history[-1] for trial in finalized_trials if trial.metric_history]
        finite = [sign * value for value in last if math.isfinite(value)]
        middle = statistics.median(finite) if finite else -math.inf
        return [key for key, trial in to_check.items() if sign * trial.metric_history[-1] < middle]


class TestACustomStopRule(StopRuleContract):
    def rule(self):
        return Worst().every(1, 1)


class TestNoStoppingRule(StopRuleContract):
    def rule(self):
        return NoStoppingRule()


def test_a_custom_stop_rule_says_its_name():
    """It is asked when enough have ended, at the steps that es_interval says; the reason is whose decision it was."""
    rule = Worst().every(interval=2, min_trials=2)
    said = TestACustomStopRule().decisions([0.1, 0.1, 0.1, 0.1], [[0.5], [0.6]], rule=rule)
    assert said == ["Worst stops it", "Worst stops it", None, "Worst stops it"]
    assert TestACustomStopRule().decisions([0.1], [[0.5]], rule=rule) == [None]


def test_the_median_rule_by_its_old_name():
    """It is today's, which compares steps instead of counts."""
    assert MedianStoppingRule() == Median()
