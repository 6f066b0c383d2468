"""A study file, as the driver has it: evaluated in a process of its own, which may crash and hang.

A file of Starlark may use 10 s of CPU and 512 MiB of memory, and reaches nothing but what it loads, `command` and
`temp_file`. One of Python is a program of its user's, with its user's rights.
"""

from __future__ import annotations

import contextlib
import json
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from maggy.errors import ConfigError, last_line
from maggy.store import check_name
from maggy.studyfile.definition import Definition, RunConfig, definition, run_config

CPU = 10  # seconds
MEMORY = 512 * 1024 * 1024  # bytes
PATIENCE = 120.0  # seconds that an evaluation may take by the clock, whatever it does then
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from maggy.studyfile.child import main; main()"


class StudyFile:
    """The studies that a file defines, and what their trials run. Use it in a `with`.

    `say` is called with what the file prints. A file of Starlark may take `patience` seconds for each answer.

    Raises `ConfigError`, with file, line and column, for what is wrong in it.
    """

    def __init__(
        self, path: str, say: Callable[[str], None] = lambda _: None, *, patience: float | None = PATIENCE
    ) -> None:
        self._patience = patience
        self.path = str(Path(path).absolute())
        self._python = self.path.endswith(".py")
        if not Path(self.path).is_file():
            raise ConfigError(f"there is no study file {path!r}")
        if not self._python:
            _check_library()
        self._say = say
        self._lock = threading.Lock()  # studies are run side by side
        self._answers: dict[tuple[str, ...], str] = {}
        self._child: _Child | None = None
        self._scratch: str | None = None
        try:
            found = self._asked({"load": self.path})
            self.definitions = tuple(
                definition(each, index, partial(self._next, index)) for index, each in enumerate(found)
            )
            self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_config(self, study: Definition, values: Mapping[str, Any], run: str, replicate: int = 0) -> RunConfig:
        """Return what a trial runs; `run` is its id, `study:number`.

        Raises `ConfigError` for what the study's function does wrong.
        """
        more = {name: given for name, given in (("id", run), ("replicate", replicate)) if name in study.takes}
        with self._lock:
            found = self._asked({"call": [study.index, "function", [dict(values)], more]})
        return run_config(found, study.name)

    def acquired(self, index: int, values: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
        """Return what the function of a study with `acquire=` says of some values; `more` is what else it takes."""
        with self._lock:
            return self._asked({"call": [index, "function", [dict(values)], dict(more)]})

    def _next(self, index: int, *given: Any) -> Any:
        with self._lock:
            return self._asked({"call": [index, "next", given, {}]})

    def close(self) -> None:
        """End the process, and remove the file's temporary files."""
        if self._child is not None:
            self._child.end()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _check(self) -> None:
        names = [each.name for each in self.definitions]
        if not names:
            raise ConfigError(f"{self.path} defines no study; write study(name=…, params=…, objective=…, run=…)")
        for name in names:
            check_name(name)
            if names.count(name) > 1:
                raise ConfigError(f"{self.path} defines study {name!r} twice")

    def _asked(self, request: Mapping[str, Any]) -> Any:
        """Return the answer to a request, having answered what is asked meanwhile."""
        if self._child is not None and self._child.tired and not self._python:
            self._child.end()
            self._child = None
        if self._child is None:
            self._child = _Child(self.path, python=self._python, patience=self._patience)
            if "load" not in request:
                self._answer({"load": self.path})
        return self._answer(request)

    def _answer(self, request: Mapping[str, Any]) -> Any:
        child = self._child
        if child is None:
            raise ConfigError(f"{self.path} is closed")
        said = child.asked(request)
        while "needs" in said:
            key = tuple(said["needs"])
            if key not in self._answers:
                self._answers[key] = self._provided(*key)
            said = child.asked({"answer": self._answers[key]})
        for line in said["printed"]:
            self._say(line)
        if "error" in said:
            raise ConfigError(said["error"])
        return said["found"]

    def _provided(self, kind: str, first: str, second: str) -> str:
        if kind == "temp_file":
            self._scratch = self._scratch or tempfile.mkdtemp(prefix="maggy-studyfile-")
            with tempfile.NamedTemporaryFile("w", dir=self._scratch, delete=False, encoding="utf-8") as file:
                file.write(first)
            return file.name
        try:
            done = subprocess.run(  # noqa: S603 - what the file's user wants to be run
                [*shlex.split(first), second], capture_output=True, stdin=subprocess.DEVNULL, check=False
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path}: command({second!r}) cannot be run: {error}") from None
        if done.returncode:
            why = last_line(done.stderr.decode(errors="replace")) or "it said nothing"
            raise ConfigError(f"{self.path}: command({second!r}) failed with code {done.returncode}: {why}")
        return done.stdout.decode(errors="replace")


class _Child:
    """The process: requests in, answers out."""

    def __init__(self, path: str, *, python: bool, patience: float | None) -> None:
        self.path = path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        limits = ("python", "0", "0") if python else ("starlark", str(CPU), str(MEMORY))
        self._popen = subprocess.Popen(  # noqa: S603 - this interpreter, our own code
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is the driver's to handle
        )
        self._patience = None if python else patience
        self.tired = False  # whether it has used much of what it may use

    def asked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request. Raises `ConfigError` where the process does not live to give it."""
        pipe, answers = self._popen.stdin, self._popen.stdout
        assert pipe is not None  # noqa: S101 - they are pipes
        assert answers is not None  # noqa: S101
        try:
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._died() from None
        line = b""
        until = None if self._patience is None else time.monotonic() + self._patience
        while not line.endswith(b"\n"):
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([answers], [], [], left)[0]:
                self.end()
                raise ConfigError(f"{self.path} was not evaluated within {self._patience:g} s")
            data = answers.read1(1 << 20)  # type: ignore[attr-defined]
            if not data:
                raise self._died()
            line += data
        said: dict[str, Any] = json.loads(line)
        self.tired = said.get("seconds", 0.0) > CPU / 2
        return said

    def end(self) -> None:
        """End the process, and what it has started."""
        self._popen.kill()
        for stream in (self._popen.stdin, self._popen.stdout, self._errors):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):  # what was to be written to it is of no use any more
                    stream.close()
        self._popen.wait()

    def _died(self) -> ConfigError:
        code = self._popen.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        self.end()
        if code in (-signal.SIGXCPU, -signal.SIGKILL) or "SIGXCPU" in said:
            return ConfigError(f"{self.path} took more than {CPU} s of CPU to evaluate; a study file may not")
        if any(word in said for word in ("out of memory", "MemoryError", "allocate", "OS thread")):
            return ConfigError(
                f"{self.path} took more than {MEMORY >> 20} MiB of memory to evaluate; a study file may not"
            )
        first = next((line for line in said.splitlines() if line.startswith("fatal error")), last_line(said))
        return ConfigError(f"{self.path} ended its evaluation with code {code}: {first or 'it said nothing'}")


def _check_library() -> None:
    from importlib.util import find_spec

    if find_spec("starlark_go") is None:
        raise ConfigError(
            "study files in Starlark need its interpreter: pip install 'maggy[studyfile]' (starlark-go); "
            "the same names are there in a file whose name ends in .py"
        )
