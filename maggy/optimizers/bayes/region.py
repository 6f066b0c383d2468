"""A trust region: where many parameters are searched at once, look around the best, as far as has paid off.

Eriksson, Pearce, Gardner, Turner, Poloczek, "Scalable Global Optimization via Local Bayesian Optimization" (TuRBO),
NeurIPS 2019. The region is not remembered but computed from the order of successes and failures, each time.
"""

from __future__ import annotations

import numpy as np

from maggy.optimizers.bayes.gaussian import Numbers

FIRST, LARGEST, SMALLEST = 0.8, 1.6, 0.5**7  # sides, in units of a column's width
SUCCESSES = 3


def side(losses: Numbers, startup: int, patience: int) -> float:
    """Return the side of the region after these losses, which stand in the order in which they were measured.

    After the first `startup`, `SUCCESSES` new best ones in a row double it, `patience` others in a row halve it. A
    region that has become too small gives way to a new one of the first size.
    """
    length, successes, failures = FIRST, 0, 0
    if len(losses) <= startup:
        return length
    best = np.minimum.accumulate(losses)
    for better in (losses[startup:] < best[startup - 1 : -1]).tolist():
        successes, failures = (successes + 1, 0) if better else (0, failures + 1)
        if successes == SUCCESSES:
            length, successes = min(2 * length, LARGEST), 0
        elif failures == patience:
            length, failures = length / 2, 0
            if length < SMALLEST:
                length = FIRST
    return length


def bounds(centre: Numbers, scales: Numbers, length: float) -> tuple[Numbers, Numbers]:
    """Return the ends of the region in each column: wider where the function changes slowly, cut off at 0 and 1."""
    shape = np.clip(scales / np.exp(np.log(scales).mean()), 0.25, 4.0)
    reach = 0.5 * length * shape
    return np.clip(centre - reach, 0.0, 1.0), np.clip(centre + reach, 0.0, 1.0)
