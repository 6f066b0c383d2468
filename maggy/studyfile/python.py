"""Study files in Python: the same names, and all else that Python has. They are programs of their user's."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from maggy.studyfile.evaluator import Answers, FileError, NeededError
from maggy.studyfile.prelude import BEFORE, FUNCTIONS, NAMES, PRELUDE

_KINDS = {bool: "bool", int: "int", float: "float", str: "string", list: "list", tuple: "tuple", dict: "dict"}


class PythonFile:
    """A file and what it loads, run."""

    def __init__(self, path: str, answers: Answers, say: Callable[[str], None]) -> None:
        self._path = path
        self._answers = answers
        self._say = say
        self._found: list[dict[str, Any]] = []
        self._modules: dict[str, dict[str, Any] | None] = {}  # by path; None while one is being run
        self._prelude: dict[str, Any] = {"_ask": self._ask, "type": _kind, "fail": _fail}
        exec(BEFORE, self._prelude)  # noqa: S102 - our own text
        exec(PRELUDE, self._prelude)  # noqa: S102

    def studies(self) -> list[dict[str, Any]]:
        """Run the file, and return the studies of it and of what it loads."""
        sys.path.insert(0, str(Path(self._path).parent))
        self._run(self._path)
        return [
            {key: value for key, value in study.items() if key not in FUNCTIONS} | {"takes": self._takes(study)}
            for study in self._found
        ]

    def call(self, index: int, which: str, given: list[Any], more: dict[str, Any]) -> Any:
        """Call a study's function, or its oracle's."""
        return self._explained(lambda: self._found[index][which](*given, **more))

    def _run(self, path: str) -> dict[str, Any]:
        if path in self._modules:
            known = self._modules[path]
            if known is None:
                raise FileError(f"cycle in load graph involving module {Path(path).name}")
            return known
        try:
            source = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        self._modules[path] = None
        names = {name: self._prelude[name] for name in NAMES}
        names |= {"study": self._study, "print": self._print, "load": lambda *a, **k: self._load(names, path, *a, **k)}
        names |= {"__name__": Path(path).stem, "__file__": path}
        self._explained(lambda: exec(compile(source, path, "exec"), names))  # noqa: S102 - the user's own program
        self._modules[path] = names
        return names

    def _load(self, names: dict[str, Any], path: str, module: str, *wanted: str, **renamed: str) -> None:
        found = self._run(str((Path(path).parent / module).resolve()))
        for here, there in {**{name: name for name in wanted}, **renamed}.items():
            if there not in found:
                _fail(f"load: name {there} not found in module {module}")
            names[here] = found[there]

    def _study(self, *values: Any, **named: Any) -> None:
        self._found.append(self._prelude["_study"](*values, **named))

    def _print(self, *values: Any, sep: str = " ", end: str = "", **_: Any) -> None:
        self._say(sep.join(map(str, values)) + end)

    def _ask(self, kind: str, first: str, second: str) -> str:
        key = (kind, first, second)
        if key not in self._answers:
            raise NeededError(key)
        return self._answers[key]

    def _takes(self, study: Mapping[str, Any]) -> list[str]:
        names = list(inspect.signature(study["function"]).parameters)
        others = [name for name in names[1:] if name not in ("id", "replicate")]
        if not names or others:
            what = f"the argument {others[0]!r}" if others else "arguments"
            raise FileError(
                f"{self._path}: the function of study {study['name']} takes {what} which nobody gives it: "
                "it must take the values, and may take id and replicate"
            )
        return names[1:]

    def _explained(self, work: Callable[[], Any]) -> Any:
        """Do some of the file's work; say what is wrong, and where in what the user has written."""
        try:
            return work()
        except (FileError, NeededError):
            raise
        except SyntaxError as error:
            raise FileError(_located(error.filename, error.lineno, error.offset, error.msg)) from None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename in self._modules]
            why = (
                str(error)
                if isinstance(error, _FailedError)
                else f"{type(error).__name__}: {error}".replace("_study()", "study()")
            )
            last = frames[-1] if frames else None
            column = None if last is None or last.colno is None else last.colno + 1
            raise FileError(
                _located(last.filename if last else self._path, last.lineno if last else None, column, why)
            ) from None


class _FailedError(Exception):
    """What the file, or our own check of what it says, wants to be told."""


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "function" if callable(value) else type(value).__name__)


def _fail(*messages: Any) -> NoReturn:
    raise _FailedError(" ".join(map(str, messages)))


def _located(path: str | None, line: int | None, column: int | None, why: str) -> str:
    place = ":".join(str(each) for each in (path, line, column) if each is not None)
    try:
        lines = Path(path or "").read_text(encoding="utf-8").splitlines()
        shown = f"\n    {lines[(line or 0) - 1].strip()}" if line and line <= len(lines) else ""
    except OSError:
        shown = ""
    return f"{place}: {why}{shown}"
