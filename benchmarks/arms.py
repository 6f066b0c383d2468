"""The experiment of the talk's paper, with six arms: one line of JSON for each seed, one with the medians.

Meister et al. (DistributedML 2020, doi 10.1145/3426745.3431338) compared waves of Spark tasks with asynchronous trials:
random search took 33 to 58 % less time. Here a small network learns scikit-learn's digits, 64 configurations of which
are tried on eight executors, the same ones in each arm:

    waves          a Spark job of eight tasks, and the next one when all of them have ended
    stage          one Spark job with a task for each trial
    jobs           a Spark job for each trial, from eight threads, as Hyperopt's SparkTrials does
    asynchronous   maggy, no trial is stopped
    median         maggy, with the median rule
    asha           maggy, with ASHA: all begin with one epoch, and the best third of each rung goes on

`seconds` is how long an arm takes from its first trial's start to its last one's end, `accuracy` the best that is known
when the quickest arm has ended, so after equal worker-seconds. Each epoch lasts as long as it would on a slow core of
its executor's own: eight executors on two cores would otherwise wait for one another, and arms that leave executors
idle would be rewarded for it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from maggy import Asha, Categorical, Float, Integer, Median, Result, Searchspace, experiment
from maggy.driver.sparksession import spark_session

SLOTS, TRIALS, EPOCHS = 8, 64, 9
SPACE = Searchspace(
    lr=Float(1e-4, 1e-1, log=True),
    units=Integer(8, 128, log=True),
    batch=Integer(8, 256, log=True),
    activation=Categorical(["relu", "tanh", "logistic"]),
)
Known = list[tuple[float, float]]  # when an accuracy is known, and the accuracy


def train(
    hparams: Mapping[str, Any], budget: float | None = None, reporter: Any = None, epochs: int = 9
) -> dict[str, float]:
    """Train a network for `budget` epochs in all, going on where the parent trial ended; return its accuracy."""
    import pickle
    import tempfile
    import time
    from pathlib import Path

    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    began = time.time()  # what has been imported by now is not counted: an executor of each arm does it once
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16, y[order]
    model, first = (
        MLPClassifier(
            learning_rate_init=hparams["lr"],
            hidden_layer_sizes=(hparams["units"],),
            batch_size=hparams["batch"],
            activation=hparams["activation"],
            random_state=0,
        ),
        0,
    )
    if reporter is not None and (found := reporter.restore()):
        model, first = pickle.loads(Path(found).read_bytes())  # noqa: S301 - our own
    accuracy = 0.0
    for epoch in range(first, int(budget or epochs)):
        due = time.time() + 0.01 + 1000 / hparams["batch"] * (1.0 + hparams["units"] / 64) * 0.001
        model.partial_fit(x[:1000], y[:1000], classes=np.arange(10))
        accuracy = float(model.score(x[1000:], y[1000:]))
        time.sleep(max(0.0, due - time.time()))
        if reporter is not None:
            reporter.broadcast(accuracy, step=epoch)
    if budget is not None:
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder, "model.pkl")
            state.write_bytes(pickle.dumps((model, int(budget))))
            reporter.save(state)
    return {"metric": accuracy, "began": began}


def on_spark(jobs: Sequence[Sequence[Mapping[str, Any]]], *, threads: int) -> tuple[float, Known]:
    """Run jobs with a task for each configuration, from so many threads; a job's results are known when it ends."""
    context = spark_session().sparkContext

    def job(configurations: Sequence[Mapping[str, Any]]) -> list[tuple[float, dict[str, float]]]:
        found = context.parallelize(configurations, len(configurations)).map(train).collect()
        return [(time.time(), each) for each in found]

    with ThreadPoolExecutor(threads) as pool:
        ended = [each for found in pool.map(job, jobs) for each in found]
    began = min(each["began"] for _, each in ended)
    return began, [(at - began, each["metric"]) for at, each in ended]


def with_maggy(points: list[Mapping[str, Any]], folder: str, **options: Any) -> tuple[float, Known]:
    """Let maggy try the configurations; a result is known when its trial has ended."""
    result: Result = experiment.lagom(
        train,
        SPACE,
        num_trials=len(points),
        num_executors=SLOTS,
        metric="metric",
        points_to_evaluate=points,
        store=f"{folder}/maggy.db",
        log_dir=f"{folder}/logs",
        seed=0,
        quiet=True,
        **options,
    )
    began = min(trial.metrics["began"] for trial in result.trials if "began" in trial.metrics)
    values = [(trial.ended, trial.value if trial.value is not None else trial.curve.last) for trial in result.trials]
    return began, [(at - began, value) for at, value in values if at is not None and value is not None]


def arms(points: list[Mapping[str, Any]], folder: str) -> dict[str, Callable[[], tuple[float, Known]]]:
    """Return the six ways to try these configurations."""
    waves = [points[first : first + SLOTS] for first in range(0, len(points), SLOTS)]
    asha = Asha(reduction_factor=3, resource_min=1, resource_max=EPOCHS)
    return {
        "waves": lambda: on_spark(waves, threads=1),
        "stage": lambda: on_spark([points], threads=1),
        "jobs": lambda: on_spark([[point] for point in points], threads=SLOTS),
        "asynchronous": lambda: with_maggy(points, folder, optimizer="randomsearch", earlystop=None),
        "median": lambda: with_maggy(points, folder, optimizer="randomsearch", earlystop=Median(min_trials=5)),
        "asha": lambda: with_maggy(points, folder, optimizer=asha),
    }


def compared(seed: int) -> dict[str, dict[str, float]]:
    """Run all arms with the configurations of one seed."""
    rng = Random(seed)
    points: list[Mapping[str, Any]] = [SPACE.sample(rng) for _ in range(TRIALS)]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        known = {name: run()[1] for name, run in arms(points, folder).items()}
        os.chdir(Path(__file__).parent)
    seconds = {name: max(at for at, _ in found) for name, found in known.items()}
    equal = min(seconds.values())
    return {
        name: {
            "seconds": seconds[name],
            "accuracy": max((value for at, value in found if at <= equal), default=0.0),
            "accuracy_in_the_end": max(value for _, value in found),
        }
        for name, found in known.items()
    }


def rounded(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the figures with three digits behind the point."""
    return {arm: {name: round(value, 3) for name, value in each.items()} for arm, each in figures.items()}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.setdefault("MASTER", f"local[{SLOTS}]")
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    on_spark([[SPACE.sample(Random(slot)) for slot in range(SLOTS)]], threads=1)  # so that its workers are warm
    found = []
    for seed in range(arguments.seeds):
        found.append(compared(seed))
        print(json.dumps({"seed": seed, **rounded(found[-1])}), flush=True)
    medians = {
        arm: {name: statistics.median(each[arm][name] for each in found) for name in found[0][arm]} for arm in found[0]
    }
    print(json.dumps({"median": rounded(medians)}))


if __name__ == "__main__":
    main()
