"""A store under load: trials that report all the time, and `maggy leaderboard` in a loop meanwhile. A line of JSON.

::

    python benchmarks/load.py                              # SQLite, 16 reporters, 100 reports a second each, 60 s
    python benchmarks/load.py --store postgresql://ada@db/maggy

reports, wanted       in the log, and how many there had to be: each step of each trial once, and in order
rate                  reports a second, all together, from the first to the last
leaderboards, failed  how often the command has run, and how often it has not exited with 0
leaderboard_s_*       how long it took, start of Python included
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from maggy import Float, Searchspace, experiment
from maggy.events import Reported
from maggy.executor.reporter import Reporter
from maggy.store import open_reader, open_store

NAME = "load"


def train(x: float, reporter: Reporter, rate: float, steps: int) -> float:
    """Report so many steps, so many a second."""
    began = time.monotonic()
    for step in range(steps):
        reporter.broadcast(x + step, step=step)
        time.sleep(max(0.0, began + (step + 1) / rate - time.monotonic()))
    return x


class Onlookers:
    """Runs `maggy leaderboard` again and again, as soon as there is a study."""

    def __init__(self, store: str) -> None:
        self.took: list[float] = []
        self.failures: list[str] = []
        self._command = [sys.executable, "-m", "maggy", "-db", store, "leaderboard", NAME]
        self._store = store
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="onlookers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        with closing(open_reader(self._store)) as reader:
            while not any(entry.position for entry in reader.studies()) and not self._over.is_set():
                time.sleep(0.05)
        while not self._over.is_set():
            began = time.monotonic()
            ran = subprocess.run(self._command, capture_output=True, text=True, check=False)
            self.took.append(time.monotonic() - began)
            if ran.returncode or ran.stderr:
                self.failures.append(ran.stderr.strip())


def measure(store: str, reporters: int, rate: float, seconds: float, trial: float) -> dict[str, Any]:
    """Run trials of `trial` seconds in an empty store; return what was seen."""
    open_store(store).close()
    steps, trials = round(rate * trial), round(reporters * seconds / trial)
    with Onlookers(store) as onlookers:
        result = experiment.lagom(
            train,
            Searchspace(x=Float(0, 1)),
            optimizer="random",
            num_trials=trials,
            num_executors=reporters,
            launcher="local",
            store=store,
            name=NAME,
            log_dir=None,
            earlystop=None,
            quiet=True,
            train_args={"rate": rate, "steps": steps},
        )
    with closing(open_reader(store)) as reader:
        found = [event for event in reader.read(result.name) if isinstance(event, Reported)]
    seen: dict[int, list[int]] = {}
    for event in found:
        seen.setdefault(event.trial, []).append(event.step)
    whole = sum(each == list(range(steps)) for each in seen.values())
    span = found[-1].at - found[0].at
    took = sorted(onlookers.took)
    return {
        "reports": len(found),
        "wanted": trials * steps,
        "trials_whole": whole,
        "trials": trials,
        "attempts_lost": sum(each.lost for each in result.trials),
        "rate": round(len(found) / span),
        "seconds": round(span, 1),
        "leaderboards": len(took),
        "failed": len(onlookers.failures),
        "failure": onlookers.failures[:1],
        "leaderboard_s_p50": round(statistics.median(took), 2) if took else None,
        "leaderboard_s_max": round(took[-1], 2) if took else None,
    }


def main() -> int:
    """Measure, and print; 1 where something is missing or has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="an empty store; a file in a temporary folder by default")
    parser.add_argument("--reporters", type=int, default=16)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--trial", type=float, default=5.0, help="seconds that a trial takes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = asked.store or str(Path(folder, "maggy.db"))
        seen = measure(store, asked.reporters, asked.rate, asked.seconds, asked.trial)
    print(json.dumps({"store": store.partition("://")[0] if "://" in store else "sqlite", **seen}))
    return int(seen["failed"] > 0 or seen["trials_whole"] < seen["trials"])


if __name__ == "__main__":
    sys.exit(main())
