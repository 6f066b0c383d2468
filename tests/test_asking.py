"""Tests of `maggy.driver.asking` beyond the scheduler's dialogues: who stands in for an optimizer, and until when."""

from dataclasses import replace

import pytest

from maggy import Categorical, Float, Searchspace
from maggy.driver.asking import PATIENCE, Asking
from maggy.events import StudyOpened
from maggy.study import Study
from maggy.trial import DONE, WAIT, Suggestion

SPACE = Searchspace(x=Float(0, 1))
OURS = Suggestion({"x": 0.5}, budget=3)


@pytest.fixture
def asking():
    """Give the asks of a study of four trials, whose optimizer has answered once."""
    study = Study.of([StudyOpened(0.0, {"searchspace": SPACE.to_dict(), "num_trials": 4, "seed": 7})])
    found = Asking(study)
    assert found.ask(0.0) == 1
    take(found, found.answered(1, OURS, 1, 0.0, busy=False))
    return found


def take(asking, suggested):
    """Record what is to be recorded, and return it."""
    if suggested is not None:
        asking._study.apply(suggested)
    return suggested


def test_f40_who_fails_is_replaced_and_asked_again(asking):
    """A random configuration of the study's space, at the budget with which trials begin; the log says why."""
    asking.ask(1.0)
    stand_in = take(asking, asking.answered(2, ValueError("no idea"), 2, 1.0, busy=True))
    assert SPACE.contains(stand_in.params)
    assert (stand_in.budget, stand_in.parent, stand_in.origin) == (3, None, "the optimizer failed: no idea")
    asking.ask(2.0)
    assert take(asking, asking.answered(3, OURS, 3, 2.0, busy=True)).origin is None


def test_f40_nothing_stands_in_for_what_a_trial_is_to_do(asking):
    """Where a study's trials have work of their own, an optimizer that fails or is silent ends the study."""
    silent, asking._study.trials[1].work = Asking(asking._study), {"script": "true"}
    asking.ask(1.0)
    assert asking.answered(2, ValueError("no idea"), 2, 1.0, busy=True) is None
    assert asking.failed == "the optimizer failed: no idea"
    silent.ask(1.0)
    assert silent.overdue(1.0 + PATIENCE, busy=True) is None
    assert silent.failed == "the optimizer has not answered for 60 s"


def test_f40_who_fails_at_first_ends_the_study():
    """Nothing is lost by it, and a mistake in the optimizer shows at once."""
    asking = Asking(Study.of([StudyOpened(0.0, {"searchspace": SPACE.to_dict()})]))
    asking.ask(0.0)
    assert asking.answered(1, ValueError("no idea"), 1, 0.0, busy=False) is None
    assert asking.failed == "the optimizer failed: no idea"


def test_f40_who_is_late_is_not_waited_for_again(asking):
    """The first time patience is tried, then not, until it answers, which comes too late for that ask."""
    asking.ask(10.0)
    assert asking.overdue(10.0 + PATIENCE - 1, busy=True) is None
    assert take(asking, asking.overdue(10.0 + PATIENCE, busy=True)).trial == 2
    asking.ask(100.0)
    assert asking.due == 100.0
    assert take(asking, asking.overdue(100.0, busy=True)).trial == 3
    assert asking.answered(2, OURS, 2, 101.0, busy=True) is None
    asking.ask(102.0)
    assert asking.due == 102.0 + PATIENCE


def test_f40_a_stand_in_counts(asking):
    """No more configurations are sampled than were asked for."""
    for number in (2, 3, 4):
        asking.ask(0.0)
        assert take(asking, asking.answered(number, ValueError(), number, 0.0, busy=True))
    asking.ask(0.0)
    assert asking.answered(5, ValueError(), 5, 0.0, busy=True) is None
    assert asking.waits
    asking.ask(0.0)
    assert asking.answered(5, ValueError("no idea"), 5, 0.0, busy=False) is None
    assert not asking.done  # what it would have said, nobody knows: the study can be resumed
    assert asking.failed == "the optimizer failed: no idea"


def test_f40_where_nothing_can_be_drawn_nobody_stands_in():
    """A space of which draws find nothing that is allowed ends the study, with both reasons, and can be resumed."""
    space = Searchspace(a=Categorical([1, 2], weights=[1, 10**8]), b=Float(0, 1))
    space.forbid(a=2)
    asking = Asking(Study.of([StudyOpened(0.0, {"searchspace": space.to_dict()})]))
    asking.ask(0.0)
    take(asking, asking.answered(1, Suggestion({"a": 1, "b": 0.5}), 1, 0.0, busy=False))
    asking.ask(0.0)
    assert asking.answered(2, ValueError("no idea"), 2, 0.0, busy=True) is None
    assert asking.failed.startswith("the optimizer failed: no idea, and no random configuration can take its place: 1")
    assert (asking.stood_in, asking.done) == (None, False)


@pytest.mark.parametrize("answer", [WAIT, DONE])
def test_wait_and_done_are_no_failures(asking, answer):
    """They prove that the optimizer works, and nothing stands in for them."""
    asking.ask(0.0)
    assert asking.answered(2, answer, 2, 0.0, busy=True) is None
    assert (asking.waits, asking.done, asking.stood_in) == (answer is WAIT, answer is DONE, None)


@pytest.mark.parametrize(
    ("why", "recorded"), [(None, None), ("rung 3", "rung 3"), ("x" * 200, "x" * 100), (3.5, "3.5")]
)
def test_the_optimizers_reason_is_recorded(asking, why, recorded):
    """What a suggestion says of itself goes into the log, and no more than a line of it."""
    asking.ask(1.0)
    event = take(asking, asking.answered(2, replace(OURS, why=why), 2, 1.0, busy=True))
    assert (event.why, asking._study.trials[2].why) == (recorded, recorded)
