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
        """Return a trial's metrics. Raises `ConfigError` where the function fails, or returns something else."""
        from maggy.studyfile.file import StudyFile

        with StudyFile(self.path, _say, patience=None) as file:
            found = file.acquired(self.index, hparams, dict(reporter.work or {}))
        if not isinstance(found, dict) or not found:
            raise ConfigError(
                f"the function of acquire= returned {found!r}; it must return metrics, such as {{'acc': 1}}"
            )
        return found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
