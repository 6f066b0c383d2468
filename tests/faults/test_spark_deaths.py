"""Deaths of executors on Spark, on one JVM and on a cluster: what is lost is one attempt, and for a moment one slot.

How long that took is printed (`-rP`): LOST from the kill to the record of it, slot back to the next executor's start.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import pyspark.cloudpickle
import pytest
from clusters import CLUSTER, parent, session
from waiting import agent, meanwhile, until, until_gone

from maggy import Float, Searchspace, experiment
from maggy.errors import ConfigError, LauncherError
from maggy.events import Ended, Lost, Started, StudyClosed
from maggy.store import open_store

for pickler in (cloudpickle, pyspark.cloudpickle):  # as if this were a notebook
    pickler.register_pickle_by_value(sys.modules[__name__])
    pickler.register_pickle_by_value(sys.modules["clusters"])
    pickler.register_pickle_by_value(sys.modules["waiting"])
pytestmark = [pytest.mark.spark, pytest.mark.chaos, pytest.mark.timeout(300)]  # a JVM may take its time
SPACE = Searchspace(x=Float(0, 1))
LEASE = 10.0  # seconds, after which a loss would be noticed by its silence alone
PATIENCE = 60.0  # seconds; what takes 1 on an idle machine takes many on a busy one


@pytest.fixture(scope="module", params=["local[3]", CLUSTER])
def spark(request, tmp_path_factory):
    """Give a session on three slots of one JVM, then one on two executors."""
    with session(tmp_path_factory.mktemp("spark"), request.param) as started:
        yield started


@pytest.fixture
def slots(spark):
    """Return how many tasks run at once."""
    return 2 if spark.sparkContext.master == CLUSTER else 3


@pytest.fixture
def lagom(spark, slots, tmp_path):
    """Give lagom on that session; afterwards no job, no thread and no trial's process is left."""

    def run(train_fn, num_trials=slots + 2, num_executors=slots, **train_args):
        return experiment.lagom(
            train_fn,
            SPACE,
            num_trials=num_trials,
            num_executors=num_executors,
            name="study",
            seed=1,
            earlystop=None,
            quiet=True,
            store=tmp_path / "maggy.db",
            log_dir=tmp_path / "logs",
            train_args={"folder": str(tmp_path), "slots": num_executors} | train_args,
        )

    yield run
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("maggy")] == []
    until(lambda: spark.sparkContext.statusTracker().getActiveJobsIds() == [], 10)
    until_gone(pids(tmp_path), 5)


def pids(folder):
    """Return the numbers of all trial processes that wrote theirs down."""
    return {int(file.read_text() or 0) for file in Path(folder).glob("pid-*")}


def history(folder):
    """Return all that was recorded of the study."""
    store = open_store(folder / "maggy.db")
    try:
        return list(store.read("study"))
    finally:
        store.close()


def measured(folder, what):
    """Print and return how long it took until each kill was recorded, and until its slot had another executor."""
    events, seconds = history(folder), []
    for kill in folder.glob("killed-*"):
        at, trial = float(kill.read_text()), int(kill.name.split("-")[1])
        gone = next(e.at for e in events if isinstance(e, (Lost, Ended)) and e.trial == trial and e.at >= at)
        known = {e.executor for e in events if isinstance(e, Started) and e.at < at}
        news = (e.at for e in events if isinstance(e, Started) and e.at > at and e.executor not in known)
        seconds.append((gone - at, next(news, at) - at))  # after the last kill there may be nothing left to do
    print(f"{what}: LOST/slot back after", ", ".join(f"{a:.2f}/{b:.2f} s" for a, b in sorted(seconds)))
    return seconds


def kill_from_trial(x, trial, reporter, folder, slots, victims, whom=agent, number=signal.SIGKILL):
    """Hold all slots but one until the victims are through; they kill their executor in each attempt they may."""
    folder = Path(folder)
    (folder / f"pid-{trial}-{reporter.attempt}").write_text(str(os.getpid()))
    reporter.broadcast(x)
    if trial < slots:
        (folder / f"busy-{trial}").touch()
        through = sum(victims.values()) + list(victims.values()).count(1)  # who may kill once is run again
        until(lambda: len([*folder.glob("killed-*"), *folder.glob("again-*")]) == through, 100)
    elif reporter.attempt <= victims.get(trial, 0):
        until(lambda: len(list(folder.glob("busy-*"))) == slots - 1)
        helper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        (folder / f"pid-{trial}-{reporter.attempt}-helper").write_text(str(helper.pid))
        (folder / f"killed-{trial}-{reporter.attempt}").write_text(repr(time.time()))
        os.kill(whom(), number)
        signal.pause()
    elif trial in victims:
        (folder / f"again-{trial}").touch()
    return x


def told(result):
    """Return state and attempts of each trial."""
    return [(str(trial.status), trial.attempt) for trial in result.trials]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_f01_f15_a_killed_agent_costs_one_attempt(lagom, slots, tmp_path, number):
    """F1, F15: its trial is queued at once, and runs again in its own slot, and nobody else notices.

    What the trial had started ends with it (see the fixture).

    A machine that is taken away sends SIGTERM first: the agent says so and ends.
    """
    result = lagom(kill_from_trial, victims={slots: 1}, number=number)
    assert told(result) == [("completed", 2 if trial == slots else 1) for trial in range(1, slots + 3)]
    ((gone, back),) = measured(tmp_path, f"F1 {number.name}")
    assert gone < LEASE
    assert back < PATIENCE


def test_f02_many_deaths_in_one_slot(lagom, slots, tmp_path):
    """F2: twelve deaths in a row, and each trial that caused three is failed; the study ends as if nothing was."""
    victims = dict.fromkeys(range(slots, slots + 4), 3)
    result = lagom(kill_from_trial, victims=victims, num_trials=slots + 5)
    assert told(result) == [("failed", 3) if t in victims else ("completed", 1) for t in range(1, slots + 6)]
    for trial in victims:
        assert result.trials[trial - 1].error.startswith("lost 3 times, the last time because: ")
    seconds = measured(tmp_path, "F2")
    assert len(seconds) == 12
    assert max(back for _, back in seconds) < PATIENCE


def test_f02_with_one_slot_alone(lagom, tmp_path):
    """F2: executors that die young of their trials are no sign of a launcher without hope, also where none is left."""
    victims = dict.fromkeys(range(1, 5), 3)
    result = lagom(kill_from_trial, victims=victims, num_executors=1, num_trials=6)
    assert told(result) == [("failed", 3)] * 4 + [("completed", 1)] * 2
    measured(tmp_path, "F2, one slot")


def executor_jvm():
    return parent(parent(agent()))  # the agent is a fork of Spark's daemon


def test_f04_a_killed_executor(lagom, slots, tmp_path, spark):
    """F4: with the JVM its agent dies; the trial is lost at once, and Spark starts another executor for the slot."""
    if spark.sparkContext.master != CLUSTER:
        pytest.skip("there the executor is the driver")
    result = lagom(kill_from_trial, victims={slots: 1}, whom=executor_jvm)
    assert told(result) == [("completed", 2 if trial == slots else 1) for trial in range(1, slots + 3)]
    ((gone, back),) = measured(tmp_path, "F4")
    assert gone < LEASE
    assert back < PATIENCE


def hold_once(x, trial, reporter, folder, slots):
    """Hold every slot, in the first attempt for ever: until somebody cancels the job."""
    folder = Path(folder)
    (folder / f"pid-{trial}-{reporter.attempt}").write_text(str(os.getpid()))
    (folder / f"runs-{trial}-{reporter.attempt}").touch()
    reporter.broadcast(x)
    if trial <= slots and reporter.attempt == 1:
        signal.pause()
    return x


def cancel_all(context):
    context.cancelAllJobs()


def kill_jobs(context):
    for job in context.statusTracker().getActiveJobsIds():
        context._jsc.sc().cancelJob(job, "killed via the Web UI")  # what the button does


def kill_stages(context):
    for stage in context.statusTracker().getActiveStageIds():
        context._jsc.sc().cancelStage(stage, "killed via the Web UI")


@pytest.mark.parametrize("cancel", [cancel_all, kill_jobs, kill_stages])
def test_f12_a_cancelled_job_is_submitted_again(lagom, slots, spark, tmp_path, cancel):
    """F12: somebody else cancels, in one way or another, what runs; it runs again, at once, and no trial is blamed."""
    if cancel is not cancel_all and spark.sparkContext.master == CLUSTER:
        pytest.skip("what jobs end with is the driver's to say, wherever they run")
    when = []

    def disturb():
        until(lambda: len(list(tmp_path.glob("runs-*-1"))) == slots)
        when.append(time.time())
        cancel(spark.sparkContext)

    with meanwhile(disturb):
        result = lagom(hold_once)
    assert told(result) == [("completed", 2 if trial <= slots else 1) for trial in range(1, slots + 3)]
    started = [event.at for event in history(tmp_path) if isinstance(event, Started)]
    reaction = min(at for at in started if at > when[0]) - when[0]
    lost = [event.at - when[0] for event in history(tmp_path) if isinstance(event, Lost)]
    print(f"F12 {cancel.__name__}: LOST/a slot back after {max(lost):.2f}/{reaction:.2f} s")
    assert reaction < PATIENCE
    assert [event.counts for event in history(tmp_path) if isinstance(event, Lost)] == [False] * slots


def hold(x, trial, reporter, folder, slots):
    Path(folder, f"pid-{trial}-{reporter.attempt}").write_text(str(os.getpid()))
    signal.pause()


def test_f12_who_is_cancelled_again_and_again_gives_up(lagom, spark, tmp_path):
    """F12: a slot is submitted three more times; then the study ends, says why, and can be resumed."""
    tracker = spark.sparkContext.statusTracker()

    def disturb():
        if tracker.getActiveJobsIds():
            spark.sparkContext.cancelAllJobs()

    with (
        meanwhile(disturb, every=0.05),
        pytest.raises(LauncherError, match="somebody else has cancelled it 4 times"),
    ):
        lagom(hold)
    assert isinstance(history(tmp_path)[-1], StudyClosed)
    assert "somebody else has cancelled it 4 times" in history(tmp_path)[-1].reason


def inside(folder, count):
    """Return a function that tells what a Spark task finds in its process; one task for each of `count` workers."""

    def look(tasks):
        import ctypes
        import sys

        (slot,) = tasks
        (folder / f"looks-{slot}").touch()
        until(lambda: len(list(folder.glob("looks-*"))) == count)  # so that no worker is asked twice
        flag = ctypes.c_int()
        ctypes.CDLL(None).prctl(37, ctypes.byref(flag), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
        files = {}
        for number in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):  # the one of the listing itself
                files[number.name] = str(number.readlink())
        children = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
        yield (
            os.getpid(),
            {
                "threads": sorted(thread.name for thread in threading.enumerate()),
                "files": files,
                "environment": dict(os.environ),
                "directory": str(Path.cwd()),
                "path": list(sys.path),
                "adopts orphans": flag.value,
                "children": "".join(children),
                "signals": [str(signal.getsignal(number)) for number in (2, 15, 17)],
                "heavy": [name for name in sys.modules if name.startswith(("maggy.driver", "maggy.store"))],
            },
        )

    return look


def quick(x, reporter, folder, slots):
    Path(folder, "pid-quick").write_text(str(os.getpid()))
    os.environ["LEFT"] = "behind"
    threading.Thread(target=signal.pause, daemon=True).start()
    reporter.broadcast(x)
    return x


def test_f47_a_study_leaves_nothing_in_the_worker(lagom, slots, spark, tmp_path):
    """F47: two studies in one application; the workers that ran the first are as they were, and so is the driver."""

    def look(name):
        (tmp_path / name).mkdir()
        rdd = spark.sparkContext.parallelize(range(slots), slots)
        return dict(rdd.mapPartitions(inside(tmp_path / name, slots)).collect())

    before = look("before")
    lagom(quick)
    threads = sorted(thread.name for thread in threading.enumerate())
    lagom(quick)
    after = look("after")
    same = before.keys() & after.keys()
    assert same
    for pid in same:
        shipped = [entry for entry in after[pid].pop("path") if entry not in before[pid]["path"]]
        assert before[pid] | {"path": shipped} == after[pid] | {"path": shipped}
        assert all("maggy-" in entry for entry in shipped)
        assert (after[pid]["adopts orphans"], after[pid]["children"], after[pid]["heavy"]) == (0, "", [])
    assert sorted(thread.name for thread in threading.enumerate()) == threads


def starts_spark(x, folder, slots):
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate().range(5).count()


def test_f33_a_trial_that_starts_spark_fails_in_a_sentence(lagom):
    """F33: no JVM comes up in a task; the error says where the function runs and what to do instead."""
    result = lagom(starts_spark, num_trials=2)
    for trial in result.trials:
        last = trial.error.splitlines()[-1]
        assert last.startswith("RuntimeError: a trial runs inside a Spark task, where there is no SparkSession or")
        assert "pass it, or its path, with train_args={…}" in last
        assert trial.ended - trial.started < PATIENCE


def test_f33_what_belongs_to_the_driver_cannot_travel(lagom, spark):
    """F33: a function that refers to Spark's objects is refused before anything starts, and the object is named."""
    context, frame = spark.sparkContext, spark.range(3)
    for thing in (spark, context, frame, frame.rdd, frame.id, context.broadcast([1]), context.accumulator(0)):

        def train(x, folder, slots, thing=thing):
            return thing.count()

        with pytest.raises(ConfigError) as caught:
            lagom(train)
        assert f"because of 'thing', of type {type(thing).__name__}, which is of use on the driver only" in str(
            caught.value
        )
        assert "df.toPandas()" in str(caught.value)
