"""What an ablation leaves out: parts of the data, of the model, and switches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maggy.errors import ConfigError

LONGEST_NAME = 60


@dataclass(frozen=True)
class Part:
    """Features, layers or steps that are left out together; `prefix` stands for all whose names begin so."""

    kind: str  # "feature", "layer" or "step"
    members: tuple[Any, ...]
    prefix: str | None = None

    @property
    def label(self) -> str:
        """The part as a person would write it."""
        return f"{self.prefix}*" if self.prefix is not None else " & ".join(map(str, self.members))


class Included:
    """An ordered collection of parts of one kind, with the methods that Maggy's users know."""

    def __init__(self, kind: str, given: Iterable[Any] = ()) -> None:
        self._kind = kind
        self._parts: list[Part] = []
        self.include(*([given] if isinstance(given, str) else given))

    def include(self, *names: Any) -> None:
        """Add parts, each to be left out by itself; those in a list within a list are left out together.

        As in Maggy, `include(["a", "b"])` is `include("a", "b")`.
        """
        several = names[0] if len(names) == 1 and isinstance(names[0], (list, tuple)) else names
        for each in several:
            self._add(tuple(each) if isinstance(each, (list, tuple, set, frozenset)) else (each,))

    def include_groups(self, *groups: Sequence[Any], prefix: str | None = None) -> None:
        """Add groups to be left out as a whole: lists of names, or all whose names begin with `prefix`."""
        for group in groups:
            if isinstance(group, str) or len(group) < 2:  # noqa: PLR2004
                raise ConfigError(f"{group!r} is no group: list two names or more, or use include({group!r})")
            self._add(tuple(group))
        if prefix is not None:
            if not isinstance(prefix, str) or not prefix:
                raise ConfigError(f"prefix={prefix!r}; it must be what the names begin with")
            self._append(Part(self._kind, (), prefix))

    def exclude(self, *names: Any) -> None:
        """Take parts out again, those that have one of these names to themselves."""
        flat = {name for each in names for name in (each if isinstance(each, (list, tuple)) else [each])}
        self._parts = [part for part in self._parts if len(part.members) != 1 or part.members[0] not in flat]

    def exclude_groups(self, *groups: Sequence[Any], prefix: str | None = None) -> None:
        """Take groups out again."""
        gone = {frozenset(group) for group in groups}
        self._parts = [
            part
            for part in self._parts
            if (part.prefix is None or part.prefix != prefix) and (not part.members or set(part.members) not in gone)
        ]

    def list_all(self) -> list[Any]:
        """Return the names of the parts."""
        return [part.label if part.prefix or len(part.members) > 1 else part.members[0] for part in self._parts]

    def print_all(self) -> None:
        """Print the parts that are left out by themselves."""
        self._print(part for part in self._parts if len(part.members) == 1)

    def print_all_groups(self) -> None:
        """Print the groups."""
        self._print(part for part in self._parts if len(part.members) != 1)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def _print(self, parts: Iterable[Part]) -> None:
        print("\n".join(part.label for part in parts))  # noqa: T201 - that is what it is for

    def _add(self, members: tuple[Any, ...]) -> None:
        if not members:
            raise ConfigError(f"a group of {self._kind}s is empty")
        for name in members:
            if (not isinstance(name, str) or not name) and not (self._kind == "feature" and type(name) is int):
                of = f"of type {type(name).__name__}" if name != "" else "empty"
                raise ConfigError(f"{name!r} is {of}; a {self._kind} is named by a string")
        self._append(Part(self._kind, members))

    def _append(self, part: Part) -> None:
        if part not in self._parts:
            self._parts.append(part)


def named(parts: Iterable[Part], taken: Iterable[str]) -> Mapping[str, Part]:
    """Return the parts by the names of their parameters: what can name one, and is not taken."""
    found: dict[str, Part] = {}
    used = set(taken)
    for part in parts:
        slug = re.sub(r"\W+", "_", part.label).strip("_")[:LONGEST_NAME]
        base = name = f"{part.kind}_{slug}"
        number = 1
        while name in used:
            number += 1
            name = f"{base}_{number}"
        used.add(name)
        found[name] = part
    return found
