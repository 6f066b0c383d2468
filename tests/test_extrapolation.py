import math
from random import Random

import pytest

from maggy.earlystop import Extrapolation
from maggy.earlystop.extrapolation import BLOCKS, SHAPES, condensed, probability
from maggy.errors import ConfigError
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.study import Study

NAN, INF = float("nan"), float("inf")


def curve_of(floor, length, *, top=1.0, rate=8.0, noise=0.0, horizon=50, seed=0):
    """Return losses that fall exponentially from `top` to `floor`."""
    blur = Random(seed)
    return [floor + (top - floor) * math.exp(-rate * t / horizon) + blur.gauss(0, noise) for t in range(1, length + 1)]


def study_of(ended, mine, *, budget=50, direction="min", first=1):
    """Return a study in which trials with these values have completed, and one with the curve `mine` runs."""
    sign = 1 if direction == "min" else -1
    study = Study.of([StudyOpened(0.0, {"direction": direction})])
    for number, value in enumerate(ended, 1):
        study.apply(Suggested(0.0, number, {}, budget, None, 0))
        study.apply(Started(0.0, number, 1, "executor"))
        study.apply(Reported(0.0, number, 1, 50, {"metric": sign * value}))
        study.apply(Ended(0.0, number, 1, "completed", sign * value, {}))
    number = study.next_id
    study.apply(Suggested(0.0, number, {}, budget, None, 0))
    study.apply(Started(0.0, number, 1, "executor"))
    for step, value in enumerate(mine, first):
        study.apply(Reported(0.0, number, 1, step, {"metric": sign * value}))
    return study


def reason(ended, mine, *, settings=(), **options):
    study = study_of(ended, mine, **options)
    return Extrapolation(**dict(settings)).reason_to_stop(study.trials[study.next_id - 1], study)


THREE = [0.3, 0.4, 0.5]


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("budget", [50, None])
@pytest.mark.parametrize(
    ("mine", "stops"),
    [
        (curve_of(0.6, 25), True),  # has come to rest far from 0.3
        (curve_of(0.6, 25, noise=0.02), True),
        (curve_of(0.2, 10), False),  # on its way below
        (curve_of(0.2, 10, noise=0.02), False),
        (curve_of(0.3, 25), False),  # will just about get there
        ([1 - 0.002 * t for t in range(1, 26)], True),  # 0.95 after half of the way
        ([1 - 0.02 * t for t in range(1, 26)], False),  # 0.5 after half of the way, and falling as it did
        ([0.6] * 25, True),
        ([0.29] + [0.9] * 24, False),  # has been better already
        (curve_of(0.6, 4), False),  # too few points
        (curve_of(0.9, 50), False),  # there: nothing is left to save
        ([NAN] * 25, False),  # another rule's business
        ([INF, *curve_of(0.6, 24)], True),
    ],
)
def test_who_will_not_get_there_is_stopped(mine, stops, budget, direction):
    """A curve that has come to rest above the best, or falls too slowly, is stopped; one on its way goes on."""
    assert (reason(THREE, mine, budget=budget, direction=direction) is not None) is stops


def test_the_reason_can_be_checked():
    """It gives the step, the best, and the probability."""
    for direction, best in (("min", "0.3"), ("max", "-0.3")):
        text = reason(THREE, [0.9] * 25, direction=direction)
        assert text.startswith(f"curve: at step 25 the chance to beat {best} by the end is ")
        assert text.endswith(" %")


@pytest.mark.parametrize(
    ("ended", "settings", "stops"),
    [
        (THREE, {}, True),
        (THREE[:2], {}, False),
        (THREE[:1], {"min_trials": 1}, True),
        (THREE, {"min_points": 26}, False),
        (THREE, {"interval": 10}, False),  # 25 is not the first step of ten
        (THREE, {"interval": 5}, True),
    ],
)
def test_it_looks_when_it_is_told_to(ended, settings, stops):
    """Enough trials must have completed, enough points be there, and the interval be over."""
    assert (reason(ended, [0.9] * 25, settings=settings) is not None) is stops


def test_trials_of_other_budgets_do_not_count():
    """A short trial is not compared with the best of the long ones."""
    study = study_of(THREE, [], budget=50)
    number = study.next_id
    study.apply(Suggested(0.0, number, {}, 30, None, 0))
    study.apply(Started(0.0, number, 1, "executor"))
    for step in range(1, 26):
        study.apply(Reported(0.0, number, 1, step, {"metric": 0.9}))
    assert Extrapolation().reason_to_stop(study.trials[number], study) is None


def test_a_low_probability_is_rarely_wrong():
    """Of random noisy curves of another family, those given up would have come out best in one of twenty at most."""
    rng = Random(1)
    given_up = wrong = 0
    for _ in range(400):
        floor, power, horizon = rng.uniform(0.1, 0.6), rng.uniform(0.3, 1.2), 60
        curve = [floor + (1 - floor) * (t + 2) ** -power + rng.gauss(0, 0.01) for t in range(1, horizon + 1)]
        length = rng.randrange(8, 40)
        best = rng.uniform(0.15, 0.45)
        if probability([(t / horizon, y) for t, y in enumerate(curve[:length], 1)], best) < 0.05:
            given_up += 1
            wrong += curve[-1] < best
    assert given_up > 100
    assert wrong <= 0.05 * given_up


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("length", [1, 5, 24, 25, 100, 5000])
def test_a_curve_is_condensed(length, first):
    """However long it is, some points are left, in order, of the whole curve, on their share of the way."""
    study = study_of([], [0.5] * length, budget=None, first=first)
    points = condensed(study.trials[1], study, horizon=length)
    assert min(length, BLOCKS // 2) <= len(points) <= BLOCKS + 1
    assert points == sorted(points)
    assert 0 < points[0][0] <= points[-1][0] <= 1
    assert points[-1][0] > 1 - 1.5 / len(points)
    assert {loss for _, loss in points} == {0.5}


def test_values_beyond_all_bounds_judge_nobody():
    """What overflows is no evidence."""
    assert probability([(t / 50, y) for t, y in enumerate([1e308, -1e308] * 5, 1)], -1e308) == 1.0
    assert reason(THREE, [1e308] * 25) is None


def test_every_shape_falls():
    """All families go down from the first point to the end."""
    for shape in SHAPES:
        values = [shape(t / 20) for t in range(1, 21)]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    "settings", [{"threshold": 0}, {"threshold": 1}, {"min_points": 3}, {"min_trials": 0}, {"interval": 0}]
)
def test_settings_that_cannot_be_are_refused(settings):
    """The error gives all and their bounds."""
    with pytest.raises(ConfigError, match="threshold is between 0 and 1, min_trials and interval are at least 1"):
        Extrapolation(**settings)
