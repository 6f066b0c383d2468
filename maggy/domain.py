"""What a domain is: the values that one hyperparameter may take.

Rules of this file, and of `numeric` and `choices`, which have the four kinds:

1. A domain is a value: frozen, compared by what it contains, turned into JSON and back without loss.
2. `from_unit` and `to_unit` are the only way between values and numbers: samplers, grids and surrogates all work in
   the unit interval, so that a logarithm, a step, a prior or a weight is understood in one place.
3. Discrete values own cells of the unit interval, as wide as they are likely, and `to_unit` answers with a point inside
   the value's cell: `from_unit(to_unit(v)) == v`.
4. Values are JSON values, told apart as JSON does: `True` is not `1`, and `1` is not `1.0`.
5. `when` says on what a parameter depends. A domain only carries it: what it means is the searchspace's to know.
"""

from __future__ import annotations

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from maggy.conditions import Condition


@dataclass(frozen=True, slots=True, repr=False)
class Domain(ABC):
    """The values that one hyperparameter may take.

    With `when`, as in `when={"kernel": ["poly", "rbf"]}`, it takes any, and is part of a configuration, only where each
    of the parameters named there is part of it and has the value, or one of the values.
    """

    KIND: ClassVar[str]  # its "type" in JSON

    when: Mapping[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        condition = None if self.when is None else Condition(self.when, f"{kind}'s when")
        object.__setattr__(self, "when", condition or None)

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many values there are; None when continuous."""

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Tell whether `value` is one of this domain's values, in its type too."""

    @abstractmethod
    def _position(self, value: Any) -> float:
        """Return where a value of this domain lies in [0, 1]."""

    @abstractmethod
    def _at(self, u: float) -> Any:
        """Return the value at a position in [0, 1]."""

    @abstractmethod
    def nth(self, rank: int) -> Any:
        """Return the value number `rank`, from 0; asked of discrete domains only."""

    @abstractmethod
    def rank(self, value: Any) -> int:
        """Return the number of one of the values, from 0; asked of discrete domains only."""

    def grid(self) -> list[Any] | None:
        """Return every value in order; None when continuous."""
        return None if self.size is None else [self.nth(rank) for rank in range(self.size)]

    def to_unit(self, value: Any) -> float:
        """Return the position of `value` in [0, 1]; ValueError if it is not a value of this domain."""
        if not self.contains(value):
            raise ValueError(f"{value!r} is not a value of {self!r}")
        return self._position(value)

    def from_unit(self, u: float) -> Any:
        """Return the value at position `u`, 0 and 1 included; ValueError if `u` lies outside."""
        if not 0 <= u <= 1:
            raise ValueError(f"a position in {self!r} is a number from 0 to 1, not {u!r}")
        return self._at(u)

    def sample(self, rng: random.Random) -> Any:
        """Draw one value, at the cost of exactly one `rng.random()` whatever the domain."""
        return self._at(rng.random())

    def to_json(self) -> dict[str, Any]:
        """Return the arguments that made this domain, defaults left out, as JSON values."""
        return {"type": self.KIND, **self._arguments()}

    def _arguments(self) -> dict[str, Any]:
        given = ((f, getattr(self, f.name)) for f in fields(self) if f.init and f.name != "when")
        found = {
            f.name: copy.deepcopy(list(value)) if isinstance(value, tuple) else value
            for f, value in given
            if value is not f.default
        }
        return found | ({"when": self.when.to_json()} if isinstance(self.when, Condition) else {})

    def __repr__(self) -> str:
        required = {f.name for f in fields(self) if f.default is MISSING}
        parts = [repr(v) if name in required else f"{name}={v!r}" for name, v in self._arguments().items()]
        return f"{type(self).__name__}({', '.join(parts)})"
