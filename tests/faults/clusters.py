"""Spark in several shapes for tests of faults: each in a JVM of its own, so that tests may kill it."""

import contextlib
import os
import subprocess
from pathlib import Path

import pyspark
import pytest
from pyspark import SparkContext
from waiting import until

from maggy.driver.sparksession import _drop_gateway, spark_session

CLUSTER = "local-cluster[2,1,1024]"


def spark_home(folder):
    """Make a SPARK_HOME of links: executors of clusters write into its `work`, whatever else they are told."""
    folder.mkdir(parents=True)
    for part in Path(pyspark.__file__).parent.iterdir():
        if part.name != "work":
            (folder / part.name).symlink_to(part)
    return folder


@contextlib.contextmanager
def session(folder, master, **conf):
    """Give a session on `master` that maggy starts, with these settings (`__` stands for a dot), in a new JVM."""
    with pytest.MonkeyPatch.context() as patch:
        SparkContext._active_spark_context is None or SparkContext._active_spark_context.stop()
        _drop_gateway()
        patch.setenv("MASTER", master)
        patch.setenv("SPARK_HOME", str(spark_home(folder / "spark")))
        patch.setenv("SPARK_CONF_DIR", str(folder))
        lines = [f"{key.replace('__', '.')} {value}\n" for key, value in conf.items()]
        (folder / "spark-defaults.conf").write_text("".join(lines))
        started = spark_session()
        assert started.sparkContext.master == master
        try:
            yield started
        finally:
            with contextlib.suppress(Exception):  # a test may have killed its JVM
                started.stop()
            _drop_gateway()


class Standalone:
    """A standalone cluster on this machine, whose workers come when they are told to."""

    def __init__(self, folder):
        self._folder = folder
        self._home = spark_home(folder / "standalone")
        self._processes = []
        self.url = self._start("Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")

    def worker(self, host="127.0.0.1", cores=1):
        """Add a worker; workers with addresses of their own are machines of their own to Spark."""
        where = self._folder / f"work-{len(self._processes)}"
        options = ["--host", host, "--cores", str(cores), "--memory", "1g", "--webui-port", "0", "--work-dir", where]
        self._start("Worker", *map(str, options), self.url)

    def _start(self, what, *options):
        """Start a daemon of Spark's and return the last word of the line that says that it is up."""
        log = self._folder / f"{what}-{len(self._processes)}.log"
        with log.open("wb") as out:
            command = [self._home / "bin" / "spark-class", f"org.apache.spark.deploy.{what.lower()}.{what}", *options]
            environment = os.environ | {"SPARK_HOME": str(self._home), "SPARK_NO_DAEMONIZE": "1"}
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        self._processes.append(process)
        ready = {"Master": "Starting Spark master at ", "Worker": "Successfully registered with master "}[what]
        until(lambda: process.poll() is not None or ready in log.read_text(errors="replace"))
        line = next(line for line in log.read_text(errors="replace").splitlines() if ready in line)
        return line.partition(ready)[2].split()[0]

    def close(self):
        """End all daemons; workers take their executors along."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()


def parent(pid):
    """Return the number of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
