"""Ablation studies end to end, with executors that are processes of this machine."""

import sys
from itertools import count

import cloudpickle
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from maggy import AblationStudy, Asha, Status, StudyFailed, experiment
from maggy.ablation import trials
from maggy.errors import ConfigError
from maggy.store import MemoryStore

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
IRIS = load_iris(as_frame=True).frame


def lagom(train_fn, study=None, **options):
    usual = {"launcher": "local", "num_executors": 2, "store": "memory:", "log_dir": None, "quiet": True}
    return experiment.lagom(train_fn, study, **usual | options)


def accuracy(dataset, model, seed):
    x, y = dataset.drop(columns="target"), dataset["target"]
    return cross_val_score(model, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=seed)).mean()


def pipeline():
    return Pipeline([("scale", StandardScaler()), ("pca", PCA(1)), ("fit", LogisticRegression())])


# -- what it is for --------------------------------------------------------------------------------


def test_features_and_steps_of_a_real_problem():
    """Of iris, in one principal component, three features are needed, and whatever makes the pipeline does harm."""
    study = AblationStudy(
        IRIS,
        label="target",
        features="all",
        model=pipeline,
        steps=["scale", "pca"],
        models={"no pipeline": LogisticRegression},
        replicates=5,
    )
    result = lagom(accuracy, study)
    assert result.ablation.reference.n == 5
    assert {effect.label: effect.verdict for effect in result.ablation} == {
        "without petal length (cm)": "needed",
        "without petal width (cm)": "needed",
        "without sepal length (cm)": "harmful",
        "without sepal width (cm)": "needed",
        "without scale": "harmful",
        "without pca": "harmful",
        "variant = no pipeline": "harmful",
    }
    assert [trial.status for trial in result.trials] == [Status.COMPLETED] * 40


def test_greedy_finds_a_small_set_of_features():
    """Left with what the score misses; what went is the best trial's."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)

    def train_fn(dataset):
        return cross_val_score(Ridge(0.01), *dataset, cv=5).mean()

    result = lagom(train_fn, AblationStudy((x, y), features="all"), optimizer="greedy")
    assert result.ablation.best == result.ablation[-1]
    assert result.ablation.best.value == result.best_value
    assert result.study.closed == "done"
    left = [value for value in result.best_params.values() if isinstance(value, str)]
    assert {"bmi", "s5", "bp"} <= set(left) < set(x.columns)
    assert result.best_value > result.ablation.reference.value


def test_components_are_switches_of_train_fn():
    """They come by name, or all in hparams; no study object is needed for them."""
    switches = {"augment": [True, False], "act": ["relu", "tanh"]}
    result = lagom(lambda augment, act: augment + 10 * (act == "relu"), switches, optimizer="loco")
    assert [(effect.label, effect.effect) for effect in result.ablation] == [
        ("act = tanh", -10),
        ("without augment", -1),
    ]
    study = AblationStudy(components=switches)
    same = lagom(lambda hparams: hparams["augment"] + 10 * (hparams["act"] == "relu"), study)
    assert list(same.ablation) == list(result.ablation)


def test_replicates_come_as_a_seed():
    """It is passed if train_fn names it, and the random numbers that everybody shares begin with it anyhow."""

    def train_fn(seed, broken):
        return np.random.default_rng(seed).random() + np.random.rand() + broken  # noqa: NPY002

    result = lagom(train_fn, AblationStudy(components=["broken"], replicates=[3, 5]), num_executors=1)
    assert [trial.params["seed"] for trial in result.trials] == [3, 3, 5, 5]
    assert result.ablation[0].effect == pytest.approx(-1, abs=1e-12)
    assert result.ablation[0].n == 2


def test_a_model_instance_is_new_for_each_trial():
    """What one trial has fitted the next one has not."""

    def train_fn(model, dataset):
        before = hasattr(model.named_steps["fit"], "coef_")
        model.fit(*dataset)
        dataset[0][:] = 0
        return float(before) + float(abs(dataset[0]).sum())

    study = AblationStudy(load_iris(return_X_y=True), model=pipeline(), steps=["scale", "pca"], features=[0])
    assert [trial.value for trial in lagom(train_fn, study, num_executors=1).trials] == [0.0] * 4


# -- as Maggy's users write it ---------------------------------------------------------------------


def test_code_for_maggy_runs():
    """Its study, its way to include, its functions, its arguments."""
    study = AblationStudy("iris_train_dataset", 1, label_name="target")
    study.features.include("petal length (cm)", "petal width (cm)")
    study.features.include(["sepal width (cm)"])
    study.features.exclude("sepal width (cm)")
    study.set_dataset_generator(lambda folds: (IRIS, folds))
    study.model.set_base_model_generator(pipeline)
    study.model.add_custom_model_generator(LogisticRegression, "logistic")

    def train_fn(dataset_function, model_function):
        frame, folds = dataset_function(5)
        x, y = frame.drop(columns="target"), frame["target"]
        return {"accuracy": cross_val_score(model_function(), x, y, cv=folds).mean(), "columns": len(x.columns)}

    result = lagom(
        train_fn,
        experiment_type="ablation",
        ablation_study=study,
        ablator="loco",
        direction="max",
        name="iris-loco",
        optimization_key="accuracy",
    )
    assert [trial.metrics["columns"] for trial in result.trials] == [4, 4, 3, 3]
    assert [trial.why.partition(",")[0] for trial in result.trials] == [
        "reference",
        "variant = logistic",
        "without petal length (cm)",
        "without petal width (cm)",
    ]
    assert result["num_trials"] == 4


def test_maggys_fault_3_one_configuration_that_raises_ends_nothing():
    """A layer or feature without which nothing runs is a failed trial, and a row of the table."""

    def train_fn(a, b):
        if not a:
            raise ValueError("shapes cannot be multiplied")
        return 1.0 + b

    result = lagom(train_fn, AblationStudy(components=["a", "b"], replicates=2))
    assert [(effect.label, effect.n) for effect in result.ablation] == [("without b", 2), ("without a", 0)]
    assert "without a: 2 failed: ValueError: shapes cannot be multiplied" in str(result.ablation)


def test_maggys_fault_4_replicates_are_trials_of_their_own():
    """Two trials that differ in nothing but their seed, or not at all, are two trials."""
    result = lagom(lambda a: a, AblationStudy(components=["a"], replicates=3))
    assert result["num_trials"] == 6
    assert result.ablation[0].n == 3


def test_a_feature_is_really_left_out_of_what_a_generator_returns():
    """Maggy handed a custom generator on as it was, so that every trial saw all features."""
    study = AblationStudy(dataset_generator=lambda: IRIS, features=["sepal width (cm)"])
    result = lagom(lambda dataset: len(dataset.columns), study)
    assert [trial.value for trial in result.trials] == [5, 4]


# -- as any study ----------------------------------------------------------------------------------


def test_a_failure_shows_the_users_line_first():
    """Frames of maggy's own help nobody."""

    def train_fn(a):
        raise ValueError("mine")

    result = lagom(train_fn, AblationStudy(components=["a"]))
    lines = result.trials[0].error.splitlines()
    assert "in train_fn" in lines[1]
    assert not any("maggy/ablation" in line for line in lines)


def test_an_ablation_goes_on_after_it_was_broken_off(tmp_path):
    """By the study that is given again, with the ablator of the log; the result can be read without either."""
    study = AblationStudy(IRIS, label="target", features="all", replicates=2)
    where = {"store": tmp_path / "maggy.db", "name": "iris"}
    first = lagom(lambda dataset: len(dataset.columns), study, optimizer="pairs", num_trials=5, **where)
    assert len(first.trials) == 5
    more = lagom(lambda dataset: len(dataset.columns), study, resume=True, num_trials=100, **where)
    assert len(more.trials) == 2 * (1 + 4 + 6)
    assert {effect.effect for effect in more.ablation if len(effect.change) == 2} == {-2.0}
    assert list(experiment.load("iris", store=where["store"]).ablation) == list(more.ablation)


def test_another_study_is_another_searchspace():
    """To go on with other parts than the log has is refused."""
    store = MemoryStore()
    lagom(lambda a: 1.0, AblationStudy(components=["a"]), store=store, name="x")
    with pytest.raises(ConfigError, match="'b' is new"):
        lagom(lambda a, b: 1.0, AblationStudy(components=["a", "b"]), store=store, name="x", resume=True)


def test_trials_are_stopped_early_where_a_rule_is_asked_for():
    """A stopped one does not count, since an effect needs the trial's end, and the table says so."""

    def train_fn(a, reporter):
        for step in range(3) if a else count():
            reporter.broadcast(1.0 if a else 0.0, step=step)

    study = AblationStudy(components=["a"], replicates=2)
    result = lagom(train_fn, study, earlystop="median", es_min=1, num_executors=1)
    assert [trial.status for trial in result.trials] == [Status.COMPLETED, Status.STOPPED] * 2
    assert "without a: " in str(result.ablation)
    assert "stopped: " in str(result.ablation)


def test_any_optimizer_may_search_what_is_left_out():
    """A study is a searchspace: random subsets, or whatever else."""
    result = lagom(
        lambda a, b: 2.0 * a - b, AblationStudy(components=["a", "b"]), optimizer="randomsearch", num_trials=12, seed=1
    )
    assert (result.best_params["a"], result.best_params["b"]) == (True, False)
    with pytest.raises(ConfigError, match="gives each trial a budget"):
        lagom(lambda a: 1.0, {"a": [True, False]}, optimizer=Asha())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment_type": "ablation"}, "needs what may be left out"),
        ({"experiment_type": "abl"}, "must be 'optimization' or 'ablation'"),
        ({"experiment_type": "optimization", "ablation_study": AblationStudy()}, "an ablation study was given"),
        ({"ablation_study": 3}, "is of type int"),
        ({"ablation_study": AblationStudy()}, "needs something to leave out"),
        ({"ablation_study": AblationStudy(), "study": {"a": [1]}}, "an ablation study and a searchspace were given"),
        (
            {"ablation_study": AblationStudy(components=["x"]), "optimizer": "loco", "ablator": "pairs"},
            "two names for one thing",
        ),
        (
            {"ablation_study": AblationStudy(components=["x"]), "train_args": {"dataset": 1}},
            "train_args has 'dataset', which the study gives",
        ),
        (
            {"ablation_study": AblationStudy(components=["x"]), "points_to_evaluate": [{"x": False}]},
            "this one tries all",
        ),
    ],
)
def test_a_call_that_contradicts_itself_is_refused(options, message):
    """Before anything starts, in a sentence."""
    with pytest.raises(ConfigError, match=message):
        lagom(lambda x=1: 1.0, **options)


def test_who_fails_alike_ten_times_is_given_up_with_a_table():
    """A study that was given up has what there is."""

    def train_fn(a):
        raise ValueError("always")

    with pytest.raises(StudyFailed) as raised:
        lagom(train_fn, AblationStudy(components=["a"], replicates=20))
    assert raised.value.result.ablation.reference.n == 0


# -- how it looks ----------------------------------------------------------------------------------


def test_the_table_in_terminal_notebook_and_pandas(capsys):
    """The reference first, then the most harmful; what users wrote cannot become HTML."""
    study = AblationStudy(components={"a": [True, False], "b": ["<b>", None]}, replicates=2)
    result = lagom(lambda a, b, seed: seed + 3.0 * a - bool(b), study, quiet=False, name="look")
    assert str(result.ablation).splitlines() == [
        "             n  value  effect  95 % interval",
        "reference    2    2.5",
        "without a    2   -0.5      -3       -3 to -3   needed",
        "without <b>  2    3.5      +1       +1 to +1  harmful",
    ]
    assert "<td>without &lt;b&gt;</td>" in result.ablation._repr_html_()
    frame = result.ablation.to_pandas()
    assert frame["label"].tolist() == ["reference", "without a", "without <b>"]
    assert frame["effect"].tolist()[1:] == [-3, 1]
    shown = capsys.readouterr().out
    assert "without a     -3  (-3 to -3)  needed" in shown
    assert "best" not in shown  # one seed's luck is nobody's business


def test_random_numbers_begin_with_the_seed_in_what_is_loaded():
    """So replicates repeat, and differ from one another."""
    drawn = []
    for seed in (1, 1, 2):
        trials.begin_random_numbers(seed)
        drawn.append(np.random.rand())  # noqa: NPY002
    assert drawn[0] == drawn[1] != drawn[2]
