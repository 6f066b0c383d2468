"""What user code raises, returns, reports and prints, in whole studies with real processes (F22, F23, F26 to F30)."""

import re
import threading
import time
from pathlib import Path

import pytest
from waiting import agent

from maggy import ConfigError, Float, Searchspace, StudyFailed, experiment

SPACE = Searchspace(x=Float(0, 1))


@pytest.fixture
def lagom(tmp_path):
    """Give lagom on one local executor."""

    def run(train_fn, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
        few = {"num_executors": 1, "launcher": "local", "earlystop": None, "quiet": True}
        return experiment.lagom(train_fn, SPACE, **{**few, **places, **options})

    return run


def divides(x, trial):
    return x / (trial - 1)  # the user's line


def test_f22_who_raises_has_failed(lagom):
    """F22: the error shows the user's line, and the study goes on."""
    first, second = lagom(divides, num_trials=2).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert "return x / (trial - 1)  # the user's line" in first.error
    assert first.error.rstrip().endswith("ZeroDivisionError: float division by zero")


def always_raises(x):
    raise ValueError("no data")


def test_f22_a_study_of_failures_is_given_up(lagom):
    """F22: at max_failures, and after the first ten that fail alike; what there is comes with the error."""
    with pytest.raises(StudyFailed, match="max_failures is 3") as few:
        lagom(always_raises, num_trials=50, max_failures=3)
    assert len(few.value.result.trials) == 3
    with pytest.raises(StudyFailed, match=r"first 10 trials all failed alike: ValueError: no data") as alike:
        lagom(always_raises, num_trials=50)
    assert len(alike.value.result.trials) == 10


def leaves(x, trial):
    import sys

    class OwnError(BaseException):
        pass

    if trial <= 3:
        sys.exit({1: 0, 2: 3, 3: "enough"}[trial])
    if trial <= 6:
        raise {4: KeyboardInterrupt, 5: GeneratorExit, 6: OwnError}[trial]
    return x


def test_f23_who_leaves_has_failed(lagom):
    """F23: whatever kind of leaving it is; the process goes on with the next trial."""
    *left, last = lagom(leaves, num_trials=7).trials
    assert [trial.status for trial in left] == ["failed"] * 6
    names = ["sys.exit(0)", "sys.exit(3)", "sys.exit('enough')", "KeyboardInterrupt", "GeneratorExit", "OwnError"]
    for trial, name in zip(left, names, strict=True):
        assert name in trial.error
    assert last.status == "completed"
    assert {trial.executor for trial in left} == {last.executor}


def returns(x, trial, values):
    return values(trial)


def tell(trial):
    from decimal import Decimal

    import numpy as np

    return [
        1,
        True,
        np.float32(0.5),
        np.array(0.25),
        Decimal("0.125"),
        2**70,
        float("nan"),
        float("-inf"),
        None,
        "0.5",
        1j,
        {"loss": [1]},
        np.zeros(3),
        10**400,
    ][trial - 1]


def test_f26_numbers_are_numbers_and_nothing_else_is(lagom):
    """F26: numbers of all libraries count, NaN and inf are kept but never best, the rest fails naming its key."""
    result = lagom(returns, num_trials=14, train_args={"values": tell}, direction="max")
    values = [trial.value for trial in result.trials]
    assert values[:6] == [1.0, 1.0, 0.5, 0.25, 0.125, float(2**70)]
    assert [trial.status for trial in result.trials] == ["completed"] * 6 + ["failed"] * 8
    assert str(values[6]) == "nan"
    assert values[7] == float("-inf")
    assert result.best_value == float(2**70)
    for trial in result.trials[9:]:
        assert "'metric'" in trial.error or "'loss'" in trial.error, trial.error


def floods(x, trial, reporter):
    if trial == 1:
        for step in range(50_000):
            reporter.broadcast(step / 50_000, step=step)
    elif trial == 2:
        reporter.broadcast(x, step=5)
        reporter.broadcast(x, step=5)
    else:
        reporter.report(step=0, other=x)


def test_f27_a_flood_of_reports_and_wrong_ones(lagom):
    """F27: of a flood none is lost; a step that does not rise and a missing key are errors that name them."""
    flood, repeated, wrong = lagom(floods, num_trials=3, metric="acc").trials
    assert (flood.status, len(flood.curve), flood.value) == ("completed", 50_000, 49_999 / 50_000)
    assert "step 5 does not come after step 5" in repeated.error
    assert "no value of 'acc'" in wrong.error


def most(pid):
    """Return the most memory that a process has held, in MiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def shouts(x, trial):
    import os

    before = most(agent())
    if trial == 1:
        line = b"\xff\x00no newline, no text " * 3000
        for _ in range(1000):  # 69 MB
            os.write(1, line)
    return {"metric": x, "grown": most(agent()) - before}


def test_f28_output_is_bounded(lagom, tmp_path):
    """F28: binary, endless and without a newline: the beginning is in the file, the rest is counted, and not kept."""
    first, second = lagom(shouts, num_trials=2, metric="metric").trials
    assert (first.status, second.status) == ("completed", "completed")
    print(f"F28: 69 MB of output, agent {first.metrics['grown']:+.1f} MiB")
    assert first.metrics["grown"] < 32
    log = (tmp_path / "logs" / "shouts" / "1" / "output.log").read_bytes()
    assert 4_000_000 < len(log) < 20_000_000
    assert b"more were left out" in log[-200:]


def chats(x):
    import time

    text, fastest = "x" * 10_000, [float("inf")] * 2
    for number in range(20):
        began = time.perf_counter()
        for _ in range(100):
            sum(range(50_000))  # a step of a millisecond
            if number % 2:
                print(text)
        fastest[number % 2] = min(fastest[number % 2], time.perf_counter() - began)
    return {"metric": x, "silent": fastest[0], "chatting": fastest[1]}


def test_f28_who_prints_a_lot_is_hardly_slower(lagom):
    """F28: ten megabytes a second, of which most are left out."""
    (trial,) = lagom(chats, num_trials=1, metric="metric").trials
    slower = trial.metrics["chatting"] / trial.metrics["silent"] - 1
    print(f"F28: steps of {trial.metrics['silent'] * 10:.1f} ms take {slower:+.1%} if each prints 10 kB")
    assert slower < 1


def returns_oddly(x, trial):
    if trial == 1:
        return (each for each in "generator")
    if trial == 2:
        return {f"metric {number}": 1.0 for number in range(100_000)}
    return bytes(200_000_000) if trial == 3 else x


def test_f29_what_cannot_be_told_has_failed(lagom):
    """F29: a generator, a huge dict and 200 MB fail in a sentence that names the type or says what is too much."""
    began = time.monotonic()
    *odd, last = lagom(returns_oddly, num_trials=4).trials
    for trial, words in zip(odd, ("of type generator", "too much to report", "of type bytes"), strict=True):
        assert trial.status == "failed"
        assert words in trial.error
        assert len(trial.error) < 20_000
        print(f"F29: {words}: {trial.ended - trial.started:.2f} s from its start to the message")
    assert last.status == "completed"
    assert time.monotonic() - began < 30


def test_f30_what_cannot_travel_is_refused_at_once(lagom, tmp_path):
    """F30: the variable is named, and nothing has been started or written."""
    guard = threading.Lock()

    def train_fn(x):
        with guard:
            return x

    with pytest.raises(ConfigError, match="guard"):
        lagom(train_fn, num_trials=1)
    assert not list(tmp_path.iterdir())
