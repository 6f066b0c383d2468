"""A quasi-random design: Sobol's points, scrambled by Owen's method (SciPy's), spread better than random ones."""

from __future__ import annotations

from random import Random

import numpy as np
from scipy.stats import qmc

from maggy.optimizers.bayes.encoding import Encoding, Rows

LAST = 2**30  # SciPy's points repeat from there on


def point(encoding: Encoding, seed: int, number: int) -> Rows:
    """Return point `number`, from 0, of the sequence that belongs to a seed: a row as the searchspace would draw it.

    It depends on nothing else, so the sequence is the same whatever happens to the study.
    """
    if not len(encoding):
        return np.empty(0)
    sequence = qmc.Sobol(len(encoding), scramble=True, seed=Random(f"maggy sobol {seed}").getrandbits(63))
    if number:
        sequence.fast_forward(number % LAST)
    row = sequence.random(1)[0]
    for column, weights in enumerate(encoding.weights):
        if weights is not None:
            row[column] = min(np.searchsorted(np.cumsum(weights), row[column], side="right"), len(weights) - 1)
    settled: Rows = encoding.settled(row[None, :])[0]
    return settled
