"""Callbacks, in the training loops of the real libraries."""

import numpy as np
import pytest

from maggy import callbacks
from maggy.callbacks.metrics import picked
from maggy.errors import StopTrial
from maggy.executor.checkpoints import Checkpoints, Terms
from maggy.executor.reporter import Reporter
from maggy.trial import Objective

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
TRAIN, VALID = slice(0, 60), slice(60, 80)


class Line:
    """A reporter, what it was told, and after how many reports it is asked to stop."""

    def __init__(self, path):
        self.told = []
        self.stop_after = None
        self.reporter = Reporter(
            1,
            1,
            budget=None,
            parent=None,
            objective=Objective(),
            checkpoints=Checkpoints(Terms(1, 1, str(path), "", 0, str(path), ()), print, print),
            send=lambda step, metrics: self.told.append((step, metrics["metric"])),
            stop=lambda: "below the median" if len(self.told) == self.stop_after else None,
        )

    @property
    def steps(self):
        return [step for step, _ in self.told]


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


def catching(work):
    """Call something where each Exception is caught: a stop is none."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - that is what is tried
        pytest.fail(f"a stop is no Exception, as {error!r} is")


def check_stopped(line, work):
    """See that `work` is stopped at its second report."""
    line.stop_after = 2
    with pytest.raises(StopTrial, match="below the median"):
        catching(work)
    assert len(line.told) == 2


# -- Keras -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(monkeypatch):
    pytest.importorskip("keras", reason="Keras is not installed: pip install keras torch==2.13.0")
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


VALIDATION = {"validation_data": (X[VALID], Y[VALID])}


def test_keras_reports_epochs(network, line):
    """The metric of the validation data, at each epoch; a second training counts on."""
    callback = callbacks.KerasEpochEnd(line.reporter, "val_accuracy")
    history = network.fit(X[TRAIN], Y[TRAIN], epochs=3, verbose=0, callbacks=[callback], **VALIDATION)
    assert line.told == list(enumerate(history.history["val_accuracy"]))
    network.fit(X[TRAIN], Y[TRAIN], epochs=2, verbose=0, callbacks=[callback], **VALIDATION)
    assert line.steps == [0, 1, 2, 3, 4]


def test_keras_reports_where_there_is_a_validation(network, line):
    """With validation_freq=2, each other epoch."""
    callback = callbacks.KerasEpochEnd(line.reporter)
    network.fit(X[TRAIN], Y[TRAIN], epochs=4, verbose=0, callbacks=[callback], validation_freq=2, **VALIDATION)
    assert line.steps == [1, 3]


def test_keras_reports_batches(network, line):
    """The running loss, at each batch of all epochs."""
    callback = callbacks.KerasBatchEnd(line.reporter)
    network.fit(X[TRAIN], Y[TRAIN], epochs=2, batch_size=20, verbose=0, callbacks=[callback])
    assert line.steps == list(range(6))


def test_f14_keras_knows_no_misspelt_metric(network, line):
    """It is no 0.0: an error names the nearest, and what to do where there are no validation data."""
    with pytest.raises(ValueError, match=r"no metric 'val_acuracy'.*did you mean 'val_accuracy'"):
        network.fit(
            X[TRAIN],
            Y[TRAIN],
            epochs=3,
            verbose=0,
            callbacks=[callbacks.KerasEpochEnd(line.reporter, "val_acuracy")],
            **VALIDATION,
        )
    with pytest.raises(ValueError, match=r"no metric 'val_loss'.*pass validation_data= to fit\(\)"):
        network.fit(X[TRAIN], Y[TRAIN], epochs=2, verbose=0, callbacks=[callbacks.KerasEpochEnd(line.reporter)])
    with pytest.raises(ValueError, match=r"no metric 'los'"):
        network.fit(X[TRAIN], Y[TRAIN], verbose=0, callbacks=[callbacks.KerasBatchEnd(line.reporter, "los")])
    assert line.told == []


@pytest.mark.parametrize("name", ["KerasEpochEnd", "KerasBatchEnd"])
def test_f15_keras_swallows_no_stop(network, line, name):
    """It goes through fit, and through whoever catches every Exception around it."""
    callback = getattr(callbacks, name)(line.reporter, "loss")
    check_stopped(line, lambda: network.fit(X, Y, epochs=5, verbose=0, callbacks=[callback]))


# -- PyTorch Lightning -------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(line, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")
    lightning = pytest.importorskip("pytorch_lightning", reason="pip install pytorch-lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def loss(self, batch):
            x, y = batch
            return torch.nn.functional.binary_cross_entropy_with_logits(self.layer(x)[:, 0], y)

        def training_step(self, batch):
            return self.loss(batch)

        def validation_step(self, batch):
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    data = torch.utils.data.TensorDataset(torch.tensor(X).float(), torch.tensor(Y).float())

    def train(metric="val_loss", epochs=3, **options):
        callback = callbacks.LightningEpochEnd(line.reporter, metric)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[callback],
            **quiet,
            **options,
        )
        loaders = [torch.utils.data.DataLoader(data, 20) for _ in range(2)]
        trainer.fit(Module(), *loaders)

    return train


quietly = pytest.mark.filterwarnings("ignore")  # Lightning advises on workers, and its own deprecations


@quietly
def test_lightning_reports_epochs(trained, line):
    """What the module has logged; where it is validated less often, at those epochs, and none before the first."""
    trained()
    assert line.steps == [0, 1, 2]
    line.told.clear()
    trained(check_val_every_n_epoch=2, epochs=4)
    assert len(line.told) >= 2


@quietly
def test_f14_lightning_knows_no_misspelt_metric(trained):
    """An error names the nearest."""
    with pytest.raises(ValueError, match=r"no metric 'val_los'.*did you mean 'val_loss'"):
        trained("val_los")


@quietly
def test_f15_lightning_swallows_no_stop(trained, line):
    """Its trainer tidies up at any exception, and raises it again."""
    check_stopped(line, lambda: trained(epochs=5))


# -- boosting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def boosted(line):
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed: pip install xgboost-cpu")

    def train(metric="valid-logloss", **options):
        data = {name: xgboost.DMatrix(X[part], Y[part]) for name, part in (("train", TRAIN), ("valid", VALID))}
        evals = [(each, name) for name, each in data.items()]
        xgboost.train(
            {"objective": "binary:logistic", "eval_metric": ["logloss", "auc"]},
            data["train"],
            5,
            callbacks=[callbacks.XGBoostIteration(line.reporter, metric)],
            **{"evals": evals, "verbose_eval": False} | options,
        )

    return train


def test_xgboost_reports_iterations(boosted, line):
    """The metric of a data set."""
    boosted()
    assert line.steps == [0, 1, 2, 3, 4]
    assert all(0 < value < 1 for _, value in line.told)


def test_xgboost_reports_of_its_estimators_and_of_cross_validation(line):
    """A data set's name need not be known where the metric's is enough; of several folds the mean."""
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed: pip install xgboost-cpu")
    callback = callbacks.XGBoostIteration(line.reporter, "auc")
    model = xgboost.XGBClassifier(n_estimators=3, eval_metric="auc", callbacks=[callback])
    model.fit(X[TRAIN], Y[TRAIN], eval_set=[(X[VALID], Y[VALID])], verbose=False)
    assert line.steps == [0, 1, 2]
    pytest.importorskip("pandas")
    callback = callbacks.XGBoostIteration(line.reporter, "test-auc")
    settings = {"objective": "binary:logistic", "eval_metric": "auc"}
    xgboost.cv(settings, xgboost.DMatrix(X, Y), 2, nfold=3, callbacks=[callback])
    assert line.steps == [0, 1, 2, 3, 4]


def test_f14_xgboost_knows_no_misspelt_metric(boosted):
    """An error names the nearest, those of several sets, or says that there is no data set."""
    with pytest.raises(ValueError, match=r"no metric 'valid-logloss_'.*did you mean 'valid-logloss'"):
        boosted("valid-logloss_")
    with pytest.raises(ValueError, match=r"which metric is to be reported.*'train-auc'.*'valid-auc'"):
        boosted("auc")
    with pytest.raises(ValueError, match="there is none; pass evals= or eval_set="):
        boosted("auc", evals=[])


def test_f15_xgboost_swallows_no_stop(boosted, line):
    """It goes through train."""
    check_stopped(line, boosted)


@pytest.fixture
def lights(line):
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install lightgbm")

    def train(metric="valid_0-auc"):
        data = lightgbm.Dataset(X[TRAIN], Y[TRAIN])
        settings = {"objective": "binary", "metric": ["auc", "binary_logloss"], "verbose": -1, "min_data_in_leaf": 2}
        callback = callbacks.LightGBMIteration(line.reporter, metric)
        valid = [lightgbm.Dataset(X[VALID], Y[VALID], reference=data)]
        lightgbm.train(settings, data, 5, valid_sets=valid, callbacks=[callback])

    return train


def test_lightgbm_reports_iterations(lights, line):
    """The metric of a data set, or the metric alone where one has it."""
    lights()
    lights("auc")
    assert line.steps == list(range(10))


def test_f14_lightgbm_knows_no_misspelt_metric(lights):
    """An error names the nearest."""
    with pytest.raises(ValueError, match=r"no metric 'valid_0-auk'.*did you mean 'valid_0-auc'"):
        lights("valid_0-auk")


def test_f15_lightgbm_swallows_no_stop(lights, line):
    """It goes through train."""
    check_stopped(line, lights)


# -- scikit-learn ------------------------------------------------------------------------------------------------------


def score(model):
    return model.score(X[VALID], Y[VALID])


def test_stages_go_on_where_they_were(line):
    """A forest grows; its scores are at its numbers of trees."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(random_state=0)
    last = callbacks.fit_stages(model, X[TRAIN], Y[TRAIN], reporter=line.reporter, score=score, stages=range(5, 21, 5))
    assert line.steps == [5, 10, 15, 20]
    assert last == line.told[-1][1] > 0.6
    assert len(model.estimators_) == 20


def test_epochs_go_through_all_data(line):
    """An estimator that learns in parts, a classifier as well as a regressor."""
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    last = callbacks.fit_epochs(
        SGDClassifier(random_state=0), X[TRAIN], Y[TRAIN], reporter=line.reporter, score=score, epochs=4
    )
    assert line.steps == [0, 1, 2, 3]
    assert last > 0.6
    with pytest.raises(ValueError, match="step 0 does not come after step 3"):
        callbacks.fit_epochs(SGDRegressor(), X, Y, reporter=line.reporter, score=lambda _: 1.0, epochs=1)


def test_estimators_that_cannot_are_refused(line):
    """With what would be right."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.svm import SVC

    common = {"reporter": line.reporter, "score": score}
    with pytest.raises(ValueError, match="SVC has no parameter 'warm_start'"):
        callbacks.fit_stages(SVC(), X, Y, stages=[1], **common)
    with pytest.raises(ValueError, match="no stages"):
        callbacks.fit_stages(SGDClassifier(), X, Y, stages=[], parameter="max_iter", **common)
    with pytest.raises(ValueError, match="SVC has no partial_fit; with warm_start use fit_stages"):
        callbacks.fit_epochs(SVC(), X, Y, epochs=1, **common)
    with pytest.raises(ValueError, match="epochs=0"):
        callbacks.fit_epochs(SGDClassifier(), X, Y, epochs=0, **common)


def test_f15_the_loops_swallow_no_stop(line):
    """They catch nothing."""
    from sklearn.linear_model import SGDClassifier

    more = {"reporter": line.reporter, "score": score, "epochs": 5}
    check_stopped(line, lambda: callbacks.fit_epochs(SGDClassifier(), X, Y, **more))


# -- all of them -------------------------------------------------------------------------------------------------------


def test_the_only_metric_needs_no_name():
    """Where there is one, it is meant."""
    assert picked({"valid-auc": 0.5}, None) == 0.5
    with pytest.raises(ValueError, match=r"which metric"):
        picked({"valid-auc": 0.5, "valid-loss": 0.5}, None)


def test_f14_a_misspelt_metric_is_an_error():
    """It is no 0.0: the nearest names, and those that there are."""
    with pytest.raises(ValueError, match=r"no metric 'val_acc' to report; did you mean 'val_accuracy' or 'accuracy'"):
        picked({"accuracy": 0.5, "val_accuracy": 0.4, "loss": 1.0}, "val_acc")
    with pytest.raises(ValueError, match=r"no metric 'x' to report \(there is none\)"):
        picked({}, "x")


def test_what_there_is_is_told():
    """A name that there is not: those that there are."""
    with pytest.raises(AttributeError, match="has no attribute 'KerasEpoch'; it has KerasBatchEnd"):
        _ = callbacks.KerasEpoch


def test_a_library_that_is_missing_is_named(monkeypatch):
    """With where to import the callback."""
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    monkeypatch.delitem(__import__("sys").modules, "maggy.callbacks.xgboost", raising=False)
    monkeypatch.delitem(vars(callbacks), "XGBoostIteration", raising=False)
    with pytest.raises(ModuleNotFoundError, match="XGBoostIteration needs xgboost, which is not installed here"):
        _ = callbacks.XGBoostIteration
