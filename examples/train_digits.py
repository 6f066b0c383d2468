"""Train a small network on scikit-learn's digits: a script like any other, which only prints how it goes.

Its lines METRICS are what a study file needs (digits.dv): python train_digits.py --epochs 3
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

options = argparse.ArgumentParser()
options.add_argument("--batch-size", type=int, default=64)
options.add_argument("--lr", type=float, default=0.1)
options.add_argument("--epochs", type=int, default=10)
given = options.parse_args()

x, y = load_digits(return_X_y=True)
x_train, y_train, x_test, y_test = x[:1200] / 16, y[:1200], x[1200:] / 16, y[1200:]
model = MLPClassifier((64,), solver="sgd", batch_size=given.batch_size, learning_rate_init=given.lr, random_state=0)
for epoch in range(1, given.epochs + 1):
    for end in range(300, 1201, 300):
        model.partial_fit(x_train[end - 300 : end], y_train[end - 300 : end], classes=np.arange(10))
        print(f"Train Epoch: {epoch} [{end}/1200 ({end // 12}%)] Loss: {model.loss_:.6f}")
    loss, right = log_loss(y_test, model.predict_proba(x_test)), model.score(x_test, y_test)
    print(f"Test set: Average loss: {loss:.4f}, Accuracy: {right:.0%}")
    print(f"METRICS: loss={loss:.4f},epoch={epoch}")
