"""F40: plug-ins that do what plug-ins should not; the study ends with their name, or goes on without them."""

import sys
import threading

import pytest

from maggy import Float, Searchspace, StudyFailed, experiment
from maggy.driver import asking
from maggy.errors import ConfigError
from maggy.trial import Suggestion

SPACE = Searchspace(x=Float(0, 1))


def train_fn(x, reporter):
    import time

    for _ in range(10):
        reporter.broadcast(x)
        time.sleep(0.05)
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


def test_f40_an_optimizer_that_exits(lagom):
    """F40: at its first answer it ends the call, not the program, and does not hang it."""
    with pytest.raises(ConfigError, match=r"Leaving.ask\(\) raised SystemExit\(3\)"):
        lagom(optimizer=Leaving())


def test_f40_a_rule_that_exits(lagom):
    """F40: it is named, with the trial that it was asked about."""
    with pytest.raises(StudyFailed, match="the stop rule Leaving raised SystemExit: 3 on trial 1"):
        lagom(earlystop=Leaving())


class Odd:
    """An optimizer that answers well once, then leaves, leaves the searchspace, and hangs."""

    def __init__(self):
        self.ended = threading.Event()

    def ask(self, study, rng):
        if study.next_id == 2:
            sys.exit(3)
        if study.next_id == 4:
            self.ended.wait(60)
        return Suggestion({"x": 7.0 if study.next_id == 3 else 0.5})


def test_f40_an_optimizer_that_fails_later_is_replaced(lagom, monkeypatch, capsys):
    """F40: random configurations take the places of what it cannot say; the user is told, and the log says why."""
    monkeypatch.setattr(asking, "PATIENCE", 1.0)
    odd = Odd()
    result = lagom(optimizer=odd, num_trials=5, lease=3.0, quiet=False)
    odd.ended.set()
    assert [trial.status for trial in result.trials] == ["completed"] * 5
    first, left, outside, late, hung = (trial.origin for trial in result.trials)
    assert first is None
    assert "SystemExit(3)" in left
    assert "suggested what cannot be" in outside
    assert "has not answered for 1 s" in late
    assert "has not answered for 1 s" in hung
    assert [trial.attempt for trial in result.trials] == [1] * 5
    assert "random configurations take its place meanwhile" in " ".join("".join(capsys.readouterr()).split())
