"""Losses as a Gaussian process can learn them: finite, of one scale, and with the differences that matter.

The better half of the losses keeps its proportions, the worse half is replaced by what a normal distribution would
have at the same ranks: where most configurations are bad by orders of magnitude, that they are bad is all there is to
know. It is the warping of Song et al., "The Vizier Gaussian Process Bandit Algorithm", arXiv 2408.11527. Against a
power transform (Yeo-Johnson, four seeds of nine problems) it was ahead on seven, by most where the function is rugged
(Ackley in 10 columns: 14.8 to 18.3); it needs no fit, and no outlier is large enough to disturb it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from maggy.optimizers.bayes.gaussian import Numbers

FEW = 2.0  # configurations that are added in thought where scales are compared: one or two tell none


def warp(losses: Numbers) -> Numbers:
    """Return losses with mean 0 and variance 1, in the same order; infinite ones count as the worst finite one.

    All 0 where the losses are all equal.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        return np.zeros(len(losses))
    bounded = np.where(finite, losses, losses[finite].max())
    values, place, counts = np.unique(bounded, return_inverse=True, return_counts=True)
    if len(values) == 1:
        return np.zeros(len(losses))
    middle = np.sort(bounded)[(len(losses) - 1) // 2]
    good = bounded <= middle
    scale = max(float(np.abs(bounded[good]).max()), 1e-300)  # so that no square of 1e308 is taken
    below = np.where(good, bounded, middle) / scale - middle / scale
    spread = float(np.sqrt(np.mean(below[good] ** 2)))
    ranks = ((np.cumsum(counts) - counts / 2) / len(losses))[place]
    warped = np.where(good, below / (spread or 1.0), ndtri(np.clip(ranks, 0.5, 1 - 0.25 / len(losses))))
    standard: Numbers = (warped - warped.mean()) / warped.std()
    return standard


def placed(losses: Sequence[Numbers], keys: Sequence[Sequence[bytes]]) -> list[Numbers]:
    """Return the warped losses of several budgets, lowest first, on one scale.

    Each budget's are warped among themselves: a loss after 1 epoch says nothing against one after 27. But who is
    measured at a higher budget was chosen, by promotion, for being good: to give each budget mean 0 would make the
    best of a low budget, once continued, look average. So a budget is moved and stretched to where the configurations
    that it shares with lower ones (equal `keys`) were there. Where none are shared, as when trials that go on are
    measured only where they end, those who came further are taken for better by one standard deviation.
    """
    found: list[Numbers] = []
    below: dict[bytes, float] = {}
    for own, names in zip(losses, keys, strict=True):
        targets = warp(own)
        if shared := [number for number, name in enumerate(names) if name in below]:
            there, here = np.array([below[names[number]] for number in shared]), targets[shared]
            ratio = np.sqrt((len(shared) * there.var() + FEW / 2) / (len(shared) * here.var() + FEW))
            targets = there.mean() + ratio * (targets - here.mean())
        elif found:
            targets = np.concatenate(found).mean() - 1 + targets / 2
        found.append(targets)
        below.update(zip(names, targets.tolist(), strict=True))
    return found
