"""A cluster whose workers come late, with addresses of their own: Spark's standalone mode, on this machine."""

import os
import re
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import cloudpickle
import pytest
from clusters import Standalone, session
from waiting import agent, until

import maggy.run
from maggy import Float, Searchspace, experiment
from maggy.driver.sparksession import exposed
from maggy.events import Lost
from maggy.store import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
cloudpickle.register_pickle_by_value(sys.modules["waiting"])
pytestmark = [pytest.mark.spark, pytest.mark.chaos, pytest.mark.timeout(300)]  # a JVM may take its time
SPACE = Searchspace(x=Float(0, 1))
HERE = {
    "spark__driver__host": "127.0.0.1",
    "spark__driver__bindAddress": "127.0.0.1",
    "spark__executor__memory": "512m",
    "spark__ui__enabled": "false",
}
HASTY = {
    "spark__speculation": "true",
    "spark__speculation__interval": "100ms",
    "spark__speculation__minTaskRuntime": "100ms",
    "spark__speculation__multiplier": "1.01",
    "spark__speculation__quantile": "0.1",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Give a cluster without workers; the tests of this module add two, one after the other."""
    started = Standalone(tmp_path_factory.mktemp("cluster"))
    yield started
    started.close()


@pytest.fixture
def lagom(tmp_path):
    """Give lagom with its files in a folder of the test's."""

    def run(train_fn, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "train_args": {"folder": str(tmp_path)}}
        return experiment.lagom(train_fn, SPACE, **places | {"name": "study", "seed": 1, "earlystop": None} | options)

    return run


def jobs(spark):
    """Return the state of every job that the application has had, how many tasks it had, and how many failed."""
    tracker, found = spark.sparkContext.statusTracker(), []
    while (info := tracker.getJobInfo(len(found))) is not None:
        stages = [tracker.getStageInfo(stage) for stage in info.stageIds]
        found.append((info.status, sum(s.numTasks for s in stages), sum(s.numFailedTasks for s in stages)))
    return found


def waits_for_company(x, trial, reporter, folder):
    """Let the first trial go on until another runs beside it, which takes a second executor."""
    reporter.broadcast(x)
    Path(folder, f"runs-{trial}").touch()
    if trial == 1:
        until(Path(folder, "runs-2").exists, 100)
    return x


def test_a24_f14_f16_slots_wait_for_workers(cluster, lagom, tmp_path, monkeypatch, capsys):
    """F16: without any worker the user is told where executors should come to. F14: those that come later are used.

    A24: and that Spark itself lets everybody in is said once.
    """
    monkeypatch.setattr(maggy.run, "SLOW_START", 2.0)
    added = []

    def grow():
        until(lambda: "no executor has reached the driver" in "".join(told))
        cluster.worker("127.0.0.1")
        until((tmp_path / "runs-1").exists)
        cluster.worker("127.0.0.2")
        added.append(time.time())

    told = []
    monkeypatch.setattr(maggy.run.Console, "warn", lambda self, message: told.append(message))
    with session(tmp_path, cluster.url, **HERE) as spark:
        thread = threading.Thread(target=grow)
        thread.start()
        result = lagom(waits_for_company, num_trials=6, num_executors=3, quiet=True)
        thread.join()
        assert exposed(spark) is None
    assert [(trial.status, trial.attempt) for trial in result.trials] == [("completed", 1)] * 6
    assert len({trial.executor for trial in result.trials}) == 2
    print(f"F14: used {result.trials[1].started - added[0]:.2f} s after the worker was up")
    exposure, lonely = told
    assert exposure.startswith(f"Spark runs on {cluster.url} with spark.authenticate=false, so whoever reaches")
    assert re.match(r"no executor has reached the driver at 127\.0\.0\.1:\d+ for 2 s: is the cluster full", lonely)
    assert lonely.endswith("Spark itself has no executors for this application so far.")


def takes_a_while(x, trial, reporter, folder):
    for step in range(10):
        reporter.broadcast(x, step=step)
        time.sleep(0.3)
    return x


def test_f13_speculation_makes_no_copies(cluster, lagom, tmp_path):
    """F13: however hasty, Spark has nothing to compare a job of one task with."""
    with session(tmp_path, cluster.url, **HERE, **HASTY) as spark:
        result = lagom(takes_a_while, num_trials=4, num_executors=2, quiet=True)
        assert jobs(spark) == [("SUCCEEDED", 1, 0)] * 2
    assert [(trial.status, trial.attempt) for trial in result.trials] == [("completed", 1)] * 4
    assert len({trial.executor for trial in result.trials}) == 2


def test_f13_a_copy_is_an_executor_more(cluster, lagom, tmp_path):
    """F13: with a threshold Spark does copy a lone task; the copy joins and works, and neither is killed."""
    threshold = {"spark__speculation__task__duration__threshold": "1s"}
    with session(tmp_path, cluster.url, **HERE, **HASTY, **threshold) as spark:
        result = lagom(takes_a_while, num_trials=8, num_executors=1, quiet=True)
        assert jobs(spark) == [("SUCCEEDED", 1, 0)]
    assert [(trial.status, trial.attempt) for trial in result.trials] == [("completed", 1)] * 8
    assert len({trial.executor for trial in result.trials}) == 2


def held(x, trial, reporter, folder):
    Path(folder, f"agent-{trial}-{reporter.attempt}").write_text(str(agent()))
    reporter.broadcast(x)
    until(Path(folder, "enough").exists, 100)
    return x


def test_f05_f13_an_original_that_was_fenced_does_not_end_its_copy(cluster, lagom, tmp_path):
    """F5, F13: it finds its slot taken by the copy; if its task returned now, Spark would kill that one at its work."""

    def lost():
        with closing(open_store(tmp_path / "maggy.db")) as store:
            return [event.trial for event in store.read("study") if isinstance(event, Lost)]

    def disturb():
        until(lambda: len(list(tmp_path.glob("agent-[12]-1"))) == 2)
        original = int((tmp_path / "agent-1-1").read_text())
        os.kill(original, signal.SIGSTOP)
        until(lambda: lost() == [1])
        os.kill(original, signal.SIGCONT)
        until((tmp_path / "agent-1-2").exists, 60)
        (tmp_path / "enough").touch()

    threshold = {"spark__speculation__task__duration__threshold": "1s"}
    with session(tmp_path, cluster.url, **HERE, **HASTY, **threshold) as spark:
        thread = threading.Thread(target=disturb)
        thread.start()
        result = lagom(held, num_trials=2, num_executors=1, lease=2.0, quiet=True)
        thread.join()
        assert jobs(spark) == [("SUCCEEDED", 1, 0)]
    assert [(trial.status, trial.attempt) for trial in result.trials] == [("completed", 2), ("completed", 1)]
    assert lost() == [1]


def outlasts_the_other(x, trial, folder):
    if trial == 2:
        until(Path(folder, "shrunk").exists, 200)
    return x


def test_f14_a_slot_with_nothing_left_to_do_is_given_back(cluster, lagom, tmp_path):
    """F14: with dynamic allocation Spark takes its executor away while the last trial still runs on the other."""
    dynamic = {
        "spark__dynamicAllocation__enabled": "true",
        "spark__dynamicAllocation__shuffleTracking__enabled": "true",
        "spark__dynamicAllocation__executorIdleTimeout": "1s",
        "spark__dynamicAllocation__maxExecutors": "2",
    }
    with session(tmp_path, cluster.url, **HERE, **dynamic) as spark:
        tracker, seen = spark.sparkContext._jsc.sc().statusTracker(), []

        def disturb():
            for known in (3, 2):  # the driver is one of them
                until(lambda known=known: len(tracker.getExecutorInfos()) == known, 100)
                seen.append(known)
            (tmp_path / "shrunk").touch()

        thread = threading.Thread(target=disturb)
        thread.start()
        result = lagom(outlasts_the_other, num_trials=2, quiet=True)
        thread.join()
    assert seen == [3, 2]
    assert [(trial.status, trial.attempt) for trial in result.trials] == [("completed", 1)] * 2
