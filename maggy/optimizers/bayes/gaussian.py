"""Gaussian processes: what is known of a function from some of its values.

Matérn-5/2 with a length scale for each column. Hyperparameters are those of the largest posterior density (MAP), by
L-BFGS with analytic gradients, after Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press 2006,
chapters 2 and 5. The prior of the length scales grows with the square root of the number of columns, as distances do:
Hvarfner, Hellsten, Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from maggy.optimizers.bayes.encoding import Encoding, Rows

Numbers = NDArray[np.float64]

SCALES = (0.01, 100.0)  # bounds of the length scales; a column is 1 wide
SIGNALS = (0.05, 50.0)  # of the signal's variance, in units of the targets' variance
NOISES = (1e-8, 1.0)  # of the noise's: the smallest lets a noiseless function be interpolated
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)  # shares of the diagonal, one after the other
ROOT5 = np.sqrt(5.0)
LARGE = 100  # points from which on the likelihood is sharp, and dear: one start is enough
STEPS = 60


Function = TypeVar("Function", bound=Callable[..., Any])


def one_thread(function: Function) -> Function:
    """Return the function with BLAS held to one thread meanwhile.

    Matrices of a thousand rows gain little by more, and on a busy machine those wait for each other in a loop: an ask
    may then take a minute. With one the rounding is the same everywhere as well.
    """
    wrapped: Function = ThreadpoolController().wrap(limits=1, user_api="blas")(function)
    return wrapped


@dataclass(frozen=True)
class Points:
    """What a process sees of a row: a feature for each number, one for each choice of a category, and the budget.

    Two different choices are 1 apart, as are a column's ends. A parameter that is not active stands in the middle, and
    equally far from all choices; that it is not active is told by the parameter that it depends on.
    """

    encoding: Encoding
    budgets: bool  # whether a budget, from 0 to 1, is the last column

    @property
    def columns(self) -> int:
        """How many length scales there are."""
        return len(self.encoding) + self.budgets

    @property
    def groups(self) -> NDArray[np.intp]:
        """For each feature, its column."""
        widths = [
            size if choice else 1 for size, choice in zip(self.encoding.sizes, self.encoding.categorical, strict=True)
        ]
        return np.repeat(np.arange(self.columns), [*widths, 1][: self.columns])

    def of(self, rows: Rows, budgets: Numbers | float = 1.0) -> Numbers:
        """Return the features of rows."""
        features = []
        for column, (size, choice) in enumerate(zip(self.encoding.sizes, self.encoding.categorical, strict=True)):
            values = rows[:, column]
            if choice:
                features.append((values[:, None] == np.arange(size)) * np.sqrt(0.5))
            else:
                features.append(np.where(np.isnan(values), 0.5, values)[:, None])
        if self.budgets:
            features.append(np.broadcast_to(budgets, len(rows))[:, None])
        return np.hstack(features)


@dataclass(frozen=True)
class Hyper:
    """The hyperparameters of a process.

    `scales` holds one length scale for each column, and `signal`, `noise` are variances, in units of the targets'.
    """

    scales: Numbers
    signal: float
    noise: float
    mean: float

    @classmethod
    def of(cls, theta: Numbers) -> Hyper:
        """Return what a point of the search for them stands for."""
        return cls(np.exp(theta[:-3]), float(np.exp(theta[-3])), float(np.exp(theta[-2])), float(theta[-1]))


@dataclass(frozen=True)
class Prior:
    """Normal distributions of the logarithms of the hyperparameters, and of the mean."""

    centres: Numbers
    widths: Numbers

    @classmethod
    def of(cls, columns: int) -> Prior:
        """Return the prior for so many columns.

        Hvarfner's is a log-normal density of the length scale with parameters √2 + log(D)/2 and √3; what is here is
        the same density, as a function of the logarithm. Signals are near the targets' variance. Noise is far below
        it unless the data say otherwise, over many orders of magnitude: training runs differ in it that much.
        """
        scales = np.full(columns, np.sqrt(2) + np.log(max(columns, 1)) / 2 - 3)
        return cls(
            np.append(scales, [0.0, np.log(1e-5), 0.0]), np.append(np.full(columns, np.sqrt(3)), [1.0, 3.0, 1.0])
        )

    def penalty(self, theta: Numbers) -> tuple[float, Numbers]:
        """Return the negative logarithm of the density, up to a constant, and its gradient."""
        off = (theta - self.centres) / self.widths
        return 0.5 * float(off @ off), off / self.widths


def matern(squares: Numbers) -> Numbers:
    """Return the correlation at squared distances."""
    r = ROOT5 * np.sqrt(squares)
    correlation: Numbers = (1 + r + r * r / 3) * np.exp(-r)
    return correlation


def matern_slope(squares: Numbers) -> Numbers:
    """Return the derivative of the correlation by the squared distance."""
    r = ROOT5 * np.sqrt(squares)
    slope: Numbers = (-5 / 6) * (1 + r) * np.exp(-r)
    return slope


def squares_between(a: Numbers, b: Numbers) -> Numbers:
    """Return the squared distances between the rows of two arrays, by matrix products: an array of n·m·D is slow."""
    squares: Numbers = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * (a @ b.T)
    return np.maximum(squares, 0.0, out=squares)


def cholesky(matrix: Numbers) -> Numbers:
    """Return the lower factor of a covariance, which is made a little larger on its diagonal until there is one."""
    scale = float(np.mean(np.diag(matrix)))
    for jitter in JITTERS:
        lifted = matrix + jitter * scale * np.eye(len(matrix)) if jitter else matrix
        factor, info = lapack.dpotrf(lifted, lower=1, clean=1)
        if info == 0:
            found: Numbers = factor
            return found
    raise np.linalg.LinAlgError("a covariance is not positive definite, whatever is added to its diagonal")


def loss(
    theta: Numbers, points: Numbers, groups: NDArray[np.intp], targets: Numbers, prior: Prior
) -> tuple[float, Numbers]:
    """Return the negative log posterior of the hyperparameters, up to a constant, and its gradient.

    Arguments:
        theta: the logarithms of scales, signal and noise, and the mean.
        points: the measured points, n by features.
        groups: for each feature the column whose length scale it has.
        targets: the values measured there.
        prior: of theta.

    """
    hyper = Hyper.of(theta)
    scaled = points / hyper.scales[groups]
    squares = squares_between(scaled, scaled)
    r = ROOT5 * np.sqrt(squares)
    decay = hyper.signal * np.exp(-r)
    signal = (1 + r + r * r / 3) * decay
    factor = cholesky(signal + hyper.noise * np.eye(len(points)))
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ (targets - hyper.mean)
    value = 0.5 * float((targets - hyper.mean) @ alpha) + float(np.log(np.diag(factor)).sum())
    weights = inverse - np.outer(alpha, alpha)  # the derivative by the covariance, twice (R&W, equation 5.9)
    by_square = weights * ((-5 / 6) * (1 + r) * decay)
    spread = (by_square.sum(1)[:, None] * scaled * scaled).sum(0) - (scaled * (by_square @ scaled)).sum(0)
    gradient = np.empty_like(theta)
    gradient[:-3] = np.bincount(groups, -2 * spread, minlength=len(theta) - 3)
    gradient[-3] = 0.5 * float((weights * signal).sum())
    gradient[-2] = 0.5 * hyper.noise * float(np.trace(weights))
    gradient[-1] = -float(alpha.sum())
    penalty, slope = prior.penalty(theta)
    return value + penalty, gradient + slope


def fit(points: Numbers, groups: NDArray[np.intp], targets: Numbers, columns: int) -> Hyper:
    """Return the most probable hyperparameters, from several starts: the likelihood has more than one peak.

    A function of the data alone: it is not started from what was found before, so whoever replays a study, from
    wherever, finds the same.
    """
    prior = Prior.of(columns)
    root = np.sqrt(max(columns, 1))
    starts = [
        np.append(np.full(columns, np.log(scale * root)), [0.0, np.log(noise), 0.0])
        for scale, noise in ((0.3, 1e-4), (0.1, 1e-2), (1.0, 1e-6))
    ]
    bounds = [np.log(SCALES)] * columns + [np.log(SIGNALS), np.log(NOISES), (-3.0, 3.0)]
    given = (points, groups, targets, prior)
    if len(points) > LARGE:
        starts = sorted(starts, key=lambda theta: loss(theta, *given)[0])[:1]
    found = [
        minimize(loss, theta, given, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": STEPS})
        for theta in starts
    ]
    return Hyper.of(min(found, key=lambda each: each.fun).x)


class Posterior:
    """A process, given what was measured; with several sets of values at the same points, one for each fantasy.

    Points are n by features as for `fit`. Means are q by fantasies, variances q: they do not depend on the values.
    """

    def __init__(self, hyper: Hyper, groups: NDArray[np.intp], points: Numbers, targets: Numbers) -> None:
        self.hyper = hyper
        self._scales = hyper.scales[groups]
        self._points = points / self._scales
        covariance = hyper.signal * matern(squares_between(self._points, self._points))
        covariance[np.diag_indices_from(covariance)] += hyper.noise
        self._factor = cholesky(covariance)
        self._white = self._solved(targets - hyper.mean)[:, None]
        self._weigh()

    def imagine(self, points: Numbers, draws: Numbers) -> None:
        """Take in points that are not measured yet, with values drawn from the posterior.

        `draws` is points by fantasies of standard normal numbers. Values that are drawn jointly by the factor of their
        covariance are just these numbers in the whitened space of the larger process, so nothing is solved twice.
        """
        scaled = points / self._scales
        cross = self._solved(self.hyper.signal * matern(squares_between(self._points, scaled)))
        covariance = self.hyper.signal * matern(squares_between(scaled, scaled)) - cross.T @ cross
        covariance[np.diag_indices_from(covariance)] += self.hyper.noise + 1e-8
        own = cholesky(covariance)
        self._factor = np.block([[self._factor, np.zeros((len(self._points), len(points)))], [cross.T, own]])
        self._points = np.vstack([self._points, scaled])
        self._white = np.vstack([np.repeat(self._white, draws.shape[1], axis=1), draws])
        self._weigh()

    def _weigh(self) -> None:
        self._factor = np.asfortranarray(self._factor)
        self._alpha = lapack.dtrtrs(self._factor, self._white, lower=1, trans=1)[0]

    def _solved(self, right: Numbers) -> Numbers:
        solved: Numbers = lapack.dtrtrs(self._factor, right, lower=1)[0]
        return solved

    def mean(self, points: Numbers) -> Numbers:
        """Return the means at points: q by fantasies."""
        cross = self.hyper.signal * matern(squares_between(points / self._scales, self._points))
        means: Numbers = self.hyper.mean + cross @ self._alpha
        return means

    def predict(self, points: Numbers) -> tuple[Numbers, Numbers]:
        """Return means (q by fantasies) and standard deviations (q), without the noise."""
        cross = self.hyper.signal * matern(squares_between(self._points, points / self._scales))
        white = self._solved(cross)
        variances = self.hyper.signal - (white * white).sum(0)
        means = self.hyper.mean + cross.T @ self._alpha
        return means, np.sqrt(np.maximum(variances, 1e-14 * self.hyper.signal))

    def slopes(self, point: Numbers) -> tuple[Numbers, float, Numbers, Numbers]:
        """Return, at one point, means (fantasies), deviation, and their gradients: features by fantasies, features."""
        scaled = point / self._scales
        apart = scaled - self._points
        squares = (apart * apart).sum(1)
        r = ROOT5 * np.sqrt(squares)
        decay = self.hyper.signal * np.exp(-r)
        cross = (1 + r + r * r / 3) * decay
        rise = (((-5 / 3) * (1 + r) * decay)[:, None] * apart / self._scales).T  # features by n
        white = self._solved(cross)
        both = lapack.dtrtrs(self._factor, white, lower=1, trans=1)[0]
        variance = max(self.hyper.signal - float(white @ white), 1e-14 * self.hyper.signal)
        deviation = float(np.sqrt(variance))
        means: Numbers = self.hyper.mean + cross @ self._alpha
        return means, deviation, rise @ self._alpha, -(rise @ both) / deviation
