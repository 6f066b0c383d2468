"""How fast maggy turns trials around: one line of JSON.

    trials_per_s   trials with a trivial train_fn, four executors, durable store, from the first start to the last end
    gap_ms_p50/99  between a trial's end and the next one's start on the same executor, as user code sees it
    stop_ms_p50    from the report that justifies a stop to the `StopTrial` in user code that reports every millisecond

Gaps and stops are measured with trials of 20 ms, so that the queue for the processor is not what is measured. All times
are taken inside the training function, with one machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers import all_peers

from maggy import Float, Result, Searchspace, Threshold, experiment

SPACE = Searchspace(x=Float(0, 1))
EXECUTORS = 4


def trivial(x: float) -> float:
    """Do nothing."""
    return x


def short(x: float, journal: str, trial: int) -> float:
    """Take 20 ms, and note when this process began and ended it."""
    import os
    import time
    from pathlib import Path

    began = time.monotonic()
    if "notes" not in globals():  # opened once for each process: opening a file is no part of a gap
        globals()["notes"] = Path(journal, str(os.getpid())).open("a", buffering=1, encoding="ascii")  # noqa: SIM115 - stays open
    time.sleep(0.02)
    globals()["notes"].write(f"{trial} {began} {time.monotonic()}\n")
    return x


def stoppable(x: float, reporter: Any, journal: str, trial: int) -> float:
    """Report good values for 10 ms, then bad ones until told to stop; note how long that took."""
    import time
    from pathlib import Path

    from maggy import StopTrial

    for step in range(10):
        reporter.broadcast(1.0, step=step)
        time.sleep(0.001)
    bad = time.monotonic()
    try:
        for step in range(10, 5000):
            reporter.broadcast(-1.0, step=step)
            time.sleep(0.001)
    except StopTrial:
        Path(journal, f"stop-{trial}").write_text(str(time.monotonic() - bad), encoding="ascii")
        raise
    return x


def study(train_fn: Callable[..., float], num_trials: int, launcher: str, folder: Path, **options: Any) -> Result:
    """Run a study on four executors with the durable store."""
    return experiment.lagom(
        train_fn,
        SPACE,
        num_trials=num_trials,
        launcher=launcher,  # type: ignore[arg-type]
        num_executors=EXECUTORS,
        store=folder / "maggy.db",
        log_dir=None,
        seed=0,
        quiet=True,
        **options,
    )


def throughput(launcher: str, folder: Path, trials: int) -> float:
    """Return trials per second, from the first trial's start to the last one's end."""
    result = study(trivial, trials, launcher, folder, earlystop=None)
    first = min(trial.started for trial in result.trials if trial.started)
    last = max(trial.ended for trial in result.trials if trial.ended)
    return trials / (last - first)


def gaps(launcher: str, folder: Path, trials: int) -> list[float]:
    """Return the milliseconds between trials on the same executor."""
    notes = folder / "gaps"
    notes.mkdir()
    study(short, trials, launcher, folder, earlystop=None, train_args={"journal": str(notes)})
    found = []
    for file in notes.iterdir():
        spans = [tuple(map(float, line.split()[1:])) for line in file.read_text(encoding="ascii").splitlines()]
        found += [1000 * (after[0] - before[1]) for before, after in itertools.pairwise(spans)]
    return found


def stops(launcher: str, folder: Path, trials: int) -> list[float]:
    """Return the milliseconds from the bad report to the stop."""
    notes = folder / "stops"
    notes.mkdir()
    study(stoppable, trials, launcher, folder, earlystop=Threshold(lower=0), train_args={"journal": str(notes)})
    return [1000 * float(file.read_text(encoding="ascii")) for file in notes.iterdir()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--launcher", choices=["spark", "local"], default="spark")
    parser.add_argument("--trials", type=int, default=20_000, help="trivial trials")
    parser.add_argument(
        "--peers", action="store_true", help="measure others beside it; those installed, and bare Spark"
    )
    arguments = parser.parse_args()
    if arguments.launcher == "spark":
        start_spark()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study(trivial, 200, arguments.launcher, folder, earlystop=None)  # Spark's Python workers are warm after this
        rate = throughput(arguments.launcher, folder, arguments.trials)
        gap = statistics.quantiles(gaps(arguments.launcher, folder, 800), n=100)
        stop = stops(arguments.launcher, folder, 200)
        peers = {"peers": all_peers(folder)} if arguments.peers else {}
    print(
        json.dumps(
            {
                "trials_per_s": round(rate, 1),
                "gap_ms_p50": round(gap[49], 3),
                "gap_ms_p99": round(gap[98], 3),
                "stop_ms_p50": round(statistics.median(stop), 3),
                "stop_ms_p99": round(statistics.quantiles(stop, n=100)[98], 3),
                "stopped": len(stop),
                "executors": EXECUTORS,
                "launcher": arguments.launcher,
                "seconds": round(time.monotonic() - began, 1),
                "python": platform.python_version(),
                "pyspark": version("pyspark"),
                "maggy": version("maggy"),
                **peers,
            }
        )
    )


def start_spark() -> None:
    """Start a session with four slots."""
    import os

    from maggy.driver.sparksession import spark_session

    os.environ.setdefault("MASTER", f"local[{EXECUTORS}]")
    spark_session()


if __name__ == "__main__":
    main()
