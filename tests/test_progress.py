import pytest

from maggy.earlystop import NoProgress
from maggy.earlystop.progress import BestSoFar
from maggy.errors import ConfigError
from maggy.events import Ended, Lost, Reported, Started, StudyOpened, Suggested
from maggy.study import Study

NAN, INF = float("nan"), float("inf")


def reason(curve, direction="max", **settings):
    study = Study.of([StudyOpened(0.0, {"direction": direction}), Suggested(0.0, 1, {}, None, None, 0)])
    study.apply(Started(0.0, 1, 1, "executor"))
    for step, value in enumerate(curve, 1):
        study.apply(Reported(0.0, 1, 1, step, {"metric": value}))
    return NoProgress(**{"patience": 2} | settings).reason_to_stop(study.trials[1], study)


@pytest.mark.parametrize(
    ("curve", "min_delta", "stops"),
    [
        ([0.5], 0, False),
        ([0.5, 0.5], 0, False),  # the patience is not over
        ([0.5, 0.5, 0.5], 0, True),
        ([0.5, 0.4, 0.3], 0, True),
        ([0.5, 0.4, 0.6], 0, False),
        ([0.5, 0.6, 0.4], 0, False),
        ([0.5, 0.6, 0.5, 0.5], 0, True),  # the best of the last two is not better than 0.6
        ([0.9, 0.1, 0.2, 0.3], 0, True),
        ([0.5, 0.5, 0.625], 0.125, True),  # not more than the least that counts
        ([0.5, 0.5, 0.75], 0.125, False),
        ([0.5, NAN, NAN], 0, True),
        ([NAN, NAN, 0.5], 0, False),  # the first number is progress
        ([NAN, NAN, NAN], 0, True),
        ([0.5, INF, 0.5], 0, True),  # infinity is none
        ([INF, 0.5, 0.6], 0, False),
    ],
)
def test_a_trial_that_ceases_to_improve_is_stopped(curve, min_delta, stops):
    """The best of the last two values must beat the best before them by more than the least that counts."""
    assert (reason(curve, min_delta=min_delta) is not None) is stops
    assert (reason([-value for value in curve], "min", min_delta=min_delta) is not None) is stops


def test_the_reason_can_be_checked():
    """It gives the best value and for how long it has stood, as the user measures it."""
    assert reason([0.5, 0.4, 0.3]) == "no progress: best value 0.5 for 2 reports"
    assert reason([0.5, 0.6, 0.7], "min") == "no progress: best value 0.5 for 2 reports"


@pytest.mark.parametrize("settings", [{"patience": 0}, {"min_delta": -0.1}, {"min_delta": NAN}])
def test_settings_that_cannot_be_are_refused(settings):
    """The error gives both and their bounds."""
    with pytest.raises(ConfigError, match="patience must be at least 1, min_delta at least 0"):
        NoProgress(**settings)


def test_a_retried_attempt_is_judged_by_its_own_curve():
    """What the earlier attempt had reached beyond the step from which it starts over no longer counts."""
    study = Study.of([StudyOpened(0.0, {}), Suggested(0.0, 1, {}, None, None, 0), Started(0.0, 1, 1, "executor")])
    rule = NoProgress(patience=2)
    said = []
    for attempt, points in ((1, {1: 0.1, 2: 0.2, 3: 0.9}), (2, {2: 0.2, 3: 0.2, 4: 0.2, 5: 0.3, 6: 0.2, 7: 0.2})):
        for step, value in points.items():
            study.apply(Reported(0.0, 1, attempt, step, {"metric": value}))
            said.append(rule.reason_to_stop(study.trials[1], study) is not None)
        if attempt == 1:
            study.apply(Lost(0.0, 1, 1, "gone"))
            study.apply(Started(0.0, 1, 2, "other"))
    assert said == [False] * 3 + [False, False, True, False, False, True]


def test_only_running_trials_are_kept():
    """A trial that has ended is not judged again."""
    study = Study.of([StudyOpened(0.0, {}), Suggested(0.0, 1, {}, None, None, 0), Started(0.0, 1, 1, "executor")])
    study.apply(Reported(0.0, 1, 1, 1, {"metric": 0.5}))
    assert list(study.index(BestSoFar)._best) == [1]
    study.apply(Ended(0.0, 1, 1, "completed", 0.5, {}))
    assert not study.index(BestSoFar)._best
