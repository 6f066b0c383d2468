"""Code as Maggy's users wrote it, run as it is; only `launcher` and the places of files are the tests'."""

import sys
from pathlib import Path

import cloudpickle
import pytest

from maggy import AblationStudy, Searchspace, Status, experiment, tensorboard

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
KEYS = {
    *("best_id", "best_val", "best_config", "best_hp", "worst_id", "worst_val", "worst_config"),
    *("avg", "metric_list", "num_trials", "early_stopped"),
}

pytestmark = pytest.mark.usefixtures("quietly")


@pytest.fixture
def here(tmp_path):
    """Where a study is, and by whom it is run."""
    return {
        "store": tmp_path / "maggy.db",
        "log_dir": tmp_path / "logs",
        "launcher": "local",
        "num_executors": 2,
        "seed": 1,
        "quiet": True,
    }


def test_maggy_0_4(here):
    """map_fun, hyperparameters by name, ASHA's budget as `resource`, a result that is a dict."""
    from maggy.optimizer import Asha

    def mnist(kernel, pool, dropout, resource, reporter):
        for epoch in range(int(resource)):
            acc = kernel + pool - dropout + epoch
            reporter.broadcast(metric=acc)
            reporter.log(f"Metric: {acc}", True)
        return acc

    sp = Searchspace(kernel=("INTEGER", [2, 8]), pool=("INTEGER", [2, 8]))
    sp.add("dropout", ("DOUBLE", [0.01, 0.99]))
    result = experiment.lagom(
        map_fun=mnist,
        searchspace=sp,
        optimizer=Asha(2, 1, 4),
        direction="max",
        num_trials=8,
        name="MNIST",
        hb_interval=1,
        es_interval=1,
        es_min=5,
        description="as it was",
        **here,
    )
    assert dict(result).keys() == KEYS
    assert (result["num_trials"], result["best_hp"].keys()) == (8, {"kernel", "pool", "dropout"})
    assert {trial.budget for trial in result.trials} == {1, 2, 4}
    assert result["best_val"] == max(trial.value for trial in result.trials if trial.budget == 4)


def test_maggy_0_5(here):
    """All by position, in its order; the metric by name, and other entries beside it."""

    def train(lr):
        return {"loss": 1 - lr, "accuracy": lr}

    sp = Searchspace(lr=("DOUBLE", [0.0, 1.0]))
    order = (
        train,
        "positions",
        "optimization",
        sp,
        "randomsearch",
        "max",
        4,
        None,
        "loco",
        "accuracy",
        1,
        "none",
        1,
        10,
    )
    result = experiment.lagom(*order, "words", **here)
    assert result["best_val"] == max(result["metric_list"]) == result["best_config"]["lr"]
    assert result.best_trial.metrics["loss"] == 1 - result["best_val"]
    assert result.name == "positions"


def test_maggy_1(here):
    """A config; fixed names in the function, with the budget among its hparams; ASHA as it was."""
    from maggy.config import HyperparameterOptConfig

    def train_fn(model, dataset, hparams, reporter):
        for epoch in range(int(hparams["budget"])):
            reporter.broadcast(model(dataset) * hparams["lr"], step=epoch)
        return {"value": sum(dataset) * hparams["lr"]}

    config = HyperparameterOptConfig(
        num_trials=6,
        optimizer="asha",
        searchspace=Searchspace(lr=("DOUBLE", [0.0, 1.0])),
        direction="min",
        name="hp_tuning_test",
        model=sum,
        dataset=[1, 2, 3],
    )
    result = experiment.lagom(train_fn=train_fn, config=config, **here)
    assert (result.name, result["num_trials"], max(trial.budget for trial in result.trials)) == ("hp_tuning_test", 6, 4)
    assert result["best_val"] == 6 * result["best_config"]["lr"]
    config.num_trials = 9
    more = experiment.lagom(train_fn, config, resume=True, **here)
    assert (more.name, more["num_trials"]) == (result.name, 9)


def test_a_base_config_runs_the_function(here):
    """Once, with what it names."""
    from maggy.experiment_config import BaseConfig

    result = experiment.lagom(lambda reporter: reporter.trial, BaseConfig(name="base"), **here)
    assert (result.name, result["metric_list"]) == ("base", [1.0])


def test_an_ablation_config_leaves_parts_out(here):
    """Model and data stand in the config, the study says what is left out."""
    from maggy.experiment_config import AblationConfig

    study = AblationStudy("titanic_train_dataset", 1, "y")
    study.features.include("a", "b")
    data = {"a": [1], "b": [2], "y": [3]}
    config = AblationConfig(study, ablator="greedy", direction="min", name="parts", dataset=data)

    def train_fn(dataset):
        return len(dataset)

    result = experiment.lagom(train_fn, config, **here)
    assert (result.name, result.study.objective.direction, result.best_value) == ("parts", "min", 1)
    assert result.study.settings["optimizer"]["name"] == "greedy"
    assert study.dataset is None


def test_plug_ins_of_ones_own(here):
    """An optimizer that remembers and a rule that is asked with dicts, both inherited from Maggy's classes."""
    from maggy.earlystop import AbstractEarlyStop
    from maggy.experiment_config import OptimizationConfig
    from maggy.optimizer import AbstractOptimizer

    class Descending(AbstractOptimizer):
        def initialize(self):
            self.left = [0.1 * each for each in range(1, 9)]

        def get_suggestion(self, trial=None):
            return self.create_trial({"lr": self.left.pop()}, sample_type="random") if self.left else None

        def finalize_experiment(self, trials):
            return

    class BelowTheFirst(AbstractEarlyStop):
        @staticmethod
        def earlystop_check(to_check, finalized_trials, direction):
            return [key for key, each in to_check.items() if each.metric_history[-1] < finalized_trials[0].final_metric]

    def train_fn(lr, reporter):
        while lr < 0.75:
            reporter.broadcast(lr)
        return lr

    config = OptimizationConfig(
        num_trials=100,
        optimizer=Descending(),
        searchspace=Searchspace(lr=("DOUBLE", [0.0, 1.0])),
        es_policy=BelowTheFirst(),
        es_min=1,
        name="custom",
    )
    result = experiment.lagom(train_fn, config, **here | {"num_executors": 1})
    assert [trial.params["lr"] for trial in result.trials] == pytest.approx([0.1 * each for each in range(8, 0, -1)])
    assert [trial.status for trial in result.trials] == [Status.COMPLETED] + [Status.STOPPED] * 7
    assert (result["early_stopped"], result.trials[1].stop_reason) == (7, "BelowTheFirst stops it")


@pytest.mark.parametrize("how", [{}, {"isolation": "inline", "num_executors": 2}])
def test_tensorboards_directory(here, how):
    """It is the trial's own, below log_dir, where `tensorboard --logdir` looks."""

    def train_fn(x):
        from maggy import tensorboard

        Path(tensorboard.logdir(), "events").write_text(str(x))
        return x

    result = experiment.lagom(train_fn, {"x": [1, 2, 3]}, optimizer="gridsearch", **here | how)
    found = sorted(Path(result.log_dir).glob("**/tensorboard/events"))
    assert [path.read_text() for path in found] == ["1", "2", "3"]
    with pytest.raises(RuntimeError, match="call it in train_fn"):
        tensorboard.logdir()
