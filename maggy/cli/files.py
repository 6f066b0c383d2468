"""What commands tell of a study file; loaded by those that are asked for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maggy.cli.options import note
from maggy.cli.trials import objective_of, said
from maggy.optimizers import OPTIMIZERS
from maggy.plugins import to_json
from maggy.studyfile.definition import Definition
from maggy.studyfile.file import StudyFile
from maggy.studyfile.runner import chosen


def defined(path: str, patterns: Sequence[str]) -> list[Definition]:
    """Return the studies of a file whose names match. Raises `ConfigError` for what is wrong in it, or not there."""
    with StudyFile(path, note) as file:
        return chosen(file, patterns)[0]


def definition_told(study: Definition) -> dict[str, Any]:
    """Gather what a file says of a study, under the keys of `study_told`."""
    return {
        "study": study.name,
        "objective": said(objective_of({"metric": study.metric, "direction": study.direction})),
        "params": study.searchspace.to_dict(),
        "oracle": to_json(study.optimizer, OPTIMIZERS),
        "replicates": study.replicates,
        "description": study.description,
    }
