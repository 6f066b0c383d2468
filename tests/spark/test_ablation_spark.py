"""An ablation study on Spark, of a Spark data frame."""

import sys

import cloudpickle
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from maggy import AblationStudy, experiment

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
pytestmark = pytest.mark.spark


def accuracy(dataset, scale):
    x, y = dataset.drop(columns="target"), dataset["target"]
    return {"accuracy": cross_val_score(LogisticRegression(), x / scale, y, cv=5).mean(), "columns": len(x.columns)}


@pytest.mark.filterwarnings("ignore")  # PySpark's, of a pandas that is newer than it
def test_features_of_a_spark_data_frame(spark, tmp_path):
    """Executors are given the data, collected once, without the column."""
    spark.conf.set("spark.sql.execution.arrow.pyspark.enabled", "false")  # pyarrow need not be installed
    frame = spark.createDataFrame(load_iris(as_frame=True).frame)
    study = AblationStudy(frame, label="target", features="all", components={"scale": [1.0, 100.0]})
    result = experiment.lagom(
        accuracy, study, metric="accuracy", store=tmp_path / "maggy.db", log_dir=None, num_executors=2, quiet=True
    )
    assert [trial.metrics["columns"] for trial in result.trials] == [4, 3, 3, 3, 3, 4]
    assert {effect.label for effect in result.ablation[:2]} == {
        "scale = 100.0",
        "without petal length (cm)",
    }  # both shrink what the penalty sees
