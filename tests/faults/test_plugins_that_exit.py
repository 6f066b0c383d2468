"""F40: plug-ins that do what plug-ins should not; the study ends with their name, or goes on without them."""

import os
import signal
import sys
import threading

import pytest
from waiting import until

import maggy.run
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


class Hasty:
    """An index that takes the first result for the end."""

    def __init__(self, study):
        pass

    def update(self, trial):
        if trial.ended is not None:
            sys.exit(3)


class Counting:
    """An optimizer that has such an index."""

    def ask(self, study, rng):
        study.index(Hasty)
        return Suggestion({"x": 0.5})


def test_f40_an_index_that_fails_is_its_optimizers_failure(lagom, tmp_path):
    """F40: random configurations take the places of what it cannot say, and nobody waits for that."""
    with pytest.raises(ConfigError, match=r"an index of Counting raised SystemExit\(3\)"):
        lagom(optimizer=Counting(), num_trials=3, name="study")
    trials = experiment.load("study", tmp_path / "maggy.db").trials
    assert [(trial.status, trial.origin is None) for trial in trials] == [("completed", each == 0) for each in range(3)]


class Stuck:
    """A quick optimizer, and a stop rule, that does not return when it is asked for or about trial `at`."""

    quick = True

    def __init__(self):
        self.at = 2
        self.asked, self.free = threading.Event(), threading.Event()

    def ask(self, study, rng):
        return self.hang() if study.next_id == self.at else Suggestion({"x": 0.5})

    def reason_to_stop(self, trial, study):
        return self.hang() if trial.id == self.at else None

    def hang(self):
        self.asked.set()
        self.free.wait(100)


@pytest.fixture(params=["optimizer", "earlystop"])
def stuck(request):
    """Give a plug-in that hangs, as the option that it is for, and let its thread end afterwards."""
    plug_in = Stuck()
    yield {request.param: plug_in}, plug_in
    plug_in.free.set()
    until(lambda: not drivers())


def drivers():
    return [thread for thread in threading.enumerate() if thread.name == "maggy-driver"]


def told(capsys):
    return " ".join("".join(capsys.readouterr()).split())


def test_f40_an_interrupt_leaves_a_plug_in_behind_that_hangs(lagom, stuck, tmp_path, capsys):
    """F40, F11: lagom returns, says who hangs and where; executors are gone, and what it still does counts nothing."""
    options, plug_in = stuck

    def interrupt():
        plug_in.asked.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = lagom(**options, num_trials=4, quiet=False)
    thread.join()
    assert result.interrupted
    said = told(capsys)
    which = "ask" if "optimizer" in options else "reason_to_stop"
    assert f"Stuck.{which} does not return. The driver itself calls stop rules" in said
    assert "It is left behind, here: File" in said
    assert "self.free.wait(100)" in said
    plug_in.at = 99
    after = experiment.resume(
        "train_fn", train_fn, store=tmp_path / "maggy.db", launcher="local", quiet=True, **options
    )
    assert [trial.status for trial in after.trials] == ["completed"] * 4
    plug_in.free.set()
    until(lambda: not drivers())
    found = experiment.load("train_fn", tmp_path / "maggy.db").study
    assert (found.position, found.closed) == (after.study.position, "done")


def test_f40_who_hangs_is_given_up(lagom, stuck, monkeypatch, capsys):
    """F40: the user is told soon; after ten minutes the study ends with the name, and can be resumed."""
    options, _ = stuck
    monkeypatch.setattr(maggy.run, "STILL", 10)
    monkeypatch.setattr(maggy.run, "HANGS", 20)
    which = "ask" if "optimizer" in options else "reason_to_stop"
    with pytest.raises(StudyFailed, match=rf"was given up: Stuck.{which} has not returned for 4 s") as caught:
        lagom(**options, num_trials=4, quiet=False)
    assert caught.value.result.interrupted
    assert f"Stuck.{which} does not return." in told(capsys)


@pytest.mark.chaos
def test_f40_a_timeout_ends_a_study_that_hangs(lagom, stuck, monkeypatch):
    """F40: `timeout` is how long the call may last, whoever hangs; the rest is for a resume."""
    options, plug_in = stuck
    monkeypatch.setattr(maggy.run, "STILL", 10)
    plug_in.at = 1
    assert lagom(**options, num_trials=4, timeout=10.0).interrupted
    assert plug_in.asked.is_set()
