"""XGBoost, in `xgboost.train`, `xgboost.cv` and its estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xgboost

from maggy.callbacks.metrics import picked, tell
from maggy.executor.reporter import Reporter


class XGBoostIteration(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Reports a metric after each iteration: `"valid-auc"`, or `"auc"` where one data set has it, or the only one."""

    def __init__(self, reporter: Reporter, metric: str | None = None) -> None:
        super().__init__()
        self._reporter = reporter
        self._metric = metric

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Any]]) -> bool:  # noqa: ARG002
        """Report; go on. Raises `ValueError` for a metric that there is not."""
        values = {f"{data}-{name}": found[-1] for data, names in evals_log.items() for name, found in names.items()}
        value = picked(values, self._metric, "; pass evals= or eval_set=")
        tell(self._reporter, value[0] if isinstance(value, tuple) else value, epoch)  # of a cross-validation the mean
        return False
