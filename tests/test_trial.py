import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maggy.trial import Curve, Objective, Status, Trial


def curve(*points):
    made = Curve()
    for step, value in points:
        made.add(step, value)
    return made


# -- curves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ([1, 2, 3], [4], [1, 2, 3, 4]),  # from the checkpoint on
        ([1, 2, 3], [3], [1, 2, 3]),  # the last one again
        ([1, 2, 3], [2], [1, 2]),  # from an older checkpoint
        ([1, 2, 3], [1, 2], [1, 2]),  # from scratch
        ([1, 2, 3], [0], [0]),  # from before the first
        ([2, 4, 6], [5], [2, 4, 5]),  # between two points
        ([2, 4, 6], [4, 8], [2, 4, 8]),
        ([2, 4, 6], [3, 4, 5], [2, 3, 4, 5]),
    ],
)
def test_a_retried_attempt_replaces_from_its_first_step_on(first, second, left):
    """A point at or before the last one replaces everything from its step on, and nothing before it."""
    made = curve(*((step, 1.0) for step in first), *((step, 2.0) for step in second))
    assert made.points() == [(step, 2.0 if step >= second[0] else 1.0) for step in left]


@given(st.lists(st.tuples(st.integers(0, 9), st.floats())))
def test_steps_rise_whatever_is_added(points):
    """The steps of a curve rise strictly, and its last point is the one added last."""
    made = curve(*points)
    steps = [step for step, _ in made.points()]
    assert steps == sorted(set(steps))
    assert [repr(step_value) for step_value in made.points()[-1:]] == [repr(each) for each in points[-1:]]


@pytest.mark.parametrize(
    ("steps", "units", "before"),
    [
        ([0], 1, None),  # step 0 done is one unit done
        ([1], 1, None),
        ([0, 1, 2], 3, 2),
        ([1, 2, 3], 3, 2),
        ([0, 4, 9], 10, 5),
        ([5, 10], 10, 5),  # sparse reports that count from 1
        ([3], 3, None),
    ],
)
def test_units_count_from_the_first_step(steps, units, before):
    """Units done are the step plus one where the first step was 0, else the step."""
    made = curve(*((step, 0.5) for step in steps))
    assert made.units() == units
    if before is not None:
        assert made.units(-2) == before


def test_an_empty_curve_has_no_units_and_no_last_value():
    """Before the first report there is nothing to compare."""
    assert (curve().units(), curve().last, len(curve())) == (0, None, 0)


def test_a_retry_that_counts_otherwise_sets_the_base_anew():
    """A curve that was replaced from its first point on counts units by its new first step."""
    assert curve((1, 0.5), (2, 0.5), (0, 0.5)).units() == 1
    assert curve((0, 0.5), (1, 0.5), (0, 0.5), (1, 0.5)).units() == 2


def test_a_curve_knows_its_finite_extremes():
    """NaN and infinities are none of them, and what a retry replaces is forgotten."""
    made = curve((1, 0.1), (2, math.inf), (3, 0.3), (4, math.nan), (5, 0.2))
    assert (made.lowest, made.highest) == (0.1, 0.3)
    made.add(2, 0.15)
    assert (made.lowest, made.highest) == (0.1, 0.15)
    assert (Objective(None, "max").best_loss(made), Objective(None, "min").best_loss(made)) == (-0.15, 0.1)


def test_curves_are_equal_by_value_with_nan():
    """NaN at the same step is the same point, 0.0 and -0.0 are told apart, and a curve equals nothing else."""
    assert curve((1, math.nan)) == curve((1, math.nan))
    assert curve((1, 0.5)) != curve((2, 0.5))
    assert curve((1, 0.0)) != curve((1, -0.0))
    assert curve() != []
    with pytest.raises(TypeError):
        hash(curve())


def test_a_curve_shows_its_points():
    """The repr is exact, since folds are compared by it."""
    assert repr(curve((1, 0.1), (2, 1 / 3))) == "Curve(1: 0.1, 2: 0.3333333333333333)"


def test_a_point_takes_16_bytes():
    """A million points are 16 MB (and what arrays keep in reserve), not a hundred."""
    made = curve(*((step, 0.5) for step in range(10_000)))
    assert made.steps.itemsize + made.values.itemsize == 16


# -- the objective ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "metrics", "picked"),
    [
        (None, {"acc": 0.5}, 0.5),
        (None, {"metric": 0.0}, 0.0),  # 0.0 is a result
        (None, {"acc": 0.5, "metric": 0.25}, 0.25),
        (None, {"acc": 0.5, "Metric": 0.25}, 0.25),  # as Maggy 1.x called it
        (None, {"Metric": 0.5, "metric": 0.25}, 0.25),
        (None, {"acc": 0.5, "loss": 0.25}, None),  # not told apart
        (None, {}, None),
        ("acc", {"loss": 0.25, "acc": 0.0}, 0.0),
        ("acc", {"loss": 0.25}, None),
    ],
)
def test_the_objective_is_picked(metric, metrics, picked):
    """The named metric, or the only one, or the one that is called metric."""
    assert Objective(metric).pick(metrics) == picked


def test_lower_is_better_inside():
    """A loss is the value for min, its negative for max, and turns back into the value."""
    for direction, sign in (("max", -1), ("min", 1)):
        objective = Objective(None, direction)
        assert objective.loss(0.25) == sign * 0.25
        assert objective.value(objective.loss(0.25)) == 0.25


def test_a_bare_number_is_filed_under_the_objective():
    """Without a name the metric is called metric."""
    assert (Objective().key, Objective("acc").key) == ("metric", "acc")


# -- trials ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "value", "usable"),
    [
        (Status.COMPLETED, 0.5, True),
        (Status.COMPLETED, 0.0, True),
        (Status.COMPLETED, None, False),
        (Status.COMPLETED, math.nan, False),
        (Status.COMPLETED, math.inf, False),
        (Status.STOPPED, 0.5, False),
        (Status.FAILED, 0.5, False),
        (Status.RUNNING, None, False),
    ],
)
def test_only_completed_trials_with_a_finite_value_are_compared(status, value, usable):
    """Stopped, failed and infinite trials are never promoted or called best."""
    assert Trial(1, {}, status=status, value=value).usable is usable


def test_three_states_are_final():
    """Queued and running trials go on, the others have ended for good."""
    assert [status.value for status in Status if status.final] == ["completed", "stopped", "failed"]


def test_duration_is_that_of_the_last_attempt():
    """A trial that has not ended, or never started, has none."""
    assert Trial(1, {}, started=2.0, ended=5.0).duration == 3.0
    assert Trial(1, {}, started=2.0).duration is None
    assert Trial(1, {}, ended=2.0).duration is None
