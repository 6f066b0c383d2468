"""Tests of `maggy.optimizers.bayes.observed`: what models learn from, and that no resume changes it."""

import math
from collections import Counter

import pytest

from maggy.events import Ended, Lost, Reported, Started, StopRequested, StudyOpened, Suggested
from maggy.optimizers.base import rng_for
from maggy.optimizers.bayes.observed import Observed
from maggy.searchspace import Searchspace
from maggy.study import Study

SPACE = Searchspace(x=(0.0, 1.0))


def study_of(*events):
    return Study.of([StudyOpened(0.0, {"searchspace": SPACE.to_dict(), "direction": "min"}), *events])


def running(number, budget=None, parent=None, x=None):
    x = number / 100 if x is None else x
    return [Suggested(0.0, number, {"x": x}, budget, parent, 0), Started(0.0, number, 1, "executor")]


def ended(number, loss, *, budget=None, parent=None, status="completed", x=None):
    return [*running(number, budget, parent, x), Ended(0.0, number, 1, status, loss, {})]


def reports(number, attempt=1, **points):
    return [Reported(0.0, number, attempt, int(step[1:]), {"metric": value}) for step, value in points.items()]


def seen(observed):
    """Return the losses of trials by budget."""
    return {budget: dict(sorted(there.items())) for budget, there in sorted(observed._at_budgets().items())}


def test_trials_are_measured_at_their_budgets():
    """Completed ones with their value, failed ones with infinity, running ones not at all."""
    study = study_of(*ended(1, 0.5, budget=3), *ended(2, 0.1), *ended(3, None, budget=3, status="failed"), *running(4))
    assert seen(study.index(Observed)) == {0: {2: 0.1}, 3: {1: 0.5, 3: math.inf}}


def test_what_is_known_stands_in_the_order_of_trials():
    """However it came in: an index that a resume builds anew is the same."""
    events = [*running(1), *running(2), *running(3), *(Ended(0.0, n, 1, "completed", n / 10, {}) for n in (3, 1, 2))]
    live = study_of()
    live.index(Observed)
    for event in events:
        live.apply(event)
    for study in (live, study_of(*events)):
        known = study.index(Observed).top(1)
        assert (known.trials, known.rows[:, 0].tolist()) == ([1, 2, 3], [0.01, 0.02, 0.03])
        assert known.losses.tolist() == [0.1, 0.2, 0.3]


STOPPING = [
    *running(1, 9),
    *reports(1, s1=0.5, s2=0.4, s3=0.3),
    *running(2, 9),
    *reports(2, s1=0.6),
    StopRequested(0.0, 2, 1, "rung 1"),
    Ended(0.0, 2, 1, "stopped", 0.6, {}),
    *running(3, 9),
    *reports(3, s1=0.2),
    Ended(0.0, 3, 1, "failed", None, {}),
    *running(4, 9),
    *reports(4, s1=0.9, s3=math.nan),
    *running(5, 9),
    *running(6, 9),
    *reports(6, s1=0.3, s3=0.2, s9=0.15),
    Ended(0.0, 6, 1, "completed", 0.1, {}),
]


@pytest.mark.parametrize("early", [True, False])
def test_a_trial_is_measured_at_every_rung_it_has_passed(early):
    """Running, stopped or ended; a failed one is the worst at those that it did not pass."""
    study = study_of(*([] if early else STOPPING))
    study.index(Observed).take([1, 3])
    for event in STOPPING if early else []:
        study.apply(event)
    inf = math.inf
    assert seen(study.index(Observed)) == {
        1: {1: 0.5, 2: 0.6, 3: 0.2, 4: 0.9, 6: 0.3},
        3: {1: 0.3, 3: inf, 4: inf, 6: 0.2},
        9: {3: inf, 6: 0.1},
    }


def test_an_attempt_that_starts_over_takes_back_what_it_had_passed():
    """Until it comes there again, as in the rungs that stop trials."""
    study = study_of(*running(1, 9))
    observed = study.index(Observed)
    observed.take([1, 3])
    lost = Lost(0.0, 1, 1, "gone"), Started(0.0, 1, 2, "other")
    for event in (*reports(1, s1=0.5, s2=0.4, s3=0.3), *lost, *reports(1, 2, s1=0.45)):
        study.apply(event)
    assert seen(observed) == {1: {1: 0.45}, 3: {}}


def test_what_is_stopped_before_the_first_rung_is_measured_where_it_was():
    """Another rule may stop a trial: it is known how bad it was, at the units that it had done."""
    stop = StopRequested(0.0, 1, 1, "median rule"), Ended(0.0, 1, 1, "stopped", 0.6, {})
    study = study_of(*running(1, 9), *reports(1, s1=0.7, s2=0.6), *stop)
    assert seen(study.index(Observed)) == {2: {1: 0.6}}
    study.index(Observed).take([3])
    assert seen(study.index(Observed)) == {2: {1: 0.6}, 3: {}}


@pytest.mark.parametrize(
    ("pending", "awaited"),
    [
        (running(3, 1), [0.03]),
        (running(3, 3, parent=1, x=0.01), []),  # a promotion of what was measured here is no guess
        ([*running(3, 3, parent=1, x=0.01), *running(4, 3)], [0.04]),
    ],
)
def test_what_is_known_is_not_awaited(pending, awaited):
    """Promoted configurations are the best of a rung, and must not count as pending, that is bad, ones."""
    observed = study_of(*ended(1, 0.1, budget=1), *ended(2, 0.2, budget=1), *pending).index(Observed)
    assert observed.awaited(observed.top(2))[:, 0].tolist() == awaited
    assert len(observed.pending) == len(pending) // 2


@pytest.mark.parametrize(("at_least", "loss"), [(1, 0.9), (2, 0.3), (3, 0.1), (4, 0.1)])
def test_the_top_rung_is_the_largest_budget_with_enough(at_least, loss):
    """Failures teach, but do not make a rung one to learn from: nothing is known there of who is good."""
    events = [
        *(event for number in (1, 2, 3) for event in ended(number, 0.1, budget=1)),
        *(event for number in (4, 5) for event in ended(number, 0.3, budget=3)),
        *ended(6, 0.9, budget=9),
        *(event for number in (7, 8, 9) for event in ended(number, None, budget=9, status="failed")),
    ]
    known = study_of(*events).index(Observed).top(at_least)
    assert known.losses[known.trials.index({0.9: 6, 0.3: 4, 0.1: 1}[loss])] == loss
    assert max(known.trials) == {0.9: 9, 0.3: 5, 0.1: 3}[loss]


def rungs_of(low, high):
    """Return trials 1, 2, … measured at budget 1, of whom the first are continued to budget 3; None runs still."""
    events = [event for number, loss in enumerate(low, 1) for event in ended(number, loss, budget=1)]
    for place, loss in enumerate(high, 1):
        number = len(low) + place
        if loss is None:
            events += running(number, 3, place, x=place / 100)
        else:
            events += ended(number, loss, budget=3, parent=place, x=place / 100)
    return events


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], [1.1, 1.2, 1.3], [1.4, 1.1, 1.2, 1.3]),  # a line of slope 1
        ([0.1, 0.2, 0.3, 0.4], [1.1, 1.4, 1.7], [1.9, 1.1, 1.4, 1.7]),  # slope 3 of three, 1 of one: 2.5
        ([0.1, 0.2, 0.3, 0.4], [1.7, 1.2, 0.7], [1.2, 1.7, 1.2, 0.7]),  # the low budget misleads: nobody is told apart
        ([0.1, 0.2, 0.3, math.inf], [1.1, 1.2, 1.3], [math.inf, 1.1, 1.2, 1.3]),  # failed below, and never tried above
    ],
)
def test_who_was_left_behind_is_expected_where_the_promoted_show(low, high, expected):
    """A model learns of all configurations, on the scale of the highest rung that has enough."""
    low = [None if math.isinf(each) else each for each in low]
    events = [
        event if not isinstance(event, Ended) or event.value is not None else Ended(0.0, 4, 1, "failed", None, {})
        for event in rungs_of(low, high)
    ]
    rung = study_of(*events).index(Observed).top(3)
    assert rung.trials == [4, 5, 6, 7]
    assert rung.losses.tolist() == pytest.approx(expected)
    assert rung.rows[:, 0].tolist() == pytest.approx([0.04, 0.01, 0.02, 0.03])


def test_half_of_the_asks_see_one_budget_alone_where_enough_began():
    """Who begins there was chosen by no lower budget, so nothing good is missing if low budgets mislead."""
    began = [event for number, loss in enumerate([0.5, 0.6, 0.7], 11) for event in ended(number, loss, budget=3)]
    observed = study_of(*rungs_of([0.1, 0.2, 0.3, 0.4], [1.1, 1.2]), *began).index(Observed)
    seen = Counter(tuple(observed.drawn(3, rng_for(0, number)).trials) for number in range(200))
    assert seen.keys() == {(5, 6, 11, 12, 13), (3, 4, 5, 6, 11, 12, 13)}
    assert 70 < seen[5, 6, 11, 12, 13] < 130


@pytest.mark.parametrize("events", [ended(1, 0.1), rungs_of([0.1, 0.2, 0.3, 0.4], [1.1, 1.2, 1.3])])
def test_where_all_began_at_the_lowest_budget_nothing_is_left_out(events):
    """Those above are the chosen: a model of them alone takes the worst of the best for bad. No number is drawn."""
    observed, rng = study_of(*events).index(Observed), rng_for(0, 1)
    assert observed.drawn(1, rng).trials == observed.top(1).trials
    assert rng.random() == rng_for(0, 1).random()


def test_who_was_not_stopped_is_no_budget_alone():
    """Where rungs stop trials all begin at the largest budget, and who is left there was chosen."""
    observed = study_of(*STOPPING).index(Observed)
    observed.take([1, 3])
    assert all(observed.drawn(1, rng_for(0, number)).trials == observed.top(1).trials for number in range(20))


def test_without_lower_budgets_what_is_known_is_what_was_measured():
    """Search without rungs, and a rung with nothing below it, are taken as they are."""
    for events, losses in (
        ([*ended(1, 0.1), *ended(2, 0.2)], [0.1, 0.2]),
        (rungs_of([0.1, 0.2, 0.3], [1.1, None]), [0.1, 0.2, 0.3]),
    ):
        assert study_of(*events).index(Observed).top(2).losses.tolist() == losses


def test_nothing_is_known_of_an_empty_study():
    """There are no rows, of the right width."""
    known = study_of(*running(1)).index(Observed).top(3)
    assert (len(known), known.rows.shape, known.losses.shape) == (0, (0, 1), (0,))
