"""Tree-structured Parzen estimators: where good configurations are dense and bad ones are not.

Bergstra, Bardenet, Bengio, Kégl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011, in the multivariate form
of Falkner, Klein, Hutter, "BOHB", ICML 2018. Choices of detail follow Watanabe, "Tree-Structured Parzen Estimator:
Understanding Its Algorithm Components and Their Roles for Better Empirical Performance", arXiv 2304.11127.

The losses only decide who is good, so their scale does not matter. A density is a mixture with one kernel for each
configuration and one for the prior; a kernel is a product over the columns of a normal distribution that is cut off at
the unit interval, or of a category that is kept with a probability and drawn anew otherwise. A kernel whose
configuration lacks a parameter says nothing about it: there the prior stands in its place, which is how conditional
searchspaces need no groups.

Bad kernels are no wider than good ones. The good lie close together, so their own kernels are narrow; where those of
the bad stay wide, hundreds of bad configurations amid the good weigh nothing against them, nor do pending ones, and the
same spot is proposed for ever. (BOHB with 16 workers on Hartmann's function, median regret: 0.62 so, 0.11 as it is.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from maggy.optimizers.bayes.encoding import Encoding, Rows, generator
from maggy.optimizers.bayes.observed import Observed
from maggy.study import Study

Numbers = NDArray[np.float64]
LEAST_WIDTH = 0.02  # of a kernel, in the unit interval


@dataclass(frozen=True)
class Mixture:
    """A density over rows."""

    encoding: Encoding
    centres: Rows  # without the prior's
    widths: Numbers  # for each column
    stays: Numbers  # for each column, the probability with which a category is kept

    @classmethod
    def of(cls, encoding: Encoding, rows: Rows) -> Mixture:
        """Return the density of these configurations."""
        count = max(len(rows), 1)
        numeric = ~encoding.categorical
        spread = np.ones(len(encoding))
        if len(rows) > 1:
            active = ~np.isnan(rows).all(axis=0)  # numpy warns of a column without a number
            spread[active] = np.nanstd(rows[:, active], axis=0)
        scott = 0.8 * spread * count ** (-1 / (4 + numeric.sum()))
        least = np.maximum(LEAST_WIDTH, 0.5 / np.maximum(encoding.sizes, 1) * (encoding.sizes > 0))
        widths = np.clip(scott, np.maximum(least, 1 / min(100, count + 1) * 0.5), 1.0)
        stays = count / (count + np.maximum(encoding.sizes, 1))
        return cls(encoding, rows, widths, stays)

    def no_wider(self, other: Mixture) -> Mixture:
        """Return the density with kernels that are nowhere wider than another's."""
        return replace(self, widths=np.minimum(self.widths, other.widths))

    def draw(self, count: int, rng: np.random.Generator) -> Rows:
        """Draw rows."""
        rows = self.encoding.draw(count, rng)
        kernels = rng.integers(len(self.centres) + 1, size=count)
        from_data = kernels < len(self.centres)
        centres = self.centres[kernels[from_data]]
        drawn = rows[from_data]
        for column in range(len(self.encoding)):
            known = ~np.isnan(centres[:, column])
            centre = centres[known, column]
            if self.encoding.categorical[column]:
                keeps = rng.random(len(centre)) < self.stays[column]
                drawn[known, column] = np.where(keeps, centre, drawn[known, column])
            else:
                width = self.widths[column]
                low, high = ndtr((0 - centre) / width), ndtr((1 - centre) / width)
                u = low + rng.random(len(centre)) * (high - low)
                drawn[known, column] = centre + width * ndtri(u)
        rows[from_data] = drawn
        return self.encoding.settled(rows)

    def log_density(self, rows: Rows) -> Numbers:
        """Return the logarithm of the density at each row, up to a constant of the searchspace."""
        numeric, categorical = ~self.encoding.categorical, self.encoding.categorical
        there, here = ~np.isnan(rows), ~np.isnan(self.centres)
        x = np.where(there, rows, 0.0)[:, numeric] / self.widths[numeric]
        c = np.where(here, self.centres, 0.0)[:, numeric] / self.widths[numeric]
        x_there, c_here = there[:, numeric].astype(float), here[:, numeric].astype(float)
        squares = (x**2) @ c_here.T + x_there @ (c**2).T - 2 * x @ c.T
        mass = np.log(ndtr((1 / self.widths[numeric]) - c) - ndtr(-c)) + np.log(
            np.sqrt(2 * np.pi) * self.widths[numeric]
        )
        logs = -0.5 * squares - x_there @ (c_here * mass).T
        for column in np.flatnonzero(categorical):
            weights = self.encoding.weights[column]
            if weights is None:
                continue
            codes = np.nan_to_num(rows[:, column]).astype(int)
            own = np.nan_to_num(self.centres[:, column]).astype(int)
            stay = self.stays[column]
            miss = np.log1p(-stay) * np.ones(len(weights))
            hit = np.log(stay / weights + (1 - stay))
            both = there[:, column][:, None] & here[:, column][None, :]
            same = codes[:, None] == own[None, :]
            logs += np.where(both, np.where(same, hit[codes][:, None], miss[codes][:, None]), 0.0)
        most = np.maximum(logs.max(axis=1, initial=0.0), 0.0)  # the prior's kernel is 1 everywhere
        total = np.exp(logs - most[:, None]).sum(axis=1) + np.exp(-most)
        density: Numbers = most + np.log(total) - np.log(len(self.centres) + 1)
        return density


def good_ones(count: int, share: float) -> int:
    """Return how many of so many measurements are good."""
    return min(int(np.ceil(share * count)), 25)


def propose(study: Study, rng: Random, startup: int, share: float, candidates: int) -> dict[str, Any]:
    """Return the most promising of some configurations drawn from where the good ones are dense.

    Configurations that are pending count as bad (a constant liar). Random while fewer than `startup` are measured.
    """
    observed = study.index(Observed)
    encoding, rung = observed.encoding, observed.drawn(startup, rng)
    if len(rung) < startup or not len(encoding):
        return study.searchspace.sample(rng)
    draws = generator(rng)
    rows, order = rung.rows, np.argsort(rung.losses, kind="stable")
    few = good_ones(len(rung), share)
    good = Mixture.of(encoding, rows[order[:few]])
    bad = Mixture.of(encoding, np.vstack([rows[order[few:]], observed.awaited(rung)])).no_wider(good)
    drawn = good.draw(candidates, draws)
    score = good.log_density(drawn) - bad.log_density(drawn)
    return encoding.first_allowed(drawn[np.argsort(-score, kind="stable")], observed.tried, draws)
