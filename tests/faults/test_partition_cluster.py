"""F6, F7, F8: a standalone cluster of three workers, each on a host of its own, one of which is cut off for a while.

Hosts are network namespaces on a bridge; the driver is at the bridge, and talks TLS with its executors.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pyspark
import pytest
from namespaces import Network, why_not
from nemesis import MARK, Driver, acknowledged, alive, audit, audit_end, command, parent, read_log, undisturbed
from waiting import until

from maggy.events import Ended, Lost, Started

REASON = why_not()
pytestmark = [
    pytest.mark.spark,
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
LEASE = 3.0
SILENCE = LEASE + 1.8
GONE = 24  # seconds after which Spark gives an executor, or a worker, up
SETTINGS = {
    "spark.network.timeout": f"{GONE}s",
    "spark.network.timeoutInterval": "5s",
    "spark.executor.heartbeatInterval": "2s",
    "spark.executor.memory": "512m",
    "spark.ui.enabled": "false",
}


class Cluster:
    """A master at the bridge and a worker with one core on each host."""

    def __init__(self, folder, network):
        self.network = network
        self._folder = folder
        self._home = folder / "spark"
        self._home.mkdir()
        for part in Path(pyspark.__file__).parent.iterdir():
            if part.name != "work":
                (self._home / part.name).symlink_to(part)
        self._processes = []
        master = ["--host", network.address, "--port", "0", "--webui-port", "0"]
        timeout = {"SPARK_MASTER_OPTS": f"-Dspark.worker.timeout={GONE}"}
        self.url = self._ready(self._start("Master", [], master, timeout), r"Starting Spark master at (\S+)")
        logs = [self._start("Worker", network.inside(host), self._worker(host), {}) for host in network.hosts]
        for log in logs:
            self._ready(log, r"Successfully registered with master (\S+)")

    def _worker(self, host):
        where = self._folder / f"work-{host}"
        options = ["--host", host, "--cores", "1", "--memory", "600m", "--webui-port", "0", "--work-dir", str(where)]
        return [*options, self.url]

    def _start(self, what, prefix, options, more):
        log = self._folder / f"{what}-{len(self._processes)}.log"
        environment = {**os.environ, "SPARK_HOME": str(self._home), "SPARK_NO_DAEMONIZE": "1", MARK: "cluster", **more}
        words = [self._home / "bin" / "spark-class", f"org.apache.spark.deploy.{what.lower()}.{what}", *options]
        with log.open("wb") as out:
            self._processes.append(subprocess.Popen([*prefix, *words], stdout=out, stderr=out, env=environment))
        return log

    def _ready(self, log, line):
        until(lambda: re.search(line, log.read_text(errors="replace")), 120)
        return re.search(line, log.read_text(errors="replace"))[1]

    def agents(self, host):
        """Return the agents with a trial's process on a host."""
        inside = subprocess.run(
            ["ip", "netns", "pids", self.network.inside(host)[-1]], capture_output=True, text=True, check=True
        )
        pids = {int(pid) for pid in inside.stdout.split() if "maggy.executor.child" in command(int(pid))}
        return {parent(pid) for pid in pids if alive(pid)} - pids - {1}  # a guard is its trial's parent

    def close(self):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    network = Network(3)
    try:
        found = Cluster(tmp_path, network)
        yield found
        found.close()
    finally:
        network.close()


@pytest.fixture
def driver(cluster, tmp_path, monkeypatch):
    """Give a driver of a study that is long enough, all of whose executors work."""
    conf = tmp_path / "conf"
    conf.mkdir()
    settings = SETTINGS | {"spark.driver.host": cluster.network.address}
    (conf / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    monkeypatch.setenv("SPARK_CONF_DIR", str(conf))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    options = {
        "folder": str(tmp_path),
        "optimizer": "randomsearch",
        "num_trials": 450,
        "seed": 5,
        "launcher": "spark",
        "master": cluster.url,
        "executors": 3,
        "lease": LEASE,
        "pace": 30.0,
    }
    found = Driver(options, "partition")
    found.options = options
    yield found
    if found.running:
        found.kill()
    print(found.said()[-3000:])


def test_f06_f07_f08_a_worker_is_cut_off(cluster, driver, tmp_path):
    """F6: for less than the lease: nothing is lost. F7: for longer, F8: for longer than Spark waits: one trial is.

    The trial runs again elsewhere, the slot is used again soon, and it has one agent.
    """

    def log():
        store = tmp_path / "maggy.db"
        return read_log(store) if store.exists() else []

    def lost():
        """Return the attempts that were lost to something: a trial that waits behind a slow one is taken back, too."""
        return [event for event in log() if isinstance(event, Lost) and event.counts]

    def executors(since):
        return {event.executor for event in log() if isinstance(event, Started) and event.at > since}

    def cut(host, seconds):
        before = cluster.agents(host)
        cluster.network.link(host, up=False)
        time.sleep(seconds)
        cluster.network.link(host, up=True)
        return before

    until(lambda: not driver.running or all(cluster.agents(host) for host in cluster.network.hosts), 240)
    first, second, third = cluster.network.hosts

    cut(first, LEASE - 0.5)
    time.sleep(SILENCE)
    assert lost() == []

    (zombie,) = cut(second, SILENCE + 3)
    healed = time.time()
    took = until(lambda: any(f"-{zombie}-" in name for name in executors(healed)), 60)
    assert len(lost()) == 1
    print(f"F7: the slot is used again {took:.2f} s after the heal")

    cut(third, 2 * GONE + 4)
    healed = time.time()
    took = until(lambda: any(cluster.agents(third) & {int(name.split("-")[-2])} for name in executors(healed)), 60)
    print(f"F8: the slot is used again {took:.2f} s after the heal")
    took = until(lambda: all(len(cluster.agents(host)) <= 1 for host in cluster.network.hosts), 60)
    print(f"F8: no host has more than one agent {took:.2f} s later")
    assert len(lost()) == 2

    assert driver.wait(120) == 0
    events = log()
    wrong = audit(events, acknowledged(tmp_path, "randomsearch"), [])
    assert not any(wrong.values()), wrong
    assert audit_end(events, undisturbed(driver.options)) == []
    assert {event.status for event in events if isinstance(event, Ended)} == {"completed"}
