"""What others need for a trivial trial, on the machine and in the minute in which maggy is measured.

Each peer is a function that returns trials per second and the median milliseconds between two trials of a slot, or None
where it is not installed. The two forms of bare Spark are what frameworks on Spark are built on; their gap is that of
four slots that are never idle for another reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SLOTS = 4
Figures = dict[str, float] | None


def measured(trials: int, run: Callable[[], Any]) -> dict[str, float]:
    """Time `run`, which runs so many trials on four slots."""
    began = time.monotonic()
    run()
    rate = trials / (time.monotonic() - began)
    return {"trials_per_s": round(rate, 1), "gap_ms_mean": round(1000 * SLOTS / rate, 2)}


def spark_task_per_trial(folder: Path) -> Figures:  # noqa: ARG001 - keeps nothing
    """Run one stage with a task for each trial."""
    from maggy.driver.sparksession import spark_session

    context = spark_session().sparkContext
    trials = 400
    return measured(trials, lambda: context.parallelize(range(trials), trials).map(float).collect())


def spark_job_per_trial(folder: Path) -> Figures:  # noqa: ARG001 - keeps nothing
    """Run one job for each trial, from four threads, as Hyperopt's SparkTrials and MLflow's Optuna wrapper do."""
    from maggy.driver.sparksession import spark_session

    context = spark_session().sparkContext
    trials = 200

    def run() -> None:
        with ThreadPoolExecutor(SLOTS) as pool:
            list(pool.map(lambda x: context.parallelize([x], 1).map(float).collect(), range(trials)))

    return measured(trials, run)


def optuna_sqlite(folder: Path) -> Figures:
    """Run Optuna's random sampler on four threads, with its durable storage in SQLite."""
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", sampler=sampler)
    trials = 200
    return measured(
        trials, lambda: study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials, n_jobs=SLOTS)
    )


PEERS = (spark_task_per_trial, spark_job_per_trial, optuna_sqlite)


def all_peers(folder: Path) -> dict[str, Figures]:
    """Measure every peer that is installed."""
    return {peer.__name__: peer(folder) for peer in PEERS}
