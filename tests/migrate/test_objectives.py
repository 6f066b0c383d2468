"""Objectives of other libraries, where none of these is installed: what they have in their hands, and how they end."""

import subprocess
import sys

import pytest

from maggy import Searchspace, experiment
from maggy.errors import ConfigError, StopTrial
from maggy.executor.checkpoints import Checkpoints, Terms
from maggy.executor.draws import Draws
from maggy.executor.reporter import Reporter
from maggy.migrate import optuna, tune, tunespace
from maggy.migrate.objectives import Trial, WithDict, WithTrial, names_in
from maggy.migrate.styles import adopted
from maggy.trial import Objective


@pytest.fixture
def told():
    return []


@pytest.fixture
def stops():
    return []


@pytest.fixture
def reporter(told, stops, tmp_path):
    checkpoints = Checkpoints(Terms(1, 1, str(tmp_path), "", 0, str(tmp_path), ()), print, print)
    return Reporter(
        1,
        1,
        budget=None,
        parent=None,
        objective=Objective(),
        checkpoints=checkpoints,
        send=lambda step, metrics: told.append((step, metrics)),
        stop=lambda: stops[0] if stops else None,
        draws=Draws({"lr": 0.5}, 1, 7, told.append),
    )


# -- Optuna's trial ----------------------------------------------------------------------------------------------------


def test_a_stop_is_what_should_prune_says(reporter, told, stops):
    """`report` keeps it, `should_prune` tells it; who does not heed it is stopped by the next report."""
    trial = Trial(reporter, 1)
    trial.report(0.5, 0)
    assert not trial.should_prune()
    stops.append("below the median")
    trial.report(0.4, 1)
    assert trial.should_prune()
    with pytest.raises(StopTrial, match="below the median"):
        trial.report(0.3, 2)
    assert told == [(0, {"metric": 0.5}), (1, {"metric": 0.4})]


def test_f15_a_stop_is_not_swallowed_by_the_objective(reporter, stops):
    """An objective that catches every Exception, and reports again, ends all the same."""
    stops.append("below the median")

    def stubborn(trial):
        for step in range(10):
            try:
                trial.report(0.5, step)
            except Exception:  # noqa: BLE001 - that is what it tries
                pytest.fail("a stop is no Exception")
        return 1.0

    with pytest.raises(StopTrial):
        WithTrial(stubborn)(reporter, 1)


def test_the_suggestions_are_optunas(reporter):
    """Bounds, steps, logarithms, choices that are no JSON, names twice: as there."""
    trial = Trial(reporter, 1)
    assert trial.suggest_float("lr", 0, 1) == 0.5
    assert trial.suggest_float("lr", 0, 1) == 0.5
    assert trial.suggest_float("a", 0, 1, step=0.25) in (0, 0.25, 0.5, 0.75, 1)
    assert trial.suggest_float("wide", 0, 1, step=3) == 0
    assert trial.suggest_int("b", 1, 10, step=4) in (1, 5, 9)
    assert trial.suggest_int("c", 3, 3) == 3
    assert trial.suggest_categorical("d", [(1, 2), int]) in ((1, 2), int)
    assert trial.suggest_loguniform("e", 1e-3, 1) <= 1
    assert trial.suggest_discrete_uniform("f", 0, 1, 0.5) in (0, 0.5, 1)
    assert trial.params["lr"] == 0.5
    assert trial.number == 0
    with pytest.raises(ValueError, match="'a_b' and 'a b' would both be called"):
        [trial.suggest_float(name, 0, 1) for name in ("a b", "a_b")]


def test_a_trial_ends_as_the_objective_says(reporter):
    """TrialPruned is a stop, of whichever library; any other error is one."""

    def prune(trial):
        raise optuna.TrialPruned("it leads nowhere")

    def fail(trial):
        raise KeyError("x")

    with pytest.raises(StopTrial, match="it leads nowhere"):
        WithTrial(prune)(reporter, 1)
    with pytest.raises(KeyError):
        WithTrial(fail)(reporter, 1)


# -- Ray's reports -----------------------------------------------------------------------------------------------------


def test_reports_to_tune_are_reports(reporter, told, stops):
    """Numbers among the metrics, iterations from 1; a stop ends the objective there."""

    def objective(config):
        for step in range(5):
            tune.report({"metric": config["x"] + step, "name": "text"})

    assert WithDict(objective)({"x": 1}, reporter) is None
    assert told == [(step + 1, {"metric": 1.0 + step}) for step in range(5)]
    stops.append("below the median")
    with pytest.raises(StopTrial, match="below the median"):
        WithDict(objective)({"x": 1}, reporter)
    assert len(told) == 6
    tune.report({"metric": 1.0})  # after the trial there is nobody to tell
    assert len(told) == 6


def test_what_is_returned_is_judged(reporter):
    """Numbers of a dict are metrics; Hyperopt's failed status is a failure; what has no number is left as it is."""
    assert WithDict(lambda c: {"loss": 1, "status": "ok", "model": object()})({}, reporter) == {"loss": 1}
    assert WithDict(lambda c: 0.5)({}, reporter) == 0.5
    assert WithDict(lambda c: {"name": "text"})({}, reporter) == {"name": "text"}
    with pytest.raises(RuntimeError, match="status 'fail': why='no'"):
        WithDict(lambda c: {"status": "fail", "why": "no"})({}, reporter)


# -- whose it is -------------------------------------------------------------------------------------------------------


def helper(trial):
    return trial.suggest_float("x", 0, 1)


def indirect(trial):
    return helper(trial)


class Callable:
    def __call__(self, trial):
        return helper(trial)


@pytest.mark.parametrize("objective", [helper, indirect, Callable()])
def test_an_objective_of_optunas_is_known_by_what_it_calls(objective):
    """In its own code or that of its module's functions."""
    function, space, direction = adopted(objective, None, "min")
    assert isinstance(function, WithTrial)
    assert space == Searchspace({"!open": True})
    assert direction == "min"


def test_maggys_own_functions_stay_what_they_are():
    """Whatever they are given by name."""
    for function in (lambda x: x, lambda hparams: 1.0, lambda reporter: 1.0, lambda trial: 1.0, lambda: 1.0):
        assert adopted(function, {"x": (0, 1)}, None) == (function, {"x": (0, 1)}, None)
    for function in (lambda model: 1.0, lambda dataset: 1.0):  # Maggy's names
        assert adopted(function, None, None) == (function, None, None)
    space = {"grid_search": [1, 2]}
    assert adopted(function, space, None)[2] is None  # a parameter of this name, and nothing of Ray's
    function = lambda data: 1.0  # noqa: E731 - one of train_args
    assert adopted(function, None, None, {"data": 1}) == (function, None, None)
    assert adopted(lambda trial, x: 1.0, {"x": (0, 1)}, None)[1] == {"x": (0, 1)}


def test_an_objective_that_takes_a_dict_is_given_one():
    """Where its one argument is no parameter; a loss and a status are Hyperopt's, and minimized."""
    function, _, direction = adopted(lambda config: config["x"], {"x": (0, 1)}, None)
    assert isinstance(function, WithDict)
    assert direction is None
    assert adopted(lambda c: {"loss": 1.0, "status": "ok"}, {"x": (0, 1)}, None)[2] == "min"


def test_names_are_found_without_an_end():
    """Functions that call each other, closures, partial functions and what is compiled."""

    def odd(n):
        return n and even(n - 1)

    def even(n):
        return not n or odd(n - 1) or "word"

    assert "word" in set(names_in(odd))
    assert set(names_in(len)) == set()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((lambda config: 1.0, None), "takes one argument, 'config', and it cannot be told what that is to be"),
        ((helper, None), "direction='min' or 'max': Optuna's objectives"),
    ],
)
def test_what_cannot_be_told_is_asked_for(given, why):
    """A sentence, before anything starts."""
    with pytest.raises(ConfigError, match=why):
        experiment.lagom(*given)


@pytest.mark.parametrize("module", ["objectives", "optuna", "tune", "hyperopt"])
def test_executors_need_the_standard_library_only(module):
    """An objective that names maggy.migrate is loaded where nothing else is installed."""
    code = f"import sys; old = set(sys.modules); import maggy.migrate.{module}; print(*sorted(set(sys.modules) - old))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "maggy"}} == set()


# -- Ray Tune's spaces and endless objectives --------------------------------------------------------------------------


def test_an_endless_objective_ends_at_its_budget(reporter, told):
    """As Ray's schedulers end it at max_t; its last report counts."""

    def endless(_config):
        while True:
            tune.report({"metric": 1.0})

    reporter.budget = 3
    assert WithDict(endless)({}, reporter) is None
    assert [step for step, _ in told] == [1, 2, 3]


def test_what_lists_have_in_them_is_searched():
    """Lists are gone into as dicts are, and stay lists."""
    given = {"layers": [{"grid_search": [1, 2]}, {"width": {"grid_search": [3]}}], "sizes": [8, 8]}
    assert tunespace.all_grid(given)
    assert tunespace.lists(given) == 2
    space = tunespace.read(given)
    filled = space.form.fill({"layers_0": 2, "layers_1_width": 3})
    assert filled == {"layers": [2, {"width": 3}], "sizes": [8, 8]}


def test_the_best_by_another_metric_is_refused(tmp_path):
    """Rather than answered with the best by the study's own."""
    options = {"launcher": "local", "store": tmp_path / "maggy.db", "log_dir": None, "quiet": True}
    space = {"x": {"grid_search": [1, 2]}}
    grid = tune.run(lambda config: {"loss": config["x"]}, config=space, metric="loss", mode="min", **options)
    assert grid.get_best_result("loss", "min").config == {"x": 1}
    with pytest.raises(ConfigError, match="metric='loss', mode='min'"):
        grid.get_best_result("accuracy", "max")


@pytest.mark.parametrize(
    ("function", "given"),
    [(lambda lrr: lrr, False), (lambda config: config, True), (lambda params: params, True), (lambda it: it, True)],
)
def test_a_parameter_that_was_mistyped_is_no_dict(function, given):
    """One argument that is nearly a parameter's name is refused, as ever; any other is given all of them."""
    fn, _, _ = adopted(function, {"lr": (0.0, 1.0), "param": [1, 2]}, "max")
    assert isinstance(fn, WithDict) is given
