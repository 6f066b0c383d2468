"""What the user wants tried first, and what is known already."""

from random import Random

import pytest

from maggy import Float, Integer, Searchspace, experiment
from maggy.errors import ConfigError
from maggy.points import checked, completed
from maggy.trial import KNOWN

SPACE = Searchspace(x=Float(0, 1), n=Integer(1, 9))


def train(x, n):
    return x + n


def lagom(tmp_path, **options):
    given = {"num_trials": 4, "launcher": "local", "num_executors": 1, "quiet": True, "seed": 1, "name": "s"}
    return experiment.lagom(train, SPACE, **{**given, "store": tmp_path / "m.db", "log_dir": None, **options})


def test_points_come_first_and_are_completed(tmp_path):
    """What a point leaves out the optimizer fills in; then the optimizer has its say."""
    points = [{"x": 0.5, "n": 2}, {"n": 7}]
    result = lagom(tmp_path, points_to_evaluate=points)
    plain = lagom(tmp_path, name="plain")
    tried = [trial.params for trial in result.trials]
    assert tried[0] == points[0]
    assert tried[1] == {"x": plain.trials[1].params["x"], "n": 7}
    assert tried[2:] == [trial.params for trial in plain.trials[2:]]
    assert result.trials[0].why == "points_to_evaluate"


def test_what_is_known_is_not_run(tmp_path):
    """Known values stand in the study as completed, do not count, and may be the best."""
    result = lagom(tmp_path, points_to_evaluate=[{"x": 1.0, "n": 9}, {"x": 0.1, "n": 1}], evaluated_rewards=[99, None])
    known, *ran = result.trials
    assert (known.value, known.origin, known.executor) == (99.0, KNOWN, KNOWN)
    assert result.best_trial == known
    assert len(ran) == 4
    assert ran[0].params == {"x": 0.1, "n": 1}
    assert all(trial.origin is None for trial in ran)


def test_a_resume_has_the_points_from_the_log(tmp_path):
    """Points that were not tried yet come after a resume; others are refused."""
    points = [{"x": number / 10} for number in range(1, 5)]
    lagom(tmp_path, points_to_evaluate=points, num_trials=2)
    with pytest.raises(ConfigError, match="other points_to_evaluate"):
        lagom(tmp_path, points_to_evaluate=points[:1], resume=True)
    more = {"points_to_evaluate": [*points, {"x": 0.5, "n": 1}], "evaluated_rewards": [*4 * [None], 3]}
    with pytest.raises(ConfigError, match="other points_to_evaluate"):
        lagom(tmp_path, **more, resume=True)
    result = lagom(tmp_path, resume=True, points_to_evaluate=points)
    assert [trial.params["x"] for trial in result.trials] == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("points", "rewards", "said"),
    [
        ([{"x": 2.0}], None, r"points_to_evaluate\[0\]: parameter 'x' is 2.0"),
        ([{"x": 0.5}, {"y": 1}], None, r"points_to_evaluate\[1\]: the searchspace has no parameter 'y'"),
        ([{"x": 0.5}], [1.0], r"points_to_evaluate\[0\]: parameter 'n' is missing"),
        ([{"x": 0.5, "n": 1}], [float("nan")], r"evaluated_rewards\[0\] is nan; it must be a finite number"),
        ([{"x": 0.5}], [None, 1.0], "points_to_evaluate lists 1, evaluated_rewards lists 2"),
        ([0.5], None, r"points_to_evaluate\[0\] is 0.5; write a dict"),
        (None, [0.5], "points_to_evaluate lists 0, evaluated_rewards lists 1"),
    ],
)
def test_points_that_cannot_be(points, rewards, said):
    """The point is named, before anything starts."""
    with pytest.raises(ConfigError, match=said):
        checked(points, rewards, SPACE)


def test_a_grid_takes_no_points(tmp_path):
    """It tries everything anyhow."""
    with pytest.raises(ConfigError, match="this one tries all"):
        experiment.lagom(train, {"x": [1], "n": [2]}, optimizer="grid", points_to_evaluate=[{"x": 1}], quiet=True)


@pytest.mark.parametrize(("optimizer", "said"), [("tpe", True), ("random", False)])
def test_too_many_executors_for_a_model_are_said(tmp_path, capsys, optimizer, said):
    """Where a fifth of the trials run at once, no model can help; the study is run all the same."""
    result = lagom(tmp_path, optimizer=optimizer, quiet=False)
    told = "1 executor for 4 trials: most begin before a model has learned anything" in capsys.readouterr().err
    assert (told, len(result.trials)) == (said, 4)


def test_a_point_finds_its_conditions():
    """A point for a parameter that depends on another brings a value of the other along."""
    space = Searchspace(kind=["a", "b", "c"], depth=Integer(1, 5, when={"kind": "c"}))
    params = completed(space, {"depth": 3}, {"kind": "a"}, Random(0))
    assert params == {"kind": "c", "depth": 3}
    with pytest.raises(ConfigError, match="no configuration that is allowed has the values"):
        completed(space, {"kind": "a", "depth": 3}, {}, Random(0))
