"""Keeps user code from starting a Spark of its own inside a Spark task, as `SparkSession.builder.getOrCreate()` would.

It would take half a minute, the memory of a JVM for each slot, and see nothing of the session that the user means. All
ways to a new JVM go through one function of PySpark's, which is replaced as soon as its module is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

GATEWAY = "pyspark.java_gateway"
IN_A_TASK = "SPARK_AUTH_SOCKET_TIMEOUT"  # which Spark sets for the Python of its tasks, and nobody else sets
REFUSAL = (
    "a trial runs inside a Spark task, where there is no SparkSession or SparkContext and none may be started: read "
    "the data before the study (df.toPandas(), or df.write.parquet(…)) and pass it, or its path, with train_args={…}; "
    "trials that need a Spark of their own run with launcher='local'"
)


def forbid_spark(environment: Mapping[str, str] = os.environ) -> None:
    """Let no JVM be started from this process, if it belongs to a Spark task."""
    if IN_A_TASK in environment:
        sys.meta_path.insert(0, _Finder())


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Stand where PySpark's `launch_gateway` stood."""
    raise RuntimeError(REFUSAL)


class _Finder(MetaPathFinder):
    """Finds that one module as Python would, and has it changed once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != GATEWAY:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Changing(spec.loader)
        return spec


class _Changing(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.launch_gateway = refuse  # type: ignore[attr-defined]
