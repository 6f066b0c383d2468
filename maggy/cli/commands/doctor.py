"""`maggy doctor`: what lagom needs, and whether it is here."""

from __future__ import annotations

import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from maggy.cli.options import named_store, query, say
from maggy.errors import MaggyError, amount
from maggy.store import open_reader
from maggy.version import VERSION

OLDEST = (3, 11)


@dataclass(frozen=True)
class Finding:
    """What was looked at and found; `ok` is None where it is no must. `remedy` says what to do."""

    what: str
    ok: bool | None
    found: str
    remedy: str = ""


@click.command(epilog="Example: maggy doctor --spark")
@click.option("-spark", "--spark", is_flag=True, help="Start a local Spark as well, and run a task on it.")
@query
def command(spark: bool, as_json: bool) -> None:
    """Look whether all is here that a study needs.

    Says what works, what does not, and what to do. Exit code 1 where something is missing without which
    experiment.lagom does not run.
    """
    found = []
    for check in (_python, _java, _spark, _libraries, _port, _store, _logs):
        found += list(check())
    if spark and all(finding.ok is not False for finding in found):
        found += list(_started())
    if as_json:
        say([vars(finding) for finding in found])
    else:
        for finding in found:
            mark = {True: "ok", False: "NO", None: "--"}[finding.ok]
            click.echo(f"{mark} {finding.what + ':':8} {finding.found}")
            if finding.remedy:
                click.echo(f"            {finding.remedy}")
    if any(finding.ok is False for finding in found):
        sys.exit(1)


def _python() -> Iterator[Finding]:
    system = f"{platform.python_version()} on {platform.system()} ({platform.machine()}), maggy {VERSION}"
    if platform.system() == "Windows":
        yield Finding("Python", False, system, "maggy runs on Linux and macOS: use WSL")
    elif sys.version_info < OLDEST:
        yield Finding("Python", False, system, "maggy needs Python 3.11 or later")
    else:
        yield Finding("Python", True, system)


def _java() -> Iterator[Finding]:
    from maggy.driver.java import java_home

    try:
        home = java_home()
    except MaggyError as error:
        yield Finding("Java", False, str(error).partition(":")[0], f"{error}; launcher='local' needs none")
        return
    yield Finding("Java", True, f"at {home}" if home else "the one on PATH")


def _spark() -> Iterator[Finding]:
    try:
        import pyspark
    except ModuleNotFoundError:
        yield Finding("Spark", False, "no pyspark", "`pip install 'pyspark>=3.5,<5'`; launcher='local' needs none")
        return
    version = str(pyspark.__version__)
    fits = (3, 5) <= tuple(map(int, version.split(".")[:2])) < (5, 0)
    yield Finding("Spark", fits, f"pyspark {version}", "" if fits else "`pip install 'pyspark>=3.5,<5'`")


def _libraries() -> Iterator[Finding]:
    from importlib.util import find_spec

    needed = ("cloudpickle", "cryptography", "numpy", "scipy", "sklearn", "sqlalchemy", "tensorboardX", "rich")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        names = " ".join(missing).replace("sklearn", "scikit-learn")
        yield Finding("packages", False, f"without {', '.join(missing)}", f"`pip install {names}`")
    else:
        yield Finding("packages", True, "all there")


def _port() -> Iterator[Finding]:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
            pass
    except OSError as error:
        yield Finding(
            "ports", False, f"no connection on 127.0.0.1: {error}", "allow connections on the loopback interface"
        )
        return
    host = socket.gethostname()
    try:
        address = socket.gethostbyname(host)
    except OSError:
        remedy = "on a cluster set spark.driver.host to an address that executors reach"
        yield Finding("ports", None, f"127.0.0.1 works; {host} has no address", remedy)
        return
    yield Finding("ports", True, f"127.0.0.1 works; {host} is {address}")


def _store() -> Iterator[Finding]:
    try:
        with closing(open_reader(named_store())) as reader:
            yield Finding("store", True, f"{reader}, {amount(len(reader.studies()), 'study', 'studies')}")
    except MaggyError as error:
        absent = "there is no store" in str(error) or "is empty" in str(error)
        yield Finding("store", None if absent else False, "none yet; a study makes one" if absent else str(error))


def _logs() -> Iterator[Finding]:
    here = Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=here):
            pass
    except OSError as error:
        yield Finding(
            "folder", None, f"{here} cannot be written: {error}", "name store= and log_dir=, or work elsewhere"
        )
    else:
        yield Finding("folder", True, f"{here} can be written")


def _started() -> Iterator[Finding]:
    """Start a session as lagom does, and run one task."""
    from maggy.driver.sparksession import spark_session

    task: Callable[[int], int] = abs
    try:
        session = spark_session(1)
        answer = session.sparkContext.parallelize([-7], 1).map(task).collect()
        session.stop()
    except Exception as error:  # noqa: BLE001 - whatever Spark and Java raise
        yield Finding("task", False, f"{type(error).__name__}: {error}".partition("\n")[0], "see the lines above")
    else:
        yield Finding("task", answer == [7], "a task ran on a local Spark")
