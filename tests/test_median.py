import pytest

from maggy.earlystop import Median, Percentile
from maggy.errors import ConfigError
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.study import Study

NAN, INF = float("nan"), float("inf")


def curve_of(number, curve, first=1):
    yield Suggested(0.0, number, {}, None, None, 0)
    yield Started(0.0, number, 1, "executor")
    for step, value in curve.items() if isinstance(curve, dict) else enumerate(curve, first):
        yield Reported(0.0, number, 1, step, {"metric": value})


def reason(others, mine, *, direction="max", status="completed", first=1, rule=Median, **settings):
    """Judge a running trial with the curve `mine` when trials with the curves `others` have ended."""
    study = Study.of([StudyOpened(0.0, {"direction": direction})])
    for number, curve in enumerate(others, 1):
        for event in (*curve_of(number, curve, first), Ended(0.0, number, 1, status, 0.5, {})):
            study.apply(event)
    number = study.next_id
    for event in curve_of(number, mine, first):
        study.apply(event)
    return rule(**{"min_trials": 3} | settings).reason_to_stop(study.trials[number], study)


def negated(curve):
    return {step: -value for step, value in curve.items()} if isinstance(curve, dict) else [-each for each in curve]


THREE = [[0.2, 0.4], [0.4, 0.6], [0.6, 0.8]]  # running averages at step 1: .2 .4 .6; at step 2: .3 .5 .7


@pytest.mark.parametrize(
    ("others", "mine", "stops"),
    [
        (THREE, [0.3], True),  # 0.3 < 0.4
        (THREE, [0.4], False),  # equal goes on
        (THREE, [0.5], False),
        (THREE, [0.3, 0.4], True),  # best 0.4 < 0.5
        (THREE, [0.3, 0.5], False),
        (THREE, [0.6, 0.1], False),  # the best so far counts, not the last
        (THREE, {2: 0.4}, True),  # compared by step, not by the number of reports
        (THREE, {2: 0.5}, False),
        (THREE, {3: 0.0}, False),  # nobody else came so far
        (THREE[:2], [0.0], False),  # fewer than min_trials
        ([*THREE, [0.0]], [0.1], True),  # at step 1: 0 .2 .4 .6, of the two in the middle the lower
        ([*THREE, [0.0]], [0.2], False),
        ([*THREE, [0.0]], [0.1, 0.1], True),  # at step 2 three are left: the median is 0.5
        ([*THREE, [0.9], [0.9]], [0.5], True),  # .2 .4 .6 .9 .9
        (THREE, [NAN], True),  # no value is worse than any
        (THREE, [INF], True),  # nor is infinity a good one
        (THREE, [NAN, 0.5], False),
        ([[NAN], [NAN], [NAN]], [0.0], False),  # whose curves are of no use do not count
        ([*THREE, [NAN, 0.5], [INF, 0.5]], [0.3], True),
        ([[NAN, 0.4], [0.5, NAN], [INF, 0.6]], [0.3, 0.4], True),  # averages of what is finite: .4 .5 .6
        ([[], [], []], [0.0], False),  # others that never reported
        ([{2: 0.4}, {4: 0.6}, {3: 0.5}], {2: 0.0}, False),  # sparse: one only has a value up to step 2
        ([{2: 0.4}, {4: 0.6}, {3: 0.5}], {2: 0.0, 4: 0.0}, False),  # and one only came to step 4
        ([{2: 0.4, 5: 0.4}, {4: 0.6, 5: 0.6}, {3: 0.5, 5: 0.5}], {4: 0.45}, True),  # three averages at 4: .4 .5 .6
    ],
)
def test_the_median_rule(others, mine, stops):
    """A trial stops if its best value is worse than the median of the others' running averages at its step."""
    assert (reason(others, mine) is not None) is stops
    assert (reason([*map(negated, others)], negated(mine), direction="min") is not None) is stops


def test_the_reason_can_be_checked():
    """It gives the value, the step, the bar and how many made it, as the user measures them."""
    text = "median rule: best value {} by step 2 is worse than the median {} of 3"
    assert reason(THREE, [0.3, 0.4]) == text.format(0.4, 0.5)
    assert reason([*map(negated, THREE)], [-0.3, -0.4], direction="min") == text.format(-0.4, -0.5)


@pytest.mark.parametrize(("status", "stops"), [("completed", True), ("stopped", True), ("failed", False)])
def test_who_counts(status, stops):
    """Completed trials count, stopped ones as far as they came, failed ones do not."""
    assert (reason(THREE, [0.3], status=status) is not None) is stops


def test_the_curves_of_failed_trials_do_not_count():
    """A trial that failed sets no bar, however good it looked."""
    study = Study.of([StudyOpened(0.0, {})])
    for number, (curve, status) in enumerate([(each, "completed") for each in THREE] + [([0.9], "failed")] * 3, 1):
        for event in (*curve_of(number, curve), Ended(0.0, number, 1, status, 0.5, {})):
            study.apply(event)
    for event in curve_of(7, [0.4]):
        study.apply(event)
    assert Median(min_trials=3).reason_to_stop(study.trials[7], study) is None


def test_running_trials_do_not_count():
    """Only trials that have ended set the bar."""
    study = Study.of(
        [StudyOpened(0.0, {}), *(event for number in range(1, 6) for event in curve_of(number, [0.1 * number]))]
    )
    assert Median(min_trials=1).reason_to_stop(study.trials[1], study) is None


@pytest.mark.parametrize(
    ("interval", "looks"),
    [(1, [1, 2, 3, 4, 5, 6, 7, 8, 9]), (3, [1, 3, 6, 9]), (5, [1, 5]), (100, [1])],
)
def test_the_interval_counts_steps(interval, looks):
    """With an interval the rule looks at the first report and whenever a multiple of it is passed."""
    others = [[0.5] * 10] * 3
    stops = [step for step in range(1, 10) if reason(others, [0.1] * step, interval=interval)]
    assert stops == looks


def test_an_interval_is_passed_by_sparse_reports_too():
    """A report that jumps over a multiple is looked at."""
    others = [[0.5] * 20] * 3
    assert reason(others, {4: 0.1, 6: 0.1}, interval=5)
    assert not reason(others, {6: 0.1, 9: 0.1}, interval=5)


@pytest.mark.parametrize(("first", "stops"), [(1, [3, 4]), (0, [3])])
def test_the_grace_steps_are_left_alone(first, stops):
    """Up to the grace step, that one included, nobody is stopped."""
    others = [[0.5] * 10] * 3
    steps = range(first, first + 4)
    lengths = range(1, 5)
    assert [
        step for step, n in zip(steps, lengths, strict=True) if reason(others, [0.1] * n, grace_steps=2, first=first)
    ] == stops


@pytest.mark.parametrize("settings", [{"min_trials": 0}, {"interval": 0}, {"grace_steps": -1}])
def test_settings_that_cannot_be_are_refused(settings):
    """The error gives all three and their bounds."""
    with pytest.raises(ConfigError, match="the first two must be at least 1, the last at least 0"):
        Median(**settings)


def test_ten_trials_must_have_ended_by_default():
    """Maggy's es_min."""
    assert (Median().min_trials, Median().interval) == (10, 1)


# -- percentiles -----------------------------------------------------------------------------------

FIVE = [[0.1], [0.2], [0.3], [0.4], [0.5]]


@pytest.mark.parametrize(
    ("percentile", "mine", "stops"),
    [
        (50, 0.25, True),
        (50, 0.3, False),
        (20, 0.35, True),  # of five the best 20 % is one: the bar is the second, for when in doubt a trial goes on
        (20, 0.4, False),
        (1, 0.45, True),
        (1, 0.5, False),
        (99, 0.05, True),
        (99, 0.1, False),
        (80, 0.05, True),
        (80, 0.1, False),
    ],
)
def test_the_percentile_rule(percentile, mine, stops):
    """A trial goes on if it keeps up with the best part of the others, at half of them as the median rule has it."""
    for sign, direction in ((1, "max"), (-1, "min")):
        others = [[sign * value for value in curve] for curve in FIVE]
        found = reason(others, [sign * mine], direction=direction, rule=Percentile, percentile=percentile)
        assert (found is not None) is stops


def test_the_percentile_rules_reason_can_be_checked():
    """It gives value, step, bar and share."""
    text = "percentile rule: best value 0.25 by step 1 is worse than 0.4, which the best 25 % of 5 reach"
    assert reason(FIVE, [0.25], rule=Percentile) == text


@pytest.mark.parametrize("settings", [{"percentile": 0}, {"percentile": 100}, {"percentile": NAN}, {"interval": 0}])
def test_percentiles_that_cannot_be_are_refused(settings):
    """The error gives all settings and their bounds."""
    with pytest.raises(ConfigError, match="percentile is between 0 and 100"):
        Percentile(**settings)
