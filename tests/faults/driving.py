"""A driver with real executors and a store in a file, processes that do as told, and disks and locks that fail."""

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from served import Served

import maggy
from maggy.store import open_store

ROOT = Path(maggy.__file__).parents[1]


def train_fn(x, reporter, progress, steps):
    import time
    from pathlib import Path

    with Path(progress, str(reporter.trial)).open("a", buffering=1) as file:
        for step in range(steps):
            reporter.broadcast(x, step=step)
            file.write(f"{step}\n")
            time.sleep(0.02)
    return x


class Driving(Served):
    """A study in the file `path`; `launch` starts its executors, whose trials note their steps in `progress`."""

    def __init__(self, path, progress, *, steps=100, **options):
        super().__init__(store=open_store(path), **options)
        self.progress = progress
        progress.mkdir(exist_ok=True)
        self.steps = steps

    def launch(self, function=train_fn, count=2, **arguments):
        """Listen, and start so many executors."""
        self.listen()
        super().launch(function, arguments or {"progress": str(self.progress), "steps": self.steps}, count)
        return self

    def reached(self):
        """Return the steps that running trials have reached, by trial, whatever the driver knows of them."""
        found = {int(file.name): file.read_text().split() for file in self.progress.iterdir()}
        return {trial: int(steps[-1]) for trial, steps in found.items() if steps}

    def complete(self):
        """Check the log, as `Served.complete` does."""
        return super().complete(self.steps)

    def lives(self):
        """Return the driver's side of every conversation."""
        return list(self.server._roll._lives.values())


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
