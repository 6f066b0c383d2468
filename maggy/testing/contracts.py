"""What every optimizer and every stop rule promises, as tests: inherit, say what is tested, and run pytest.

::

    class TestMyOptimizer(OptimizerContract):
        def optimizer(self):
            return MyOptimizer(warmup=5)

    class TestMyRule(StopRuleContract):
        def rule(self):
            return MyRule(patience=3)

Nothing here needs Spark, takes noticeable time or depends on chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from maggy import plugins
from maggy.domains import Float, Integer
from maggy.earlystop import STOP_RULES, StopRule
from maggy.errors import ConfigError, amount
from maggy.events import Ended, Event, Reported, Started, StudyOpened, StudyResumed, Suggested
from maggy.jsonvalue import dumps, is_json, loads
from maggy.optimizers import OPTIMIZERS, Optimizer
from maggy.optimizers.base import rng_for
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import Function, play
from maggy.trial import DONE, Answer, Direction, Status, Suggestion, Trial

Curve = Sequence[float]
Decision = str | None
DIRECTIONS: tuple[Direction, ...] = ("max", "min")


def hashed(trial: Trial) -> float:
    """Return a value from 0 to 1 that depends on the trial's parameters alone, and on nothing that is easy to guess."""
    return Random(dumps(trial.params)).random()


def climbing(trial: Trial) -> Iterator[float]:
    """Yield a curve that rises towards the trial's value, as long as its budget, or of nine steps."""
    for step in range(1, math.ceil(trial.budget or 9) + 1):
        yield hashed(trial) * (1 - 0.5**step)


def conditional() -> Searchspace:
    """Return a searchspace in which parameters depend on one another; a grid search finds 1,300 configurations."""
    space = Searchspace(
        kernel=["linear", "poly", "rbf"],
        degree=Integer(2, 5, when={"kernel": "poly"}),
        gamma=Float(0.1, 0.4, step=0.1, when={"kernel": ["poly", "rbf"]}),
        c=Integer(1, 100, log=True, mean=10, sd=1),
    )
    space.forbid(kernel="poly", degree=[4, 5])
    return space


class OptimizerContract:
    """What holds of every optimizer. Override `optimizer`, and `searchspace` where it cannot search any."""

    num_trials = 20
    """Configurations in a study here; more where your optimizer needs longer to come to the point."""

    def optimizer(self) -> Optimizer:
        """Return a new optimizer, with the same settings at each call."""
        raise NotImplementedError

    def searchspace(self) -> Searchspace:
        """Return a searchspace for it."""
        return Searchspace(
            x=Float(-1, 1), lr=Float(1e-5, 0.1, log=True), units=Integer(8, 512, log=True), kind=["a", "b", None]
        )

    def rules(self) -> Sequence[StopRule]:
        """Return stop rules that belong with it; an optimizer that stops trials returns itself."""
        return ()

    def play(self, function: Function = climbing, **settings: Any) -> Study:
        """Play a study with `optimizer()`; settings as in `maggy.testing.play`."""
        given: dict[str, Any] = {
            "searchspace": self.searchspace(),
            "num_trials": self.num_trials,
            "rules": self.rules(),
        } | settings
        return play(self.optimizer(), function, **given)

    def test_suggestions_lie_in_the_space(self) -> None:
        """Every suggestion has one value of each domain, as JSON, and a parent that is a trial."""

        def watch(study: Study, number: int, answer: Suggestion | Answer) -> None:
            if isinstance(answer, Suggestion):
                study.searchspace.check(answer.params)
                assert is_json(dict(answer.params)), f"suggestion {number} is not made of JSON values: {answer}"
                assert answer.parent is None or answer.parent in study.trials
                assert answer.budget is None or 0 < answer.budget < math.inf

        assert self.play(workers=4, watch=watch).trials, "nothing was suggested"

    def test_conditional_spaces_are_searched_or_refused(self) -> None:
        """Where parameters depend on one another every suggestion is right, unless `check` refuses the space."""
        space = conditional()
        try:
            getattr(self.optimizer(), "check", lambda _: None)(space)
        except ConfigError:
            return

        def watch(study: Study, _: int, answer: Suggestion | Answer) -> None:
            if isinstance(answer, Suggestion):
                study.searchspace.check(answer.params)

        for workers in (1, 4):
            assert self.play(searchspace=space, workers=workers, watch=watch).trials, "nothing was suggested"

    def test_same_question_same_answer(self) -> None:
        """Asked again, or in another instance, or of the study read back from its log, the answer is the same."""
        log: list[Event] = []

        def watch(study: Study, number: int, answer: Suggestion | Answer) -> None:
            used.ask(study, rng_for(0, number))
            assert used.ask(study, rng_for(0, number)) == answer, f"ask {number} has another answer when repeated"
            fresh = self.optimizer().ask(Study.of(log), rng_for(0, number))
            assert fresh == answer, f"ask {number} has another answer from a new instance"

        used = self.optimizer()
        self.play(workers=3, watch=watch, log=log)

    def test_asking_changes_nothing(self) -> None:
        """The study is the same after an ask as before it, and so is the global random generator."""

        def watch(study: Study, number: int, _: Suggestion | Answer) -> None:
            before = study.snapshot()
            self.optimizer().ask(study, rng_for(0, number))
            assert study.snapshot() == before

        self.play(workers=3, watch=watch)

    def test_wait_ends_and_done_is_final(self) -> None:
        """However many trials run at a time, the study ends, and `DONE` is not taken back."""
        for workers in (1, 2, 5, 16):
            answers: list[Suggestion | Answer] = []
            study = self.play(workers=workers, watch=lambda _, __, answer, to=answers: to.append(answer))
            assert answers[-1] is DONE, f"with {amount(workers, 'worker')} the last answer is {answers[-1]}"
            assert not study.running

    def test_num_trials_is_honoured(self) -> None:
        """No more configurations are sampled than asked for, and none are missing unless the space is exhausted."""
        size = self.searchspace().size
        for num_trials in (1, 2, 7, self.num_trials):
            study = self.play(num_trials=num_trials, workers=3)
            assert study.sampled == min(num_trials, math.inf if size is None or size == 1 else size)

    def test_more_trials_can_be_asked_for(self) -> None:
        """After `DONE`, a study whose `num_trials` is raised goes on."""
        log: list[Event] = []
        self.play(num_trials=2, log=log)
        study = Study.of([*log, StudyResumed(0.0, {"num_trials": 4})])
        size = study.searchspace.size
        assert isinstance(self.optimizer().ask(study, rng_for(0, study.next_id)), Suggestion) or size in (1, 2)

    def test_an_empty_study_has_a_first_suggestion(self) -> None:
        """The first answer is a suggestion of a new configuration."""
        settings = {"searchspace": self.searchspace().to_dict(), "num_trials": 1}
        answer = self.optimizer().ask(Study.of([StudyOpened(0.0, settings)]), rng_for(0, 1))
        assert isinstance(answer, Suggestion)
        assert answer.parent is None

    def test_survives_trials_without_a_use(self) -> None:
        """Failures, NaN, infinities and equal values, some or all of them, neither break nor hang it."""

        def raising(trial: Trial) -> float:
            raise RuntimeError(f"trial {trial.id} fails")

        def breaking(trial: Trial) -> Iterator[float]:
            yield hashed(trial)
            raise RuntimeError(f"trial {trial.id} breaks off")

        useless: list[Function] = [raising, breaking, lambda _: 0.0, *_constant(math.nan, math.inf, -math.inf, 1e308)]
        for function in useless:
            mixed = _mixed(climbing, function)
            for each in (function, mixed):
                for direction in DIRECTIONS:
                    assert self.play(each, workers=3, direction=direction).trials

    def test_survives_stopped_trials(self) -> None:
        """Trials that a rule stops, some or all, neither break nor hang it."""
        for one_in in (1, 3):
            study = self.play(workers=3, rules=[*self.rules(), _StopOne(one_in)])
            assert study.counts[Status.STOPPED]

    def test_min_and_max_agree(self) -> None:
        """Minimizing f and maximizing -f try the same."""
        maximized = self.play(workers=3, direction="max")
        minimized = self.play(lambda trial: (-value for value in climbing(trial)), workers=3, direction="min")
        assert _tried(maximized) == _tried(minimized)

    def test_a_seed_repeats_a_study(self) -> None:
        """The same seed gives the same study."""
        assert _tried(self.play(workers=3, seed=7)) == _tried(self.play(workers=3, seed=7))

    def test_settings_survive_json(self) -> None:
        """One of maggy's own comes back from a study's settings as it was; another has to be passed again."""
        _check_settings("optimizer", self.optimizer(), self.optimizer(), OPTIMIZERS)


class StopRuleContract:
    """What holds of every stop rule. Override `rule`, and `mirrored` where its settings are in the metric's unit."""

    def rule(self) -> StopRule:
        """Return a new rule, with the same settings at each call."""
        raise NotImplementedError

    def mirrored(self) -> StopRule:
        """Return the rule that judges -f as `rule()` judges f."""
        return self.rule()

    def decisions(
        self, curve: Curve, others: Sequence[Curve] = (), direction: Direction = "max", rule: StopRule | None = None
    ) -> list[Decision]:
        """Return what the rule says after each point of `curve`, when trials with the curves `others` have ended."""
        rule = rule or self.rule()
        study = Study.of(_ended(others, direction))
        number = study.next_id
        for event in (Suggested(0.0, number, {}, None, None, 0), Started(0.0, number, 1, "player")):
            study.apply(event)
        said = []
        for step, value in enumerate(curve, 1):
            study.apply(Reported(0.0, number, 1, step, {"metric": value}))
            said.append(rule.reason_to_stop(study.trials[number], study))
        return said

    def test_gives_a_reason_or_none(self) -> None:
        """A decision is None or a text that is not empty."""
        for curve in _curves():
            for decision in self.decisions(curve, _curves()):
                assert decision is None or (isinstance(decision, str) and decision.strip())

    def test_same_question_same_answer(self) -> None:
        """A used rule and a new one, a study at work and one read back from its log, give the same decision."""
        used = self.rule()
        for curve in _curves():
            first = self.decisions(curve, _curves(), rule=used)
            assert self.decisions(curve, _curves(), rule=used) == first
            for length in range(1, len(curve) + 1):
                assert self.decisions(curve, _curves())[:length] == first[:length]
                assert _asked_late(self.rule(), curve[:length], _curves()) == first[length - 1]

    def test_changes_nothing(self) -> None:
        """The study is the same after a decision as before it."""
        study = Study.of(_running(_curves()[0], _curves()))
        before = study.snapshot()
        self.rule().reason_to_stop(study.trials[study.next_id - 1], study)
        assert study.snapshot() == before

    def test_needs_no_others(self) -> None:
        """A trial can be the first of its study, with a single point."""
        for value in (0.0, 1.0, -1e308, math.nan, math.inf, -math.inf):
            self.decisions([value])
            self.decisions([value], [[0.5]])
            self.decisions([0.5], [[value]])

    def test_survives_values_that_are_not_finite(self) -> None:
        """NaN and infinities, in the trial or in others, one or all, do not break it."""
        for bad in (math.nan, math.inf, -math.inf):
            spoilt = [_spoilt(curve, row, bad) for row, curve in enumerate(_curves())]
            for curve in (*spoilt, [bad] * 12, *_curves()):
                for direction in DIRECTIONS:
                    self.decisions(curve, spoilt, direction)
                    self.decisions(curve, [[bad] * 12] * 12, direction)

    def test_a_value_that_is_not_finite_stops_nobody_else(self) -> None:
        """Trials that reported infinity, however good that would be, do not make others stop."""
        for direction, best in zip(DIRECTIONS, (math.inf, -math.inf), strict=True):
            for curve in _curves():
                alone = _stops(self.decisions(curve, [], direction))
                for bad in (best, math.nan):
                    assert _stops(self.decisions(curve, [[bad] * 20] * 20, direction)) == alone

    def test_min_and_max_agree(self) -> None:
        """The rule stops a trial that minimizes f where it stops one that maximizes -f."""
        for curve in _curves():
            maximized = self.decisions(curve, _curves(), "max")
            minimized = self.decisions(_negated(curve), [*map(_negated, _curves())], "min", self.mirrored())
            assert _stops(maximized) == _stops(minimized)

    def test_settings_survive_json(self) -> None:
        """One of maggy's own comes back from a study's settings as it was; another has to be passed again."""
        _check_settings("stop rule", self.rule(), self.rule(), STOP_RULES)


class _StopOne:
    """Stops every trial whose number is a multiple, at its first report."""

    def __init__(self, one_in: int) -> None:
        self._one_in = one_in

    def reason_to_stop(self, trial: Trial, study: Study) -> str | None:  # noqa: ARG002 - needs the trial alone
        return None if trial.id % self._one_in else "the test wants it"


def _check_settings(kind: str, plugin: object, same: object, registry: plugins.Registry) -> None:
    described = plugins.to_json(plugin, registry)
    if "custom" not in described:
        assert plugins.from_json(kind, loads(dumps(described)), registry) == plugin == same


def _tried(study: Study) -> list[tuple[Any, ...]]:
    return [(dict(trial.params), trial.budget, trial.parent, trial.status) for trial in study.trials.values()]


def _constant(*values: float) -> list[Function]:
    return [lambda _, value=value: value for value in values]  # type: ignore[misc]


def _mixed(one: Callable[[Trial], Any], other: Callable[[Trial], Any]) -> Function:
    return lambda trial: (one if trial.id % 3 else other)(trial)


def _curves() -> list[list[float]]:
    """Return twelve curves that climb to different heights, with noise."""
    rng = Random("curves")
    heights = [rng.random() for _ in range(12)]
    return [[height * (1 - 0.7**step) + 0.05 * rng.random() for step in range(1, 16)] for height in heights]


def _spoilt(curve: Curve, row: int, bad: float) -> list[float]:
    return [bad if (place + row) % 3 else value for place, value in enumerate(curve)]


def _negated(curve: Curve) -> list[float]:
    return [-value for value in curve]


def _stops(decisions: Sequence[Decision]) -> list[bool]:
    return [decision is not None for decision in decisions]


def _ended(curves: Sequence[Curve], direction: Direction = "max") -> Iterator[Event]:
    """Tell of a study in which trials with these curves have completed, the fourth, eighth, … stopped."""
    yield StudyOpened(0.0, {"direction": direction})
    for number, curve in enumerate(curves, 1):
        yield from _reported(number, curve)
        status = Status.COMPLETED if number % 4 else Status.STOPPED
        yield Ended(0.0, number, 1, status, curve[-1], {"metric": curve[-1]})


def _running(curve: Curve, others: Sequence[Curve]) -> Iterator[Event]:
    yield from _ended(others)
    yield from _reported(len(others) + 1, curve)


def _reported(number: int, curve: Curve) -> Iterator[Event]:
    yield Suggested(0.0, number, {}, None, None, 0)
    yield Started(0.0, number, 1, "player")
    for step, value in enumerate(curve, 1):
        yield Reported(0.0, number, 1, step, {"metric": value})


def _asked_late(rule: StopRule, curve: Curve, others: Sequence[Curve]) -> Decision:
    """Ask a rule that was not asked before, so that what it derives from the study is derived at once."""
    study = Study.of(_running(curve, others))
    return rule.reason_to_stop(study.trials[study.next_id - 1], study)
