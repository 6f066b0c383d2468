"""How many reports a second are taken in, with the median rule and a durable store: one line of JSON.

    reports_per_s  of four executors in sum, from the first report to the last one that is recorded
    report_us      what one costs the loop that reports as fast as it can: the pipe is full, and it waits for others
    paced_us       what one costs a loop that has something else to do for a millisecond before each
    missing        reports that are not in the log, or not in their order

Times are taken inside the training functions.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from maggy import Float, Median, Searchspace, experiment
from maggy.events import Reported
from maggy.store import open_store

EXECUTORS = 4


def reports(x: float, reporter: Any, count: int, pause: float) -> dict[str, float]:
    """Report so many times; return the microseconds that each took."""
    import time

    spent, began = 0.0, time.time()
    for step in range(count):
        if pause:
            time.sleep(pause)
        before = time.perf_counter()
        reporter.broadcast(x, step=step)
        spent += time.perf_counter() - before
    return {"metric": x, "us": 1e6 * spent / count, "began": began}


def study(name: str, folder: str, launcher: str, count: int, pause: float) -> tuple[list[float], float, int]:
    """Run a trial on each executor; return what a report took in each, how many a second there were, how many miss."""
    result = experiment.lagom(
        reports,
        Searchspace(x=Float(0, 1)),
        name=name,
        num_trials=EXECUTORS,
        num_executors=EXECUTORS,
        launcher=launcher,  # type: ignore[arg-type]
        metric="metric",
        earlystop=Median(min_trials=EXECUTORS),
        store=f"{folder}/maggy.db",
        log_dir=None,
        quiet=True,
        seed=0,
        train_args={"count": count, "pause": pause},
    )
    store = open_store(Path(folder, "maggy.db"))
    steps = defaultdict[int, list[int]](list)
    last = 0.0
    for event in store.read(name):
        if isinstance(event, Reported):
            steps[event.trial].append(event.step)
            last = event.at
    store.close()
    missing = sum(steps[trial.id] != list(range(count)) for trial in result.trials)
    first = min(trial.metrics["began"] for trial in result.trials)
    return [trial.metrics["us"] for trial in result.trials], EXECUTORS * count / (last - first), missing


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--launcher", choices=["spark", "local"], default="spark")
    parser.add_argument("--count", type=int, default=50_000, help="reports of each trial")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        study("warm", folder, arguments.launcher, 100, 0.0)
        fast, rate, missing = study("fast", folder, arguments.launcher, arguments.count, 0.0)
        paced, _, more = study("paced", folder, arguments.launcher, 1000, 0.001)
    print(
        json.dumps(
            {
                "reports_per_s": round(rate),
                "report_us": round(statistics.median(fast), 1),
                "paced_us": round(statistics.median(paced), 1),
                "missing": missing + more,
                "launcher": arguments.launcher,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
