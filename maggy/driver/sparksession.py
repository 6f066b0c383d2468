"""Gets the Spark session to run on, or starts a silent local one; reads slots and addresses from it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from maggy.driver.java import ensure_java
from maggy.driver.local import loopback
from maggy.errors import LauncherError

_CONNECT = (
    "maggy runs on classic Spark sessions for now, and this one is Spark Connect, which hides the executors: "
    "call it where the driver runs, with spark-submit or without SPARK_REMOTE"
)
_LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",  # it listens on every interface
    "spark.python.worker.faulthandler.enabled": "true",  # a segfault then carries its Python traceback
}
ANY_CORE = "local[*]"  # what the JVM takes for the master where nobody has named one
_UNBOUNDED = 2**31 - 1  # Spark's own "infinity" for dynamicAllocation.maxExecutors
_warned: set[str] = set()  # applications whose user knows that they are exposed
_starting = threading.Lock()  # studies may start side by side; a second SparkContext would be an error


def spark_session(threads: int | None = None) -> SparkSession:
    """Return the running session; where there is none, start one as the environment says, else a local one.

    A local one has as many task slots as `threads`, or as there are cores.

    One that we start is silent: what its JVM prints goes to a file without a name, and into the error if it dies.

    Raises:
        LauncherError: the session is Spark Connect, there is no Java, or Spark did not start.

    """
    with _starting:
        context = SparkContext._active_spark_context  # noqa: SLF001 - the public way, getOrCreate, would create one
        if is_remote() or (context is None and "SPARK_REMOTE" in os.environ):
            raise LauncherError(_CONNECT)
        if context is not None:
            return _running(context)
        if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit has started the JVM and knows master and conf
            return _classic(SparkSession.builder.getOrCreate())
        return _start(threads)


def is_local(spark: SparkSession) -> bool:
    """Tell whether driver and executor are one JVM (`local`, `local[N]`; not `local-cluster`)."""
    return _is_local(spark.sparkContext.master)


def slots(spark: SparkSession, conf: Mapping[str, str] | None = None) -> int:
    """Return how many tasks can run at once, counting executors that are still to come.

    `conf` is what holds for them where that is not what `settings` says.
    """
    context = spark.sparkContext
    return count_slots(context.master, settings(spark) if conf is None else conf, context.defaultParallelism)


def settings(spark: SparkSession) -> dict[str, str]:
    """Return the configuration of the application."""
    return dict(spark.sparkContext.getConf().getAll())


def driver_address(spark: SparkSession) -> tuple[str, str]:
    """Return the address to bind and the one to tell executors: those that Spark's own driver uses.

    Where that is one of IPv6, Spark has it in brackets.
    """
    if is_local(spark):
        return loopback(), loopback()
    conf = spark.sparkContext.getConf()
    host = str(conf.get("spark.driver.host"))
    bind = str(conf.get("spark.driver.bindAddress", host))
    return bind.strip("[]"), host.strip("[]")


def check_cores(spark: SparkSession) -> None:
    """Raise `LauncherError` where a local session can never run a task: Spark itself would say nothing, and wait."""
    context = spark.sparkContext
    if flaw := no_cores(context.master, settings(spark), context.defaultParallelism):
        raise LauncherError(flaw)


def no_cores(master: str, conf: Mapping[str, str], parallelism: int) -> str | None:
    """Say why no task can ever start on a local master, or None."""
    cores, needed = _local_cores(master, conf, parallelism), int(conf.get("spark.task.cpus", "1"))
    if needed > cores:
        return f"no task can start: spark.task.cpus={needed}, and {master} has {cores}; set it to {cores} or less"
    return None


def exposed(spark: SparkSession) -> str | None:
    """Say what Spark itself gives away, once for each application; None where it does not, or nothing leaves the JVM.

    Spark's own settings protect its connections; maggy cannot, and only its own are safe by themselves.
    """
    context = spark.sparkContext
    if is_local(spark) or context.getConf().get("spark.authenticate", "false") == "true":
        return None
    with _starting:
        if context.applicationId in _warned:
            return None
        _warned.add(context.applicationId)
    return (
        f"Spark runs on {context.master} with spark.authenticate=false, so whoever reaches its ports on your network "
        "can read what it sends to executors, this study's secret and training function too, and run code there; "
        "set spark.authenticate and spark.network.crypto.enabled to true where you don't trust everybody"
    )


def count_slots(master: str, conf: Mapping[str, str], parallelism: int) -> int:
    """Return the number of tasks that fit on this master at once, at least 1.

    `parallelism` is Spark's `defaultParallelism`, the cores that it knows of: the last resort, because on a cluster it
    says 2 until executors have registered.
    """
    task_cpus = int(conf.get("spark.task.cpus", "1"))
    if _is_local(master):
        return max(1, _local_cores(master, conf, parallelism) // task_cpus)
    if cluster := re.fullmatch(r"local-cluster\[\s*(\d+)\s*,\s*(\d+)\s*,.*]", master):
        executors, cores = int(cluster[1]), int(conf.get("spark.executor.cores", cluster[2]))
    else:
        executors, cores = _executors(master, conf)
    if not executors or not cores:
        return max(1, int(conf.get("spark.cores.max", parallelism)) // task_cpus)
    return max(1, executors * min([cores // task_cpus, *_resource_slots(conf)]))


def _executors(master: str, conf: Mapping[str, str]) -> tuple[int, int]:
    """Return executors and cores of each, 0 where the configuration leaves it open."""
    standalone = master.startswith("spark://")  # there an executor takes all cores of its worker unless told otherwise
    cores = int(conf.get("spark.executor.cores", "0" if standalone else "1"))
    if conf.get("spark.dynamicAllocation.enabled", "false") == "true":
        executors = int(conf.get("spark.dynamicAllocation.maxExecutors", _UNBOUNDED))
        return (0 if executors == _UNBOUNDED else executors), cores
    return int(conf.get("spark.executor.instances", "0" if standalone else "2")), cores


def _resource_slots(conf: Mapping[str, str]) -> Iterator[int]:
    """Give for each resource that tasks ask for (`gpu`) how many of them one executor can serve."""
    for key, value in conf.items():
        if resource := re.fullmatch(r"spark\.task\.resource\.(.+)\.amount", key):
            held, needed = int(conf.get(f"spark.executor.resource.{resource[1]}.amount", "0")), float(value)
            # Tasks share one address (0.5 each) or take whole ones (2 each), never one and a half.
            yield held * int(1 / needed) if needed < 1 else held // int(needed)


def _local_cores(master: str, conf: Mapping[str, str], parallelism: int) -> int:
    threads = re.fullmatch(r"local\[\s*(\d+|\*)\s*(?:,.*)?]", master)
    if threads is None:
        return 1
    if threads[1] != "*":
        return int(threads[1])
    # The JVM counts cores as its container allows, os.cpu_count() those of the machine.
    return os.cpu_count() or 1 if "spark.default.parallelism" in conf else parallelism


def _is_local(master: str) -> bool:
    return master == "local" or master.startswith("local[")


def _running(context: SparkContext) -> SparkSession:
    """Return the session of this thread, or for a thread that has none the one of the application."""
    try:
        return _classic(SparkSession.getActiveSession() or SparkSession(context))
    except (Py4JError, OSError) as error:
        raise LauncherError(f"the Spark session of this process has died, so restart Python: {error}") from error


def _classic(session: SparkSession) -> SparkSession:
    try:
        session.sparkContext  # noqa: B018 - Connect sessions, also those of other vendors, raise here
    except PySparkException as error:
        raise LauncherError(_CONNECT) from error
    return session


def _start(threads: int | None) -> SparkSession:
    """Start Spark: the JVM first, for it alone knows what spark-defaults.conf, MASTER and PYSPARK_SUBMIT_ARGS say."""
    # The first Java call imports pyspark.testing, which says this of pandas 3 whether or not pandas is used.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    with tempfile.TemporaryFile() as log:
        try:
            gateway = SparkContext._gateway or _launch(log)  # noqa: SLF001 - a stopped session leaves its JVM behind
            context = SparkContext(conf=_configure(SparkConf(_jvm=gateway.jvm), threads), gateway=gateway)
            session = SparkSession(context)
        except (PySparkException, Py4JError, OSError) as error:
            if half := SparkContext._active_spark_context:  # noqa: SLF001 - its cluster has refused it
                half.stop()
            raise LauncherError(f"Spark did not start: {_reason(error)}{_last_lines(log)}") from error
        except BaseException:  # Ctrl-C: a context half made in the JVM would stand in the way of the next one
            _drop_gateway()
            raise
    if context.master.startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable  # else the `python3` on PATH, which need not be ours
    return session


def _drop_gateway() -> None:
    gateway, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway, None, None  # noqa: SLF001
    SparkContext._active_spark_context = None  # noqa: SLF001
    if gateway is not None:
        with contextlib.suppress(Py4JError, OSError):
            gateway.shutdown()
        gateway.proc.kill()
        gateway.proc.stdin.close()
        gateway.proc.wait()


def _launch(log: IO[bytes]) -> JavaGateway:
    """Start the JVM with stdout and stderr in `log`.

    No log4j setting would do: the launcher script, the JVM and log4j itself print before any setting is read.
    """
    ensure_java()
    # On a thread of its own, which no Ctrl-C reaches: a JVM whose launch is broken off would never end.
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(launch_gateway, popen_kwargs={"stdout": log, "stderr": log})
        try:
            return launch.result()
        except BaseException:
            if launch.exception() is None:  # waits until there is a JVM to kill
                launch.result().proc.kill()
            raise


def _configure(conf: SparkConf, threads: int | None) -> SparkConf:
    """Fill in what the environment left open; `spark.master` is always there, `local[*]` if nobody named one."""
    if conf.get("spark.app.name", "pyspark-shell") == "pyspark-shell":
        conf.setAppName("maggy")
    conf.set("spark.ui.showConsoleProgress", "false")
    if threads is not None and conf.get("spark.master") == ANY_CORE:
        conf.setMaster(f"local[{threads}]")
    if _is_local(conf.get("spark.master")):
        for key, value in _LOCAL.items():
            conf.setIfMissing(key, value)
    return conf


def _reason(error: Exception) -> str:
    text = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
    return str(text).partition("\n")[0]


def _last_lines(log: IO[bytes]) -> str:
    """Return what the JVM said last, without the frames of its stack traces."""
    # pread, because to seek would move the place at which a JVM that lives goes on writing: it has the same open file.
    size = os.fstat(log.fileno()).st_size
    text = os.pread(log.fileno(), 16_384, max(0, size - 16_384)).decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("\tat ", "\t... "))]
    return "; its last lines were:\n" + "\n".join(lines[-12:]) if lines else ""
