"""What a condition says: some parameters, each with one of some values.

`when=` says it of the parameters on which another one depends, `Searchspace.forbid` of those that do not go together.
Which parameters and values there are is known to the searchspace alone: see `maggy.combinations`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from maggy.errors import ConfigError
from maggy.jsonvalue import identity, is_json

_SHOWN = 6


class Condition(Mapping[str, tuple[Any, ...]]):
    """A mapping from names to the values, one or several, that each may have: `{"kernel": ["poly", "rbf"], "n": 2}`.

    It never changes. Two that say the same in another order are equal. Where a value is a list itself, write a list of
    it: `{"shape": [[8, 8]]}`.
    """

    __slots__ = ("_identity", "_values")

    def __init__(self, given: object, what: str = "a condition") -> None:
        if not isinstance(given, Mapping):
            raise ConfigError(f"{what} is a mapping from names to values, such as {{'kernel': 'poly'}}, not {given!r}")
        self._values: dict[str, tuple[Any, ...]] = {}
        for name, value in given.items():
            if not isinstance(name, str):
                raise ConfigError(f"{what} names {name!r}; write the name of a parameter")
            listed = list(value) if isinstance(value, list | tuple | range) else [value]
            if not listed:
                raise ConfigError(f"{what} lists no value of {name!r}; list at least one")
            for each in listed:
                if not is_json(each):
                    raise ConfigError(f"{what} has {each!r} for {name!r}; write a JSON value")
            unique = {identity(each): each for each in listed}
            self._values[name] = tuple(json.loads(json.dumps(list(unique.values()))))
        self._identity = frozenset((name, frozenset(map(identity, values))) for name, values in self._values.items())

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        return copy.deepcopy(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Condition) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return repr(self.to_json())

    def __str__(self) -> str:
        """Say it: kernel is 'poly' or 'rbf', and n is 2."""
        return ", and ".join(f"{name} is {_either(values)}" for name, values in self._values.items())

    def to_json(self) -> dict[str, list[Any]]:
        """Return it as JSON values, each name with a list."""
        return {name: list(values) for name, values in self.items()}


def _either(values: tuple[Any, ...]) -> str:
    shown = [repr(value) for value in values]
    if len(shown) > _SHOWN:
        shown[_SHOWN - 2 : -1] = ["…"]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
