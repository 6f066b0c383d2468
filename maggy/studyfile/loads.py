"""The `load` statements of a Starlark file, for an interpreter that has none: found, and replaced line for line."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One statement: where it stands (line from 1, column from 0, and the same of its end), and what it wants."""

    start: tuple[int, int]
    end: tuple[int, int]
    module: str
    names: dict[str, str]  # by the name that they have here, the name that they have there


class LoadError(Exception):
    """A statement that cannot be understood, at a line."""

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


def loads(source: str) -> list[Load]:
    """Return the load statements at the top of a file. Raises `LoadError`; what is no Starlark at all has none."""
    try:
        return list(_found(source))
    except (tokenize.TokenError, IndentationError, SyntaxError):  # the interpreter says so better
        return []


def _found(source: str) -> Iterator[Load]:
    skipped = (tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    begins = True  # whether a statement may begin here
    for at, token in enumerate(tokens):
        follows = tokens[at + 1].string if at + 1 < len(tokens) else ""
        if begins and token.string == "load" and follows == "(" and token.start[1] == 0:
            depth = 0
            for other in tokens[at + 1 :]:
                depth += (other.string in "([{") - (other.string in ")]}") if other.type == tokenize.OP else 0
                if depth == 0:
                    yield _parsed(source, token.start, other.end)
                    break
        begins = token.type in skipped or token.string == ";"


def _parsed(source: str, start: tuple[int, int], end: tuple[int, int]) -> Load:
    lines = source.splitlines(keepends=True)[start[0] - 1 : end[0]]
    lines[-1] = lines[-1][: end[1]]
    call = ast.parse("".join(lines)[start[1] :], mode="eval").body
    wrong = LoadError(start[0], start[1] + 1, 'write load("module.dv", "name", other="name")')
    if not isinstance(call, ast.Call):
        raise wrong
    texts = [each.value if isinstance(each, ast.Constant) else None for each in call.args]
    named = {each.arg: each.value.value if isinstance(each.value, ast.Constant) else None for each in call.keywords}
    if len(texts) + len(named) < 2 or not all(isinstance(text, str) for text in (*texts, *named, *named.values())):  # noqa: PLR2004 - a module and a name
        raise wrong
    names = {str(text): str(text) for text in texts[1:]} | {str(name): str(text) for name, text in named.items()}
    for name in names.values():
        if name.startswith("_"):
            raise LoadError(start[0], start[1] + 1, f"load: {name} begins with an underscore and is its module's own")
    return Load(start, end, str(texts[0]), names)


def replaced(source: str, statements: list[tuple[Load, dict[str, str]]]) -> str:
    """Return the source with each statement replaced by assignments of what names are called meanwhile."""
    lines = source.splitlines(keepends=True)
    for load, known in reversed(statements):
        (first, left), (last, right) = load.start, load.end
        text = "; ".join(f"{name} = {known[there]}" for name, there in load.names.items())
        behind = lines[last - 1][right:]
        lines[first - 1 : last] = [lines[first - 1][:left] + text + behind, *["\n"] * (last - first)]
    return "".join(lines)
