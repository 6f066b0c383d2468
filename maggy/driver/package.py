"""Ships maggy and cloudpickle to the executors, which need to have neither."""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.resources
import io
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path

from pyspark.sql import SparkSession

from maggy.version import VERSION

# Stand-alone cloudpickle imports in 0.02 s; PySpark's copy brings half of PySpark with it (0.4 to 0.8 s).
PACKAGES = ("cloudpickle", "maggy")

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip: the same sources give the same bytes and so the same name
_shipped: set[str] = set()  # applications that have it: to add a path again is a warning in Spark's log
_shipping = threading.Lock()


def ship(spark: SparkSession) -> None:
    """Let every task of this application import maggy and cloudpickle; the second time does nothing."""
    context = spark.sparkContext
    with _shipping:
        if context.applicationId not in _shipped:
            context.addPyFile(str(archive()))
            _shipped.add(context.applicationId)


@functools.cache
def archive() -> Path:
    """Return the zip of the packages; it lives as long as this process, because late executors fetch it late."""
    content = pack(*PACKAGES)
    folder = Path(tempfile.mkdtemp(prefix="maggy-"))  # 0700, and a fresh one: nobody else can put code there
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"maggy-{VERSION}-{hashlib.sha256(content).hexdigest()[:12]}.zip"
    path.write_bytes(content)
    return path


def pack(*packages: str) -> bytes:
    """Return a zip with the Python sources of the packages, each a folder at its top."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for package in packages:
            for name, source in sorted(_sources(importlib.resources.files(package), package)):
                target.writestr(zipfile.ZipInfo(name, _EPOCH), source, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    # Traversable rather than Path: maggy itself may run from a zip (spark-submit --py-files).
    for entry in folder.iterdir():
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _sources(entry, path)
        elif path.endswith(".py"):
            yield path, entry.read_bytes()
