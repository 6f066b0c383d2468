"""Trials that executors are given ahead of need, where trials are short and no suggestion depends on a result."""

import pytest
from test_scheduler import dialogue, finished, hello

from maggy.driver.actions import Drop, Record, Send
from maggy.driver.crew import AHEAD, AHEAD_OF_A_LONG_ONE, LEAVING, MOST_AHEAD, SURPRISE
from maggy.events import Ended, Lost, Started, Suggested
from maggy.executor.orders import Kill, Leave, Signal, Start, Tell, Terminate
from maggy.executor.session import CLEAR_SECONDS, LEAVE_SECONDS, LEFT, Session
from maggy.rpc.messages import Bye, Finished, Join, Leaving, Reports, Run, Stop, Welcome
from maggy.study import Study
from maggy.trial import DONE, Suggestion


class Talk:
    """A study with one executor whose first trial took so many seconds."""

    def __init__(self, took=0.001, independent=True, executors=("a",), **terms):
        self.talk, self.now = dialogue(independent=independent, num_trials=100, **terms), 0.0
        for name in executors:
            self.talk.joined(hello(name))
            self.answer()
        self.scheduler = self.talk.scheduler
        for number, name in enumerate(executors, 1):
            self.talk.received(name, finished(number), at=took)
        self.now = took

    def answer(self):
        """Let the optimizer answer for as long as it is asked."""
        asking = self.talk.scheduler.asking
        while asking.out is not None:
            self.talk.suggested(asking.out, Suggestion({"x": asking.out}), self.talk.study.position, at=self.now)

    def given(self, name="a"):
        return [given.trial.id for given in self.scheduler.executors[name].given]


@pytest.mark.parametrize(
    ("took", "ahead"),
    [(0.0, MOST_AHEAD), (0.001, MOST_AHEAD), (AHEAD / 4, 4), (AHEAD / 2, 2), (AHEAD, 1), (1.01 * AHEAD, 0), (5.0, 0)],
)
def test_short_trials_are_given_ahead(took, ahead):
    """As much as is worked off in a tenth of a second."""
    talk = Talk(took)
    talk.answer()
    assert len(talk.given()) == 1 + ahead


def test_where_suggestions_depend_on_results_nothing_is_given_ahead():
    """It would be decided on what is known too early."""
    talk = Talk(independent=False)
    talk.answer()
    assert talk.given() == [2]


def test_who_is_idle_comes_first_and_others_take_turns():
    """Nobody waits while somebody else has a stock."""
    talk = Talk(AHEAD / 2, executors=("a", "b"))
    talk.answer()
    assert [len(talk.given(name)) for name in "ab"] == [3, 3]
    assert talk.given("a") == [3, 5, 7]


def test_only_what_runs_may_speak():
    """A report of what comes later does not count, nor its end, until what comes before has ended."""
    talk = Talk()
    talk.answer()
    early = talk.talk.received("a", Reports(3, 1, [[0, {"metric": 1.0}]]), at=talk.now)
    assert not any(isinstance(action, Record) for action in early)
    talk.talk.received("a", finished(2), at=talk.now)
    (recorded, *_) = talk.talk.received("a", Reports(3, 1, [[0, {"metric": 1.0}]]), at=talk.now)
    assert recorded.event.trial == 3


def test_what_lies_behind_a_long_trial_is_given_to_others():
    """In its order, uncounted; and its executor hears of it."""
    talk = Talk(AHEAD / 2)
    talk.answer()
    late = talk.now + SURPRISE
    assert talk.scheduler.deadline() <= late
    assert talk.talk.tick(at=late) == [
        Record(Lost(late, 4, 1, AHEAD_OF_A_LONG_ONE, counts=False)),
        Send("a", Stop(4, 1, AHEAD_OF_A_LONG_ONE)),
        Record(Lost(late, 3, 1, AHEAD_OF_A_LONG_ONE, counts=False)),
        Send("a", Stop(3, 1, AHEAD_OF_A_LONG_ONE)),
    ]
    assert list(talk.talk.study.queued) == [3, 4]
    talk.talk.joined(hello("b"))
    assert talk.given("b") == [3]
    talk.talk.received("a", finished(2), at=late)
    assert talk.given("a") == [4], "and who was busy for long has no stock"


def test_who_is_away_for_a_moment_keeps_its_stock():
    """What it does meanwhile follows when it is back; only then the time counts again."""
    talk = Talk()
    talk.answer()
    stock = talk.given()
    talk.talk.broke("a", "the connection broke", at=talk.now)
    talk.talk.tick(at=talk.now + 3 * SURPRISE)
    talk.talk.returned("a", at=talk.now + 3 * SURPRISE)
    assert talk.given() == stock
    talk.talk.tick(at=talk.now + 5 * SURPRISE)
    assert talk.given() == stock[:1]


def test_who_dies_has_one_trial_on_its_conscience():
    """What it had not begun is not counted; the first in line is what it ran, and is nobody's stock again."""
    talk = Talk()
    talk.answer()
    behind = talk.given()[1:]
    lost = [action.event for action in talk.talk.lost("a", "gone") if isinstance(action, Record)]
    assert [(event.trial, event.counts) for event in lost] == [*((number, False) for number in behind[::-1]), (2, True)]
    assert list(talk.talk.study.queued) == [2, *behind]
    talk.talk.joined(hello("b"))
    talk.talk.received("b", finished(2, attempt=2), at=talk.now)
    assert talk.given("b") == [3]


def test_what_a_dead_driver_had_given_out_is_queued_in_its_order():
    """All of it, uncounted."""
    talk = Talk(AHEAD / 2)
    talk.answer()
    again = dialogue(log=list(talk.talk.log), independent=True)
    assert list(again.study.queued) == talk.given() == [2, 3, 4]
    assert not any(trial.lost for trial in again.study.trials.values())


def test_what_was_lost_before_is_alone():
    """It may be what executors die of: it waits behind no other, and none waits behind it."""
    talk = Talk()
    talk.answer()
    talk.talk.joined(hello("b"))
    talk.answer()
    (lost,) = talk.given("b")
    talk.talk.lost("b", "gone")
    for number in talk.given():
        assert lost not in talk.given()
        talk.talk.received("a", finished(number), at=talk.now)
    talk.answer()
    assert talk.given() == [lost]


def test_who_fails_has_no_stock():
    """It may be that all will fail, and then the study is given up."""
    talk = Talk()
    talk.answer()
    for number in talk.given():
        talk.talk.received("a", finished(number, status="failed", value=None, error="ValueError"), at=talk.now)
    talk.answer()
    assert len(talk.given()) == 1


@pytest.mark.parametrize(("outcome", "took"), [({"status": "failed", "error": "E"}, 0.0), ({}, 1.5 * AHEAD)])
def test_who_waits_for_more_loses_its_turn_with_its_pace(outcome, took):
    """It was to be given more as soon as the optimizer had answered; by then its trials take longer, or fail."""
    talk = Talk()
    for number in (2, 3):
        talk.talk.suggested(number, Suggestion({"x": number}), talk.talk.study.position, at=talk.now)
    talk.talk.received("a", finished(2, **outcome), at=talk.now + took)
    talk.answer()
    assert talk.given() == [3]


def test_nobody_goes_home_while_others_have_a_stock():
    """What lies behind a trial that turns out to be long would have to wait for a slot that is started again."""
    talk = Talk(AHEAD / 2, executors=("a",))
    for answer in (*(Suggestion({"x": number}) for number in (2, 3, 4)), DONE):
        talk.talk.suggested(talk.scheduler.asking.out, answer, talk.talk.study.position, at=talk.now)
    assert talk.given() == [2, 3, 4]
    assert talk.talk.joined(Join("b", "host", 1, 1, "3.13", "2"), at=talk.now)[1:] == []
    talk.talk.tick(at=talk.now + SURPRISE)
    assert talk.given("b") == [3]


def test_a_timeout_takes_back_what_has_not_begun():
    """It is not stopped, since it never ran: it is queued for when the study goes on."""
    talk = Talk(timeout=SURPRISE / 2)
    talk.answer()
    talk.talk.tick(at=SURPRISE / 2)
    assert talk.given() == [2]
    talk.talk.received("a", finished(2, status="stopped"), at=SURPRISE / 2)
    assert talk.scheduler.closed == "timeout"
    assert 3 in talk.talk.study.queued


def test_who_is_silent_loses_all():
    """The lease is on the executor."""
    talk = Talk()
    talk.answer()
    actions = talk.talk.tick(at=60.0)
    assert Drop("a", "executor silent for 10 s") in actions
    assert not talk.talk.study.running


# -- the executor ----------------------------------------------------------------------------------------------------

RUNS = [Run(number, 1, {}, None, None) for number in (1, 2, 3)]
OVER = ("completed", 0.5, {}, None, 0.0)
GRACE = 5.0


def given(*, warm: bool, **terms) -> Session:
    """Return a session that has been given three trials, the first of which has begun if its process is warm."""
    session = Session(0.0)
    session.received(Welcome(1.0, 10.0, GRACE, None, "/ckpt", **terms), 0.0)
    orders = [session.received(run, 0.0) for run in RUNS]
    assert orders == [[Start(RUNS[0])], [], []]
    if warm:
        assert session.began(0.0) == [Start(RUNS[1]), Start(RUNS[2])]
    return session


def test_a_warm_process_is_handed_every_trial_at_once():
    """It begins the next one by itself, and the session knows by the end of the last."""
    session = given(warm=True)
    assert session.finished(*OVER) == [Tell(Finished(1, 1, "completed", 0.5, {}, None))]
    assert session.cleared(0.0) == []
    assert session.run == RUNS[1]
    late = Run(4, 1, {}, None, None)
    assert session.received(late, 0.0) == [Start(late)]


def test_a_cold_process_is_handed_one_trial():
    """Until it has loaded the function nobody knows whether it will live."""
    session = given(warm=False)
    assert session.finished(*OVER) == [Tell(Finished(1, 1, "completed", 0.5, {}, None))]
    assert session.cleared(0.0) == [Start(RUNS[1])]


def test_each_trial_has_a_process_of_its_own_if_so_wished():
    """Then none is handed another."""
    session = given(warm=False, fresh_process=True)
    assert session.began(0.0) == []
    session.finished(*OVER)
    assert session.cleared(0.0) == [Start(RUNS[1])]


def test_what_a_dead_process_was_handed_is_handed_to_the_next():
    """In order, and one at a time until that is warm."""
    session = given(warm=True)
    assert session.died("it was ended by SIGSEGV", 0.0)[0].message.trial == 1
    assert session.cleared(0.0) == [Start(RUNS[1])]
    assert session.began(0.0) == [Start(RUNS[2])]


def test_a_process_that_died_between_two_trials_has_a_successor():
    """The agent finds it dead as it hands out the next trial."""
    session = given(warm=True)
    for _ in RUNS:
        session.finished(*OVER)
        session.cleared(0.0)
    late = [Run(number, 1, {}, None, None) for number in (4, 5)]
    assert session.received(late[0], 0.0) == [Start(late[0])]
    session.starting(0.0)
    assert session.received(late[1], 0.0) == []
    assert session.began(0.0) == [Start(late[1])]


def test_what_had_not_begun_as_its_process_died_begins_in_the_next():
    """A thread that an ended trial has left may end the process; the trial that comes next has done nothing."""
    session = given(warm=True)
    session.finished(*OVER)
    session.cleared(0.0)
    assert session.died("it exited with code 1", 0.0, begun=False) == []
    assert session.cleared(0.0) == [Start(RUNS[1])]
    assert session.began(0.0) == [Start(RUNS[2])]


def test_what_had_not_begun_and_is_stopped_has_an_outcome():
    """The driver waits for one, and wants no new beginning."""
    session = given(warm=True)
    session.finished(*OVER)
    session.cleared(0.0)
    session.received(Stop(2, 1, "enough"), 0.0)
    (told,) = session.died("it exited with code 1", 0.0, begun=False)
    assert (told.message.trial, told.message.status) == (2, "stopped")


def test_the_next_trial_begins_when_the_process_is_through_with_the_last():
    """Until then the process is nobody's, and whatever ends it no trial's fault."""
    session = given(warm=True)
    session.finished(*OVER)
    late = Run(4, 1, {}, None, None)
    assert session.received(late, 0.0) == [Start(late)]
    assert session.run is None
    assert session.died("it was ended by SIGSEGV", 0.0) == []
    assert session.cleared(0.0) == [Start(RUNS[1])]


def test_nobody_waits_long_for_a_process_to_be_through():
    """A thread that keeps the interpreter's lock would hold up all that comes; time that we are away does not count."""
    session = given(warm=True)
    session.finished(*OVER)
    session.waiting(5.0)
    assert session.deadline() <= 5.0 + CLEAR_SECONDS
    assert Kill() not in session.tick(4.9 + CLEAR_SECONDS)
    assert Kill() in session.tick(5.0 + CLEAR_SECONDS)
    assert Kill() not in session.tick(5.1 + CLEAR_SECONDS)
    session.died("it was killed", 20.0)
    assert session.cleared(20.0) == [Start(RUNS[1])]
    assert Kill() not in session.tick(20.0 + CLEAR_SECONDS)


def test_who_takes_much_memory_as_another_begins_is_not_that_one():
    """It was weighed for the trial before."""
    session = given(warm=True, memory_limit=100)
    assert session.measured(101) == [Kill()]
    session.finished(*OVER)
    session.cleared(0.0)
    (told,) = session.died("it was killed", 0.0)
    assert (told.message.trial, told.message.status) == (2, "lost")


def test_what_has_not_begun_is_taken_back():
    """A stop for it means that it is another's; the process answers in its turn, as for a trial that was stopped."""
    session = given(warm=True)
    stop = Stop(2, 1, "taken back")
    assert session.received(stop, 0.0) == [Signal(stop)]
    session.finished(*OVER)
    session.cleared(0.0)
    session.finished("stopped", None, {}, None, 0.0)
    session.cleared(0.0)
    assert session.run == RUNS[2]


def test_what_a_cold_process_was_not_handed_is_forgotten():
    """Nobody can have begun it."""
    session = given(warm=False)
    assert session.received(Stop(2, 1, "taken back"), 0.0) == []
    session.finished(*OVER)
    assert session.cleared(0.0) == [Start(RUNS[2])]


def test_what_was_taken_back_dies_with_its_process():
    """It is not handed to the next one."""
    session = given(warm=True)
    session.received(Stop(2, 1, "taken back"), 0.0)
    session.died("it was ended by SIGSEGV", 0.0)
    assert session.cleared(0.0) == [Start(RUNS[2])]


def test_what_had_begun_as_it_was_taken_back_is_a_trial_that_was_stopped():
    """With the same grace; then its process is ended, and others wait no longer."""
    session = given(warm=True)
    session.received(Stop(2, 1, "taken back"), 0.0)
    session.finished(*OVER)
    session.cleared(1.0)
    assert Terminate() not in session.tick(1.0 + GRACE - 0.1)
    assert Terminate() in session.tick(1.0 + GRACE)


def test_who_is_hit_by_what_was_meant_for_another_is_not_to_blame():
    """A trial may end as its process is asked to, which has begun the next one by then: that is lost, not failed."""
    session = given(warm=True, trial_timeout=1.0)
    assert Terminate() in session.tick(1.0)
    session.finished(*OVER)
    session.cleared(1.0)
    (told,) = session.died("it was ended by SIGTERM", 1.0)
    assert (told.message.trial, told.message.status) == (2, "lost")
    session.cleared(1.0)
    session.began(1.0)
    (told,) = session.died("it was ended by SIGSEGV", 1.0)
    assert (told.message.trial, told.message.status) == (3, "failed")


def test_who_goes_on_after_that_is_to_blame_for_what_comes():
    """A process that catches SIGTERM outlives it, and what ends it later is its own."""
    session = given(warm=True, trial_timeout=1.0)
    session.tick(1.0)
    session.finished(*OVER)
    session.cleared(1.0)
    session.reported(0, {"metric": 0.5}, 1.1)
    (*_, told) = session.died("it was ended by SIGSEGV", 1.2)
    assert (told.message.trial, told.message.status) == (2, "failed")


def test_f15_who_is_asked_to_end_fails_no_trial():
    """F15: what it runs is lost, however its process died, and not its fault; nothing else is begun."""
    session = given(warm=True)
    session.leaving = True
    assert session.died("it was ended by SIGTERM", 0.0) == []
    assert session.leave(0.0) == [Kill(), Tell(Leaving())]
    assert session.cleared(0.0) == []
    assert session.received(RUNS[1], 0.0) == []
    assert session.received(Bye("you may"), 0.0) == [Leave("you may")]


def test_f15_who_is_asked_to_end_does_so():
    """F15: also where the driver does not answer, or has never done so."""
    session = given(warm=True)
    session.leaving = True
    session.leave(0.0)
    assert session.deadline() <= LEAVE_SECONDS
    assert session.tick(LEAVE_SECONDS)[-1] == Leave(LEFT)
    assert Session(0.0).leave(0.0) == [Leave(LEFT)]


def test_f15_who_has_to_leave_is_given_nothing():
    """F15: what it had is queued again at once, none of it is to blame, and it is told to go."""
    talk = Talk()
    talk.answer()
    had = talk.given()
    actions = talk.talk.received("a", Leaving(), at=talk.now)
    lost = [action.event for action in actions if isinstance(action, Record)]
    assert sorted((event.trial, event.counts) for event in lost) == [(trial, False) for trial in had]
    assert actions[-1] == Send("a", Bye(LEAVING))
    assert list(talk.talk.study.queued) == had
    assert not talk.given()


def test_who_goes_home_begins_nothing():
    """All that it was given is others' by then."""
    session = given(warm=True)
    assert session.received(Bye("done"), 0.0)[-1] == Leave("done")
    assert session.cleared(0.0) == []
    assert session.run is None


def test_a_trial_begins_when_the_one_before_it_ends():
    """So its duration does not count the time in which it lay there."""
    study = Study()
    for number in (1, 2):
        study.apply(Suggested(0.0, number, {}, None, None, 1))
        study.apply(Started(1.0, number, 1, "a"))
    study.apply(Ended(5.0, 1, 1, "completed", 0.5, {}))
    study.apply(Ended(6.0, 2, 1, "completed", 0.5, {}))
    assert [trial.duration for trial in study.trials.values()] == [4.0, 1.0]


def test_what_is_taken_back_leaves_the_time_of_what_runs_alone():
    """Else a trial would seem to have begun when it turned out to be a long one."""
    study = Study()
    for number in (1, 2):
        study.apply(Suggested(0.0, number, {}, None, None, 1))
        study.apply(Started(1.0, number, 1, "a"))
    study.apply(Lost(3.0, 2, 1, AHEAD_OF_A_LONG_ONE, counts=False))
    study.apply(Ended(5.0, 1, 1, "completed", 0.5, {}))
    assert study.trials[1].duration == 4.0
