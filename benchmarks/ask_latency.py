"""How long an ask takes after so many measurements, maggy's optimizers and others side by side: one line of JSON each.

::

    pip install optuna hyperopt smac scikit-optimize torch
    python benchmarks/ask_latency.py

A searchspace of five floats (two of them logarithmic), three whole numbers and two categories; nothing runs. Asks and
tells take turns: `ask_ms` is the median of the asks, `first_ms` the first one, which has everything to learn, `tell_ms`
the median of the tells: some do their work there. Milliseconds of CPU, on one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Mapping
from random import Random
from typing import Any

from rivals import RIVALS, Task, available, one_thread

from maggy import Categorical, Float, Integer, Searchspace
from maggy.optimizers import Asha
from maggy.study import Study
from maggy.testing.play import play
from maggy.trial import Answer, Suggestion, Trial

SPACE = Searchspace(
    {f"x{i}": Float(0.0, 1.0) for i in range(3)}
    | {f"rate{i}": Float(1e-5, 1.0, log=True) for i in range(2)}
    | {f"n{i}": Integer(1, 100) for i in range(3)}
    | {f"kind{i}": Categorical(["a", "b", "c", "d"]) for i in range(2)}
)
COUNTS = (100, 300, 1000)
SLOW = {"smac": 300, "skopt gp": 100}  # measurements beyond which an ask takes many seconds


def loss(params: Mapping[str, Any]) -> float:
    """Return something to learn."""
    bowl = sum((params[f"x{i}"] - 0.3) ** 2 + (params[f"n{i}"] / 100 - 0.6) ** 2 for i in range(3))
    slope = sum(params[f"rate{i}"] ** 0.2 + 0.1 * (params[f"kind{i}"] == "b") for i in range(2))
    return float(bowl + slope)


def latency(method: str, count: int, asks: int) -> dict[str, float]:
    """Return milliseconds of CPU."""
    rival = RIVALS[method][1](Task(SPACE, count + asks, workers=1, seed=0))
    known = [SPACE.sample(Random(number)) for number in range(count)]
    rival.know([(params, loss(params)) for params in known])
    took, told = [], []
    for _ in range(asks):
        began = time.process_time()
        number, params = rival.ask()
        took.append(time.process_time() - began)
        began = time.process_time()
        rival.tell(number, loss(params))
        told.append(time.process_time() - began)
    figures = {"ask_ms": statistics.median(took), "first_ms": took[0], "tell_ms": statistics.median(told)}
    return {name: round(1000 * value, 3) for name, value in figures.items()}


def asha_latency(trials: int) -> float:
    """Return the microseconds of the median ask of promotion ASHA near the end of so many trials."""
    took: list[float] = []

    class Timed(Asha):
        """ASHA with an eye on the clock."""

        def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
            """Ask."""
            began = time.perf_counter()
            answer = super().ask(study, rng)
            took.append(time.perf_counter() - began)
            return answer

    def curve(trial: Trial) -> float:
        return loss(trial.params)

    play(Timed(), curve, searchspace=SPACE, num_trials=trials, workers=16, limit=2 * trials)
    return round(1e6 * statistics.median(took[-1000:]), 1)


def main() -> None:
    """Print a line for each optimizer and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=[*RIVALS, "asha"], choices=[*RIVALS, "asha"])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--asks", type=int, default=15)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of other libraries
    one_thread()
    for method in given.methods:
        if method == "asha":
            print(json.dumps({"method": "asha", "trials": 10_000, "ask_us": asha_latency(10_000)}), flush=True)
        elif found := available(method):
            for count in given.counts:
                if count <= SLOW.get(method, count):
                    line = {"method": method, "version": found, "measured": count} | latency(method, count, given.asks)
                    print(json.dumps(line), flush=True)
        else:
            print(f"{method} is not installed, so left out", file=sys.stderr)


if __name__ == "__main__":
    main()
