"""Objectives of Optuna: they name their parameters while they run."""

import pytest

from maggy import Asha, Float, Median, NoProgress, Percentile, Searchspace, Threshold, experiment
from maggy.errors import ConfigError, StopTrial, StudyFailed
from maggy.executor.checkpoints import Checkpoints, Terms
from maggy.executor.draws import Draws
from maggy.executor.reporter import Reporter
from maggy.migrate import optuna
from maggy.migrate.objectives import Trial, WithTrial
from maggy.trial import Objective

theirs = pytest.importorskip("optuna", reason="optuna is not installed")


@pytest.fixture
def places(tmp_path):
    return {"launcher": "local", "num_executors": 2, "store": tmp_path / "maggy.db", "log_dir": None, "quiet": True}


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


def objective(trial):
    kind = trial.suggest_categorical("classifier", ["svm", "forest"])
    if kind == "svm":
        return (trial.suggest_float("svm.C", 1e-3, 1e3, log=True) - 1) ** 2
    depth = trial.suggest_int("depth", 2, 32, step=2)
    layers = [trial.suggest_int(f"units{number}", 4, 8) for number in range(trial.suggest_int("layers", 1, 3))]
    return depth + sum(layers)


def test_a_study_of_optunas_runs_unchanged(places):
    """The space is found by those who name it, searched by a model, and what a trial has not named it has not."""
    study = optuna.create_study(sampler=theirs.samplers.TPESampler(), storage=str(places["store"]))
    options = {name: value for name, value in places.items() if name != "store"}
    study.optimize(objective, n_trials=25, seed=3, **options)
    assert study.direction == "minimize"
    assert len(study.trials) == 25
    assert study.best_params.keys() == {"classifier", "svm_C"}
    assert study.best_value < 1
    used = [set(trial.params) for trial in study.trials]
    assert {"classifier", "svm_C"} in used
    assert {"classifier", "depth", "layers", "units0"} in used
    study.optimize(objective, n_trials=5, **options)
    assert len(study.trials) == 30


def test_an_objective_is_known_by_what_it_calls(places):
    """One argument, of which suggest_… is called: `lagom` needs to be told which way is better, and that is all."""
    result = experiment.lagom(objective, direction="min", num_trials=4, **places)
    assert all("classifier" in trial.params for trial in result.trials)
    with pytest.raises(ConfigError, match=r"direction='min' or 'max': Optuna's objectives"):
        experiment.lagom(objective, **places)


def test_a_searchspace_may_be_given(places):
    """Names that it has are the optimizer's from the first trial on."""
    space = Searchspace(lr=Float(0.5, 0.6))
    result = experiment.lagom(
        lambda trial: trial.suggest_float("lr", 0, 1) + trial.suggest_float("x", 0, 1),
        space,
        direction="max",
        num_trials=4,
        **places,
    )
    assert all(0.5 <= trial.params["lr"] <= 0.6 for trial in result.trials)
    assert all("x" in trial.params for trial in result.trials)


def test_what_is_queued_is_tried_first(places):
    """`enqueue_trial` gives a parameter that nobody knows of yet."""
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"x": 0.25})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2, **places)
    assert study.trials[0].params == {"x": 0.25}


def test_a_pruned_trial_is_stopped(places):
    """Optuna's TrialPruned, and maggy's, end a trial early; nothing has failed."""

    def prune(trial):
        trial.report(1.0, 0)
        raise (theirs.TrialPruned if trial.number % 2 else optuna.TrialPruned)

    result = experiment.lagom(WithTrial(prune), {"!open": True}, num_trials=2, **places)
    assert [str(trial.status) for trial in result.trials] == ["stopped", "stopped"]


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


@pytest.mark.parametrize(
    ("pruner", "settings", "rule"),
    [
        ("MedianPruner", (5, 3, 2), Median(5, 2, 3)),
        ("PercentilePruner", (25.0, 4, 1), Percentile(25.0, 4, 1, 1)),
        ("NopPruner", (), None),
        ("ThresholdPruner", (None, 2.0), Threshold(None, 2.0, 0)),
        ("PatientPruner", (None, 3, 0.1), [NoProgress(3, 0.1)]),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_pruners_have_counterparts(pruner, settings, rule):
    """As far as maggy has the rule."""
    assert optuna.create_study(pruner=getattr(theirs.pruners, pruner)(*settings))._rules == rule
    assert optuna.create_study()._rules == "default"


def test_halving_is_ashas():
    """Pruners that compare at rungs are an optimizer here, with the sampler as its searcher."""
    pruner = theirs.pruners.HyperbandPruner(1, 27, 3)
    made = optuna.create_study(pruner=pruner, sampler=theirs.samplers.TPESampler())
    assert made._optimizer == Asha(3, 1, 27, searcher="tpe", mode="stopping")
    with pytest.raises(ConfigError, match="without numbers for its resources"):
        optuna.create_study(pruner=theirs.pruners.SuccessiveHalvingPruner())


def Wilcoxon():  # noqa: N802 - it is made late, since Optuna warns of it
    with pytest.warns(theirs.exceptions.ExperimentalWarning):
        return theirs.pruners.WilcoxonPruner()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"directions": ["minimize", "maximize"]}, "maggy optimizes one value"),
        ({"pruner": Wilcoxon()}, "WilcoxonPruner has no counterpart"),
        ({"storage": object()}, "storage is of type object"),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_what_maggy_has_not_is_refused(settings, why):
    """Before anything starts."""
    with pytest.raises(ConfigError, match=why):
        optuna.create_study(**settings)


def test_a_study_without_trials_says_so():
    """Nothing is best before anything was tried."""
    with pytest.raises(StudyFailed, match="nothing was tried yet"):
        _ = optuna.create_study().best_params
