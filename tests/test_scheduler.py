"""Dialogues with the scheduler: say this, expect exactly these actions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from maggy import events
from maggy.driver.actions import Ask, Close, Drop, Record, Send
from maggy.driver.scheduler import Scheduler
from maggy.driver.terms import Terms
from maggy.events import Ended, Lost, Reported, Started, StopRequested, StudyClosed, StudyOpened, Suggested
from maggy.rpc.messages import Beat, Bye, Finished, Join, Log, Reports, Run, Saved, Stop, Welcome
from maggy.study import Study
from maggy.testing.logcheck import check_log
from maggy.trial import DONE, WAIT, Status, Suggestion

SPACE = {"x": {"type": "integer", "low": 0, "high": 100}}
WELCOME = Welcome(1.0, 10.0, 5.0, None, "")


@dataclass
class Dialogue:
    """A scheduler that is checked after every input, and the log that it has written; the time is 0 unless given."""

    scheduler: Scheduler
    log: list = field(default_factory=list)

    def __getattr__(self, name):
        def say(*given, at=0.0):
            actions = getattr(self.scheduler, name)(*given, at)
            self.log += [action.event for action in actions if isinstance(action, Record)]
            self.scheduler.check()
            if self.scheduler.closed is None and at < self.scheduler.deadline():
                assert self.scheduler.tick(at) == [], "dispatching again yields nothing"
            assert Study.of(self.log).snapshot() == self.scheduler.study.snapshot()
            return actions

        return say

    @property
    def study(self):
        return self.scheduler.study


def dialogue(*, log=(), num_trials=10, metric=None, **terms) -> Dialogue:
    """Return a dialogue with a scheduler whose study has been opened."""
    log = list(log) or [
        StudyOpened(0.0, {"searchspace": SPACE, "num_trials": num_trials, "metric": metric, "direction": "max"})
    ]
    talk = Dialogue(Scheduler(Study.of(log), Terms(**terms)), log)
    talk.opened()
    return talk


def hello(name="a") -> Join:
    return Join(name, "host", 1, 0, "3.13", "2")


def finished(trial=1, attempt=1, status="completed", value: float | None = 0.5, metrics=None, error=None) -> Finished:
    return Finished(trial, attempt, status, value, metrics or {}, error)


def running(*executors, **terms) -> Dialogue:
    """Return a dialogue in which each of these executors runs a trial, the first of them trial 1."""
    talk = dialogue(**terms)
    for number, name in enumerate(executors, 1):
        talk.joined(hello(name))
        talk.suggested(number, Suggestion({"x": number}), talk.study.position)
    return talk


class Always:
    """A stop rule that stops everything, and counts how often it is asked."""

    asked = 0

    def reason_to_stop(self, trial, study):
        self.asked += 1
        return f"{trial.curve.last} is not enough"


# -- joining, asking, running ----------------------------------------------------------------------------------------


def test_who_joins_is_welcomed_and_the_optimizer_is_asked():
    """An idle executor is a reason to ask, showing the log up to now."""
    assert dialogue().joined(hello()) == [Send("a", WELCOME), Ask(1, 1)]


def test_a_suggestion_is_recorded_before_it_is_sent():
    """What an executor is told to run stands in the log before."""
    talk = dialogue()
    talk.joined(hello())
    assert talk.suggested(1, Suggestion({"x": 3}, 9, None), 1) == [
        Record(Suggested(0.0, 1, {"x": 3}, 9, None, 1)),
        Record(Started(0.0, 1, 1, "a")),
        Send("a", Run(1, 1, {"x": 3}, 9, None)),
    ]


def test_one_ask_is_out_at_a_time():
    """A second idle executor has to wait for the answer that the first waits for."""
    talk = dialogue()
    talk.joined(hello("a"))
    assert talk.joined(hello("b")) == [Send("b", WELCOME)]
    assert talk.suggested(1, Suggestion({"x": 1}), 1)[-1] == Ask(2, 3)


def test_an_answer_to_an_ask_that_is_not_out_is_ignored():
    """Only the number that was asked for can be answered, once."""
    talk = running("a")
    assert talk.suggested(1, Suggestion({"x": 1}), 1) == []
    assert talk.suggested(2, Suggestion({"x": 1}), 1) == []


def test_an_outcome_makes_room_for_the_next_trial():
    """The executor that has finished is idle, so the optimizer is asked, having seen the end."""
    talk = running("a")
    assert talk.received("a", finished()) == [
        Record(Ended(0.0, 1, 1, "completed", 0.5, {})),
        Ask(2, 4),
    ]


def test_lookahead_asks_before_anyone_is_idle():
    """With lookahead 1 a suggestion is ready when an executor gets idle, and then the next one is asked for."""
    talk = running("a", lookahead=1)
    assert talk.suggested(2, Suggestion({"x": 2}), 3) == [Record(Suggested(0.0, 2, {"x": 2}, None, None, 3))]
    assert talk.received("a", finished()) == [
        Record(Ended(0.0, 1, 1, "completed", 0.5, {})),
        Record(Started(0.0, 2, 1, "a")),
        Send("a", Run(2, 1, {"x": 2}, None, None)),
        Ask(3, 6),
    ]


# -- fencing -----------------------------------------------------------------------------------------------------------


def test_what_another_attempt_says_does_not_count():
    """Neither reports nor outcomes of an attempt that is lost are recorded."""
    talk = running("a", "b")
    talk.received("b", finished(2))
    talk.lost("a", "died")
    assert talk.study.running[1].executor == "b"
    for stale in (Reports(1, 1, [[0, {"metric": 1.0}]]), finished(1, 1)):
        assert talk.received("b", stale) == []
        assert talk.received("a", stale) == [], "nor from an executor that is not there"
    assert talk.received("b", Reports(1, 2, [[0, {"metric": 1.0}]])) == [
        Record(Reported(0.0, 1, 2, 0, {"metric": 1.0}))
    ]


def test_an_executor_speaks_only_of_its_own_trial():
    """An executor that reports for another's trial, attempt and all, is not heard."""
    talk = running("a", "b")
    assert talk.received("a", Reports(2, 1, [[0, {"metric": 1.0}]])) == []
    assert talk.received("a", finished(2)) == []


def test_an_outcome_counts_once():
    """A second outcome changes nothing: final states are final."""
    talk = running("a")
    talk.received("a", finished())
    assert talk.received("a", finished(value=9.0)) == []


# -- checkpoints -------------------------------------------------------------------------------------------------------


def saved(trial=1, attempt=1, number=1) -> Saved:
    return Saved(trial, attempt, f"{trial}/{attempt}-{number}.tar", 10)


def test_a_checkpoint_is_recorded_and_handed_to_the_next_attempt():
    """The last that was recorded, and the one before it, should that be damaged (F42)."""
    talk = running("a")
    assert talk.received("a", saved()) == [Record(events.Saved(0.0, 1, 1, "1/1-1.tar", 10))]
    talk.received("a", saved(number=2))
    talk.lost("a", "died")
    assert talk.joined(hello("b"))[-1] == Send("b", Run(1, 2, {"x": 1}, None, None, ["1/1-2.tar", "1/1-1.tar"]))


def test_f05_a_zombies_checkpoint_does_not_count():
    """F5: on shared storage too, what another attempt or executor saves is never referenced."""
    talk = running("a", "b")
    talk.received("b", finished(2))
    talk.lost("a", "died")
    for who in ("a", "b"):
        assert talk.received(who, saved(1, 1)) == []
    assert talk.received("b", saved(2, 1)) == []
    assert talk.study.trials[1].checkpoint is None
    assert talk.received("b", saved(1, 2)) != []


def test_a_child_goes_on_from_its_own_checkpoint_then_from_its_ancestors():
    """In this order, and over generations that have saved nothing; of the trial itself the last two (F42)."""
    talk = running("a")
    talk.received("a", saved(1))
    talk.received("a", finished(1))
    talk.suggested(2, Suggestion({"x": 1}, 3, 1), talk.study.position)
    talk.received("a", finished(2))
    run = talk.suggested(3, Suggestion({"x": 1}, 9, 2), talk.study.position)[-1].message
    assert run.restore == ["1/1-1.tar"]
    assert talk.scheduler.may_have("a", 3, 1, "1/1-1.tar")
    for number in (1, 2, 3):
        talk.received("a", saved(3, number=number))
    talk.lost("a", "died")
    assert not talk.scheduler.may_have("a", 3, 1, "1/1-1.tar")
    run = talk.joined(hello("b"))[-1].message
    assert run.restore == ["3/1-3.tar", "3/1-2.tar", "1/1-1.tar"]
    for name, may in [("3/1-3.tar", True), ("1/1-1.tar", True), ("2/1-1.tar", False), ("3/1-1.tar", False)]:
        assert talk.scheduler.may_have("b", 3, 2, name) == may
        assert not talk.scheduler.may_have("b", 3, 1, name)


def test_whatever_an_executor_sends_shows_that_it_lives():
    """F5: a trial that prints and does not report is not taken for lost."""
    talk = running("a")
    began = talk.scheduler.deadline()
    talk.received("a", Log(1, 1, "still here"), at=8.0)
    assert talk.tick(at=began) == []
    assert talk.scheduler.deadline() == began + 8.0


# -- WAIT and DONE -----------------------------------------------------------------------------------------------------


def test_wait_lasts_until_a_trial_ends():
    """After WAIT nobody is asked, whoever joins or reports, until a trial has ended."""
    talk = running("a")
    talk.joined(hello("b"))
    assert talk.suggested(2, WAIT, 3) == []
    assert talk.joined(hello("c")) == [Send("c", WELCOME)]
    assert talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}]]))[1:] == []
    assert talk.received("a", finished())[-1] == Ask(2, 5)


def test_an_end_between_ask_and_answer_is_not_missed():
    """WAIT is compared with what the optimizer had seen, not with where the log is when it answers."""
    talk = running("a", "c")
    talk.joined(hello("b"))
    seen = talk.study.position
    talk.received("a", finished())
    assert talk.suggested(3, WAIT, seen) == [Ask(3, seen + 1)]


def test_wait_for_what_was_seen_does_not_spin():
    """An end that the optimizer had seen when it said WAIT is no news."""
    talk = running("a", "b")
    talk.received("a", finished())
    assert talk.study.last_end == talk.study.position
    assert talk.suggested(3, WAIT, talk.study.position) == []


def test_wait_with_nothing_running_is_the_end():
    """An optimizer that waits for an end that cannot come is taken to be done."""
    talk = dialogue()
    talk.joined(hello())
    assert talk.suggested(1, WAIT, 1) == [Record(StudyClosed(0.0, "done")), Send("a", Bye("done")), Close("done")]


def test_wait_outlives_the_loss_of_the_trial_waited_for():
    """A trial that is lost is still to end: WAIT goes on, and is over when the next attempt ends."""
    talk = running("a")
    talk.joined(hello("b"))
    talk.suggested(2, WAIT, 3)
    assert talk.lost("a", "died") == [
        Record(Lost(0.0, 1, 1, "died")),
        Record(Started(0.0, 1, 2, "b")),
        Send("b", Run(1, 2, {"x": 1}, None, None)),
    ]
    assert talk.received("b", finished(1, 2))[-1] == Ask(2, 6)


def test_done_lets_the_running_trials_finish():
    """After DONE nobody is asked again, and the study closes with the last trial."""
    talk = running("a")
    talk.joined(hello("b"))
    assert talk.suggested(2, DONE, 3) == []
    assert talk.received("a", finished())[1:] == [
        Record(StudyClosed(0.0, "done")),
        Send("a", Bye("done")),
        Send("b", Bye("done")),
        Close("done"),
    ]


def test_late_joiners_are_sent_home():
    """Whoever joins after the end is told to go home, and is no executor."""
    talk = dialogue()
    talk.joined(hello())
    talk.suggested(1, DONE, 1)
    assert talk.joined(hello("late")) == [Send("late", Bye("done"))]
    assert "late" not in talk.scheduler.executors


def test_an_optimizer_that_does_not_count_is_held_to_num_trials():
    """A configuration too many is not recorded: it counts as WAIT while trials run, as DONE after."""
    talk = running("a", num_trials=1)
    talk.joined(hello("b"))
    assert talk.suggested(2, Suggestion({"x": 2}), 3) == []
    assert talk.received("a", finished())[-1] == Ask(2, 4)
    assert talk.suggested(2, Suggestion({"x": 2}), 4)[-1] == Close("done")


def test_a_promotion_is_no_new_configuration():
    """A suggestion with a parent is accepted when all of num_trials are sampled."""
    talk = running("a", num_trials=1)
    talk.received("a", finished())
    assert talk.suggested(2, Suggestion({"x": 1}, 3, 1), 4)[-1] == Send("a", Run(2, 1, {"x": 1}, 3, 1))


# -- lost --------------------------------------------------------------------------------------------------------------


def test_a_lost_trial_is_first_in_line():
    """It overtakes what lookahead has queued, at the next attempt."""
    talk = running("a", lookahead=1)
    talk.suggested(2, Suggestion({"x": 2}), 3)
    assert talk.lost("a", "died") == [Record(Lost(0.0, 1, 1, "died"))]
    assert talk.joined(hello("b"))[1:] == [
        Record(Started(0.0, 1, 2, "b")),
        Send("b", Run(1, 2, {"x": 1}, None, None)),
    ]


def test_a_trial_that_costs_too_many_executors_fails():
    """The max_lost-th loss is the trial's end, with the last cause."""
    talk = running("a", max_lost=2)
    talk.lost("a", "first")
    talk.joined(hello("b"))
    error = "lost 2 times, the last time because: second"
    assert talk.lost("b", "second") == [Record(Ended(0.0, 1, 2, "failed", None, {}, None, error))]


def test_the_loss_of_an_idle_executor_is_no_event():
    """Nothing of the study has changed."""
    talk = running("a")
    talk.joined(hello("b"))
    assert talk.lost("b", "died") == []
    assert talk.lost("b", "died again") == []


def test_an_executor_that_joins_again_has_lost_its_trial():
    """A second introduction under the same name means that the first process is gone."""
    talk = running("a")
    assert talk.joined(hello("a")) == [
        Record(Lost(0.0, 1, 1, "the executor joined again")),
        Send("a", WELCOME),
        Record(Started(0.0, 1, 2, "a")),
        Send("a", Run(1, 2, {"x": 1}, None, None)),
    ]


def test_silence_past_the_lease_means_loss():
    """F6: the connection is cut and the trial queued after the lease, a beat and the time for a new connection.

    An outage of the whole lease that began when a sign of life was due is over before.
    """
    talk = running("a")
    assert talk.scheduler.deadline() == pytest.approx(11.8)
    assert talk.tick(at=11.79) == []
    assert talk.tick(at=11.81) == [
        Drop("a", "executor silent for 10 s"),
        Record(Lost(11.81, 1, 1, "executor silent for 10 s")),
    ]


def test_a_beat_renews_the_lease():
    """Every sign of life counts from when it came."""
    talk = running("a")
    assert talk.received("a", Beat(), at=7.0) == []
    assert talk.tick(at=11.81) == []
    assert talk.scheduler.deadline() == pytest.approx(18.8)


def test_what_the_last_driver_left_running_is_queued_again():
    """A new driver on an old log starts it anew; that the driver died is not the trial's fault."""
    talk = dialogue(log=running("a").log)
    assert talk.log[-1] == Lost(0.0, 1, 1, "the driver that ran it is gone", counts=False)
    assert talk.study.trials[1].lost == 0
    assert talk.joined(hello("b"))[1:] == [
        Record(Started(0.0, 1, 2, "b")),
        Send("b", Run(1, 2, {"x": 1}, None, None)),
    ]


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_a_stop_is_requested_once():
    """The first reason is recorded and sent; after it no rule is asked about this attempt."""
    rule = Always()
    talk = running("a", rules=[rule])
    assert talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}], [1, {"metric": 2.0}]])) == [
        Record(Reported(0.0, 1, 1, 0, {"metric": 1.0})),
        Record(StopRequested(0.0, 1, 1, "1.0 is not enough")),
        Send("a", Stop(1, 1, "1.0 is not enough")),
        Record(Reported(0.0, 1, 1, 1, {"metric": 2.0})),
    ]
    assert talk.received("a", Reports(1, 1, [[2, {"metric": 3.0}]])) == [
        Record(Reported(0.0, 1, 1, 2, {"metric": 3.0}))
    ]
    assert rule.asked == 1


def test_another_attempt_may_be_stopped_again():
    """A request to stop dies with the attempt that it was made to."""
    talk = running("a", rules=[Always()])
    talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}]]))
    talk.lost("a", "died")
    talk.joined(hello("b"))
    assert Send("b", Stop(1, 2, "1.0 is not enough")) in talk.received("b", Reports(1, 2, [[0, {"metric": 1.0}]]))


def test_rules_judge_by_the_objective_alone():
    """A report without the objective is recorded, and no rule is asked."""
    rule = Always()
    talk = running("a", rules=[rule], metric="accuracy")
    assert talk.received("a", Reports(1, 1, [[0, {"loss": 1.0}]])) == [Record(Reported(0.0, 1, 1, 0, {"loss": 1.0}))]
    assert rule.asked == 0


def test_a_stopped_trial_keeps_its_reason_and_last_value():
    """What the last report said is what a stopped trial was worth."""
    talk = running("a", rules=[Always()])
    talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}]]))
    assert talk.received("a", finished(status="stopped", value=None))[0] == Record(
        Ended(0.0, 1, 1, "stopped", 1.0, {}, "1.0 is not enough")
    )


def test_a_trial_that_completes_in_spite_of_a_stop_is_completed():
    """The outcome decides, not the request."""
    talk = running("a", rules=[Always()])
    talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}]]))
    assert talk.received("a", finished())[0] == Record(Ended(0.0, 1, 1, "completed", 0.5, {}))
    assert talk.study.trials[1].stop_reason is None


# -- outcomes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_returned_value_that_is_not_finite_is_a_failure(value):
    """The trial failed, with the reason, and the value is kept."""
    talk = running("a")
    (ended,) = [action.event for action in talk.received("a", finished(value=value)) if isinstance(action, Record)]
    assert ended.status == "failed"
    assert ended.error == f"train_fn returned {value} as 'metric'"
    assert repr(ended.value) == repr(value)


def test_a_trial_that_returns_none_is_worth_its_last_report():
    """A function need not return what it has reported."""
    talk = running("a")
    talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}], [1, {"metric": 2.0}]]))
    assert talk.received("a", finished(value=None))[0] == Record(Ended(0.0, 1, 1, "completed", 2.0, {}))


def test_a_trial_that_says_nothing_at_all_failed():
    """Neither a value nor a report: there is nothing to compare."""
    talk = running("a", metric="accuracy")
    error = "no value of 'accuracy': train_fn returned none and reported none"
    assert talk.received("a", finished(value=None))[0] == Record(Ended(0.0, 1, 1, "failed", None, {}, None, error))


def test_a_trial_that_raised_is_a_result():
    """It failed with its traceback, is not queued again, and the executor goes on."""
    talk = running("a")
    assert talk.received("a", finished(status="failed", value=None, error="ValueError: no")) == [
        Record(Ended(0.0, 1, 1, "failed", None, {}, None, "ValueError: no")),
        Ask(2, 4),
    ]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_timeout_winds_the_study_down():
    """Running trials are asked to stop, nothing more is given out, and the last end closes the study."""
    talk = running("a", timeout=5.0, lookahead=1)
    assert talk.tick(at=5.0) == [
        Record(StopRequested(5.0, 1, 1, "timeout")),
        Send("a", Stop(1, 1, "timeout")),
    ]
    assert talk.suggested(2, Suggestion({"x": 2}), 3, at=5.1) == [], "an ask in flight at the end comes to nothing"
    assert talk.received("a", finished(status="stopped", value=1.0), at=5.2) == [
        Record(Ended(5.2, 1, 1, "stopped", 1.0, {}, "timeout")),
        Record(StudyClosed(5.2, "timeout")),
        Send("a", Bye("timeout")),
        Close("timeout"),
    ]


def test_who_does_not_stop_in_time_is_cut_off():
    """A second longer than the executor's own patience, then the trial has ended with its last value."""
    talk = running("a", timeout=8.0)
    talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}]]), at=7.0)
    talk.tick(at=8.0)
    assert talk.tick(at=13.9) == []
    assert talk.scheduler.deadline() == 14.0
    assert talk.tick(at=14.0) == [
        Record(Ended(14.0, 1, 1, "stopped", 1.0, {}, "timeout")),
        Record(StudyClosed(14.0, "timeout")),
        Send("a", Bye("timeout")),
        Close("timeout"),
    ]


def test_no_rule_is_asked_while_the_study_winds_down():
    """Everybody has been asked to stop already."""
    rule = Always()
    talk = running("a", timeout=5.0, rules=[rule])
    talk.tick(at=5.0)
    talk.received("a", Reports(1, 1, [[0, {"metric": 1.0}]]), at=5.1)
    assert rule.asked == 0


def test_an_interrupt_ends_at_once():
    """What runs is lost without blame and will run again; everybody is sent home."""
    talk = running("a")
    assert talk.interrupted("interrupted") == [
        Record(Lost(0.0, 1, 1, "interrupted", counts=False)),
        Record(StudyClosed(0.0, "interrupted")),
        Send("a", Bye("interrupted")),
        Close("interrupted"),
    ]
    assert talk.received("a", finished()) == []
    assert talk.interrupted("again") == []


def test_an_answer_after_the_end_comes_to_nothing():
    """The optimizer may still be at it when the study is interrupted."""
    talk = dialogue()
    talk.joined(hello())
    talk.interrupted("interrupted")
    assert talk.suggested(1, Suggestion({"x": 1}), 1) == []


def test_a_closed_study_wants_no_tick():
    """There is nothing left to wait for."""
    talk = running("a", timeout=5.0)
    talk.interrupted("interrupted")
    assert talk.scheduler.deadline() == math.inf


# -- anything, in any order --------------------------------------------------------------------------------------------

names = st.sampled_from("abcd")
numbers = st.integers(1, 6)
values = st.sampled_from([0.5, 1.0, None, math.nan])


class Anything(RuleBasedStateMachine):
    """Inputs in any order, stale and foreign ones among them: the invariants hold, and the study can be ended."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.talk = dialogue(num_trials=4, rules=[Low()], lookahead=1, timeout=60.0, max_lost=2)

    def say(self, name, *given):
        self.ask_out(getattr(self.talk, name)(*given, at=self.now))

    def ask_out(self, actions):
        for action in actions:
            if isinstance(action, Ask):
                assert action == Ask(self.talk.study.next_id, self.talk.study.position)

    @property
    def asked(self):
        return self.talk.scheduler.asking.out

    @rule(name=names)
    def join(self, name):
        self.say("joined", hello(name))

    @rule(name=names)
    def lose(self, name):
        self.say("lost", name, "died")

    @rule(name=names, trial=numbers, attempt=st.integers(1, 2), value=values)
    def report(self, name, trial, attempt, value):
        self.say("received", name, Reports(trial, attempt, [[1, {} if value is None else {"metric": value}]]))

    @rule(name=names, trial=numbers, attempt=st.integers(1, 2), value=values, status=st.sampled_from(Status))
    def finish(self, name, trial, attempt, value, status):
        if status.final:
            self.say("received", name, finished(trial, attempt, str(status), value))

    @precondition(lambda self: self.talk.study.running)
    @rule(data=st.data(), value=values)
    def finish_running(self, data, value):
        trial = data.draw(st.sampled_from(list(self.talk.study.running.values())))
        self.say("received", trial.executor, finished(trial.id, trial.attempt, "completed", value))

    @precondition(lambda self: self.asked is not None)
    @rule(parent=st.one_of(st.none(), numbers), back=st.integers(0, 5))
    def suggest(self, parent, back):
        parent = parent if parent in self.talk.study.trials else None
        seen = max(1, self.talk.study.position - back)
        self.say("suggested", self.asked, Suggestion({"x": 1}, None, parent), seen)

    @precondition(lambda self: self.asked is not None)
    @rule(back=st.integers(0, 5))
    def wait(self, back):
        self.say("suggested", self.asked, WAIT, max(1, self.talk.study.position - back))

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0]), name=names)
    def pass_time(self, seconds, name):
        self.now += seconds
        self.say("received", name, Beat())
        self.say("tick")

    def teardown(self):
        """Say DONE, let everything run to its end: the study closes within as many steps as it has trials."""
        for _ in range(3 * len(self.talk.study.trials) + 3):
            if self.talk.scheduler.closed is None:
                if not self.talk.scheduler.executors:
                    self.say("joined", hello("z"))
                if self.asked is not None:
                    self.say("suggested", self.asked, DONE, self.talk.study.position)
                for trial in list(self.talk.study.running.values()):
                    self.say("received", trial.executor, finished(trial.id, trial.attempt))
        assert self.talk.scheduler.closed is not None
        check_log(self.talk.log)


class Low:
    """Stops what is below 0.7."""

    def reason_to_stop(self, trial, study):
        return "low" if trial.curve.last < 0.7 else None


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
