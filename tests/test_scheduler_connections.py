"""Dialogues with the scheduler about connections that break and a driver that stands still."""

import pytest
from test_scheduler import dialogue, finished, hello, running

from maggy.driver.actions import Drop, Record, Send
from maggy.events import Ended, Lost, Reported, Started
from maggy.rpc.messages import Beat, Reports, Run
from maggy.trial import Suggestion


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
