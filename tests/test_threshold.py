import pytest

from maggy.earlystop import Threshold
from maggy.errors import ConfigError
from maggy.events import Reported, Started, StudyOpened, Suggested
from maggy.study import Study

NAN, INF = float("nan"), float("inf")


def reason(curve, direction="max", first=1, **settings):
    study = Study.of([StudyOpened(0.0, {"direction": direction}), Suggested(0.0, 1, {}, None, None, 0)])
    study.apply(Started(0.0, 1, 1, "executor"))
    for step, value in enumerate(curve, first):
        study.apply(Reported(0.0, 1, 1, step, {"metric": value}))
    return Threshold(**settings).reason_to_stop(study.trials[1], study)


@pytest.mark.parametrize(
    ("settings", "value", "said"),
    [
        ({}, 1e308, None),
        ({}, NAN, "threshold: the value at step 1 is nan"),
        ({}, INF, "threshold: the value at step 1 is inf"),
        ({}, -INF, "threshold: the value at step 1 is -inf"),
        ({"lower": 0.1}, 0.1, None),
        ({"lower": 0.1}, 0.05, "threshold: 0.05 at step 1 is below 0.1"),
        ({"lower": 0.0}, -0.5, "threshold: -0.5 at step 1 is below 0"),  # 0 is a bound
        ({"upper": 0.0}, 0.5, "threshold: 0.5 at step 1 is above 0"),
        ({"upper": 0.9}, 0.9, None),
        ({"upper": 0.9}, 0.95, "threshold: 0.95 at step 1 is above 0.9"),
        ({"lower": 0.5, "upper": 0.5}, 0.5, None),
        ({"lower": 0.1, "grace_steps": 1}, 0.0, None),
        ({"grace_steps": 5}, NAN, "threshold: the value at step 1 is nan"),  # at any step
    ],
)
@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_value_out_of_range_stops(settings, value, said, direction):
    """Bounds are in the metric's own unit, whatever the direction."""
    assert reason([value], direction, **settings) == said


def test_the_last_value_counts():
    """What a trial has recovered from is forgiven."""
    assert reason([0.0, 0.5], lower=0.1) is None
    assert reason([0.5, 0.0], lower=0.1) == "threshold: 0 at step 2 is below 0.1"


@pytest.mark.parametrize(("first", "stops"), [(1, [3, 4]), (0, [3])])
def test_the_grace_steps_are_left_alone(first, stops):
    """Up to the grace step, that one included, bounds are not looked at."""
    steps = [first + n - 1 for n in range(1, 5) if reason([0.0] * n, lower=0.1, grace_steps=2, first=first)]
    assert steps == stops


def test_bounds_that_exclude_everything_are_refused():
    """The error gives both and what to do."""
    with pytest.raises(ConfigError, match=r"the threshold rule has lower=0\.9 above upper=0\.1; swap them"):
        Threshold(lower=0.9, upper=0.1)
