"""Who gets which GPU, on a machine that has none: a script stands for nvidia-smi; what is passed on are names."""

import os
import re
import sys
from pathlib import Path

import cloudpickle
import pytest
from pyspark.resource import ExecutorResourceRequests, ResourceProfileBuilder, TaskResourceRequests
from waiting import until

from maggy import Float, Searchspace, experiment
from maggy.configuration import Gpus
from maggy.driver import gpus
from maggy.errors import ConfigError

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SPACE = Searchspace(x=Float(0, 1))


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put an nvidia-smi in front of the PATH that does what the test says; no GPU is named otherwise."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(text):
        script = folder / "nvidia-smi"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)

    return write


def listing(count):
    """Return a script that lists so many GPUs, if it is asked as maggy asks."""
    lines = "".join(f"\necho {index}" for index in range(count))
    return f'[ "$*" = "--query-gpu=index --format=csv,noheader" ] || exit 9{lines}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2,5", ["2", "5"]),
        (" 0 , 1,0", ["0", "1"]),
        ("GPU-8932f937,MIG-1/2", ["GPU-8932f937", "MIG-1/2"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,-1,1", ["0"]),  # as CUDA reads it
    ],
)
def test_the_variable_is_believed_where_it_is_set(given, expected, smi, monkeypatch):
    """What the driver itself may see is shared out, and no other GPU of the machine."""
    smi(listing(8))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus.found() == (expected, f"CUDA_VISIBLE_DEVICES={given}")


def test_otherwise_nvidia_smi_is_asked(smi):
    """It lists the GPUs by number; where it fails, its own words are the reason."""
    smi(listing(3))
    assert gpus.found() == (["0", "1", "2"], "nvidia-smi lists 0, 1, 2")
    smi("echo 'No devices were found'")
    assert gpus.found() == ([], "nvidia-smi lists none")
    smi("echo 'NVIDIA-SMI has failed: no driver'; exit 9")
    assert gpus.found() == ([], "nvidia-smi says: NVIDIA-SMI has failed: no driver")
    smi("exit 3")
    assert gpus.found() == ([], "nvidia-smi says: exit code 3")


def test_an_nvidia_smi_that_is_not_there_or_hangs_finds_none(smi, monkeypatch):
    """A machine whose driver hangs does not hang the call."""
    monkeypatch.setattr(gpus, "PATIENCE", 0.2)
    smi("exec sleep 60")
    assert gpus.found() == ([], "nvidia-smi did not answer within 0.2 s")
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpus.found() == ([], "nvidia-smi is not here")


@pytest.mark.parametrize(
    ("count", "wish", "num_executors", "expected"),
    [
        (2, Gpus(1), None, ("0", "1")),
        (4, Gpus(2), None, ("0,1", "2,3")),
        (5, Gpus(2), None, ("0,1", "2,3")),
        (4, Gpus(2), 1, ("0,1",)),
        (2, Gpus(None, 2), None, ("0", "1", "0", "1")),
        (2, Gpus(1, 2), 3, ("0", "1", "0")),
        (4, Gpus(None, 3), 2, ("0", "1")),
        (3, Gpus(), 7, ()),
    ],
)
def test_shares(count, wish, num_executors, expected, smi):
    """Each executor has whole GPUs of its own, or one together with others; no more than so many per GPU."""
    smi(listing(count))
    assert gpus.shares(wish, num_executors) == expected


def test_a_local_spark_is_started_with_room_for_all_gpus(smi):
    """Where there are more of them than cores: otherwise it would have a thread for each core, as ever."""
    smi(listing(4))
    assert gpus.threads(Gpus(1), 2) == 4
    assert gpus.threads(Gpus(None, 3), 2) == 12
    assert gpus.threads(Gpus(2), 2) is None
    assert gpus.threads(Gpus(), 2) is None


@pytest.mark.parametrize(
    ("count", "options", "sentence"),
    [
        (
            1,
            {"gpus_per_trial": 2},
            "gpus_per_trial=2 needs at least 2 GPUs, but this machine has 1 (nvidia-smi lists 0)",
        ),
        (
            0,
            {"trials_per_gpu": 2},
            "trials_per_gpu=2 needs at least 1 GPU, but this machine has 0 (nvidia-smi lists none)",
        ),
        (
            4,
            {"gpus_per_trial": 2, "num_executors": 3},
            "num_executors=3, but gpus_per_trial=2 and 4 GPUs (nvidia-smi lists 0, 1, 2, 3) leave room for 2;",
        ),
        (1, {"trials_per_gpu": 2, "num_executors": 3}, "num_executors=3, but trials_per_gpu=2 and 1 GPU (nvidia-smi"),
        (8, {"gpus_per_trial": 0}, "gpus_per_trial=0; it must be at least 1"),
        (8, {"trials_per_gpu": 0.5}, "trials_per_gpu=0.5; it must be a whole number"),
        (8, {"gpus_per_trial": 2, "trials_per_gpu": 2}, "gpus_per_trial=2 and trials_per_gpu=2 contradict each other"),
        (8, {"resource_profile": object()}, "resource_profile is for Spark; with launcher='local' pass gpus_per_trial"),
    ],
)
def test_too_few_gpus_are_a_sentence_and_nothing_is_started(count, options, sentence, smi, tmp_path, monkeypatch):
    """The error has the arithmetic, and comes before a file is made."""
    smi(listing(count))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        experiment.lagom(lambda x: x, SPACE, launcher="local", **options)
    assert list(work.iterdir()) == []


def show(x, trial, reporter, folder, at_once):
    """Write down what this trial may see, and what its process saw from the exec on; then make a mess of it."""
    began = dict(line.partition("=")[::2] for line in Path("/proc/self/environ").read_text().split("\0"))
    reporter.log(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {began.get('CUDA_VISIBLE_DEVICES')}")
    os.environ["CUDA_VISIBLE_DEVICES"] = "a mess"
    if trial == 1:
        os._exit(1)  # the next process of the slot sees the same
    if trial <= at_once + 1:  # these end only when there are as many executors as there should be
        (folder / f"here-{trial}").touch()
        until(lambda: len(list(folder.glob("here-*"))) >= at_once, 30)
    return x


def seen_by(result):
    """Return what the trials of each executor saw."""
    seen = {}
    for trial in result.trials:
        now, began = Path(result.log_dir, str(trial.id), "output.log").read_text().split()
        assert now == began
        seen.setdefault(trial.executor, set()).add(now)
    return seen


@pytest.fixture
def lagom(tmp_path):
    def run(at_once, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "launcher": "local", "quiet": True}
        folder = tmp_path / f"study-{len(list(tmp_path.glob('study-*')))}"
        folder.mkdir()
        given = {"folder": folder, "at_once": at_once}
        return experiment.lagom(show, SPACE, earlystop=None, train_args=given, **places | options)

    return run


def test_trials_see_the_gpus_of_their_slot(lagom, smi):
    """As many executors as there is room for, each with its GPUs from the exec on, whatever the trial before did."""
    smi(listing(5))
    result = lagom(2, gpus_per_trial=2, num_trials=12)
    assert sorted(seen_by(result).values(), key=str) == [{"0,1"}, {"2,3"}]


def test_trials_share_a_gpu(lagom, smi):
    """Two executors for each."""
    smi(listing(1))
    result = lagom(2, trials_per_gpu=2, num_trials=8)
    assert list(seen_by(result).values()) == [{"0"}] * 2


def test_who_asks_for_no_gpus_is_left_alone(lagom, smi, monkeypatch):
    """The environment stays as it is, and nobody is asked."""
    smi("touch $0.asked")
    assert set.union(*seen_by(lagom(1, num_trials=3)).values()) == {"None"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert set.union(*seen_by(lagom(1, num_trials=3)).values()) == {"7"}
    assert not list(Path(os.environ["PATH"].partition(":")[0]).glob("*.asked"))


# -- on Spark: what its settings say -------------------------------------------------------------------------------

TASK = "spark.task.resource.gpu.amount"
EXECUTOR = "spark.executor.resource.gpu.amount"


@pytest.mark.parametrize(
    ("conf", "wish", "sentence"),
    [
        ({}, Gpus(2), "start the session with spark.task.resource.gpu.amount=2, spark.executor.resource.gpu.amount="),
        ({}, Gpus(None, 7), "start the session with spark.task.resource.gpu.amount=0.1428, "),
        (
            {TASK: "1"},
            Gpus(2),
            "gpus_per_trial=2, but Spark gives each task spark.task.resource.gpu.amount=1; it would",
        ),
        (
            {TASK: "1"},
            Gpus(None, 4),
            "trials_per_gpu=4, but Spark gives each task spark.task.resource.gpu.amount=1; it",
        ),
        ({TASK: "0.5"}, Gpus(None, 4), "it would have to be 0.25"),
        ({TASK: "2"}, Gpus(None, 1), "it would have to be 1"),
        ({TASK: "0.5"}, Gpus(1), "it would have to be 1"),
    ],
)
def test_settings_of_a_cluster_that_do_not_do_what_is_asked(conf, wish, sentence):
    """The error names the lines, with the amounts."""
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        gpus.check_cluster("spark://host:7077", conf, wish)


@pytest.mark.parametrize(
    ("conf", "wish"),
    [
        ({}, Gpus()),
        ({TASK: "3"}, Gpus()),
        ({TASK: "2"}, Gpus(2)),
        ({TASK: "0.25"}, Gpus(None, 4)),
        ({TASK: "0.1428"}, Gpus(1, 7)),
        ({TASK: "1"}, Gpus(1, 1)),
    ],
)
def test_settings_of_a_cluster_that_do(conf, wish):
    """Spark rounds down when it counts the tasks that share one."""
    gpus.check_cluster("spark://host:7077", conf, wish)


def test_a_local_master_gives_no_gpus():
    """F16: Spark would accept the setting, and never start a task."""
    gpus.check_local("local[2]", {}, None)
    with pytest.raises(
        ConfigError, match=re.escape("on local[2] Spark would wait for ever for GPUs; leave it out and")
    ):
        gpus.check_local("local[2]", {TASK: "1"}, None)
    with pytest.raises(ConfigError, match=re.escape("resource_profile is for clusters, and this is local[2]: there")):
        gpus.check_local("local[2]", {}, object())


@pytest.mark.parametrize(
    ("task", "executor", "expected"),
    [
        ({"gpu": 0.5, "cpus": 2.0}, {}, {TASK: "0.5", "spark.task.cpus": "2", EXECUTOR: "1"}),
        ({}, {"cores": 4, "memory": 1024}, {TASK: "1", "spark.executor.cores": "4"}),
        ({"cpus": 1.0}, {"cores": 8, "gpu": 4}, {"spark.task.cpus": "1", "spark.executor.cores": "8", EXECUTOR: "4"}),
    ],
)
def test_a_profile_overrules_settings(task, executor, expected):
    """What a profile asks of tasks or executors replaces all the resources that the settings ask of them."""
    builder = ResourceProfileBuilder()
    tasks, executors = TaskResourceRequests(), ExecutorResourceRequests()
    for name, amount in task.items():
        tasks.cpus(int(amount)) if name == "cpus" else tasks.resource(name, amount)
    for name, amount in executor.items():
        if name == "gpu":
            executors.resource(name, amount)
        else:
            getattr(executors, name)(amount if name == "cores" else f"{amount}m")
    profile = builder.require(tasks).require(executors).build
    found = gpus.overruled({TASK: "1", EXECUTOR: "1", "spark.app.name": "x"}, profile)
    assert {key: value for key, value in found.items() if "memory" not in key} == {**expected, "spark.app.name": "x"}
    assert gpus.overruled({TASK: "1"}, None) == {TASK: "1"}
