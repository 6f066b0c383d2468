"""The Spark launcher: each slot is a one-task job, all under one job group, no barrier."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import InheritableThread, SparkContext
from pyspark.errors import PySparkException
from pyspark.resource import ResourceProfile

from maggy.driver.launcher import SlotLauncher, Task
from maggy.errors import ConfigError, LauncherError, last_line
from maggy.version import REFUSED


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

    def __init__(self, context: SparkContext, group: str, profile: ResourceProfile | None = None) -> None:
        super().__init__()
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

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread: threading.Thread = InheritableThread(target)
        return thread

    def _run(self, task: Task, slot: int) -> str:
        if self._context._jsc is None:  # noqa: SLF001 - there is no public way to ask
            raise LauncherError("the Spark session was stopped")
        self._context.setJobGroup(self._group, f"maggy executor {slot}", interruptOnCancel=False)
        try:
            slots = self._context.parallelize([slot], 1)
            if self._profile is not None:
                slots = slots.withResources(self._profile)
            ended: list[Any] = slots.mapPartitions(task).collect()
        except (Py4JJavaError, PySparkException) as error:
            why = brief(str(error))
            if "PYTHON_VERSION_MISMATCH" in why:
                return f"{REFUSED}: {why}"
            raise LauncherError(why) from error
        return " ".join(map(str, ended))

    def _cancel(self) -> None:
        self._context.cancelJobGroup(self._group)
