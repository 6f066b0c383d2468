"""The Spark launcher: each slot is a one-task job, all under one job group, no barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pyspark import InheritableThread, SparkContext

from maggy.driver.launcher import SlotLauncher, Task


class SparkLauncher(SlotLauncher):
    """Keeps executors running as Spark tasks of the application `spark`."""

    def __init__(self, context: SparkContext, group: str) -> None:
        super().__init__()
        self._context = context
        self._group = group

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread: threading.Thread = InheritableThread(target)
        return thread

    def _run(self, task: Task, slot: int) -> str:
        self._context.setJobGroup(self._group, f"maggy executor {slot}", interruptOnCancel=False)
        ended: list[Any] = self._context.parallelize([slot], 1).mapPartitions(task).collect()
        return " ".join(map(str, ended))

    def _cancel(self) -> None:
        self._context.cancelJobGroup(self._group)
