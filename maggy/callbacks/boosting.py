"""LightGBM, whose callbacks are functions: nothing of it has to be imported."""

from __future__ import annotations

from typing import Any

from maggy.callbacks.metrics import picked, tell
from maggy.executor.reporter import Reporter


class LightGBMIteration:
    """Reports a metric after each iteration: `"valid_0-auc"`, or `"auc"` where one data set has it, or the only one."""

    order = 25  # behind what records the metrics, before early stopping

    def __init__(self, reporter: Reporter, metric: str | None = None) -> None:
        self._reporter = reporter
        self._metric = metric

    def __call__(self, env: Any) -> None:
        """Report. Raises `ValueError` for a metric that there is not."""
        values = {f"{each[0]}-{each[1]}": each[2] for each in env.evaluation_result_list or ()}
        tell(self._reporter, picked(values, self._metric, "; pass valid_sets= or eval_set="), env.iteration)
