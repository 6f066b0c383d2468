"""A searchspace as other libraries see it: choices by number, ranks of ordered values, and positions from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from maggy.domains import Categorical, Domain
from maggy.searchspace import Searchspace

RANKED = 1000  # a domain with more values is a position: few libraries like long lists


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
        if isinstance(domain, Categorical):
            return cls(name, "choice", domain, size)
        if 0 < size <= RANKED and not getattr(domain, "log", False):
            return cls(name, "rank", domain, size)
        return cls(name, "unit", domain, 0)

    def value(self, code: float) -> Any:
        """Return the value of a code."""
        if self.size:
            return self.domain.nth(min(max(round(code), 0), self.size - 1))
        return self.domain.from_unit(min(max(float(code), 0.0), 1.0))

    def code(self, value: Any) -> float | int:
        """Return the code of a value."""
        if self.size:
            return self.domain.rank(value)
        return self.domain.to_unit(value)


def axes(searchspace: Searchspace) -> list[Axis]:
    """Return the axes of a searchspace, in order."""
    return [Axis.of(name, domain) for name, domain in searchspace.items()]


def values(searchspace: Searchspace, found: Sequence[Axis], codes: Mapping[str, float]) -> dict[str, Any]:
    """Return a configuration: what is not active, given the others, is left out."""
    params: dict[str, Any] = {}
    for axis in found:
        if searchspace.active(axis.name, params):
            params[axis.name] = axis.value(codes[axis.name])
    return params


def codes(found: Sequence[Axis], params: Mapping[str, Any]) -> dict[str, float | int]:
    """Return the codes of a configuration; of a parameter that is not active, the middle."""
    middle = {axis.name: (axis.size // 2 if axis.size else 0.5) for axis in found}
    return {axis.name: axis.code(params[axis.name]) if axis.name in params else middle[axis.name] for axis in found}
