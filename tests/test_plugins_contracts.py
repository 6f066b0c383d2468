"""Maggy's own optimizers and stop rules, held to the contracts that everybody's are held to."""

import math
import random
from dataclasses import dataclass

import pytest

from maggy.earlystop import STOP_RULES, Extrapolation, Median, NoProgress, Percentile, Threshold
from maggy.errors import ConfigError
from maggy.optimizers import (
    OPTIMIZERS,
    Asha,
    Auto,
    Cqr,
    DifferentialEvolution,
    Foreign,
    Gp,
    GridSearch,
    Hyperband,
    Loco,
    Pairs,
    RandomSearch,
    SingleRun,
    Sobol,
    Tpe,
)
from maggy.optimizers.ablators import Greedy as GreedyAblator
from maggy.searchspace import Searchspace
from maggy.testing.contracts import OptimizerContract, StopRuleContract, conditional
from maggy.testing.play import play
from maggy.trial import DONE, WAIT, Suggestion


class TestRandomSearch(OptimizerContract):
    def optimizer(self):
        return RandomSearch()


class TestGridSearch(OptimizerContract):
    def optimizer(self):
        return GridSearch()

    def searchspace(self):
        return Searchspace(units=(1, 3), kind=["a", "b", None], on=[True, False])


class Switches:
    """A space for ablators, who try some of its configurations and not all."""

    def searchspace(self):
        return Searchspace(a=[True, False], b=[True, False], kind=["a", "b", None], seed=[0, 1])

    def test_num_trials_is_honoured(self):
        """No more are sampled than asked for, nor than there are changes and seeds."""
        for num_trials in (1, 2, 7, 100):
            study = self.play(num_trials=num_trials, workers=3)
            assert study.sampled <= min(num_trials, self.optimizer().total(self.searchspace()))
            assert study.sampled >= min(num_trials, 10)


class TestLoco(Switches, OptimizerContract):
    def optimizer(self):
        return Loco()


class TestPairs(Switches, OptimizerContract):
    def optimizer(self):
        return Pairs()


class TestGreedy(Switches, OptimizerContract):
    def optimizer(self):
        return GreedyAblator()


class TestForward(Switches, OptimizerContract):
    def optimizer(self):
        return GreedyAblator(forward=True)


class TestSingleRun(OptimizerContract):
    def optimizer(self):
        return SingleRun()

    def searchspace(self):
        return Searchspace()


class TestAsha(OptimizerContract):
    def optimizer(self):
        return Asha(resource_max=9)


class TestAshaWithOddBudgets(OptimizerContract):
    def optimizer(self):
        return Asha(reduction_factor=1.5, resource_min=0.5, resource_max=4.1)


class TestAshaStopping(OptimizerContract):
    def optimizer(self):
        return Asha(mode="stopping", resource_max=9)

    def rules(self):
        return [self.optimizer()]


class TestAshaStoppingAsRule(StopRuleContract):
    def rule(self):
        return Asha(mode="stopping", resource_max=9)


class TestAshaWithASearcher(OptimizerContract):
    num_trials = 30

    def optimizer(self):
        return Asha(resource_max=9, searcher=Tpe(startup=5))


class TestAshaStoppingWithASearcher(OptimizerContract):
    num_trials = 30

    def optimizer(self):
        return Asha(mode="stopping", resource_max=9, searcher=Tpe(startup=5))

    def rules(self):
        return [self.optimizer()]


class TestMobster(OptimizerContract):
    num_trials = 8

    def optimizer(self):
        return Asha(resource_max=3, searcher=Gp(startup=4))


class TestProgressiveAsha(OptimizerContract):
    num_trials = 40

    def optimizer(self):
        return Asha(reduction_factor=2, resource_max=8, progressive=True)


class TestHyperband(OptimizerContract):
    num_trials = 40

    def optimizer(self):
        return Hyperband(resource_max=9)


class TestHyperbandWithASearcher(OptimizerContract):
    num_trials = 30

    def optimizer(self):
        return Hyperband(reduction_factor=2, resource_max=5, searcher=Tpe(startup=5))


class TestTpe(OptimizerContract):
    num_trials = 30

    def optimizer(self):
        return Tpe(startup=5)


class TestCqr(OptimizerContract):
    def optimizer(self):
        return Cqr(startup=4, trees=4, candidates=20)


class TestAuto(OptimizerContract):
    num_trials = 13  # up to the first model; tests/test_auto.py goes further

    def optimizer(self):
        return Auto()


class TestSobol(OptimizerContract):
    def optimizer(self):
        return Sobol()


class TestDifferentialEvolution(OptimizerContract):
    def optimizer(self):
        return DifferentialEvolution(population=5)


class TestGp(OptimizerContract):
    num_trials = 10

    def optimizer(self):
        return Gp(startup=4)


class TestMedian(StopRuleContract):
    def rule(self):
        return Median(min_trials=5)


class TestPatientMedian(StopRuleContract):
    def rule(self):
        return Median(min_trials=3, interval=4, grace_steps=2)


class TestPercentile(StopRuleContract):
    def rule(self):
        return Percentile(percentile=30, min_trials=4)


class TestExtrapolation(StopRuleContract):
    def rule(self):
        return Extrapolation(threshold=0.2)


class TestPatientExtrapolation(StopRuleContract):
    def rule(self):
        return Extrapolation(min_trials=1, min_points=8, interval=3)


class TestNoProgress(StopRuleContract):
    def rule(self):
        return NoProgress(patience=3, min_delta=0.01)


class TestThreshold(StopRuleContract):
    def rule(self):
        return Threshold(lower=0.2, upper=0.6, grace_steps=2)

    def mirrored(self):
        return Threshold(lower=-0.6, upper=-0.2, grace_steps=2)


class TestConditionalRandomSearch(TestRandomSearch):
    def searchspace(self):
        return conditional()


class TestConditionalGridSearch(TestGridSearch):
    def searchspace(self):
        return conditional()


class TestConditionalHyperbandWithASearcher(TestHyperbandWithASearcher):
    def searchspace(self):
        return conditional()


class TestConditionalAsha(TestAsha):
    def searchspace(self):
        return conditional()


class TestConditionalAshaStopping(TestAshaStopping):
    def searchspace(self):
        return conditional()


# -- the contracts can fail ------------------------------------------------------------------------


class Remembers(RandomSearch):
    """An optimizer with a state of its own."""

    asks = 0

    def ask(self, study, rng):
        Remembers.asks += 1
        return Suggestion({**study.searchspace.sample(rng), "x": Remembers.asks / 1e6}) if study.remaining else DONE


class Global(RandomSearch):
    def ask(self, study, rng):
        return super().ask(study, random)


class Outside(RandomSearch):
    def ask(self, study, rng):
        answer = super().ask(study, rng)
        return Suggestion({**answer.params, "x": 1.5}) if isinstance(answer, Suggestion) else answer


class Unconditional(RandomSearch):
    """Knows domains, and not on what they depend."""

    def ask(self, study, rng):
        if not study.remaining:
            return DONE
        return Suggestion({name: domain.sample(rng) for name, domain in study.searchspace.items()})


class Greedy(RandomSearch):
    def ask(self, study, rng):
        return Suggestion(study.searchspace.sample(rng))


class Waits(RandomSearch):
    def ask(self, study, rng):
        return super().ask(study, rng) if study.remaining else WAIT


class Repents(RandomSearch):
    def ask(self, study, rng):
        return DONE if study.running and study.sampled % 3 else super().ask(study, rng)


class Maximizes(Asha):
    """Continues the largest value, whatever the direction: fault 6 of Maggy 1.1.2."""

    def ask(self, study, rng):
        best = max(study.trials.values(), key=lambda trial: trial.value or 0, default=None)
        if best and study.sampled == 10:
            return Suggestion(best.params, parent=best.id) if study.next_id == 11 else DONE
        return Suggestion(study.searchspace.sample(rng))


class NaNBreaks(RandomSearch):
    def ask(self, study, rng):
        assert all(trial.value is None or trial.value == trial.value for trial in study.trials.values())
        return super().ask(study, rng)


class Meddles(RandomSearch):
    def ask(self, study, rng):
        study.queued.clear()
        study.reports += 1
        return super().ask(study, rng)


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Remembers, "test_same_question_same_answer"),
        (Global, "test_same_question_same_answer"),
        (Global, "test_a_seed_repeats_a_study"),
        (Outside, "test_suggestions_lie_in_the_space"),
        (Unconditional, "test_conditional_spaces_are_searched_or_refused"),
        (Greedy, "test_num_trials_is_honoured"),
        (Waits, "test_wait_ends_and_done_is_final"),
        (Repents, "test_wait_ends_and_done_is_final"),
        (Maximizes, "test_min_and_max_agree"),
        (NaNBreaks, "test_survives_trials_without_a_use"),
        (Meddles, "test_asking_changes_nothing"),
    ],
)
def test_a_broken_optimizer_is_caught(broken, clause):
    """Each clause of the contract is red for an optimizer that breaks it."""
    contract = OptimizerContract()
    contract.optimizer = broken
    with pytest.raises((AssertionError, ConfigError)):
        getattr(contract, clause)()


@dataclass
class Rule:
    """A rule that says `said(trial, study)`."""

    said: object

    def reason_to_stop(self, trial, study):
        return self.said(trial, study)


calls = []


@pytest.mark.parametrize(
    ("said", "clause"),
    [
        (lambda trial, study: "", "test_gives_a_reason_or_none"),
        (lambda trial, study: len(trial.curve) > 3, "test_gives_a_reason_or_none"),
        (lambda trial, study: calls.append(1) or str(len(calls)), "test_same_question_same_answer"),
        (lambda trial, study: "low" if trial.curve.last < 0.3 else None, "test_min_and_max_agree"),
        (lambda trial, study: str(trial.curve.values[-2]), "test_needs_no_others"),
        (lambda trial, study: str(int(trial.curve.last)), "test_survives_values_that_are_not_finite"),
        (lambda trial, study: study.queued.append(9), "test_changes_nothing"),
        (
            lambda trial, study: "worse" if min(map(study.loss, study.trials.values())) == -math.inf else None,
            "test_a_value_that_is_not_finite_stops_nobody_else",
        ),
    ],
)
def test_a_broken_rule_is_caught(said, clause):
    """Each clause of the contract is red for a rule that breaks it."""
    contract = StopRuleContract()
    contract.rule = lambda: Rule(said)
    with pytest.raises((AssertionError, ArithmeticError, ValueError, LookupError)):
        getattr(contract, clause)()


def test_every_plugin_is_under_contract():
    """No optimizer or stop rule that has a name is left out of this module."""
    tested = [value for value in globals().values() if isinstance(value, type)]
    optimizers = {type(case().optimizer()) for case in tested if OptimizerContract in case.__bases__}
    rules = {type(case().rule()) for case in tested if StopRuleContract in case.__bases__}
    assert optimizers | {Foreign} >= set(OPTIMIZERS.values())  # see test_foreign.py
    assert rules >= set(STOP_RULES.values())


# -- the player ------------------------------------------------------------------------------------


def test_a_play_finds_the_best():
    """The best of a played study is the largest value that its function returned, or the smallest."""
    space = Searchspace(x=(0.0, 1.0))
    for direction, best in (("max", max), ("min", min)):
        study = play(RandomSearch(), lambda trial: trial.params["x"], searchspace=space, direction=direction)
        assert study.best.value == best(trial.params["x"] for trial in study.trials.values())


def test_a_play_is_broken_off():
    """Without num_trials the limit ends a play."""
    study = play(RandomSearch(), lambda _: 1.0, searchspace=Searchspace(x=(0.0, 1.0)), num_trials=None, limit=30)
    assert len(study.trials) == 30
