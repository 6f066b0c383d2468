"""A driver with real executors and a store in a file, in parts: a test can look at each while something fails."""

import os
import secrets
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import cloudpickle
import pytest

import maggy
from maggy import Float, Searchspace
from maggy.driver.asker import InlineAsker
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.local import LocalLauncher
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler, Terms
from maggy.driver.server import Server
from maggy.events import Reported, StudyOpened
from maggy.executor.line import Ticket
from maggy.executor.worker import run_slot
from maggy.optimizers import RandomSearch
from maggy.store import Owner, open_store
from maggy.study import Study
from maggy.testing.logcheck import check_log

STEPS = 100
ROOT = Path(maggy.__file__).parents[1]


def train_fn(x, reporter, progress, steps):
    import time
    from pathlib import Path

    for step in range(steps):
        reporter.broadcast(x, step=step)
        Path(progress, str(reporter.trial)).write_text(str(step))
        time.sleep(0.02)
    return x


class Driving:
    """A study `s` in the file `path`; `launch` starts its executors, whose trials note their steps in `progress`."""

    def __init__(self, path, progress, *, trials=4, steps=STEPS, watchers=(), logs=None, clock=None, **terms):
        self.store = open_store(path)
        self.progress = progress
        self.steps = steps
        self.owner = Owner.current()
        now = time.time()
        self.store.create("s", now)
        self.store.claim("s", self.owner, now)
        settings = {"name": "s", "num_trials": trials, "searchspace": Searchspace(x=Float(0, 1)).to_dict()}
        self.store.append("s", 0, [StudyOpened(now, settings)])
        self.logs = logs or TrialLogs(None, verbose=False)
        self.journal = Journal(self.store, "s", self.owner, 1, [self.logs, *watchers])
        self.server = Server(
            Scheduler(Study.of(self.store.read("s")), Terms(**terms)),
            secret=secrets.token_bytes(32),
            asker=InlineAsker(RandomSearch(), 0),
            journal=self.journal,
            logs=self.logs,
            clock=clock or Clock(),
        )
        self.launcher = LocalLauncher()
        self.closed = False

    def launch(self, count=2, function=train_fn, **arguments):
        """Listen, and start so many executors."""
        ticket = Ticket("127.0.0.1", self.server.start("127.0.0.1"), "1", self.server.secret)
        arguments = arguments or {"progress": str(self.progress), "steps": self.steps}
        self.launcher.start(partial(run_slot, ticket, cloudpickle.dumps((function, arguments))), count)
        return self

    def until(self, condition, seconds=60):
        """Wait for what the driver brings about; `condition` is given the scheduler's fold."""
        wait(lambda: condition(self.server.scheduler.study), seconds)

    def reached(self):
        """Return the steps that running trials have reached, by trial, whatever the driver knows of them."""
        found = {int(file.name): file.read_text() for file in Path(self.progress).iterdir()}
        if not all(found.values()):
            return self.reached()  # one is being written
        return {trial: int(step) for trial, step in found.items()}

    @property
    def log(self):
        return list(self.store.read("s"))

    def complete(self):
        """Check the log: every trial reported each step once, in order, at its first attempt."""
        log = self.log
        study = check_log(log)
        for trial in study.trials.values():
            steps = [event.step for event in log if isinstance(event, Reported) and event.trial == trial.id]
            assert steps == list(range(self.steps))
            assert (trial.status, trial.attempt) == ("completed", 1)
        assert study.closed == "done"
        return study

    def lives(self):
        """Return the driver's side of every conversation."""
        return list(self.server._roll._lives.values())

    @contextmanager
    def lag(self):
        """Give the list of how late the driver's event loop was, looked at every 10 ms."""
        late, ends = [], threading.Event()

        def look():
            while not ends.wait(0.01):
                began, called = time.monotonic(), threading.Event()
                self.server._loop.call_soon_threadsafe(called.set)
                called.wait(30)
                late.append(time.monotonic() - began)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield late
        finally:
            ends.set()
            thread.join()

    def close(self):
        if self.closed:
            return
        self.closed = True
        self.launcher.finish(2.0)
        self.server.stop()
        self.logs.close(2.0)
        self.store.close()


def p99(figures):
    return statistics.quantiles(figures, n=100)[98]


def wait(condition, seconds=60):
    """Wait for something that other threads or processes bring about."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        threading.Event().wait(0.01)


def python(code, *arguments, **options):
    """Start a process that runs the code; what it prints can be read line by line."""
    command = [sys.executable, "-u", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment, **pipes, **options)


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("held")
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""


@contextmanager
def locked(path):
    """Have another process hold the database."""
    with python(LOCK, path) as other:
        try:
            assert other.stdout.readline() == "held\n"
            yield
        finally:
            other.communicate("\n", timeout=30)


@contextmanager
def small_disk(folder, size="12m"):
    """Mount a disk of that size; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Take all room that is left on a disk; return the file that has it."""
    file = Path(folder, "fills-the-disk")
    with file.open("ab", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(b"x" * 4096)
    return file
