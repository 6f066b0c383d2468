"""How busy a thousand executors are, in the simulator: a line of JSON for each optimizer and number of executors.

Trials take as long as in the simulations of the ASHA paper (Li et al., A System for Massively Parallel Hyperparameter
Tuning, MLSys 2020, appendix A.1): an expected time, times 1 + |z| with z drawn from a normal distribution of this
standard deviation. A study goes on for a fixed time; from its first trial's start to that instant the share of the
executors' time is taken that is spent in trials. The network takes 2 ms at most.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy.events import Ended, Event, Lost, Started
from maggy.optimizers import Asha, Hyperband, Optimizer, RandomSearch
from maggy.testing.problems import Branin
from maggy.testing.simulation import simulate

SPREAD = 1.33  # the largest of the paper's
OPTIMIZERS: dict[str, Optimizer] = {
    "randomsearch": RandomSearch(),
    "asha": Asha(resource_max=27),
    "hyperband": Hyperband(resource_max=27),
}


@dataclass(frozen=True)
class Stragglers(Branin):
    """Trials of 9 epochs, or of what they are given, of a second each, of which some take several times as long."""

    epochs: int = 9

    def curve(
        self, params: Mapping[str, Any], budget: float | None, done: float = 0.0
    ) -> Iterator[tuple[float, int, dict[str, float]]]:
        """Yield the same curve at the trial's own pace."""
        slower = 1 + abs(Random(f"{self.seed} {sorted(params.items())} {budget}").gauss(0, SPREAD))
        for _, step, metrics in super().curve(params, budget, done):
            yield slower, step, metrics


def busy(log: list[Event], executors: int, until: float) -> float:
    """Return the share of the executors' time, from the first start until then, in which they had a trial."""
    begun: dict[int, float] = {}
    spent, first = 0.0, next(event.at for event in log if isinstance(event, Started))
    for event in log:
        if isinstance(event, Started) and event.at < until:
            begun[event.trial] = event.at
        elif isinstance(event, Ended | Lost) and event.trial in begun:
            spent += min(event.at, until) - begun.pop(event.trial)
    return spent / (executors * (until - first))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--executors", type=int, nargs="*", default=[16, 100, 500])
    parser.add_argument("--seconds", type=float, default=600.0, help="of virtual time")
    given = parser.parse_args()
    for name, optimizer in OPTIMIZERS.items():
        for executors in given.executors:
            done = simulate(optimizer, Stragglers(), num_trials=None, executors=executors, timeout=given.seconds)
            share = busy(done.log, executors, given.seconds)
            found = {"optimizer": name, "executors": executors, "trials": len(done.study.trials), "busy": share}
            sys.stdout.write(json.dumps({**found, "busy": round(share, 4)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
