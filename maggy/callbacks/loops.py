"""scikit-learn, which has no callbacks: loops around estimators that can go on where they were."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any

from maggy.executor.reporter import Reporter


def fit_stages(
    model: Any,
    x: Any,
    y: Any,
    *,
    reporter: Reporter,
    score: Callable[[Any], float],
    stages: Iterable[int],
    parameter: str = "n_estimators",
) -> float:
    """Fit an estimator that has `warm_start` in stages, report its score after each, and return the last one.

    `stages` are values of `parameter` that rise, such as `range(10, 201, 10)` trees, or iterations with
    `parameter="max_iter"`: each is the step of its report. `score(model)` is on data that are held back.

    Raises `ValueError` for an estimator that has no `warm_start` or no such parameter, and for no stages.
    """
    settings = model.get_params()
    for name in ("warm_start", parameter):
        if name not in settings:
            raise ValueError(f"{type(model).__name__} has no parameter {name!r}; it has {', '.join(sorted(settings))}")
    value = None
    for stage in stages:
        model.set_params(**{"warm_start": True, parameter: stage})
        model.fit(x, y)
        value = float(score(model))
        reporter.broadcast(value, stage)
    if value is None:
        raise ValueError("there are no stages to fit: pass stages=range(10, 201, 10)")
    return value


def fit_epochs(
    model: Any,
    x: Any,
    y: Any,
    *,
    reporter: Reporter,
    score: Callable[[Any], float],
    epochs: int,
    batch_size: int = 32,
    classes: Sequence[Any] | None = None,
    seed: int = 0,
) -> float:
    """Train an estimator that has `partial_fit`, report its score after each epoch, and return the last one.

    `x` and `y` are arrays; each epoch goes through them in another order. `classes` are all labels that there are, for
    a classifier; those of `y` by default. `score(model)` is on data that are held back.

    Raises `ValueError` for an estimator that has no `partial_fit`, and for no epochs.
    """
    if not hasattr(model, "partial_fit"):
        raise ValueError(f"{type(model).__name__} has no partial_fit; with warm_start use fit_stages")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs={epochs} and batch_size={batch_size}: both must be at least 1")
    more: dict[str, Any] = {}
    if "classes" in inspect.signature(model.partial_fit).parameters:
        more["classes"] = sorted(set(y.tolist())) if classes is None else list(classes)
    order, rng, value = list(range(len(x))), Random(seed), 0.0
    for epoch in range(epochs):
        rng.shuffle(order)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            model.partial_fit(x[batch], y[batch], **more)
            more = {}  # the first call only needs them
        value = float(score(model))
        reporter.broadcast(value, epoch)
    return value
