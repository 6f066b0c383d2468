"""Tune a neural network on scikit-learn's digits with ASHA, on Spark: `make demo`.

81 configurations get one epoch each; the best third of them two more, the best third of those six more, and so on: a
promoted trial goes on from its parent's checkpoint. Most of the time goes where it pays.
"""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from maggy import Asha, Categorical, Float, Integer, Searchspace, experiment

EPOCHS = 27

searchspace = Searchspace(
    lr=Float(1e-5, 1e-1, log=True),
    units=Integer(8, 256, log=True),
    alpha=Float(1e-6, 1e-1, log=True),
    batch=Integer(8, 256, log=True),
    activation=Categorical(["relu", "tanh", "logistic"]),
)


def data() -> dict[str, tuple[Any, Any]]:
    """Return the digits in three parts: to train on, to tune on, and to judge the winner by."""
    x, y = load_digits(return_X_y=True)
    x_rest, x_test, y_rest, y_test = train_test_split(x / 16, y, test_size=400, random_state=1, stratify=y)
    x_train, x_valid, y_train, y_valid = train_test_split(
        x_rest, y_rest, test_size=400, random_state=2, stratify=y_rest
    )
    return {"train": (x_train, y_train), "valid": (x_valid, y_valid), "test": (x_test, y_test)}


def network(**params: Any) -> MLPClassifier:
    """Build the network; the defaults are scikit-learn's."""
    names = {"lr": "learning_rate_init", "units": "hidden_layer_sizes", "batch": "batch_size"}
    return MLPClassifier(random_state=0, **{names.get(name, name): value for name, value in params.items()})


def train_fn(hparams: dict[str, Any], budget: float, reporter: Any) -> float:
    """Train for `budget` epochs in all, going on where the parent trial ended, and report after each."""
    parts = data()
    model, first = network(**hparams), 0
    if found := reporter.restore():
        model, first = pickle.loads(Path(found).read_bytes())  # noqa: S301 - our own
    accuracy = 0.0
    for epoch in range(first, int(budget)):
        model.partial_fit(*parts["train"], classes=np.arange(10))
        accuracy = float(model.score(*parts["valid"]))
        reporter.report(step=epoch, accuracy=accuracy, loss=float(model.loss_))
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "model.pkl")
        state.write_bytes(pickle.dumps((model, int(budget))))
        reporter.save(state)
    return accuracy


def judged(**params: Any) -> float:
    """Train a configuration in full, here, and return its accuracy on digits that nobody has tuned on."""
    parts = data()
    model = network(**params)
    for _ in range(EPOCHS):
        model.partial_fit(*parts["train"], classes=np.arange(10))
    return float(model.score(*parts["test"]))


def main() -> None:
    """Run the study and compare its winner with the default configuration."""
    result = experiment.lagom(
        train_fn,
        searchspace,
        optimizer=Asha(reduction_factor=3, resource_min=1, resource_max=EPOCHS),
        direction="max",
        metric="accuracy",
        num_trials=81,
        num_executors=4,
        seed=7,
        name="digits",
    )
    print(f"\nOn {len(data()['test'][1])} digits that were not tuned on, after {EPOCHS} epochs:")
    print(f"  default configuration  {judged():.4f}")
    print(f"  best configuration     {judged(**dict(result.best_params or {})):.4f}")


if __name__ == "__main__":
    main()
