"""GPUs that Spark assigns, on a cluster in one JVM whose workers believe to have some: a script lists them."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyspark
import pytest

pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]  # several studies, in a JVM of its own

PRELUDE = """
import os, sys, tempfile, time
from pathlib import Path
import cloudpickle
from maggy import Float, experiment
from maggy.driver.sparksession import spark_session
from maggy.errors import ConfigError, LauncherError

def show(x, reporter, trial, folder, at_once):
    began = dict(line.partition("=")[::2] for line in Path("/proc/self/environ").read_text().split("\\0"))
    assert began.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")
    reporter.log(os.environ.get("CUDA_VISIBLE_DEVICES"))
    os.environ["CUDA_VISIBLE_DEVICES"] = "a mess"
    if trial <= at_once:  # the first ones end only when there are as many executors as there should be
        Path(folder, str(trial)).touch()
        until = time.monotonic() + 40
        while len(os.listdir(folder)) < at_once and time.monotonic() < until:
            time.sleep(0.01)
    return x

def seen(at_once=1, **options):
    folder = tempfile.mkdtemp(dir=".")
    given = {"folder": os.path.abspath(folder), "at_once": at_once}
    options = {"num_trials": 8, "earlystop": None, "store": "maggy.db", "quiet": True, "train_args": given} | options
    result = experiment.lagom(show, {"x": Float(0, 1)}, **options)
    assert [t.status for t in result.trials] == ["completed"] * len(result.trials), [t.error for t in result.trials]
    found = {}
    for trial in result.trials:
        said = Path(result.log_dir, str(trial.id), "output.log").read_text().strip()
        found.setdefault(trial.executor, set()).add(said)
    return sorted(map(sorted, found.values()))

def refused(**options):
    try:
        seen(**options)
    except ConfigError as error:
        return str(error)

spark = spark_session()
"""


@pytest.fixture
def python(tmp_path):
    """Run code in a new Python, on a Spark of this master with these settings; return what it shows, as JSON."""
    home = tmp_path / "spark"
    home.mkdir()
    for part in Path(pyspark.__file__).parent.iterdir():  # local-cluster writes into SPARK_HOME/work
        if part.name != "work":
            (home / part.name).symlink_to(part)
    discovery = tmp_path / "gpus.sh"
    discovery.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["0", "1"]}\'\n')
    discovery.chmod(0o755)

    def run(master, code, **conf):
        lines = [f"spark.{key.replace('__', '.')} {value}\n" for key, value in conf.items()]
        (tmp_path / "spark-defaults.conf").write_text("".join(lines).replace("DISCOVERY", str(discovery)))
        code = PRELUDE + textwrap.dedent(code) + "\nspark.stop()\n"
        clean = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        done = subprocess.run(
            [sys.executable, "-c", "import json\n" + code],
            cwd=tmp_path,
            env=clean | {"MASTER": master, "SPARK_HOME": str(home), "SPARK_CONF_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


CLUSTER = {
    "worker__resource__gpu__amount": 2,
    "worker__resource__gpu__discoveryScript": "DISCOVERY",
    "executor__resource__gpu__amount": 2,
    "executor__resource__gpu__discoveryScript": "DISCOVERY",
}


def test_trials_see_the_gpus_of_their_task(python):
    """F16: a GPU each, asked for or not; what was asked for is compared with the settings; profiles overrule them."""
    code = """
        print(json.dumps(seen(2, gpus_per_trial=1)))
        print(json.dumps(seen(2, num_trials=4)))
        print(json.dumps(refused(gpus_per_trial=2)))
        print(json.dumps(refused(trials_per_gpu=2)))
        print(json.dumps(refused(resource_profile=3)))
        from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests
        both = ResourceProfileBuilder().require(TaskResourceRequests().cpus(1).resource("gpu", 2)).build
        print(json.dumps(seen(gpus_per_trial=2, resource_profile=both)))
        half = ResourceProfileBuilder().require(TaskResourceRequests().cpus(1).resource("gpu", 0.5)).build
        print(json.dumps(seen(2, trials_per_gpu=2, resource_profile=half)))
        from pyspark.resource import ExecutorResourceRequests
        other = ResourceProfileBuilder().require(ExecutorResourceRequests().cores(1)).build
        print(json.dumps(refused(resource_profile=other)))
    """
    each, unasked, too_many, too_few, nonsense, both, half, other = python(
        "local-cluster[1,2,1024]", code, **CLUSTER, task__resource__gpu__amount=1
    )
    assert each == unasked == [["0"], ["1"]]
    assert "Spark gives each task spark.task.resource.gpu.amount=1; it would have to be 2" in too_many
    assert "it would have to be 0.5" in too_few
    assert "resource_profile is of type int" in nonsense
    assert both == [["0,1"]]
    assert half in ([["0"], ["0"]], [["0"], ["1"]])
    assert other.startswith("Spark refuses this resource_profile: ResourceProfiles are only supported on YARN and ")


def test_f16_a_local_master_shares_out_gpus_itself(python):
    """F16: its tasks would never start with Spark's settings; maggy's own do the same there."""
    code = """
        os.environ["CUDA_VISIBLE_DEVICES"] = "4,5"
        print(json.dumps(seen(2, gpus_per_trial=1)))
        print(json.dumps(seen(4, trials_per_gpu=2)))
        from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests
        both = ResourceProfileBuilder().require(TaskResourceRequests().resource("gpu", 2)).build
        print(json.dumps(refused(resource_profile=both)))
    """
    each, shared, profile = python("local[4]", code)
    assert each == [["4"], ["5"]]
    assert shared == [["4"], ["4"], ["5"], ["5"]]
    assert "resource_profile is for clusters, and this is local[4]" in profile


def test_f16_gpu_settings_on_a_local_master_are_refused(python):
    """F16: Spark would accept them, and wait for ever."""
    conf = {"executor__resource__gpu__amount": 1, "task__resource__gpu__amount": 1}
    (told,) = python("local[2]", "print(json.dumps(refused()))", **conf)
    assert "spark.task.resource.gpu.amount=1 is for clusters: on local[2] Spark would wait for ever for GPUs" in told
