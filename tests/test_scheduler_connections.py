"""Dialogues with the scheduler about connections that break, slots that come and go, a driver that pauses."""

import pytest
from test_scheduler import dialogue, finished, hello, running

from maggy.driver.actions import Ask, Close, Drop, Record, Send
from maggy.driver.scheduler import GIVEN_BACK, REST
from maggy.events import Ended, Lost, Reported, Started
from maggy.rpc.messages import Beat, Bye, Join, Reports, Run
from maggy.trial import DONE, Suggestion


def recorded(actions, kind):
    return [action.event for action in actions if isinstance(action, Record) and isinstance(action.event, kind)]


def test_f06_who_comes_back_in_time_has_lost_nothing():
    """A broken connection is no loss yet: the trial goes on at its attempt, and what is said of it counts."""
    talk = running("a", reconnect_grace=1.0)
    assert talk.broke("a", "a reset", at=1.0) == []
    assert talk.scheduler.deadline() == 2.0
    assert talk.returned("a", at=1.9) == []
    assert talk.tick(at=3.0) == []
    assert recorded(talk.received("a", Reports(1, 1, [[0, {"m": 1.0}]]), at=3.0), Reported)
    assert recorded(talk.received("a", finished(), at=3.0), Ended)


def test_f01_who_does_not_come_back_has_lost_its_trial():
    """When the grace is over the trial is queued again, for the reason that broke the connection."""
    talk = running("a", reconnect_grace=1.0)
    talk.broke("a", "a reset", at=1.0)
    actions = talk.tick(at=2.0)
    assert recorded(actions, Lost) == [Lost(2.0, 1, 1, "a reset")]
    assert Drop("a", "a reset") in actions
    assert talk.returned("a", at=2.1) == []


def test_f06_nobody_is_given_a_trial_while_it_is_away():
    """An idle executor whose connection broke is passed over, and is next in line when it is back."""
    talk = dialogue()
    talk.joined(hello("a"))
    talk.broke("a", "a reset", at=0.0)
    assert not recorded(talk.suggested(1, Suggestion({"x": 1}), talk.study.position), Started)
    actions = talk.returned("a", at=0.1)
    assert [event.executor for event in recorded(actions, Started)] == ["a"]
    assert [action.executor for action in actions if isinstance(action, Send) and isinstance(action.message, Run)] == [
        "a"
    ]


def test_f06_who_ends_its_trial_while_away_is_not_idle():
    """What had been said before the connection broke may come after that was noticed."""
    talk = running("a", "b")
    talk.broke("a", "a reset", at=0.0)
    assert recorded(talk.received("a", finished(), at=0.0), Ended)
    assert not [event for event in recorded(talk.tick(at=0.1), Started) if event.executor == "a"]


@pytest.mark.parametrize("input_", ["broke", "returned"])
def test_f20_strangers_and_the_dead_change_nothing(input_):
    """Connections of executors that were given up are nobody's."""
    talk = running("a")
    talk.lost("a", "gone", at=0.0)
    before = talk.study.snapshot()
    talk.returned("a", at=0.0) if input_ == "returned" else talk.broke("a", "why", at=0.0)
    assert talk.study.snapshot() == before


def test_f48_a_driver_that_stood_still_blames_nobody():
    """Leases and graces are longer by the time in which the driver could not listen."""
    talk = running("a", "b", lease=10.0, reconnect_grace=1.0)
    talk.broke("b", "a reset", at=0.0)
    assert talk.scheduler.away(30.0) == []
    assert talk.tick(at=30.5) == []
    assert talk.received("a", Beat(), at=30.6) == []
    assert [event.trial for event in recorded(talk.tick(at=31.5), Lost)] == [2]
    assert talk.tick(at=39.0) == []


def test_f48_nor_the_optimizer():
    """What it could not be heard to answer is not overdue."""
    talk = dialogue()
    talk.joined(hello("a"))
    due = talk.scheduler.asking.due
    talk.scheduler.away(100.0)
    assert talk.scheduler.asking.due == due + 100.0


def in_slot(slot, name):
    return Join(name, "host", 1, slot, "3.13", "2")


def winding_down(*slots):
    """Return a dialogue with executors of these slots; the first runs trial 1, and there will be no other."""
    talk = dialogue(reconnect_grace=1.0)
    talk.joined(in_slot(slots[0], "a"))
    talk.suggested(1, Suggestion({"x": 1}), talk.study.position)
    for slot, name in zip(slots[1:], "bcd", strict=False):
        talk.joined(in_slot(slot, name))
    return talk, talk.suggested(2, DONE, talk.study.position)


def test_f14_who_can_be_given_nothing_any_more_goes_home():
    """F14: with the optimizer done and nothing queued an idle slot is free for others; a late joiner's as well."""
    talk, actions = winding_down(0, 1, 2)
    assert actions == [Send("b", Bye(REST)), Send("c", Bye(REST))]
    assert talk.joined(in_slot(3, "late"))[1:] == [Send("late", Bye(REST))]
    assert [action for action in talk.tick(at=1.0) if isinstance(action, Drop)] == [
        Drop(name, REST) for name in ("b", "c", "late")
    ]
    assert list(talk.scheduler.executors) == ["a"]
    assert Close("done") in talk.received("a", finished(), at=1.5)


def test_d17_there_may_be_fewer_executors_than_there_are():
    """Who is idle gives its slot back, then who has ended a trial; the rest go on."""
    talk = running("a", "b", reconnect_grace=1.0)
    talk.joined(hello("c"))
    assert talk.limited(1) == [Send("c", Bye(GIVEN_BACK))]
    assert Send("a", Bye(GIVEN_BACK)) in talk.received("a", finished())
    assert [action.executor for action in talk.tick(at=1.0) if isinstance(action, Drop)] == ["a", "c"]
    assert list(talk.scheduler.executors) == ["b"]
    assert recorded(talk.received("b", finished(2), at=1.5), Ended)
    assert talk.limited(2) == []
    assert not any(action == Send("a", Bye(GIVEN_BACK)) for action in talk.joined(hello("a"), at=2.0))


def test_f14_a_lost_trial_finds_a_slot():
    """F14: whoever comes is given it, in the slot of old or in one that had rested."""
    talk, _ = winding_down(0, 1)
    talk.lost("a", "gone", at=0.0)
    assert list(talk.study.queued) == [1]
    assert recorded(talk.joined(in_slot(1, "again"), at=0.1), Started) == [Started(0.1, 1, 2, "again")]


def test_f14_f46_who_could_take_over_from_one_that_is_perhaps_lost_stays():
    """F14: with a connection broken, and perhaps no way to start another, whoever is idle waits to hear how it ends."""
    talk = running("a", "b", reconnect_grace=1.0)
    talk.broke("a", "reset", at=0.0)
    talk.received("b", finished(2), at=0.1)
    assert not [action for action in talk.suggested(3, DONE, talk.study.position, at=0.1) if isinstance(action, Send)]
    assert recorded(talk.tick(at=1.0), Started) == [Started(1.0, 1, 2, "b")]


def test_f13_f14_a_copy_of_who_is_at_work_stays():
    """F13: the first of two copies to return would end the other, so both stay until neither has anything to do."""
    talk, actions = winding_down(0, 0)
    assert actions == []
    assert Send("b", Bye("done")) in talk.received("a", finished(), at=0.5)


def test_f14_who_may_be_needed_stays():
    """F14: while the optimizer only waits, as ASHA does for a promotion, there may be more to give."""
    talk = running("a", "b")
    talk.received("b", finished(2))
    assert "b" in talk.scheduler.executors
    assert not [action for action in talk.tick(at=0.0) if isinstance(action, Send)]


def test_f12_a_slot_that_others_have_ended_blames_no_trial():
    """F12: the trial runs elsewhere at once, is no step nearer to its poison, and the executor is told to go."""
    talk = running("a", max_lost=1, reconnect_grace=1.0)
    actions = talk.dismissed(0, "cancelled", at=0.0)
    assert recorded(actions, Lost) == [Lost(0.0, 1, 1, "cancelled", counts=False)]
    assert Send("a", Bye("cancelled")) in actions
    assert Drop("a", "cancelled") in talk.tick(at=1.0)
    assert talk.study.trials[1].lost == 0
    assert recorded(talk.joined(hello("b"), at=1.1), Started) == [Started(1.1, 1, 2, "b")]


def test_f12_no_other_slot_is_meant():
    """F12: executors of other slots go on, and after the end there is nobody to dismiss."""
    talk = running("a")
    assert talk.dismissed(1, "cancelled", at=0.0) == []
    talk.interrupted("enough", at=0.0)
    assert talk.dismissed(0, "cancelled", at=0.0) == []


def test_a_pause_gives_out_nothing_new():
    """What runs goes on, what is lost waits, and nobody is asked; then all goes on where it was."""
    talk = running("a", "b")
    assert talk.pause(True) == []
    assert recorded(talk.received("a", Reports(1, 1, [[0, {"m": 1.0}]])), Reported)
    assert talk.received("a", finished()) == [Record(Ended(0.0, 1, 1, "completed", 0.5, {}))]
    assert recorded(talk.lost("b", "gone"), Lost)
    assert talk.suggested(3, Suggestion({"x": 3}), talk.study.position) == []
    resumed = talk.pause(False)
    assert [(event.trial, event.attempt) for event in recorded(resumed, Started)] == [(2, 2)]
    assert talk.pause(False) == []


def test_a_paused_study_ends_when_nothing_is_left():
    """The last trial's end is the study's, if the optimizer has no more: there is nothing to wait for."""
    talk = running("a", num_trials=1)
    talk.pause(True)
    assert Ask(2, talk.study.position + 1) in talk.received("a", finished())
    talk.suggested(2, DONE, talk.study.position)
    assert talk.scheduler.closed == "done"


def test_a_paused_study_keeps_what_is_left():
    """What goes on with a trial, when no new one is due any more, waits for the pause to end."""
    talk = running("a", num_trials=1)
    talk.pause(True)
    talk.received("a", finished())
    talk.suggested(2, Suggestion({"x": 1}, 3.0, 1), talk.study.position)
    assert talk.study.queued
    assert not talk.scheduler.closed
    assert [event.trial for event in recorded(talk.pause(False), Started)] == [2]
