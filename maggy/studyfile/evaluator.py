"""How the process in which a study file is evaluated talks with its parent, whatever the file's language.

Requests come in as lines of JSON, answers go out likewise. What the file wants of the outside (`command`, `temp_file`)
it asks its parent for. Starlark's interpreter cannot wait in the middle of a file: so the file is evaluated again, with
the answer at hand. It is deterministic, and comes to the same place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, Protocol

Answers = dict[tuple[str, ...], str]


class FileError(Exception):
    """A sentence about the file: what is wrong in it, and where."""


class NeededError(Exception):
    """An answer is needed before the file can be evaluated."""

    def __init__(self, key: tuple[str, ...]) -> None:
        super().__init__(*key)
        self.key = key


class Language(Protocol):
    """A file, evaluated. Both methods raise `FileError`, and may raise `NeededError`."""

    def studies(self) -> list[dict[str, Any]]:
        """Evaluate the file and return its studies: without their functions, and with what these take."""

    def call(self, index: int, which: str, given: list[Any], more: dict[str, Any]) -> Any:
        """Call a study's `function` or its oracle's, `next`, with what is given, and that of `more` by name."""


def serve(requests: Any, answers: Any, made: Callable[[str, Answers, Callable[[str], None]], Language]) -> None:
    """Answer each request: a path to load, or a study's function to call."""
    known: Answers = {}
    printed: list[str] = []
    path = ""
    language: Language | None = None
    for line in requests:
        request = json.loads(line)
        path = request.get("load", path)
        while True:
            printed.clear()
            try:
                if language is None or "load" in request:
                    language = made(path, known, printed.append)
                    found: Any = language.studies()
                if "call" in request:
                    found = language.call(*request["call"])
                answer: dict[str, Any] = {"found": found}
            except NeededError as need:
                print(json.dumps({"needs": need.key}), file=answers, flush=True)
                known[need.key] = json.loads(requests.readline())["answer"]
                language = None
                continue
            except FileError as error:
                answer = {"error": str(error)}
            break
        print(json.dumps(answer | {"printed": printed, "seconds": _seconds()}), file=answers, flush=True)


def _seconds() -> float:
    used = os.times()
    return used.user + used.system
