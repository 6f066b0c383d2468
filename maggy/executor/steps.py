"""What programs need before they start: their files, and steps that are done once for all trials, as datasets are."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAILED = "failed to process dataset"


@dataclass(frozen=True)
class Shipped:
    """A file as it travels: where it was, its last name, its mode, and all that it holds."""

    path: str
    name: str
    mode: int
    content: bytes = field(repr=False)


def read(path: str) -> Shipped:
    """Return a file. Raises `OSError`."""
    found = Path(path)
    return Shipped(path, found.name, found.stat().st_mode & 0o777 | 0o200, found.read_bytes())


def found(paths: Iterable[str], shipped: Sequence[Shipped]) -> list[Shipped]:
    """Return files that were shipped, or else can be read here. Raises `RuntimeError` for one that is neither."""
    known = {each.path: each for each in shipped}
    try:
        return [known.get(path) or read(path) for path in paths]
    except OSError as error:
        raise RuntimeError(f"the trial's file {error.filename!r} cannot be read here: {error.strerror}") from None


def place(files: Iterable[Shipped], workspace: Path) -> None:
    """Put files into a directory."""
    for file in files:
        path = workspace / file.name
        path.write_bytes(file.content)
        path.chmod(file.mode)


def once(step: Mapping[str, Any], shipped: Sequence[Shipped], workspace: Path, environment: Mapping[str, str]) -> None:
    """Do a step, unless what it makes is there or another trial of this invocation has done it; wait for one that does.

    The trials of a machine, or of all that share the directory `marks`, take turns. Raises `RuntimeError` where the
    step fails, or has failed for another: then the trial must not start.
    """
    goal, marks = step["if_not_exist"], Path(step["marks"])
    marks.mkdir(parents=True, exist_ok=True)
    mark = marks / hashlib.sha256(repr((goal or step["name"], "" if goal else step["script"])).encode()).hexdigest()
    with mark.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"maggy: waiting for dataset {step['name']}, which another trial processes")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        before = file.read()
        if before.startswith(FAILED):
            raise RuntimeError(f"{before}, for another trial, whose log shows it")
        if before or (goal and Path(goal).exists()):
            return
        _say(f"maggy: processing dataset {step['name']}")
        with tempfile.TemporaryDirectory(dir=workspace.parent) as room:
            place(found(step["files"], shipped), Path(room))
            arguments = ["bash", "-c", step["preamble"] + step["script"]]
            done = subprocess.run(  # noqa: S603 - the user's script
                arguments, cwd=room, env=dict(environment), stdin=subprocess.DEVNULL, check=False
            )
        if done.returncode:
            why = f"{FAILED} {step['name']}: it exited with code {done.returncode}"
            file.write(why)
            raise RuntimeError(why)
        file.write("done")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
