"""Which features, steps and components does a model need? An ablation of the diabetes data, on Spark, in a minute.

Each of the ten features, each step of the pipeline and one component is left out by itself, with five seeds each; the
table says how much worse, or better, the result is without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from maggy import AblationStudy, experiment


def pipeline() -> Pipeline:
    """Return the whole model: products of features, scaled, and a ridge regression."""
    products = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    return Pipeline([("products", products), ("scale", StandardScaler()), ("fit", Ridge(100.0))])


def train_fn(dataset: Any, model: Any, log_target: bool, seed: int) -> float:
    """Return the R² of predictions for people whom the model has not seen."""
    x, y = dataset.drop(columns="target"), dataset["target"]
    folds = KFold(5, shuffle=True, random_state=seed)
    told = np.log(y) if log_target else y
    found = cross_val_predict(model, x, told, cv=folds)
    found = np.exp(found) if log_target else found
    return float(1 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum())


study = AblationStudy(
    dataset=load_diabetes(as_frame=True).frame,
    label="target",
    features="all",
    model=pipeline,
    steps=["products", "scale"],
    components=["log_target"],
    replicates=5,
)


def main() -> None:
    """Run the study and print what it has found."""
    result = experiment.lagom(train_fn, study, name="diabetes", num_executors=2)
    print(result.ablation)


if __name__ == "__main__":
    main()
