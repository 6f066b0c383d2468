"""The demo as a spark-submit job, with the training function in a module of its own:

    spark-submit --master 'local[4]' --py-files examples/digits_asha.py examples/spark_submit.py --trials 27

On YARN, Kubernetes or a standalone cluster only `--master` changes; executors need scikit-learn, which the training
function imports, and nothing of maggy's.
"""  # noqa: D400 - the line before the command ends with a colon

from __future__ import annotations

import argparse

from digits_asha import searchspace, train_fn
from pyspark.sql import SparkSession

from maggy import Asha, experiment


def main() -> None:
    """Run the study in the session that spark-submit has prepared."""
    parser = argparse.ArgumentParser(
        description="Tune a network on the digits, on the cluster that spark-submit names."
    )
    parser.add_argument("--trials", type=int, default=81, help="configurations to sample")
    parser.add_argument("--store", default="maggy.db", help="where the study is kept")
    parser.add_argument("--logs", default="maggy_logs", help="where logs, TensorBoard files and checkpoints go")
    arguments = parser.parse_args()
    spark = SparkSession.builder.appName("digits").getOrCreate()
    result = experiment.lagom(
        train_fn,
        searchspace,
        optimizer=Asha(resource_max=27),
        metric="accuracy",
        num_trials=arguments.trials,
        seed=7,
        name="digits",
        store=arguments.store,
        log_dir=arguments.logs,
    )
    print(f"best accuracy: {result.best_value}")
    spark.stop()


if __name__ == "__main__":
    main()
