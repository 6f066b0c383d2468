"""Objectives of Optuna: they name their parameters while they run."""

import pytest

from maggy import Asha, Float, Median, NoProgress, Percentile, Searchspace, Threshold, experiment
from maggy.errors import ConfigError, StudyFailed
from maggy.migrate import optuna
from maggy.migrate.objectives import WithTrial

theirs = pytest.importorskip("optuna", reason="optuna is not installed")


@pytest.fixture
def places(tmp_path):
    return {"launcher": "local", "num_executors": 2, "store": tmp_path / "maggy.db", "log_dir": None, "quiet": True}


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


def test_what_is_queued_has_optunas_names(places):
    """Those that become others here, and choices that are no JSON values, are not lost."""
    study = optuna.create_study()
    study.enqueue_trial({"svm.C": 0.25, "model": ("b", 2)})

    def queued(trial):
        return trial.suggest_float("svm.C", 0, 1) + trial.suggest_categorical("model", [("a", 1), ("b", 2)])[1]

    study.optimize(queued, n_trials=1, **places)
    assert study.best_value == 2.25


def test_a_study_that_is_loaded_goes_on(places):
    """What was tried before is there, and n_trials are further ones, as in Optuna."""
    for total in (3, 6):
        study = optuna.create_study(study_name="again", storage=str(places["store"]), load_if_exists=True)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3, **places)
        assert len(study.trials) == total
    study = optuna.create_study(study_name="again", storage=str(places["store"]), load_if_exists=True)
    assert 0 <= study.best_value <= 1


def told(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(3):
        trial.report(x + step, step)
    trial.set_user_attr("size", 7)
    trial.set_user_attr("path", "model.pt")
    if trial.number == 1:
        raise ValueError("bad luck")
    if trial.number == 2:
        raise optuna.TrialPruned
    return x


def test_what_is_read_of_a_study_afterwards(places):
    """What users of Optuna type when a study has ended; what maggy has not says so."""
    study = optuna.create_study(direction="maximize", study_name="read")
    assert study.trials == []
    study.optimize(told, n_trials=4, **places)
    first, failed, pruned, _ = study.trials
    assert [each.number for each in study.trials] == [0, 1, 2, 3]
    assert first.state is theirs.trial.TrialState.COMPLETE
    assert (failed.state.name, pruned.state.name) == ("FAIL", "PRUNED")
    assert optuna.TrialState.COMPLETE == theirs.trial.TrialState.COMPLETE
    best = study.best_trial
    assert (best.value, best.values, best.params) == (study.best_value, [study.best_value], study.best_params)
    assert best in study.trials
    assert study.best_trials == [best]
    assert best.user_attrs == {"size": 7}
    with pytest.raises(KeyError, match="maggy keeps numbers"):
        best.user_attrs["path"]
    assert first.intermediate_values == {step: first.params["x"] + step for step in range(3)}
    assert (pruned.value, failed.value) == (pruned.params["x"] + 2, None)
    assert first.datetime_complete - first.datetime_start == first.duration
    assert (failed.status, "bad luck" in failed.error) == ("failed", True)
    with pytest.raises(AttributeError, match=r"no 'system_attrs'; `\.trial` is all of it"):
        print(first.system_attrs)
    with pytest.raises(AttributeError, match="no 'ask': maggy asks and tells by itself"):
        study.ask()


def test_a_data_frame_has_optunas_columns(places):
    """Those that code written for it reads."""
    pytest.importorskip("pandas")
    study = optuna.create_study()
    study.optimize(told, n_trials=1, **places)
    frame = study.trials_dataframe()
    assert list(frame.columns) == [
        "number", "value", "datetime_start", "datetime_complete", "duration", "params_x", "user_attrs_size", "state"
    ]  # fmt: skip
    assert frame.loc[0, "state"] == "COMPLETE"
    assert list(study.trials_dataframe(attrs=("number", "params")).columns) == ["number", "params_x"]


def test_a_study_is_loaded_as_it_was_left(places):
    """With its direction and its optimizer, and goes on; one that is not there is a sentence."""
    options = {name: value for name, value in places.items() if name != "store"}
    where = str(places["store"])
    study = optuna.create_study(
        study_name="kept", storage=where, direction="maximize", sampler=theirs.samplers.RandomSampler()
    )
    study.optimize(told, n_trials=2, **options)
    again = optuna.load_study(study_name="kept", storage=where)
    assert (again.direction, again.best_value, len(again.trials)) == ("maximize", study.best_value, 2)
    again.optimize(told, n_trials=1, **options)
    assert len(again.trials) == 3
    with pytest.raises(ConfigError, match="there is no study 'other'"):
        optuna.load_study(study_name="other", storage=where)
    with pytest.raises(AttributeError, match="`maggy delete STUDY` does it"):
        optuna.delete_study(study_name="kept", storage=where)


def test_optunas_pictures_are_maggys(places):
    """`optuna.visualization` as code calls it; pictures that there are not are named."""
    pytest.importorskip("plotly")
    study = optuna.create_study()
    study.optimize(told, n_trials=2, **places)
    assert optuna.visualization.plot_optimization_history(study).data
    assert optuna.visualization.plot_slice(study, params=["x"]).data
    with pytest.raises(AttributeError, match="there is no 'plot_edf' here; there are plot_optimization_history"):
        optuna.visualization.plot_edf(study)


def test_a_pruned_trial_is_stopped(places):
    """Optuna's TrialPruned, and maggy's, end a trial early; nothing has failed."""

    def prune(trial):
        trial.report(1.0, 0)
        raise (theirs.TrialPruned if trial.number % 2 else optuna.TrialPruned)

    result = experiment.lagom(WithTrial(prune), {"!open": True}, num_trials=2, **places)
    assert [str(trial.status) for trial in result.trials] == ["stopped", "stopped"]
    study = optuna.create_study(study_name=result.name, storage=str(places["store"]), load_if_exists=True)
    assert len(study.get_trials(deepcopy=False, states=[theirs.trial.TrialState.PRUNED])) == 2
    assert study.get_trials(states=[theirs.trial.TrialState.COMPLETE]) == []


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
