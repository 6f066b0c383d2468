"""A trial of a study with `acquire=`: what runs in its process in the place of a function of `lagom`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maggy.errors import ConfigError
from maggy.executor.reporter import Reporter


@dataclass(frozen=True)
class AcquiredTrial:
    """Calls the function of a study of the file at `path`, which returns metrics; to a trial's process it is one."""

    path: str
    index: int

    @property
    def __name__(self) -> str:
        return "study file"

    def __call__(self, hparams: Mapping[str, Any], reporter: Reporter) -> dict[str, float]:
        """Return a trial's metrics. Raises `RuntimeError` where the function fails, or returns something else."""
        from maggy.studyfile.file import StudyFile

        with StudyFile(self.path, _say, patience=None) as file:
            try:
                found = file.acquired(self.index, hparams, dict(reporter.work or {}))
            except ConfigError as error:
                raise RuntimeError(reason_last(error)) from None
        if not isinstance(found, dict) or not found:
            raise RuntimeError(
                f"the function of acquire= returned {found!r}; it must return metrics, such as {{'acc': 1}}"
            )
        return found


def reason_last(error: ConfigError) -> str:
    """Return what is wrong with a study file as tracebacks have it: the line of the file, and then the reason.

    The last line of a trial's error is what lists show.
    """
    reason, _, line = str(error).partition("\n")
    return f"{line.strip()}\n{reason}" if line else reason


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
