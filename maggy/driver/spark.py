"""The Spark launcher: each slot is a one-task job, all under one job group, no barrier.

Spark runs a second copy of a task that seems slow (`spark.speculation`). A job of one task has no other to be slower
than, so it gets a copy only under `spark.speculation.task.duration.threshold`. A copy is welcome: it joins as an
executor of its own. But the first of the two to return is the task's result, and the other is killed in the middle of
its trial. So where there may be copies none returns before it is sent home with nothing left to do: one that could not
join tries again, and so does one that was fenced and finds its slot taken, by its copy.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import InheritableThread, SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.resource import ResourceProfile

from maggy.driver.launcher import NO_DRIVER, Cancelled, Gone, SlotLauncher, Taken, Task
from maggy.driver.leases import Lease
from maggy.driver.roll import TAKEN
from maggy.errors import ConfigError, LauncherError, last_line
from maggy.version import REFUSED

COPY_PAUSE = 5.0  # seconds before a copy that could not join tries again
COPY_TRIES = 120  # after which it gives up all the same

_STOPPED = re.compile(r"SparkContext was shut ?down|stopped SparkContext|SparkContext has been shutdown")
_CANCELLED = re.compile(r"\bJob \d+ (?:was )?cancelled\b")


def brief(text: str) -> str:
    """Return the line of a failed job's pages of stack traces that says why: Python's own, or the innermost cause."""
    said, *_ = text.partition("Driver stacktrace:")
    python = re.search(r"Traceback \(most recent call last\):\n(.*?)(?:\n\s*\n|\n\tat |\Z)", said, re.DOTALL)
    causes = re.findall(r"(?:Exception|Error): ([^\n]+)", said)
    if python:  # below the frames, which are indented, stands the error; it may have several lines
        return " ".join(line for line in python[1].splitlines() if line and not line[0].isspace()) or last_line(
            python[1]
        )
    return causes[-1].strip() if causes else last_line(said)


class SparkLauncher(SlotLauncher):
    """Keeps executors running as Spark tasks of the application `spark`.

    A `profile` says what each of them needs. Raises `ConfigError`, with Spark's reason, where it cannot be had here.
    """

    def __init__(
        self,
        context: SparkContext,
        group: str,
        profile: ResourceProfile | None = None,
        lease: Lease | None = None,
    ) -> None:
        super().__init__(lease)
        self._context = context
        self._profile = profile
        if profile is not None:
            if not isinstance(profile, ResourceProfile):
                what = f"resource_profile is of type {type(profile).__name__}"
                raise ConfigError(
                    f"{what}; pass a pyspark.resource.ResourceProfile, as ResourceProfileBuilder().build is"
                )
            try:
                context.parallelize([0], 1).withResources(profile)
            except (Py4JJavaError, PySparkException) as error:
                raise ConfigError(f"Spark refuses this resource_profile: {brief(str(error))}") from error
        self._group = group

    def start(self, task: Task, count: int, taken: Taken = lambda *_: None) -> None:
        """Keep `count` executors running. Raises `Gone` where Spark is."""
        try:
            super().start(patient(task, copied=copied(self._context.getConf())), count, taken)
        except (Py4JError, OSError, AttributeError) as error:  # a thread takes the properties of this one along
            raise self._told(error) from error

    def state(self) -> str:
        """Say how many executors Spark has: without any it is the cluster or Spark's own way to the driver."""
        try:
            known = self._context._jsc.sc().statusTracker().getExecutorInfos()  # noqa: SLF001 - Python's has none
            count = len(known) - 1  # the driver is one of them
        except (Py4JError, OSError, AttributeError):
            return ""
        return f"Spark itself has {count or 'no'} executor{'s' * (count != 1)} for this application so far."

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread: threading.Thread = InheritableThread(target)
        return thread

    def _run(self, task: Task, slot: int) -> str:
        try:
            self._context.setJobGroup(self._group, f"maggy executor {slot}", interruptOnCancel=False)
            slots = self._context.parallelize([slot], 1)
            if self._profile is not None:
                slots = slots.withResources(self._profile)
            ended: list[Any] = slots.mapPartitions(task).collect()
        except Exception as error:
            told = self._told(error)
            if "PYTHON_VERSION_MISMATCH" in str(told):
                return f"{REFUSED}: {told}"
            raise told from error
        return " ".join(map(str, ended))

    def _cancel(self) -> None:
        # With Spark gone its jobs are as well.
        with contextlib.suppress(Py4JError, OSError, AttributeError):
            self._context.cancelJobGroup(self._group)

    def _told(self, error: Exception) -> LauncherError:
        """Return what a failed call of Spark means for the slot."""
        try:
            said = str(error)  # asks the JVM
        except (Py4JError, OSError):
            said = "it does not answer"
        if self._context._jsc is None or _STOPPED.search(said):  # noqa: SLF001 - there is no public way to ask
            return Gone("the Spark session was stopped")
        if isinstance(error, (Py4JJavaError, PySparkException)):
            return (Cancelled if _CANCELLED.search(said) else LauncherError)(brief(said))
        if isinstance(error, (Py4JError, OSError)):
            return Gone(f"Spark's driver process (the JVM) {self._end_of_jvm() or f'cannot be reached: {said}'}")
        return LauncherError(said or repr(error))

    def _end_of_jvm(self) -> str | None:
        """Say how the JVM ended, if it did; None too where it is not ours to know, as under spark-submit."""
        process = getattr(self._context._gateway, "proc", None)  # noqa: SLF001 - as above
        if process is None:
            return None
        try:
            return f"has ended with exit code {process.wait(1.0)}"  # its socket is closed before it is a corpse
        except subprocess.TimeoutExpired:
            return None


def copied(conf: SparkConf) -> bool:
    """Whether Spark may run a second copy of a job's only task."""
    wished = str(conf.get("spark.speculation", "false")).lower() == "true"
    return wished and conf.get("spark.speculation.task.duration.threshold", None) is not None


def patient(task: Task, *, copied: bool = False) -> Task:
    """Return the task as Spark runs it; its text travels with it, so that executors need not import this module.

    `copied`: a copy of it may be at work when it cannot join, or when it was given up in between and begins anew.
    """
    original = (NO_DRIVER, TAKEN) if copied else ()
    later, pause, tries = (NO_DRIVER, REFUSED, *original), COPY_PAUSE, COPY_TRIES

    def run(slots: Iterable[int]) -> Iterator[str]:
        import time

        from pyspark import TaskContext

        context = TaskContext.get()
        first = context is None or context.attemptNumber() == 0  # later ones are copies, or come after a crash
        waits = original if first else later
        for slot in slots:
            for left in range(tries, -1, -1):
                ended = " ".join(task([slot]))
                if not left or not ended.startswith(waits):
                    break
                time.sleep(pause)
            yield ended

    return run
