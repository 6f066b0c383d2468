"""Where Maggy had the directory for a trial's TensorBoard files."""

from __future__ import annotations

from pathlib import Path

from maggy.executor.reporter import CURRENT


def logdir() -> str:
    """Return a directory for what the running trial writes for TensorBoard, to be called in train_fn.

    `tensorboard --logdir maggy_logs` shows it beside what maggy writes, where executors share the study's directory for
    checkpoints; elsewhere it ends with the trial. Raises `RuntimeError` where no trial runs in this thread.
    """
    reporter = CURRENT.get()
    if reporter is None:
        raise RuntimeError("tensorboard.logdir() is a trial's: call it in train_fn, in the thread that this runs in")
    folder = Path(reporter.checkpoint_dir, "tensorboard")
    folder.mkdir(exist_ok=True)
    return str(folder)
