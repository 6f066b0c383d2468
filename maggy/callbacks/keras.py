"""Keras 3; their names, and what they report by default, are those of Maggy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from maggy.callbacks.metrics import picked, tell
from maggy.executor.reporter import Reporter

VALIDATION = "val_"


class KerasEpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports a metric at the end of each epoch; one of the validation data at those after which there is one."""

    def __init__(self, reporter: Reporter, metric: str = "val_loss") -> None:
        super().__init__()
        self._reporter = reporter
        self._metric = metric
        self._seen = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report. Raises `ValueError` for a metric that there is not."""
        logs = logs or {}
        of_training = self._metric.removeprefix(VALIDATION)
        if self._metric in logs or self._metric == of_training or of_training not in logs:
            self._seen = True
            tell(self._reporter, picked(logs, self._metric), epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Raise `ValueError` where there never was a value, since there are no validation data."""
        if not self._seen:
            picked(logs or {}, self._metric, "; pass validation_data= to fit()")


class KerasBatchEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports a metric of the training data at the end of each batch, all batches of a training counted."""

    def __init__(self, reporter: Reporter, metric: str = "loss") -> None:
        super().__init__()
        self._reporter = reporter
        self._metric = metric

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Report. Raises `ValueError` for a metric that there is not."""
        self._reporter.broadcast(picked(logs or {}, self._metric))
