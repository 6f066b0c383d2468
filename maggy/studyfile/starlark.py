"""Study files in Starlark, by the Go implementation, as Diviner had it.

The binding knows no `load` and cannot call back into Python, so: modules are evaluated first, and what is loaded from
them is known to the file under names of their own; `study` is defined in a line before the file's first; and what is
asked of the outside stands in a dict of answers, or is told by what is printed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from maggy.studyfile.evaluator import Answers, FileError, NeededError
from maggy.studyfile.loads import Load, LoadError, loads, replaced
from maggy.studyfile.prelude import BEFORE, FUNCTIONS, PRELUDE

# One line, so that lines are off by one.
FIRST = "_studies = []; study = lambda *values, **named: _studies.append(_study(*values, **named))\n"
ASKED = "\x01ask\x01"
ASK = f"""
def _ask(kind, first, second):
    key = (kind, first, second)
    if key not in _answers:
        print({ASKED!r} + kind + "\\1" + first + "\\1" + second)
        fail("an answer is missing")
    return _answers[key]
"""
SIGNATURE = re.compile(r"missing \d+ arguments? \((.*?)\)")
TAKES = re.compile(r"accepts (?:at most )?(\d+|no)")


class StarlarkFile:
    """A file and what it loads, evaluated."""

    def __init__(self, path: str, answers: Answers, say: Callable[[str], None]) -> None:
        import starlark_go

        self._library = starlark_go
        starlark_go.configure_starlark(allow_global_reassign=True, allow_recursion=True, allow_set=True)
        self._path = path
        self._say = say
        self._asked: tuple[str, ...] | None = None
        self._sources: dict[str, str] = {}  # by path, as they are written
        self._modules: dict[str, int] = {}  # by path, those that are evaluated, numbered
        self._globals: dict[str, list[str]] = {}
        self._star = starlark_go.Starlark(globals={"_answers": dict(answers)}, print=self._printed)
        self._star.exec(BEFORE, filename="prelude")
        self._star.exec(ASK + PRELUDE, filename="prelude")

    def studies(self) -> list[dict[str, Any]]:
        """Evaluate the file, and return the studies of it and of what it loads."""
        self._evaluate(self._path, ())
        every = " + ".join(f"_studies_{number}" for number in self._modules.values())
        self._run("_every", f"_every = {every}")
        plain = f"[{{name: each[name] for name in each if name not in {FUNCTIONS}}} for each in _every]"
        found: list[dict[str, Any]] = self._eval(plain)
        for index, study in enumerate(found):
            study["takes"] = self._takes(index, study["name"])
        return found

    def call(self, index: int, which: str, given: list[Any], more: dict[str, Any]) -> Any:
        """Call a study's function, or its oracle's."""
        self._star.set(_given=given, _more=more)
        return self._eval(f"_every[{index}]['{which}'](*_given, **_more)")

    def _evaluate(self, path: str, callers: tuple[str, ...]) -> None:
        """Evaluate a module, after those that it loads; its names get a number of their own."""
        if path in callers:
            raise FileError(f"cycle in load graph involving module {Path(path).name}")
        if path in self._modules:
            return
        try:
            source = self._sources[path] = Path(path).read_text(encoding="utf-8")
            statements = loads(source)
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        except LoadError as error:
            raise FileError(self._located(path, error.line, error.column, str(error))) from None
        known = [(load, self._load(path, load, callers)) for load in statements]
        before = set(self._star.globals())
        self._run(path, FIRST + replaced(source, known))
        number = self._modules[path] = len(self._modules)
        self._globals[path] = sorted(set(self._star.globals()) - before)
        names = [name for name in self._globals[path] if not name.startswith("_")]
        lines = [f"_studies_{number} = _studies", *(f"_module_{number}_{name} = {name}" for name in names)]
        self._run("names", "\n".join(lines))
        for name in self._globals[path]:
            self._forget(name)

    def _load(self, path: str, load: Load, callers: tuple[str, ...]) -> dict[str, str]:
        """Evaluate the module that a statement names; return what its names are called from then on."""
        module = str((Path(path).parent / load.module).resolve())
        if not Path(module).is_file():
            where = load.start[0], load.start[1] + 1
            raise FileError(self._located(path, *where, f"load: there is no file {load.module} beside this one"))
        self._evaluate(module, (*callers, path))
        number = self._modules[module]
        for name in load.names.values():
            if name not in self._globals[module]:
                where = load.start[0], load.start[1] + 1
                raise FileError(self._located(path, *where, f"load: name {name} not found in module {load.module}"))
        return {name: f"_module_{number}_{name}" for name in load.names.values()}

    def _takes(self, index: int, name: str) -> list[str]:
        """Return which of `id` and `replicate` a study's function takes, by calling it with too little.

        Raises `FileError` where it takes anything else.
        """
        function = f"_every[{index}]['function']"
        missing = SIGNATURE.search(self._refusal(f"{function}()"))
        required = missing[1].split(", ") if missing else []
        others = [each for each in required[1:] if each not in ("id", "replicate")]
        takes = [each for each in ("id", "replicate") if each in required[1:] or self._takes_by_name(function, each)]
        most = TAKES.search(self._refusal(f"{function}(1, 2, 3, 4, 5, 6, 7, 8, 9)"))
        if others or not required or (most and int(most[1].replace("no", "0")) > 1 + len(takes)):
            what = f"the argument {others[0]!r}" if others else "arguments"
            raise FileError(
                f"{self._path}: the function of study {name} takes {what} which nobody gives it: "
                "it must take the values, and may take id and replicate"
            )
        return takes

    def _takes_by_name(self, function: str, name: str) -> bool:
        """Whether a function takes an argument; that of the values is missing, so it is never run."""
        return "unexpected keyword" not in self._refusal(f"{function}({name}=0)")

    def _refusal(self, expression: str) -> str:
        try:
            self._star.eval(expression)
        except self._library.StarlarkError as error:
            return str(error)
        return ""

    def _forget(self, name: str) -> None:
        with contextlib.suppress(self._library.StarlarkError):  # no function can be handed to Python; it is gone anyhow
            self._star.pop(name)

    def _run(self, path: str, source: str) -> None:
        try:
            self._star.exec(source, filename=path)
        except self._library.StarlarkError as error:
            self._raise(error)

    def _eval(self, expression: str) -> Any:
        try:
            return self._star.eval(expression)
        except self._library.ConversionError as error:
            raise FileError(f"{self._path}: a function is no value here: {error}") from None
        except self._library.StarlarkError as error:
            self._raise(error)

    def _printed(self, text: str) -> None:
        if text.startswith(ASKED):
            self._asked = tuple(text.removeprefix(ASKED).split("\1", 2))
        else:
            self._say(text)

    def _raise(self, error: Any) -> NoReturn:
        """Say what is wrong, and where in what the user has written: the innermost frame that is the user's."""
        if self._asked is not None:
            asked, self._asked = self._asked, None
            raise NeededError(asked) from None
        if isinstance(error, self._library.ResolveError):
            first = min(error.errors, key=lambda each: each.line)
            place, why = (self._path_of(str(error)), first.line - 1, first.column), first.msg
        elif isinstance(error, self._library.SyntaxError):
            place, why = (error.filename, error.line - 1, error.column), error.msg
        else:
            frames = re.findall(r"^  (.*):(\d+):(\d+): in ", getattr(error, "backtrace", ""), re.MULTILINE)
            places = [(path, int(line) - 1, int(column)) for path, line, column in frames]
            own = [(path, line, column) for path, line, column in places if path in self._sources and line > 0]
            place, why = own[-1] if own else (self._path, 0, 0), str(error).partition(": ")[2] or str(error)
            why = re.sub(r"^(?:\w+: )?fail: |^fail: ", "", why).replace("function _study ", "function study ", 1)
        raise FileError(self._located(*place, why)) from None

    def _path_of(self, message: str) -> str:
        return next((path for path in self._sources if message.startswith(f"{path}:")), self._path)

    def _located(self, path: str, line: int, column: int, why: str) -> str:
        if line < 1:
            return f"{path}: {why}"
        lines = self._sources.get(path, "").splitlines()
        shown = f"\n    {lines[line - 1].strip()}" if line <= len(lines) else ""
        return f"{path}:{line}:{column}: {why}{shown}"
