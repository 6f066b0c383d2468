"""A searchspace as other libraries see it: choices by number, ranks of ordered values, and positions from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from maggy.domains import Categorical, Domain
from maggy.jsonvalue import dumps
from maggy.searchspace import Searchspace

RANKED = 1000  # a domain with more values is a position: few libraries like long lists

Codes = Mapping[str, float]
"""A configuration in code: a number for each axis, those of parameters that are not active included."""


@dataclass(frozen=True)
class Axis:
    """One parameter. Its codes are whole numbers below `size`, or positions from 0 to 1 where that is 0."""

    name: str
    kind: Literal["choice", "rank", "unit"]
    domain: Domain
    size: int

    @classmethod
    def of(cls, name: str, domain: Domain) -> Axis:
        """Return the axis of a parameter."""
        size = domain.size or 0
        if isinstance(domain, Categorical) or size == 1:  # libraries know no order of one value
            return cls(name, "choice", domain, size)
        if 0 < size <= RANKED and not getattr(domain, "log", False):
            return cls(name, "rank", domain, size)
        return cls(name, "unit", domain, 0)

    @property
    def middle(self) -> float:
        """The code of a parameter that is not active."""
        return self.size // 2 if self.size else 0.5

    def value(self, code: float) -> Any:
        """Return the value of a code."""
        if self.size:
            return self.domain.nth(min(max(round(code), 0), self.size - 1))
        return self.domain.from_unit(min(max(float(code), 0.0), 1.0))

    def of_params(self, params: Mapping[str, Any]) -> float:
        """Return the code of a configuration: the middle where it says nothing of this parameter."""
        value = params.get(self.name)
        return self.code(value) if self.name in params and self.domain.contains(value) else self.middle

    def code(self, value: Any) -> float:
        """Return the code of a value."""
        return self.domain.rank(value) if self.size else self.domain.to_unit(value)


class Library(Protocol):
    """An optimizer of another library, which speaks in codes. Losses are minimized; None is a trial without a value."""

    def ask(self) -> tuple[Any, Codes]:
        """Return codes to try, after what is to be handed back when they are told of: anything but None."""

    def tell(self, asked: Any, codes: Codes, loss: float | None) -> None:
        """Take in a loss; `asked` is None for codes that it has not asked for."""


class Coded:
    """An optimizer of another library as an object with ask and tell, for a searchspace."""

    def __init__(self, library: Library, searchspace: Searchspace, axes: Sequence[Axis]) -> None:
        self._library = library
        self._searchspace = searchspace
        self._axes = axes
        self._open: dict[str, list[Any]] = {}  # by configuration: one may be tried several times at once

    def ask(self) -> dict[str, Any]:
        """Return what the library would try: what is not active, given the others, is left out."""
        asked, codes = self._library.ask()
        params: dict[str, Any] = {}
        for axis in self._axes:
            if self._searchspace.active(axis.name, params):
                params[axis.name] = axis.value(codes[axis.name])
        self._open.setdefault(dumps(params), []).append(asked)
        return params

    def tell(self, params: Mapping[str, Any], loss: float | None) -> None:
        """Take in a loss; of a configuration that the library has not asked for as well."""
        asked = self._open.get(dumps(params), [])
        codes = {axis.name: axis.of_params(params) for axis in self._axes}
        self._library.tell(asked.pop(0) if asked else None, codes, loss)
        if not asked:
            self._open.pop(dumps(params), None)
