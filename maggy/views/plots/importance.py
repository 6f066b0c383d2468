"""How much each parameter has to do with being among the best: PED-ANOVA.

Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces",
IJCAI 2023: the Pearson divergence of where the best tenth lies from where all lie, along each parameter by itself
(their theorem 1), as a share of the sum. It needs no model, and sees no interactions. Trials that were stopped are
among all, and never among the best: without them bad regions would look as if nobody had tried them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maggy.errors import ConfigError, amount
from maggy.study import Study
from maggy.trial import Status
from maggy.views.plots.base import Axis, axes, comparable
from maggy.views.summary import title

TOP = 0.1
FEWEST = 5  # of the best, so that their places mean something
CELLS = 50  # of the unit interval
NARROWEST = 0.5 / CELLS  # a kernel's width: what is finer no cell can tell


def importances(study: Study) -> dict[str, float]:
    """Return each parameter's share, which sum to 1. Raises `ConfigError` for fewer than ten trials to compare."""
    trials = comparable(study)
    if len(trials) < 2 * FEWEST:
        raise ConfigError(
            f"study {title(study)!r} has {amount(len(trials), 'completed trial')} at one budget; what matters takes "
            f"{2 * FEWEST} to tell"
        )
    budget = trials[0].budget
    stopped = [each for each in study.trials.values() if each.status is Status.STOPPED and each.budget == budget]
    every = trials + stopped
    best = {trial.id for trial in sorted(trials, key=study.loss)[: max(FEWEST, math.ceil(TOP * len(every)))]}
    found: dict[str, float] = {}
    for axis in axes(study):
        units = [(unit, trial.id in best) for trial in every if (unit := axis.unit(trial)) is not None]
        top = [unit for unit, good in units if good]
        found[axis.name] = _divergence(axis, top, [unit for unit, _ in units]) if top else 0.0
    total = sum(found.values())
    return {name: value / total if total else 1 / len(found) for name, value in found.items()}


def _divergence(axis: Axis, top: list[float], every: list[float]) -> float:
    """Return E[(p_top / p_all - 1)²] over where all trials lie."""
    density = _counted if axis.listed else _smoothed
    cells = len(axis.domain.grid() or []) if axis.listed else CELLS
    good, base = density(top, cells), density(every, cells)
    return float(np.sum(base * (good / base - 1) ** 2))


def _counted(units: list[float], cells: int) -> Any:
    """Return the share of each value, with one imagined trial spread over all."""
    counts = np.bincount([min(int(unit * cells), cells - 1) for unit in units], minlength=cells)
    return (counts + 1 / cells) / (len(units) + 1)


def _smoothed(units: list[float], cells: int) -> Any:
    """Return a density over cells: Gaussian kernels of Scott's width, and one imagined trial spread over all."""
    at = np.asarray(units)
    spread = min(at.std(), (np.quantile(at, 0.75) - np.quantile(at, 0.25)) / 1.34) or at.std()
    width = max(1.059 * spread * len(at) ** -0.2, NARROWEST)
    centres = (np.arange(cells) + 0.5) / cells
    kernels = np.exp(-0.5 * ((centres[None, :] - at[:, None]) / width) ** 2)
    kernels /= kernels.sum(axis=1, keepdims=True)  # cut off at the ends of the interval
    return (kernels.sum(axis=0) + 1 / cells) / (len(at) + 1)
