"""Configurations as rows of numbers, and back.

A row has one column for each parameter of the searchspace: a position in the unit interval, except for categories,
where it is the number of the choice, and for parameters that are not active, where it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maggy.domains import Categorical, Domain
from maggy.searchspace import Searchspace

Rows = NDArray[np.float64]
SNAPPED = 1000  # a domain with more values is continuous for a model


def generator(rng: Random) -> np.random.Generator:
    """Return numpy's random numbers, as a function of an ask's."""
    return np.random.default_rng(rng.getrandbits(64))


class Encoding:
    """The columns of a searchspace.

    `categorical` tells which columns hold choices, `sizes` how many values each column has: 0 for those that are
    continuous to a model. `weights` are the shares of the choices in random draws.
    """

    def __init__(self, space: Searchspace) -> None:
        domains = space.values()
        self.space = space
        self.names = space.keys()
        self.categorical = np.array([isinstance(domain, Categorical) for domain in domains], dtype=bool)
        self._positions = [_positions(domain) for domain in domains]
        self.sizes = np.array([0 if positions is None else len(positions) for positions in self._positions])
        self.weights = [
            _widths(positions) if positions is not None and is_choice else None
            for positions, is_choice in zip(self._positions, self.categorical, strict=True)
        ]
        self._choices = [
            {} if positions is None else {position: number for number, position in enumerate(positions.tolist())}
            for positions in self._positions
        ]
        self.conditions = [
            (column, self.names.index(parent), self._codes(parent, values))
            for column, domain in enumerate(domains)
            for parent, values in (getattr(domain, "when", None) or {}).items()
        ]

    def __len__(self) -> int:
        return len(self.names)

    def row(self, params: Mapping[str, Any]) -> list[float]:
        """Return a configuration's row."""
        units = self.space.to_unit(params)
        return [
            float(self._choices[column][unit]) if self.categorical[column] and unit == unit else unit  # noqa: PLR0124 - NaN
            for column, unit in enumerate(units)
        ]

    def params(self, row: Sequence[float] | Rows) -> dict[str, Any]:
        """Return the configuration of a row; numbers beyond the ends of a column are taken for the ends."""
        units = []
        for column, value in enumerate(np.asarray(row, dtype=float).tolist()):
            positions = self._positions[column]
            if value != value:  # noqa: PLR0124 - NaN: not active, or nobody's choice
                units.append(0.5)
            elif self.categorical[column] and positions is not None:
                units.append(float(positions[min(max(round(value), 0), len(positions) - 1)]))
            else:
                units.append(min(max(value, 0.0), 1.0))
        return self.space.from_unit(units)

    def draw(self, count: int, rng: np.random.Generator) -> Rows:
        """Return random rows, as the searchspace would draw them."""
        rows = rng.random((count, len(self)))
        for column, weights in enumerate(self.weights):
            if weights is not None:
                rows[:, column] = rng.choice(len(weights), size=count, p=weights)
        return self.settled(rows)

    def settled(self, rows: Rows) -> Rows:
        """Return rows as they would be tried: within bounds, on the values that there are, NaN where not active."""
        rows = np.array(rows, dtype=float)
        for column, positions in enumerate(self._positions):
            values = rows[:, column]
            if self.categorical[column] and positions is not None:
                rows[:, column] = np.clip(np.rint(values), 0, len(positions) - 1)
            elif positions is not None:
                middles = (positions[1:] + positions[:-1]) / 2
                rows[:, column] = positions[np.searchsorted(middles, values)]
            else:
                rows[:, column] = np.clip(values, 0.0, 1.0)
        for column, parent, codes in self.conditions:  # parents come first, so what is below a NaN is NaN as well
            given = rows[:, parent]
            active = np.isclose(given[:, None], codes[None, :], rtol=0, atol=1e-9).any(axis=1)
            rows[~active, column] = np.nan
        return rows

    def beside(self, column: int, value: float) -> Rows:
        """Return the positions before and after a value's in a discrete column, as far as there are any."""
        positions = self._positions[column]
        if positions is None:
            return np.empty(0)
        nearest = int(np.searchsorted((positions[1:] + positions[:-1]) / 2, value))
        return positions[[number for number in (nearest - 1, nearest + 1) if 0 <= number < len(positions)]]

    def first_allowed(self, rows: Rows, tried: set[bytes], rng: np.random.Generator) -> dict[str, Any]:
        """Return the first configuration of `rows` that may be and was not tried; else one that may be."""
        fallback: dict[str, Any] | None = None
        for row in rows:
            params = self.params(row)
            if not self.space.contains(params):
                continue
            if self.key(self.row(params)) not in tried:
                return params
            fallback = fallback or params
        for row in self.draw(64, rng):
            params = self.params(row)
            if self.space.contains(params) and (fallback is None or self.key(self.row(params)) not in tried):
                return params
        if fallback is None:
            return self.space.sample(Random(int(rng.integers(2**63))))
        return fallback

    def key(self, row: Sequence[float] | Rows) -> bytes:
        """Return what is equal for equal rows."""
        return np.round(np.asarray(row, dtype=float), 12).tobytes()

    def _codes(self, parent: str, values: Sequence[Any]) -> Rows:
        column = self.names.index(parent)
        units = [self.space[parent].to_unit(value) for value in values]
        if self.categorical[column]:
            return np.array([self._choices[column][unit] for unit in units], dtype=float)
        return np.array(units)


def _positions(domain: Domain) -> Rows | None:
    """Return where the values of a discrete domain lie in the unit interval."""
    size = domain.size
    if size is None or (size > SNAPPED and not isinstance(domain, Categorical)):
        return None
    return np.array([domain.to_unit(domain.nth(rank)) for rank in range(size)])


def _widths(positions: Rows) -> Rows:
    """Return how wide the cells are whose middles these are, side by side from 0 to 1."""
    widths = []
    left = 0.0
    for middle in positions.tolist():
        widths.append(2 * (middle - left))
        left += widths[-1]
    found: Rows = np.array(widths)
    found /= found.sum()
    return found
