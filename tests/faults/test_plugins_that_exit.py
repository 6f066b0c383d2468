"""F40: plug-ins that do what plug-ins should not; the call ends with their name, and the study can be resumed."""

import sys

import pytest

from maggy import Float, Searchspace, StudyFailed, experiment
from maggy.errors import ConfigError

SPACE = Searchspace(x=Float(0, 1))


def train_fn(x, reporter):
    reporter.broadcast(x)
    return x


@pytest.fixture
def lagom(tmp_path):
    """Give lagom on one local executor."""
    options = {"num_trials": 2, "num_executors": 1, "launcher": "local", "quiet": True, "log_dir": None}
    return lambda **more: experiment.lagom(train_fn, SPACE, store=tmp_path / "maggy.db", **{**options, **more})


class Leaving:
    """An optimizer, and a stop rule, that leaves the program."""

    def ask(self, study, rng):
        sys.exit(3)

    def reason_to_stop(self, trial, study):
        sys.exit(3)


def test_an_optimizer_that_exits(lagom):
    """It ends the call, not the program, and does not hang it."""
    with pytest.raises(ConfigError, match=r"Leaving.ask\(\) raised SystemExit\(3\)"):
        lagom(optimizer=Leaving())


def test_a_rule_that_exits(lagom):
    """It is named, with the trial that it was asked about."""
    with pytest.raises(StudyFailed, match="the stop rule Leaving raised SystemExit: 3 on trial 1"):
        lagom(earlystop=Leaving())
