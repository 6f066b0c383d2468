"""PyTorch Lightning, under either of its names."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from typing import Any

from maggy.callbacks.metrics import picked, tell
from maggy.executor.reporter import Reporter

NAMES = ("lightning.pytorch", "pytorch_lightning")


def _library() -> Any:
    """Return the one that is in use, else the one that is here: each takes callbacks of its own only."""
    loaded = [name for name in NAMES if name in sys.modules]
    here = [name for name in NAMES if importlib.util.find_spec(name.partition(".")[0]) is not None]
    return import_module((loaded or here or ["lightning.pytorch"])[0])


class LightningEpochEnd(_library().Callback):  # type: ignore[misc]
    """Reports a metric that the module has logged, at the end of each epoch: of training, or after its validation."""

    def __init__(self, reporter: Reporter, metric: str = "val_loss") -> None:
        super().__init__()
        self._reporter = reporter
        self._metric = metric

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - it is Lightning's to call
        """Report. Raises `ValueError` for a metric that there is not, by the time of the first validation."""
        epoch, every = trainer.current_epoch, trainer.check_val_every_n_epoch or 1
        validated = (epoch + 1) % every == 0
        if trainer.is_global_zero and (self._metric in trainer.callback_metrics or validated):
            tell(self._reporter, picked(trainer.callback_metrics, self._metric, "; log it with self.log()"), epoch)
