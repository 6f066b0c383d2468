"""What others need for a trivial trial, on the machine and in the minute in which maggy is measured.

Each peer is a function that returns trials per second and the median milliseconds between two trials of a slot, or None
where it is not installed. The two forms of bare Spark are what frameworks on Spark are built on; their gap is that of
four slots that are never idle for another reason. The bare push is the floor: sockets and JSON, and nothing else.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SLOTS = 4
Figures = dict[str, float] | None


def measured(trials: int, run: Callable[[], Any], slots: int = SLOTS) -> dict[str, float]:
    """Time `run`, which runs so many trials on so many slots."""
    began = time.monotonic()
    run()
    rate = trials / (time.monotonic() - began)
    return {"trials_per_s": round(rate, 1), "gap_ms_mean": round(1000 * slots / rate, 2)}


def bare_push(folder: Path) -> Figures:  # noqa: ARG001 - keeps nothing
    """Push trials as lines of JSON to four Spark tasks, each of which answers with a result: no log, no user code."""
    from threading import Thread

    from maggy.driver.sparksession import spark_session

    context = spark_session().sparkContext
    trials = 20_000
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve(_: int) -> None:
            with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as lines:
                for text in lines:
                    trial = json.loads(text)
                    line.sendall(json.dumps({"trial": trial["trial"], "value": trial["x"]}).encode() + b"\n")

        job = Thread(target=lambda: context.parallelize(range(SLOTS), SLOTS).foreach(serve))
        job.start()
        lines = [listening.accept()[0] for _ in range(SLOTS)]
        found = measured(trials, lambda: _push(lines, trials))
        for line in lines:
            line.close()
        job.join()
    return found


def _push(lines: list[socket.socket], trials: int) -> None:
    """Give each executor a trial, and the next one with each answer, until all have been answered."""
    given = ended = 0
    with selectors.DefaultSelector() as selector:
        for each in lines:
            selector.register(each, selectors.EVENT_READ, each)
            each.sendall(b'{"trial": 0, "x": 0.5}\n')
            given += 1
        while ended < trials:
            for key, _ in selector.select():
                line: socket.socket = key.data
                answer = json.loads(line.recv(4096))  # one line: nobody says more unasked
                ended += 1
                if given < trials:
                    trial = {"trial": given, "x": answer["value"]}
                    line.sendall(json.dumps(trial).encode() + b"\n")
                    given += 1


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


def optuna_memory(folder: Path) -> Figures:  # noqa: ARG001 - keeps nothing
    """Run Optuna's random sampler in one process, without a storage that lasts."""
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = 2000
    return measured(trials, lambda: study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials), 1)


def hyperopt_spark(folder: Path) -> Figures:  # noqa: ARG001 - keeps nothing
    """Run Hyperopt's random search on Spark: a job for each trial, and a look each second."""
    try:
        from hyperopt import SparkTrials, fmin, hp, rand
    except ImportError:
        return None
    import numpy as np

    trials = 20
    return measured(
        trials,
        lambda: fmin(
            float,
            hp.uniform("x", 0, 1),
            algo=rand.suggest,
            max_evals=trials,
            trials=SparkTrials(parallelism=SLOTS),
            rstate=np.random.default_rng(0),
            show_progressbar=False,
        ),
    )


def ray_tune(folder: Path) -> Figures:
    """Run Ray Tune's random search with actors that are used again; its start is not counted."""
    try:
        import ray
        from ray import tune
    except ImportError:
        return None

    class Trivial(tune.Trainable):  # type: ignore[misc]  # not a function: that cannot be used again
        def setup(self, config: dict[str, float]) -> None:
            self.x = config["x"]

        def step(self) -> dict[str, object]:
            return {"loss": self.x, "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

        def reset_config(self, new_config: dict[str, float]) -> bool:
            self.x = new_config["x"]
            return True

    ray.init(
        num_cpus=SLOTS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",  # it would look for its address in the network
    )
    trials = 60
    tuner = tune.Tuner(
        Trivial,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=True, max_concurrent_trials=SLOTS),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    try:
        return measured(trials, tuner.fit)
    finally:
        ray.shutdown()


def syne_tune(folder: Path) -> Figures:
    """Run Syne Tune's random search with its local backend, which starts a process for each trial."""
    try:
        from syne_tune import StoppingCriterion, Tuner
        from syne_tune.backend import LocalBackend
        from syne_tune.config_space import uniform
        from syne_tune.optimizer.baselines import RandomSearch
    except ImportError:
        return None
    script = folder / "trivial.py"
    script.write_text(
        "import argparse\nfrom syne_tune import Reporter\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--x', type=float)\nReporter()(loss=parser.parse_known_args()[0].x)\n",
        encoding="ascii",
    )
    trials = 24
    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(script)),
        scheduler=RandomSearch({"x": uniform(0, 1)}, metrics=["loss"]),
        stop_criterion=StoppingCriterion(max_num_trials_completed=trials),
        n_workers=SLOTS,
        sleep_time=0.01,  # seconds between two looks; by default 1
        print_update_interval=1e9,
        suffix_tuner_name=False,
        tuner_name="syne",
    )
    return measured(trials, tuner.run)


PEERS = (
    bare_push,
    spark_task_per_trial,
    spark_job_per_trial,
    hyperopt_spark,
    ray_tune,
    syne_tune,
    optuna_memory,
    optuna_sqlite,
)


def all_peers(folder: Path) -> dict[str, Figures]:
    """Measure every peer that is installed."""
    return {peer.__name__: peer(folder) for peer in PEERS}
