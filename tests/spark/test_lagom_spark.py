"""End-to-end tests of `experiment.lagom` on Spark: what only Spark can show."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import cloudpickle
import pytest
from waiting import agent, until, until_gone

from maggy import Asha, Command, Float, Integer, Searchspace, Status, Threshold, experiment

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
cloudpickle.register_pickle_by_value(sys.modules["waiting"])
pytestmark = pytest.mark.spark
SPACE = Searchspace(x=Float(0, 1))


def jobs(spark):
    """Return the state of every job that the application has had."""
    tracker, states = spark.sparkContext.statusTracker(), []
    while (info := tracker.getJobInfo(len(states))) is not None:
        states.append(info.status)
    return states


@pytest.fixture
def lagom(spark, tmp_path):
    """Run a study on the shared session; afterwards no job of it runs and no job has failed."""
    before = len(jobs(spark))

    def run(train_fn, searchspace=SPACE, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
        return experiment.lagom(train_fn, searchspace, **places | {"seed": 1, "quiet": True} | options)

    yield run
    assert spark.sparkContext.statusTracker().getActiveJobsIds() == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("maggy-slot")] == []
    assert len(jobs(spark)) > before


def test_asha_on_four_executors(lagom, spark, tmp_path):
    """Trials are pushed to all slots at once, failing ones fail no job, promoted ones find their parents' files."""

    def train(n, trial, budget, reporter):
        if trial <= 4:  # the first four end only when all four run, each on an executor of its own
            (tmp_path / f"here-{trial}").touch()
            until(lambda: len(list(tmp_path.glob("here-*"))) == 4, 30)
        if n % 5 == 0:
            raise ValueError("a multiple of five")
        came_from = 0
        if reporter.parent_checkpoint_dir:
            came_from = int(Path(reporter.parent_checkpoint_dir, "trial").read_text())
        for step in range(int(budget)):
            reporter.report(step=step, score=n, other=step)
        Path(reporter.checkpoint_dir, "trial").write_text(str(trial))
        return {"score": n, "from": came_from, "pid": os.getpid()}

    asha = Asha(resource_max=9)
    result = lagom(train, {"n": Integer(1, 1000)}, optimizer=asha, num_trials=27, metric="score", direction="min")
    failed = [trial for trial in result.trials if trial.status is Status.FAILED]
    assert failed
    assert all(trial.params["n"] % 5 == 0 and "ValueError: a multiple of five" in trial.error for trial in failed)
    assert result["num_trials"] == 27
    assert {trial.budget for trial in result.trials} == {1, 3, 9}
    assert all(trial.metrics["from"] == (trial.parent or 0) for trial in result.trials if trial not in failed)
    assert len({trial.executor for trial in result.trials[:4]}) == 4
    assert result.best_value == min(trial.value for trial in result.trials if trial.budget == 9)
    assert all(trial.attempt == 1 for trial in result.trials)
    assert jobs(spark)[-4:] == ["SUCCEEDED"] * 4
    pids = {int(trial.metrics["pid"]) for trial in result.trials if trial not in failed}
    until_gone(pids, 5)


def test_a_killed_worker_disturbs_nobody_and_its_slot_comes_back(lagom, spark, tmp_path):
    """One slot's Python worker dies in mid-trial: its trial runs again in that slot while all others are held busy."""

    def train(x, trial, reporter):
        reporter.broadcast(x)
        if trial == 2:
            if reporter.attempt == 1:
                until(lambda: len(list(tmp_path.glob("busy-*"))) == 3)
                os.kill(agent(), signal.SIGKILL)
                signal.pause()
            (tmp_path / "again").touch()
        elif trial <= 4:
            (tmp_path / f"busy-{trial}").touch()
            until((tmp_path / "again").exists, 30)
        return x

    before = len(jobs(spark))
    result = lagom(train, num_trials=8)
    assert [(trial.status, trial.attempt) for trial in result.trials] == [
        ("completed", 2 if trial == 2 else 1) for trial in range(1, 9)
    ]
    assert result.trials[1].lost == 1
    assert sorted(jobs(spark)[before:]) == ["FAILED", *["SUCCEEDED"] * 4]


def test_more_executors_than_slots(lagom, spark):
    """Of six on four slots two come late or never: the study does not wait for them, nor does the call's end."""

    def train(x, reporter):
        reporter.broadcast(x)
        return x

    result = lagom(train, num_trials=40, num_executors=6, earlystop=None)
    returned = time.time()
    assert [trial.status for trial in result.trials] == ["completed"] * 40
    assert returned - max(trial.ended for trial in result.trials) < 2.5
    assert "RUNNING" not in jobs(spark)


def test_a_cluster_that_others_use(lagom, spark, tmp_path):
    """Without a free slot a study ends by its timeout, with two it runs on two; only its own jobs are cancelled."""

    def occupy(slots):  # refers to nothing of this module's: Spark's own pickler would want to import it
        for slot in slots:
            (tmp_path / f"taken-{slot}").touch()
            while not (tmp_path / f"free-{slot}").exists():
                time.sleep(0.02)
            yield slot

    def train(x, reporter):
        reporter.broadcast(x)
        return x

    def free(*slots):
        for slot in slots:
            (tmp_path / f"free-{slot}").touch()

    context = spark.sparkContext
    active = context.statusTracker().getActiveJobsIds
    others = threading.Thread(target=lambda: context.parallelize(range(4), 4).mapPartitions(occupy).collect())
    others.start()
    try:
        until(lambda: len(list(tmp_path.glob("taken-*"))) == 4, 30)
        theirs = active()
        began = time.monotonic()
        result = lagom(train, timeout=1.0)
        assert time.monotonic() - began < 4
        assert (result.trials, result.best_trial, result.interrupted) == ([], None, False)
        assert active() == theirs

        free(0, 1)
        result = lagom(train, num_trials=20, earlystop=None)
        returned = time.time()
        assert [trial.status for trial in result.trials] == ["completed"] * 20
        assert len({trial.executor for trial in result.trials}) <= 2
        assert returned - max(trial.ended for trial in result.trials) < 2.5
        assert active() == theirs
    finally:
        free(2, 3)
        others.join()


def test_studies_side_by_side_and_one_after_another(lagom, spark):
    """One application runs two studies at once and then a third, whose large argument is broadcast."""

    def train(n, trial, data):
        return n + len(data)

    results = {}

    def run(name, low):
        space = {"n": Integer(low, low + 9)}
        results[name] = lagom(
            train, space, optimizer="gridsearch", name=name, num_executors=2, train_args={"data": b"1"}
        )

    threads = [threading.Thread(target=run, args=each) for each in (("a", 0), ("b", 100))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.value for trial in results["a"].trials] == [*range(1, 11)]
    assert [trial.value for trial in results["b"].trials] == [*range(101, 111)]
    third = lagom(train, {"n": [1, 2]}, optimizer="grid", name="a", train_args={"data": bytes(2_000_000)})
    assert (third.name, [trial.value for trial in third.trials]) == ("a-2", [2_000_001, 2_000_002])
    assert set(jobs(spark)[-6:]) == {"SUCCEEDED"}


def test_a_module_that_executors_lack_is_named(lagom, spark, monkeypatch):
    """The trial fails, not the job, and the error says what to ship and how."""
    module = types.ModuleType("phantom_of_the_driver")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec("def helper(): return 1", module.__dict__)  # noqa: S102 - a module that only this process has
    helper = module.helper

    def train(x):
        return helper()

    result = lagom(train, num_trials=2)
    for trial in result.trials:
        assert "the training function needs the module 'phantom_of_the_driver', which this executor" in trial.error
        assert "sc.addPyFile(…) or --py-files" in trial.error
    assert jobs(spark)[-1] == "SUCCEEDED"


def test_ctrl_c_ends_trials_and_jobs(tmp_path):
    """A script that is interrupted returns within two seconds, no job or process is left, and a resume completes."""
    code = """
        import os, signal, time
        from pathlib import Path
        from maggy import Float, Searchspace, experiment
        from maggy.driver.sparksession import spark_session

        DRIVER = os.getpid()

        def train(x, trial, reporter):
            Path(f"pid-{trial}-{reporter.attempt}").write_text(f"{os.getpid()}")
            reporter.broadcast(x)
            if trial == 4 and reporter.attempt == 1:
                Path("when").write_text(repr(time.time()))
                os.kill(DRIVER, signal.SIGINT)
                while True:
                    time.sleep(0.01)
            return x

        def run(**options):
            return experiment.lagom(train, Searchspace(x=Float(0, 1)), num_trials=6, name="digits", seed=1, **options)

        result = run()
        took = time.time() - float(Path("when").read_text())
        assert result.interrupted and took < 2, took
        assert result.trials[3].status == "queued" and result.best_value is not None
        context = spark_session().sparkContext
        assert context.statusTracker().getActiveJobsIds() == []
        result = run(resume=True, quiet=True)
        assert [t.status for t in result.trials] == ["completed"] * 6 and result.trials[3].attempt == 2
        print("completed")
        context.stop()
    """
    (tmp_path / "study.py").write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, "study.py"],
        cwd=tmp_path,
        env=os.environ | {"MASTER": "local[2]"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert "experiment.resume('digits', train_fn)" in done.stdout
    assert done.stdout.endswith("completed\n")
    until_gone((int(path.read_text()) for path in tmp_path.glob("pid-*")), 5)


def test_programs_are_trials_of_spark_too(lagom, tmp_path):
    """Their files travel with the task, their lines come back as reports, and stops reach them."""
    (tmp_path / "tool.sh").write_text("echo METRICS: score=$1; [ $1 -lt 500 ] || while :; do sleep 0.05; done\n")
    command = Command("bash tool.sh %(n)d", files=[tmp_path / "tool.sh"])
    result = lagom(
        command, {"n": Integer(1, 1000)}, num_trials=8, metric="score", direction="min", earlystop=Threshold(upper=500)
    )
    ended = {trial.params["n"] > 500: trial.status for trial in result.trials if trial.params["n"] != 500}
    assert ended == {True: "stopped", False: "completed"}


def test_code_of_maggy_1_runs_on_plain_spark(lagom, monkeypatch):
    """Maggy's fault 1: it failed at its start without Hopsworks, and with an optimizer that was an instance."""
    monkeypatch.setattr("maggy.compat._told", {"all"})
    from maggy.config import HyperparameterOptConfig
    from maggy.optimizer import Asha

    def train(hparams, dataset, reporter):
        reporter.broadcast(hparams["x"])
        return {"value": hparams["x"], "budget": hparams["budget"], "rows": len(dataset)}

    config = HyperparameterOptConfig(4, Asha(2, 1, 2), SPACE, "value", dataset=[1, 2, 3])
    result = lagom(train, config)
    assert {trial.metrics["budget"] for trial in result.trials} == {1, 2}
    assert (result["num_trials"], result.best_trial.metrics["rows"]) == (4, 3)
