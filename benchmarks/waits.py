"""What a user waits for besides the trials: one line of JSON. Each measurement runs in a process of its own, on Spark.

    import_s       `from maggy import Searchspace, experiment` and its first use, the shortest of five
    first_trial_s  from the call of lagom, on a Spark session that has run a study before, to the first line of a trial
    return_s       from the last line of the last trial to the return of lagom
    idle_slow_ask  share of four executors' time between two trials of 6 s, where the optimizer takes 1 s for each
    busy_960       960 trials of 1 s on sixteen executors: ideal time over real time, first start to last end

All times are taken inside the training functions, with one machine's clock.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy import DONE, Float, Result, Searchspace, experiment
from maggy.study import Study
from maggy.trial import Answer, Suggestion

SPACE = Searchspace(x=Float(0, 1))


def takes(x: float, seconds: float) -> dict[str, float]:
    """Take so many seconds; return when that was."""
    import time

    began = time.time()
    time.sleep(seconds)
    return {"metric": x, "began": began, "ended": time.time()}


@dataclass(frozen=True)
class Thinks:
    """Random search that takes a second for each suggestion."""

    lookahead = 1

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Think, and draw."""
        time.sleep(1.0)
        return Suggestion(study.searchspace.sample(rng)) if study.remaining else DONE


def study(trials: int, executors: int, seconds: float, folder: str, **options: Any) -> Result:
    """Run a study on Spark with a durable store."""
    return experiment.lagom(
        takes,
        SPACE,
        num_trials=trials,
        num_executors=executors,
        metric="metric",
        store=f"{folder}/maggy.db",
        log_dir=f"{folder}/logs",
        earlystop=None,
        seed=0,
        quiet=True,
        train_args={"seconds": seconds},
        **options,
    )


def spans(result: Result) -> list[tuple[float, float]]:
    """Return when each trial began and ended, as it has seen it."""
    return sorted((trial.metrics["began"], trial.metrics["ended"]) for trial in result.trials)


def importing(folder: str) -> dict[str, float]:
    """Measure what is imported by whoever begins."""
    first = "from maggy import Searchspace, experiment; experiment.lagom"
    code = f"import time; began = time.perf_counter(); {first}; print(time.perf_counter() - began)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=folder) for _ in range(5)]
    return {"import_s": min(float(run.stdout) for run in runs)}


def fixed(folder: str) -> dict[str, float]:
    """Measure what a study costs that is over at once, three times, and return the middle."""
    study(8, 4, 0.01, folder)
    firsts, returns = [], []
    for _ in range(3):
        called = time.time()
        result = study(8, 4, 0.2, folder)
        returned = time.time()
        firsts.append(spans(result)[0][0] - called)
        returns.append(returned - max(ended for _, ended in spans(result)))
    return {"first_trial_s": sorted(firsts)[1], "return_s": sorted(returns)[1]}


def hiding(folder: str) -> dict[str, float]:
    """Measure how long executors wait for an optimizer that is slow, after each one's first trial."""
    result = study(32, 4, 6.0, folder, optimizer=Thinks())
    by_executor = defaultdict[str, list[tuple[float, float]]](list)
    for trial in result.trials:
        by_executor[str(trial.executor)].append((trial.metrics["began"], trial.metrics["ended"]))
    idle = worked = 0.0
    for each in by_executor.values():
        for before, after in itertools.pairwise(sorted(each)):
            idle += after[0] - before[1]
            worked += after[1] - after[0]
    return {"idle_slow_ask": idle / (idle + worked)}


def busy(folder: str) -> dict[str, float]:
    """Measure how well sixteen executors are used."""
    study(16, 16, 0.1, folder)
    found = spans(study(960, 16, 1.0, folder))
    return {"busy_960": 60.0 / (max(ended for _, ended in found) - found[0][0])}


MEASURED = {"import": (importing, 1), "fixed": (fixed, 4), "hiding": (hiding, 4), "busy": (busy, 16)}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="*", choices=[*MEASURED, []], help="all where nothing is named")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    for what in arguments.what or MEASURED:
        measure, slots = MEASURED[what]
        if arguments.here:
            with tempfile.TemporaryDirectory() as folder:
                found |= measure(folder)
        else:
            environment = {**os.environ, "MASTER": f"local[{slots}]"}
            run = subprocess.run(
                [sys.executable, __file__, what, "--here"], stdout=subprocess.PIPE, check=True, env=environment
            )
            found |= json.loads(run.stdout.splitlines()[-1])
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
