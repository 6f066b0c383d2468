"""What can happen to Spark itself while a study runs: a clear end, soon, and a study that can be resumed."""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import pytest
from clusters import CLUSTER, session
from waiting import agent, until, until_gone

import maggy.run
from maggy import Float, Searchspace, experiment
from maggy.errors import LauncherError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
cloudpickle.register_pickle_by_value(sys.modules["waiting"])
pytestmark = [pytest.mark.spark, pytest.mark.chaos, pytest.mark.timeout(300)]  # a JVM may take its time
SPACE = Searchspace(x=Float(0, 1))


@pytest.fixture
def places(tmp_path):
    """Return the options by which one study is run and resumed."""
    return {
        "store": tmp_path / "maggy.db",
        "log_dir": tmp_path / "logs",
        "train_args": {"folder": str(tmp_path)},
        "earlystop": None,
        "quiet": True,
    }


def hold(x, trial, reporter, folder):
    """Let the first trial complete; the next two, on two slots, hold them until something happens."""
    Path(folder, f"pid-{trial}-{reporter.attempt}").write_text(str(os.getpid()))
    reporter.broadcast(x)
    if trial > 1 and reporter.attempt == 1 and not Path(folder, "resumed").exists():
        Path(folder, f"held-{trial}").write_text(str(agent()))
        until(Path(folder, "resumed").exists, 100)
    return x


def disturbed(spark, folder, places, disturb):
    """Run a study that is disturbed when two trials run; return what lagom did, and after how many seconds."""
    when = []

    def work():
        until(lambda: len(list(folder.glob("held-*"))) == 2)
        when.append(time.monotonic())
        disturb(spark)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        found = experiment.lagom(hold, SPACE, name="study", num_trials=6, num_executors=2, seed=1, **places)
    except LauncherError as error:
        found = error
    took = time.monotonic() - when[0]
    thread.join()
    return found, took


def check_the_end(folder, places, took, what):
    """Nothing runs any more, and the study goes on, here without Spark."""
    began = time.monotonic()
    pids = [int(file.read_text()) for pattern in ("pid-*", "held-*") for file in folder.glob(pattern)]
    until_gone(pids)
    print(f"{what}: lagom ended after {took:.2f} s, agents and trials {time.monotonic() - began:.2f} s later")
    assert took < 60  # 5 on an idle machine; the trials hold on for 100
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("maggy")] == []
    before = experiment.load("study", places["store"])
    assert before.trials[0].status == "completed"
    assert before.interrupted
    (folder / "resumed").touch()
    options = {key: value for key, value in places.items() if key != "log_dir"}
    after = experiment.resume("study", hold, launcher="local", num_executors=2, **options)
    assert [trial.status for trial in after.trials] == ["completed"] * 6
    assert after.trials[0].ended == before.trials[0].ended


def kill_jvm(spark):
    spark.sparkContext._gateway.proc.kill()


@pytest.mark.parametrize("master", ["local[2]", CLUSTER])
def test_f10_the_jvm_dies(tmp_path, places, master):
    """F10: the error says what has ended and how; executors and trials are gone, and the study goes on elsewhere."""
    with session(tmp_path, master) as spark:
        found, took = disturbed(spark, tmp_path, places, kill_jvm)
    assert isinstance(found, LauncherError)
    assert "Spark's driver process (the JVM) has ended with exit code -9" in str(found)
    check_the_end(tmp_path, places, took, f"F10 {master}")


def stop(spark):
    spark.stop()


@pytest.mark.parametrize("master", ["local[2]", CLUSTER])
def test_f11_the_session_is_stopped(tmp_path, places, master):
    """F11: somebody stops the session in mid-study; the error says so, and nothing goes on running."""
    with session(tmp_path, master) as spark:
        found, took = disturbed(spark, tmp_path, places, stop)
    assert isinstance(found, LauncherError)
    assert str(found) == "no executor can be kept running: the Spark session was stopped"
    check_the_end(tmp_path, places, took, f"F11 stop, {master}")


def test_f11_ctrl_c_on_a_cluster(tmp_path, places):
    """F11: an interrupt is no error; executors on a cluster go home as those on a laptop do, and no job is left."""
    with session(tmp_path, CLUSTER) as spark:
        found, took = disturbed(spark, tmp_path, places, lambda _: os.kill(os.getpid(), signal.SIGINT))
        assert found.interrupted
        assert spark.sparkContext.statusTracker().getActiveJobsIds() == []
        until_gone((int(file.read_text()) for file in tmp_path.glob("pid-*")), 5)
    check_the_end(tmp_path, places, took, "F11 Ctrl-C")


def test_f46_the_gateway_breaks(tmp_path, places):
    """F46: with the way to Spark broken no slot can be started again; those that run go on to the end."""

    def disturb(spark):
        spark.sparkContext._gateway.shutdown()
        os.kill(int((tmp_path / "held-2").read_text()), signal.SIGKILL)
        (tmp_path / "resumed").touch()

    with session(tmp_path, "local[2]") as spark:
        found, _ = disturbed(spark, tmp_path, places, disturb)
    assert [trial.status for trial in found.trials] == ["completed"] * 6
    assert len({trial.executor for trial in found.trials[2:]}) == 1


def test_f46_the_gateway_breaks_and_all_executors_die(tmp_path, places):
    """F46: where none is left and none can be started, the call does not wait for one."""

    def disturb(spark):
        spark.sparkContext._gateway.shutdown()
        for held in tmp_path.glob("held-*"):
            os.kill(int(held.read_text()), signal.SIGKILL)

    with session(tmp_path, "local[2]") as spark:
        found, took = disturbed(spark, tmp_path, places, disturb)
    assert "Spark's driver process (the JVM) cannot be reached" in str(found)
    check_the_end(tmp_path, places, took, "F46 gateway")


def test_f46_a_slots_thread_is_killed(tmp_path, places):
    """F46: what is raised in a slot's thread, of whatever kind, is one crash of its executor."""

    def disturb(spark):
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "maggy-slot-0"]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        (tmp_path / "resumed").touch()
        for held in tmp_path.glob("held-*"):
            os.kill(int(held.read_text()), signal.SIGKILL)

    with session(tmp_path, "local[2]") as spark:
        found, _ = disturbed(spark, tmp_path, places, disturb)
    assert [trial.status for trial in found.trials] == ["completed"] * 6


def quick(x, folder):
    return x


def test_f16_a_driver_that_executors_cannot_reach(tmp_path, places, monkeypatch):
    """F16: Spark's executors come up and go down without a word; the user is told which address they try."""
    told = []
    monkeypatch.setattr(maggy.run, "SLOW_START", 3.0)
    monkeypatch.setattr(maggy.run.Console, "warn", lambda self, message: told.append(message))
    nowhere = {"spark__driver__host": "127.0.0.9", "spark__driver__bindAddress": "127.0.0.1"}
    with session(tmp_path, CLUSTER, **nowhere):
        result = experiment.lagom(quick, SPACE, num_trials=2, timeout=6.0, **places)
    assert result.trials == []
    assert re.match(r"no executor has reached the driver at 127\.0\.0\.9:\d+ for 3 s: is the cluster full", told[-1])
    assert "out of its reach (spark.driver.host)? Spark itself has no executors for this application" in told[-1]
