"""Expected improvement, as its logarithm.

Ament, Daulton, Eriksson, Balandat, Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
NeurIPS 2023: where little is to be gained the expected improvement and its slope are 0 to a computer, its logarithm
still tells uphill from downhill.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfcx, log_ndtr

from maggy.optimizers.bayes.gaussian import Numbers

HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
HALF_LOG_PI_2 = 0.5 * np.log(np.pi / 2)
DEEP = -1e4  # 1 - |u|·√(π/2)·erfcx(|u|/√2) has eight digits left there, and so has 1/u²


def log_h(u: Numbers) -> Numbers:
    """Return log(φ(u) + u·Φ(u)), the log expected improvement of a standard normal variable over -u."""
    u = np.asarray(u, dtype=float)
    near = np.maximum(u, -1.0)
    high = np.log(np.exp(-0.5 * near * near - HALF_LOG_2PI) + near * np.exp(log_ndtr(near)))
    size = np.clip(-u, 1.0, -DEEP)
    middle = np.log1p(-np.exp(np.log(size * erfcx(size / np.sqrt(2))) + HALF_LOG_PI_2))
    deep = -2 * np.log(np.maximum(-u, 1.0))
    low = -0.5 * u * u - HALF_LOG_2PI + np.where(u > DEEP, middle, deep)
    found: Numbers = np.where(u > -1, high, low)
    return found


def log_sum(logs: Numbers) -> Numbers:
    """Return the logarithm of the sum along the last axis, without the time that SciPy's takes for its checks."""
    most = logs.max(axis=-1)
    total: Numbers = most + np.log(np.exp(logs - most[..., None]).sum(axis=-1))
    return total


def log_ei(best: Numbers, means: Numbers, deviations: Numbers) -> Numbers:
    """Return the log of the expected improvement at q points, averaged over fantasies.

    `best` holds one loss for each fantasy, `means` is q by fantasies, `deviations` q.
    """
    u = (best[None, :] - means) / deviations[:, None]
    averaged: Numbers = log_sum(log_h(u)) - np.log(len(best)) + np.log(deviations)
    return averaged


def log_ei_slope(
    best: Numbers, means: Numbers, deviation: float, mean_slopes: Numbers, deviation_slope: Numbers
) -> tuple[float, Numbers]:
    """Return `log_ei` at one point and its gradient, from what `Posterior.slopes` says."""
    u = (best - means) / deviation
    logs = log_h(u)
    total = float(log_sum(logs))
    shares = np.exp(logs - total)
    by_mean = -np.exp(log_ndtr(u) - logs) / deviation  # -Φ(u) / (deviation * h(u))
    by_deviation = np.exp(-0.5 * u * u - HALF_LOG_2PI - logs) / deviation  # φ(u) / (deviation * h(u))
    slope: Numbers = mean_slopes @ (shares * by_mean) + float(shares @ by_deviation) * deviation_slope
    return total - float(np.log(len(best)) - np.log(deviation)), slope
