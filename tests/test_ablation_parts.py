"""What is left out of data and of models, without running a study."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from maggy import AblationStudy, Searchspace
from maggy.ablation import data, models
from maggy.ablation.parts import Included, Part, named
from maggy.errors import ConfigError

FRAME = pd.DataFrame({"age": [1, 2], "fare paid": [3, 4], "class": [5, 6], "survived": [0, 1]})


def steps(*names, prefix=None):
    return [Part("step", names, prefix)]


# -- data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "gone", "left"),
    [
        (FRAME, ["age", "class"], FRAME[["fare paid", "survived"]]),
        (np.arange(6).reshape(2, 3), [1], np.array([[0, 2], [3, 5]])),
        ({"a": [1], "b": [2]}, ["a"], {"b": [2]}),
    ],
)
def test_columns_are_left_out(whole, gone, left):
    """A data frame, an array or a mapping is what it was, but for the columns."""
    before = repr(whole)
    found = data.without(whole, gone)
    assert type(found) is type(whole)
    assert repr(found) == repr(left)
    assert repr(whole) == before


def test_of_a_tuple_the_first_is_meant():
    """Of (X, y) the columns of X are left out; y stays as it is."""
    x, y = data.without((np.eye(3), np.arange(3)), [0, 2])
    assert x.tolist() == [[0], [1], [0]]
    assert y.tolist() == [0, 1, 2]


def test_what_a_trial_does_to_its_data_is_its_own():
    """Trials of an executor share a process: what one writes into its data the next must not see."""
    frame, array = data.without((FRAME, np.zeros(2)), [])
    frame.loc[0, "age"] = 99
    array[0] = 99
    assert FRAME.loc[0, "age"] == 1
    assert data.without((FRAME, np.zeros(2)), [])[1].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("whole", "gone", "message"),
    [
        (FRAME, ["fare_paid"], "no feature 'fare_paid'; did you mean 'fare paid'"),
        (np.eye(2), ["age"], "columns of an array have numbers, 0 to 1"),
        (np.eye(2), [2], "no feature 2"),
        (iter([]), ["age"], "no column can be left out"),
    ],
)
def test_a_column_that_there_is_not_is_named(whole, gone, message):
    """The error has the nearest right name."""
    with pytest.raises(ConfigError, match=message):
        data.without(whole, gone)


# -- pipelines -------------------------------------------------------------------------------------


def pipeline():
    inner = Pipeline([("scale", StandardScaler()), ("pca", PCA(2))])
    return Pipeline([("prepare", inner), ("clean", StandardScaler()), ("fit", LogisticRegression())])


def test_steps_are_passed_through():
    """A pipeline hands on what it was given in the step's place, nested ones included."""
    slim = models.without(pipeline(), steps("prepare__pca", "clean"), check=True)
    assert slim.get_params()["prepare__pca"] == slim.get_params()["clean"] == "passthrough"


def test_parts_of_unions_and_column_transformers_are_dropped():
    """There a part that is left out brings no columns."""
    union = FeatureUnion([("scale", StandardScaler()), ("pca", PCA(1))])
    columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("fare", StandardScaler(), ["fare"])])
    whole = Pipeline([("columns", columns), ("union", union), ("fit", LogisticRegression())])
    slim = models.without(whole, steps("union__pca", "columns__age"), check=True)
    assert slim.get_params()["union__pca"] == slim.get_params()["columns__age"] == "drop"


def test_steps_by_prefix():
    """A prefix stands for all whose names begin so."""
    assert list(models.members(Part("step", (), "prepare__"), ["prepare", "prepare__a", "prepare__b", "fit"])) == [
        "prepare__a",
        "prepare__b",
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (steps("cleen"), "no step 'cleen'; did you mean 'clean'"),
        (steps(prefix="x_"), "no step of the model begins with 'x_'"),
        (steps("fit"), "the last one, whose predictions are the pipeline's"),
    ],
)
def test_a_step_that_cannot_be_left_out_is_named(parts, message):
    """Misspelt, or the one that predicts."""
    with pytest.raises(ConfigError, match=message):
        models.without(pipeline(), parts, check=True)


def test_what_is_no_model_that_can_be_taken_apart_is_refused():
    """The error says which can."""
    with pytest.raises(ConfigError, match="type SimpleNamespace nothing can be left out: it must be a PyTorch module"):
        models.without(SimpleNamespace(), steps("a"))


# -- names -----------------------------------------------------------------------------------------


def test_maggys_ways_to_include():
    """One by one, in a list, as groups, by a prefix; in the order in which they were named, each once."""
    layers = Included("layer")
    layers.include("a", "b")
    layers.include(["b", "c"])
    layers.include_groups(["a", "b"], ["c", "d"], prefix="block_")
    layers.include_groups(["e", "f"])
    layers.exclude("b", "unknown")
    layers.exclude_groups(["f", "e"], prefix="other_")
    assert [part.label for part in layers] == ["a", "c", "a & b", "c & d", "block_*"]


def test_maggys_ways_to_see_what_is_included(capsys):
    """Single parts and groups are printed apart."""
    layers = Included("layer", ["a", ["b", "c"]])
    layers.print_all()
    layers.print_all_groups()
    assert capsys.readouterr().out == "a\nb & c\n"
    assert layers.list_all() == ["a", "b & c"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda parts: parts.include(3), "3 is of type int; a layer is named by a string"),
        (lambda parts: parts.include(""), "'' is empty; a layer is named by a string"),
        (lambda parts: parts.include([[]]), "a group of layers is empty"),
        (lambda parts: parts.include_groups(["a"]), r"\['a'\] is no group"),
        (lambda parts: parts.include_groups("ab"), "'ab' is no group"),
        (lambda parts: parts.include_groups(prefix=""), "must be what the names begin with"),
    ],
)
def test_what_names_no_part_is_refused(wrong, message):
    """In a sentence, where it is named."""
    with pytest.raises(ConfigError, match=message):
        wrong(Included("layer"))


def test_names_of_parameters_are_their_own():
    """Whatever a column is called, its parameter has a name that can be an argument's, and nobody else has."""
    parts = [Part("feature", (name,)) for name in ("a b", "a-b", "größe", "ü" * 200, "1", ",")]
    names = list(named(parts, {"feature_1"}))
    assert names[:3] == ["feature_a_b", "feature_a_b_2", "feature_größe"]
    assert names[4] == "feature_1_2"
    assert len(set(names)) == 6
    Searchspace({name: [1, 2] for name in names})


# -- the study as a searchspace ----------------------------------------------------------------------


def test_a_study_is_a_searchspace_of_switches():
    """The first value of each is what there is; what is left out is None, of a component False."""
    study = AblationStudy(
        FRAME,
        label="survived",
        features=["age", ["fare paid", "class"]],
        model=pipeline,
        steps=["clean"],
        models={"linear": LogisticRegression},
        components=["augment"],
        replicates=2,
    )
    space = study.searchspace()
    assert {name: domain.grid() for name, domain in space.items()} == {
        "variant": ["base model", "linear"],
        "feature_age": ["age", None],
        "feature_fare_paid_class": ["fare paid & class", None],
        "step_clean": ["clean", None],
        "augment": [True, False],
        "seed": [0, 1],
    }
    assert Searchspace.from_json(space.json()) == space
    assert not space.active("step_clean", {"variant": "linear"})


def test_components_may_have_other_values():
    """A mapping says which, the reference first."""
    space = AblationStudy(components={"act": ["relu", "tanh"]}, replicates=[7]).searchspace()
    assert (space["act"].grid(), space["seed"].grid()) == (["relu", "tanh"], [7])


def test_all_features_are_all_but_the_label():
    """Those that the data has, of a Bunch's frame or an array alike."""
    assert AblationStudy(FRAME, label_name="survived", features="all").features.list_all() == [
        "age",
        "fare paid",
        "class",
    ]
    assert AblationStudy((np.eye(3), [0, 1, 2]), features="all").features.list_all() == [0, 1, 2]


def test_columns_of_an_array_can_be_named():
    """All of them, in their order."""
    study = AblationStudy((np.eye(3), [0, 1, 2]), features=["a", "b", "c"])
    gone = study.left_out({"feature_a": "a", "feature_b": None, "feature_c": None})
    assert study.data_without(gone, seed=0)[0].tolist() == [[1], [0], [0]]
    study.features.exclude("a", "b")
    study.check(lambda dataset: 0, {})


def test_a_data_function_may_leave_features_out_itself():
    """It is given the names, and the seed, if it names them, besides what train_fn calls it with."""

    def read(rows, without, seed):
        return rows, without, seed

    study = AblationStudy(read, features=["a", ["b", "c"]])
    gone = study.left_out({"feature_a": "a", "feature_b_c": None})
    assert study.data_without(gone, 5, 100) == (100, ["b", "c"], 5)


def test_what_a_data_function_returns_is_cut_where_it_does_not_do_so_itself():
    """A function that knows nothing of ablations leaves out what it is to leave out all the same."""
    study = AblationStudy(dataset_generator=lambda: FRAME, features=["age"])
    assert list(study.data_without(study.left_out({"feature_age": None}), 0)) == ["fare paid", "class", "survived"]


@pytest.mark.parametrize(
    ("study", "train_fn", "message"),
    [
        ({"dataset": FRAME, "features": ["agee"]}, lambda dataset: 0, "no feature 'agee'; did you mean 'age'"),
        ({"dataset": FRAME, "features": ["age"], "label": "age"}, lambda dataset: 0, "is the label"),
        ({"features": ["age"]}, lambda x=1: 0, "there is no dataset to leave anything out of"),
        (
            {"training_dataset_name": "titanic", "features": ["age"]},
            lambda x=1: 0,
            "'titanic' is in no feature store that maggy reads",
        ),
        ({"dataset": FRAME, "features": ["age"]}, lambda x=1: 0, "would not notice what is left out of the dataset"),
        (
            {"dataset": FRAME, "label": "aged", "features": "all"},
            lambda dataset: 0,
            "no column 'aged', which is named as the label; did you mean 'age'",
        ),
        ({"model": pipeline, "steps": ["clean"]}, lambda x=1: 0, "would not notice what is left out of the model"),
        ({"model": pipeline, "steps": ["cleen"]}, lambda model: 0, "no step 'cleen'; did you mean 'clean'"),
        ({"components": ["augment"]}, lambda dataset, augment: 0, "takes 'dataset', but the study has none"),
        ({"components": ["augment"]}, lambda augmnt=1: 0, "no parameter 'augment'.*did you mean 'augmnt'"),
        ({"dataset": FRAME}, lambda dataset, x: 0, "needs 'x', which the searchspace does not define"),
    ],
)
def test_a_study_that_would_tell_nothing_is_refused(study, train_fn, message):
    """A name that is not there, or a function that would never notice: before anything starts."""
    with pytest.raises(ConfigError, match=message):
        AblationStudy(**study).check(train_fn, {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"replicates": 0}, "replicates=0"),
        ({"replicates": [1, 2.5]}, "a number of seeds"),
        ({"features": "all"}, "needs data whose columns can be seen"),
        ({"dataset": lambda: FRAME, "features": "all"}, "needs data whose columns can be seen"),
    ],
)
def test_a_study_that_cannot_be_is_refused(wrong, message):
    """Where it is written."""
    with pytest.raises(ConfigError, match=message):
        AblationStudy(**wrong)


def test_a_component_cannot_be_called_as_something_else_is():
    """The seed is given by that name."""
    with pytest.raises(ConfigError, match="cannot be called 'seed'"):
        AblationStudy(components=["seed"]).searchspace()


def test_a_model_that_cannot_be_made_here_is_not_judged_here():
    """What executors have need not be installed where the study is started."""

    def build():
        import a_library_that_only_executors_have

        return a_library_that_only_executors_have.model()

    AblationStudy(model=build, layers=["fc"]).check(lambda model: 0, {})


def test_a_prepared_spark_frame_is_collected_once():
    """A Spark data frame is of use on the driver only: what travels is pandas'."""
    frame = type("DataFrame", (), {"__module__": "pyspark.sql.classic.dataframe", "toPandas": lambda _: FRAME})()
    assert data.local(frame) is FRAME
    assert data.local(FRAME) is FRAME
