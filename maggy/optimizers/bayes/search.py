"""Where in a searchspace the expected improvement is largest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from maggy.optimizers.bayes.acquisition import log_ei, log_ei_slope
from maggy.optimizers.bayes.encoding import Rows
from maggy.optimizers.bayes.gaussian import Numbers, Points, Posterior

APART = 0.02  # how far starts are from each other in at least one column
TURNS = 2  # of improving numbers and what is discrete
MOVES = 3  # single moves in a turn
WHOLE = 0.5  # of the candidates near the best, the share that differs from it in every column
FEW = 3  # columns in which the others differ, about
REDRAWN = 0.3  # of the choices that may differ, the share that is drawn anew
CHOICES = 20  # of a category that are tried in one move, at most


class Search:
    """Looks for rows that promise the largest improvement over `best`, which holds one loss for each fantasy.

    `low` and `high` bound each column, but for categories. Rows are complete while they are worked on, with something
    in the place of parameters that are not active; they are settled before they are judged.
    """

    def __init__(
        self,
        points: Points,
        posterior: Posterior,
        best: Numbers,
        limits: tuple[Numbers, Numbers],
        rng: np.random.Generator,
    ) -> None:
        self._encoding = points.encoding
        self._points = points
        self._posterior = posterior
        self._best = best
        self._low, self._high = limits
        self._rng = rng
        self._numeric = np.flatnonzero(~self._encoding.categorical)
        self._features = np.searchsorted(points.groups, self._numeric)

    def ranked(self, centres: Rows, count: int, starts: int) -> Rows:
        """Return rows, the most promising first.

        So many candidates are drawn around the best rows known, `centres`, and as many anywhere within the bounds; the
        best of them are improved: by L-BFGS in the numbers and by single moves in what is discrete, in turns.
        """
        rows = np.vstack([self._near(centres, count), self._anywhere(count)])
        scores = self._scores(rows)
        order = np.argsort(-scores, kind="stable")
        improved = np.array([self._improved(rows[number]) for number in self._apart(rows, order, starts)])
        scores = np.concatenate([self._scores(improved), scores])
        rows = np.vstack([improved, rows])
        return self._encoding.settled(rows[np.argsort(-scores, kind="stable")])

    def _scores(self, rows: Rows) -> Numbers:
        return log_ei(self._best, *self._posterior.predict(self._points.of(self._encoding.settled(rows))))

    def _apart(self, rows: Rows, order: NDArray[np.intp], count: int) -> list[int]:
        """Return the numbers of the first rows in this order that are not next to one before."""
        chosen: list[int] = []
        for number in order.tolist():
            gaps = np.abs(rows[chosen] - rows[number])
            if not chosen or gaps.max(axis=1).min() > APART:
                chosen.append(number)
            if len(chosen) == count:
                break
        return chosen

    def _near(self, centres: Rows, count: int) -> Rows:
        """Return rows around the centres: at distances of several orders of magnitude, in all columns or in a few."""
        rng = self._rng
        rows = self._complete(centres[rng.integers(len(centres), size=count)])
        columns = rows.shape[1]
        width = 10.0 ** rng.uniform(-3, -0.5, size=(count, 1)) * (self._high - self._low)
        stepped = np.clip(rows + width * rng.standard_normal(rows.shape), self._low, self._high)
        drawn = self._complete(self._encoding.draw(count, rng))
        swapped = np.where(rng.random(rows.shape) < REDRAWN, drawn, rows)
        share = np.where(rng.random((count, 1)) < WHOLE, 1.0, min(1.0, FEW / columns))
        moved = rng.random(rows.shape) < share
        moved[np.arange(count), rng.integers(columns, size=count)] = True
        return np.where(moved, np.where(self._encoding.categorical, swapped, stepped), rows)

    def _anywhere(self, count: int) -> Rows:
        rows = self._complete(self._encoding.draw(count, self._rng))
        return np.where(self._encoding.categorical, rows, self._low + rows * (self._high - self._low))

    def _complete(self, rows: Rows) -> Rows:
        """Return rows with random values where a parameter is not active."""
        missing = np.isnan(rows)
        if not missing.any():
            return rows
        drawn = self._rng.random(rows.shape)
        for column in np.flatnonzero(self._encoding.categorical):
            drawn[:, column] = self._rng.integers(self._encoding.sizes[column], size=len(rows))
        return np.where(missing, drawn, rows)

    def _improved(self, row: Rows) -> Rows:
        """Return a row near this one that is better than what is next to it."""
        if not (self._encoding.sizes > 0).any():
            return self._climbed(row)
        for _ in range(TURNS):
            row = self._moved(self._climbed(row))
        return row

    def _climbed(self, row: Rows) -> Rows:
        """Return where L-BFGS comes to, in the numbers that are active."""
        settled = self._encoding.settled(row[None, :])
        free = ~np.isnan(settled[0, self._numeric])
        columns, features = self._numeric[free], self._features[free]
        if not len(columns):
            return row
        point = self._points.of(settled)[0]

        def downhill(values: Numbers) -> tuple[float, Numbers]:
            point[features] = values
            value, slope = log_ei_slope(self._best, *self._posterior.slopes(point))
            return -value, -slope[features]

        limits = np.column_stack([self._low, self._high])[columns]
        found = minimize(downhill, row[columns], jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 40})
        climbed = row.copy()
        climbed[columns] = found.x
        return climbed

    def _moved(self, row: Rows) -> Rows:
        """Return a row after some moves in one discrete column each, each to the best that there is."""
        for _ in range(MOVES):
            rows = np.vstack([row, *self._neighbours(row)])
            best = int(np.argmax(self._scores(rows)))
            if best == 0:
                break
            row = rows[best]
        return row

    def _neighbours(self, row: Rows) -> list[Rows]:
        """Return the rows with another choice of one category, or the next value of one discrete number."""
        found = []
        for column in np.flatnonzero(self._encoding.sizes > 0):
            size = int(self._encoding.sizes[column])
            if self._encoding.categorical[column]:
                others = np.delete(np.arange(size, dtype=float), int(row[column]))
                if size > CHOICES:
                    others = self._rng.choice(others, CHOICES, replace=False)
            else:
                others = self._encoding.beside(int(column), row[column])
            for value in others:
                moved = row.copy()
                moved[column] = value
                found.append(moved)
        return found
