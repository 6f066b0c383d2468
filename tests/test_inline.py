"""isolation="inline": the function runs in a thread of this very process, and nothing here is killed or changed."""

import ctypes
import os
import pty
import re
import select
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import until

from maggy import Float, Searchspace, StopTrial, Threshold, experiment
from maggy.errors import CheckpointError, ConfigError

SPACE = Searchspace(x=Float(0, 1))
PR_GET_CHILD_SUBREAPER = 37


@pytest.fixture
def lagom(tmp_path):
    """Run a study inline, quietly; afterwards no thread of maggy's is left."""

    def run(train_fn, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "num_trials": 3, "earlystop": None}
        how = {"launcher": "local", "isolation": "inline", "seed": 1, "quiet": True}
        return experiment.lagom(train_fn, SPACE, **places | how | options)

    before = set(threading.enumerate())
    yield run
    until(lambda: not [each for each in set(threading.enumerate()) - before if each.name.startswith("maggy-")])


def test_the_function_runs_here_and_shares_what_is_here(lagom):
    """It is this very function, whatever it refers to: a lock would not travel, and a list is appended to here."""
    lock, seen = threading.Lock(), []

    def train(x, trial, reporter, more):
        with lock:
            seen.append((trial, os.getpid(), threading.current_thread().name))
        more.append(trial)
        reporter.broadcast(x, step=0)
        return 2 * x

    more = []
    result = lagom(train, train_args={"more": more})
    assert seen == [(trial, os.getpid(), "maggy-trial") for trial in (1, 2, 3)]  # one executor where nobody says
    assert more == [1, 2, 3]
    assert len({trial.executor for trial in result.trials}) == 1
    assert [trial.value for trial in result.trials] == [2 * trial.params["x"] for trial in result.trials]
    assert [trial.curve.points() for trial in result.trials] == [[(0, trial.params["x"])] for trial in result.trials]


def test_executors_are_threads(lagom):
    """Two trials wait for each other, so they run at once."""
    both = threading.Barrier(2, timeout=30)

    def train(x):
        both.wait()
        return x

    result = lagom(train, num_executors=2, num_trials=2)
    assert [trial.status for trial in result.trials] == ["completed"] * 2


def test_what_it_prints_goes_where_the_caller_prints(lagom, capfd):
    """Nothing is caught, not even what is written without Python; so there is no output.log."""

    def train(x, trial, reporter):
        print("printed by", trial)
        reporter.log(f"logged by {trial}")
        os.write(1, b"raw\n")
        return x

    result = lagom(train, num_trials=1)
    assert sorted(capfd.readouterr().out.splitlines()) == ["logged by 1", "printed by 1", "raw"]
    assert not list(Path(result.log_dir).rglob("output.log"))


def test_every_way_to_fail_is_one_failed_trial(lagom):
    """F22, F23: what it raises is the trial's end, with the user's line in it; the thread goes on with the next."""

    def train(x, trial):
        if trial == 1:
            raise ValueError("no")
        if trial == 2:
            sys.exit(3)
        if trial == 3:
            raise KeyboardInterrupt
        if trial == 4:
            raise StopTrial("enough")
        return x

    result = lagom(train, num_trials=5)
    assert [trial.status for trial in result.trials] == ["failed", "failed", "failed", "stopped", "completed"]
    first, second, third, *_ = result.trials
    assert re.search(r'raise ValueError\("no"\)\n.*ValueError: no', first.error, re.DOTALL)
    assert "executor/child.py" not in first.error
    assert "train_fn called sys.exit(3)" in second.error
    assert "KeyboardInterrupt" in third.error


def test_a_stop_is_heeded(lagom):
    """The rule's reason is raised in the function's next report."""

    def train(x, trial, reporter):
        until = time.monotonic() + 30
        while trial == 1 and time.monotonic() < until:
            reporter.broadcast(1e9)
        return x

    result = lagom(train, earlystop=Threshold(upper=10))
    assert [trial.status for trial in result.trials] == ["stopped", "completed", "completed"]


def test_nothing_of_the_callers_is_killed_or_changed(lagom, tmp_path, monkeypatch):
    """F31: elsewhere all that runs below the agent is killed after each trial; here it is the caller's, and lives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGGY_TEST", "before")
    (tmp_path / "elsewhere").mkdir()
    adopts = []

    def train(x, trial):
        found = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
        adopts.append(found.value)
        if trial == 2:
            os.environ["MAGGY_TEST"] = "changed"
            os.chdir("elsewhere")
        if trial == 3:
            raise ValueError
        return x

    with subprocess.Popen(["sleep", "600"]) as mine:
        try:
            lagom(train)
            assert mine.poll() is None
        finally:
            mine.kill()
    assert adopts == [0, 0, 0]
    assert (os.environ["MAGGY_TEST"], Path.cwd()) == ("changed", tmp_path / "elsewhere")


def test_a_trial_that_ignores_its_stop_is_given_up(lagom):
    """After the grace period it is stopped for the study, and another thread goes on; it ends when it likes."""
    may_end, ended = threading.Event(), threading.Event()
    later = []

    def train(x, trial, reporter):
        if trial > 1:
            return x
        while not may_end.is_set():
            try:
                reporter.broadcast(1e9)
            except BaseException as error:  # noqa: BLE001 - what users write
                later.append(error)
                time.sleep(0.01)
        ended.set()
        return x

    with subprocess.Popen(["sleep", "600"]) as mine:
        try:
            result = lagom(train, earlystop=Threshold(upper=10))
            assert mine.poll() is None
        finally:
            mine.kill()
    first, *others = result.trials
    assert (first.status, first.stop_reason) == ("stopped", "threshold: 1e+09 at step 0 is above 10")
    assert first.duration > 4.5
    assert [trial.status for trial in others] == ["completed"] * 2
    assert not ended.is_set()
    assert {type(error) for error in later} == {StopTrial}
    may_end.set()
    assert ended.wait(30)


def test_a_trial_that_was_given_up_ends_with_its_next_report(lagom):
    """Nobody listens to its thread any more, and it is told so as it is told to stop."""
    may_report, ended = threading.Event(), []

    def train(x, trial, reporter):
        if trial == 1:
            reporter.broadcast(1e9)
            may_report.wait(30)
            try:
                reporter.broadcast(1e9)
            except BaseException as error:
                ended.append(repr(error))
                raise
        return x

    result = lagom(train, num_trials=2, timeout=1)
    may_report.set()
    assert result.trials[0].status == "stopped"
    until(lambda: ended)
    assert ended == ["StopTrial('the trial was given up')"]


@pytest.mark.parametrize("agent_lives", [True, False])
def test_a_trial_that_was_given_up_leaves_no_files(lagom, tmp_path, agent_lives):
    """It saves after its agent has turned away, or has gone: it hears of it, and nothing of that is kept."""
    may_save, saved = threading.Event(), threading.Event()
    errors, scratch = [], []

    def train(x, trial, reporter):
        if trial > 1:
            may_save.set()
            saved.wait(30)
            return x
        (tmp_path / "state").write_text("too late")
        scratch.append(reporter._checkpoints._scratch)
        if agent_lives:
            reporter._checkpoints._room()
        with suppress(StopTrial):  # now or later: it does not heed it
            reporter.broadcast(1e9)
        may_save.wait(30)
        try:
            reporter.save(tmp_path / "state")
        except BaseException as error:
            errors.append(error)
            raise
        finally:
            saved.set()

    options = {"earlystop": Threshold(upper=10)} if agent_lives else {"timeout": 1}
    result = lagom(train, num_trials=2, **options)
    may_save.set()
    assert saved.wait(30)
    assert [type(error) for error in errors] == [StopTrial if agent_lives else CheckpointError]
    assert result.trials[0].status == "stopped"
    until = time.monotonic() + 5
    while scratch[0].exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not scratch[0].parent.exists()
    assert not list(tmp_path.rglob("*.tar*"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"launcher": "spark"}, "isolation='inline' runs train_fn in this process: pass launcher='local' as well"),
        ({"trial_timeout": 5}, "trial_timeout=5 takes force, and with isolation='inline' there is no process to end"),
        ({"report_timeout": 5}, "report_timeout=5 takes force, and with isolation='inline' there is no process to end"),
        ({"memory_limit": "2G"}, "memory_limit='2G' takes force, and with isolation='inline' there is no process"),
        ({"gpus_per_trial": 1}, "gpus_per_trial=1, but with isolation='inline' trials see the GPUs that this process"),
        ({"isolation": "inlin"}, "isolation='inlin'; did you mean 'inline'?"),
    ],
)
def test_what_takes_a_process_is_refused(lagom, tmp_path, options, sentence):
    """Limits need force and GPUs an environment of one's own; on Spark there is nobody to debug (decision 18)."""
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        lagom(lambda x: x, **options)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import os, signal, sys, threading, time
from maggy import Float, Searchspace, experiment

mine = "not passed, only here"
{body}

result = experiment.lagom(train, Searchspace(x=Float(0, 1)), launcher="local", isolation="inline", name="inline",
                          num_trials=2, seed=1, store="maggy.db", log_dir=None, earlystop=None)
"""


def script(folder, body, then, given=""):
    """Run a script of a user's who debugs, and return it."""
    code = SCRIPT.format(body=textwrap.dedent(body)) + textwrap.dedent(then)
    (folder / "script.py").write_text(code)
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, input=given, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_breakpoint_stops_there(tmp_path):
    """The debugger reads what is typed, and sees what the function sees, the globals of its module too."""
    body = """
        def train(x, trial):
            if trial == 2:
                breakpoint()
            return x
    """
    done = script(
        tmp_path, body, "print([str(t.status) for t in result.trials])", "p trial * 21\np mine\np __name__\nc\n"
    )
    assert done.returncode == 0, done.stderr
    assert "(Pdb) 42\n(Pdb) 'not passed, only here'\n(Pdb) '__main__'\n" in done.stdout
    assert "['completed', 'completed']" in done.stdout


def test_a_debugger_has_the_terminal_to_itself(tmp_path):
    """A live line, which says how many trials are running, would be drawn over what is typed."""
    body = "def train(x):\n    time.sleep(1)\n    breakpoint()\n    return x"  # by then a live line would be lit
    ours, theirs = pty.openpty()
    (tmp_path / "script.py").write_text(SCRIPT.format(body=body))
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    environment = {name: value for name, value in environment.items() if name not in {"CI", "NO_COLOR"}}
    command = [sys.executable, "script.py"]
    shown = b""
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        try:
            for prompts in (1, 2):
                until = time.monotonic() + 30
                while shown.count(b"(Pdb) ") < prompts and time.monotonic() < until:
                    if select.select([ours], [], [], 0.1)[0]:
                        shown += os.read(ours, 4096)
                assert shown.count(b"(Pdb) ") == prompts, shown
                assert b" running" not in shown
                os.write(ours, b"c\n")
        finally:
            process.kill()
            os.close(ours)


def test_ctrl_c_returns_what_there_is(tmp_path):
    """F11: at once, though the function does not hear of it; the line to go on with says how it was run."""
    body = """
        def train(x, trial):
            if trial == 2:
                global when
                when = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    time.sleep(0.01)
            return x
    """
    then = """
        took = time.monotonic() - when
        assert took < 2, took
        assert result.interrupted and [t.status for t in result.trials] == ["completed", "queued"]
    """
    done = script(tmp_path, body, then)
    assert (done.returncode, done.stderr) == (0, "")
    assert "experiment.resume('inline', train_fn, launcher='local', isolation='inline')" in done.stdout
