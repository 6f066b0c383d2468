"""Tests of the modules at Maggy's paths."""

import importlib
import subprocess
import sys

import pytest

from maggy import compat
from maggy.errors import ConfigError

CONFIGS = {"AblationConfig", "BaseConfig", "HyperparameterOptConfig", "TfDistributedConfig", "TorchDistributedConfig"}
OLD = {
    "maggy.config": CONFIGS | {"LagomConfig"},
    "maggy.experiment_config": CONFIGS | {"LagomConfig", "OptimizationConfig"},
    "maggy.optimizer": {"AbstractOptimizer", "Asha", "GridSearch", "RandomSearch", "SingleRun", "Trial"},
    "maggy.optimizer.bayes": {"GP", "TPE"},
    "maggy.pruner": {"AbstractPruner"},
    "maggy.ablation.ablator": {"AbstractAblator", "LOCO"},
    "maggy.earlystop": {"AbstractEarlyStop", "MedianStoppingRule", "NoStoppingRule"},
    "maggy.ablation": {"AblationStudy"},
    "maggy.tensorboard": {"logdir"},
    "maggy.searchspace": {"Searchspace"},
    "maggy": {"Searchspace", "experiment"},
    "maggy.experiment": {"experiment", "lagom"},
}


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize("path", OLD)
def test_what_was_there_is_there(path):
    """Each name that Maggy's users imported can be imported from where it was."""
    assert {name for name in OLD[path] if not hasattr(importlib.import_module(path), name)} == set()


def test_the_first_old_module_warns_and_the_next_does_not():
    """The warning names the module and the page, at the line of the user's that imported it."""
    with pytest.warns(FutureWarning, match=r"^maggy.optimizer is of Maggy 0.5 .* in docs/from-maggy.md$"):
        importlib.import_module("maggy.optimizer")
    importlib.import_module("maggy.experiment_config")  # warnings are errors


def test_the_experiment_within_experiment():
    """Pages of Maggy 1.x imported it from there; another name that is not there is an error as ever."""
    with pytest.warns(FutureWarning, match=r"^maggy.experiment.experiment is of Maggy"):
        from maggy.experiment import experiment
    assert experiment.lagom is importlib.import_module("maggy.experiment").lagom
    with pytest.raises(AttributeError, match="no attribute 'experimnt'"):
        _ = experiment.experimnt


def test_a_warning_is_at_the_line_of_the_users(tmp_path):
    """It says which line of theirs is old, not which of ours saw it; today's names warn of nothing."""
    lines = ["import maggy.optimizers", "from maggy.earlystop import Median", "", "from maggy.optimizer import Asha"]
    (tmp_path / "old.py").write_text("\n".join(lines))
    ran = subprocess.run([sys.executable, "old.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line for line in ran.stderr.splitlines() if "FutureWarning" in line] == [ran.stderr.splitlines()[0]]
    assert "old.py:4: FutureWarning: maggy.optimizer is of Maggy" in ran.stderr


def test_what_is_dropped_is_said_each_time():
    """A setting without a counterpart is no matter of style."""
    for _ in range(2):
        with pytest.warns(FutureWarning, match="changes nothing"):
            compat.warn("this changes nothing")


@pytest.mark.usefixtures("quietly")
@pytest.mark.parametrize(
    ("path", "name", "sentence"),
    [
        ("maggy.config", "TorchDistributedConfig", r"PySpark's own TorchDistributor does, as in pyspark\.ml"),
        (
            "maggy.experiment_config",
            "TfDistributedConfig",
            "PySpark's own TorchDistributor does, .* Keras 3 on PyTorch",
        ),
        ("maggy.pruner", "AbstractPruner", r"a class with a method reason_to_stop\(trial, study\)"),
        ("maggy.ablation.ablator", "AbstractAblator", r"a class with a method ask\(study, rng\)"),
    ],
)
def test_what_is_gone_says_what_to_do_instead(path, name, sentence):
    """It can be imported; whoever makes one, or inherits from it, is told in a sentence."""
    kind = getattr(importlib.import_module(path), name)
    with pytest.raises(ConfigError, match=sentence):
        kind(module=object, name="mnist")
    with pytest.raises(ConfigError, match=sentence):
        type("Mine", (kind,), {})
