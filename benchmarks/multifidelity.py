"""How soon schedulers find something good: anytime regret in the simulator, on tables of real trainings.

::

    python benchmarks/multifidelity.py --seeds 5 --append results.jsonl  # goes on where the file ends
    python benchmarks/multifidelity.py --summary results.jsonl --plot multifidelity.svg

A study lasts as long as four trainings in full; everything counts time in trainings in full, of which each worker could
do one after the other. Regret is that of the best value reported so far, at whatever epoch, as a share of what the
median configuration is worse than the best. Asking takes no virtual time here: `ask_s` says what it took in all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from panels import plot
from tables import FULL_SECONDS, Table

from maggy.earlystop import Extrapolation, Median, StopRule
from maggy.events import Reported
from maggy.optimizers import Asha, Hyperband, Optimizer, RandomSearch
from maggy.optimizers.rungs import levels
from maggy.study import Study
from maggy.testing.simulation import simulate
from maggy.trial import Answer, Suggestion
from maggy.version import VERSION

TABLES = ("mlp-digits", "hgb-diabetes")
WORKERS = (4, 16, 64)
LENGTH = 4.0  # trainings in full
MARKS = (0.25, 0.5, 1.0, 2.0, 4.0)
TOLD = 0.03  # by which a regret is better than the last that is in a file
R: dict[str, Any] = {"resource_max": 81}

METHODS: dict[str, Callable[[], tuple[Optimizer, Sequence[StopRule]]]] = {
    "random": lambda: (RandomSearch(), []),
    "random + median": lambda: (RandomSearch(), [Median()]),
    "random + curve": lambda: (RandomSearch(), [Extrapolation()]),
    "asha-stopping": lambda: (Asha(mode="stopping", **R), []),
    "asha": lambda: (Asha(**R), []),
    "asha from 9": lambda: (Asha(resource_min=9, **R), []),
    "pasha": lambda: (Asha(progressive=True, **R), []),
    "hyperband": lambda: (Hyperband(**R), []),
    "bohb": lambda: (Hyperband(searcher="tpe", **R), []),
    "asha + tpe": lambda: (Asha(searcher="tpe", **R), []),
    "asha-stopping + tpe": lambda: (Asha(mode="stopping", searcher="tpe", **R), []),
    "mobster": lambda: (Asha(searcher="gp", **R), []),
}
DRAWN = ("random", "random + median", "asha-stopping", "asha", "hyperband", "bohb", "mobster")


class Timed:
    """An optimizer, and the seconds that its answers took."""

    def __init__(self, optimizer: Any) -> None:
        self.seconds = 0.0
        self._optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Ask, and look at the clock."""
        began = time.perf_counter()
        answer: Suggestion | Answer = self._optimizer.ask(study, rng)
        self.seconds += time.perf_counter() - began
        return answer


def run(table: Table, workers: int, method: str, seed: int) -> dict[str, Any]:
    """Simulate one study; return its line."""
    optimizer, rules = METHODS[method]()
    timed = Timed(optimizer)
    done = simulate(
        timed, table, num_trials=None, executors=workers, rules=rules, seed=seed, timeout=LENGTH * FULL_SECONDS
    )
    best, trace, begin = float("inf"), list[tuple[float, float]](), done.log[0].at
    for event in done.log:
        if isinstance(event, Reported) and (value := event.metrics["metric"]) < best:
            best = value
            trace.append((round((event.at - begin) / FULL_SECONDS, 3), float(f"{table.regret(value):.3g}")))
    return {
        "table": table.name,
        "workers": workers,
        "method": method,
        "seed": seed,
        "version": VERSION,
        "configurations": done.study.sampled,
        "utilisation": round(done.utilisation, 3),
        "asks": len(done.study.trials),
        "ask_s": round(timed.seconds, 3),
        "trace": thinned(trace),
    }


def thinned(trace: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that are better by `TOLD` than the one before that is returned, and the last."""
    kept = list(trace[:1])
    for point in trace[1:]:
        if point[1] <= kept[-1][1] * (1 - TOLD) or point is trace[-1]:
            kept.append(point)
    return kept


def regret(trace: Sequence[Sequence[float]], when: float) -> float:
    """Return the regret at a time; 2, which is worse than anything usual, before the first report."""
    return next((found for at, found in reversed(trace) if at <= when), 2.0)


def median_regret(lines: Sequence[dict[str, Any]], when: float) -> float:
    """Return the median over seeds."""
    return statistics.median(regret(line["trace"], when) for line in lines)


def reached(lines: Sequence[dict[str, Any]], goal: float) -> float | None:
    """Return when the median regret is first as low as `goal`, to a hundredth of a training; None if never."""
    moments = (step / 100 for step in range(1, round(LENGTH * 100) + 1))
    return next((when for when in moments if median_regret(lines, when) <= goal), None)


def summary(lines: Sequence[dict[str, Any]]) -> None:
    """Print medians at the marks, and how soon each reaches what random search and ASHA end with."""
    groups: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        groups[line["table"], line["workers"]][line["method"]].append(line)
    for (table, workers), methods in sorted(groups.items()):
        print(f"\n{table}, {workers} workers: median regret after … trainings in full; time to random's and ASHA's end")
        goals = {name: median_regret(methods[name], LENGTH) for name in ("random", "asha") if name in methods}
        for name, found in methods.items():
            marks = "  ".join(f"{median_regret(found, mark):7.4f}" for mark in MARKS)
            soon = "  ".join(f"{when if (when := reached(found, goal)) else '-':>5}" for goal in goals.values())
            ask = 1000 * sum(line["ask_s"] for line in found) / max(sum(line["asks"] for line in found), 1)
            print(f"{name:20} {marks}   {soon}   {len(found)} seeds, {ask:.2f} ms an ask")


def limits(table: Table, drawn: int = 4000, best: float = 1 / 64) -> None:
    """Print how much sooner than random search promotion finds what is good, by its lowest rung: the table's own doing.

    Of `drawn` configurations a third of each rung goes on, as if all came at once. Counted are those of the best in
    the end that get through, for each training's worth of epochs, against training every one in full.
    """
    rng = Random(0)
    curves = [table.curve(table.searchspace.sample(rng), None) for _ in range(drawn)]
    losses = np.array([[metrics["metric"] for _, _, metrics in curve] for curve in curves])
    rungs = levels(1, table.epochs, 3)
    good = np.argsort(losses[:, -1])[: int(best * drawn)]
    for first in range(len(rungs)):
        there, cost = np.arange(drawn), 0.0
        for place, rung in enumerate(rungs[first:]):
            cost += rung / table.epochs / 3**place
            if rung < table.epochs:
                order = np.argsort(losses[there, round(rung) - 1], kind="stable")
                there = there[order[: len(there) // 3]]
        through = float(np.isin(good, there).mean())
        print(f"{table.name}, from {rungs[first]:g}: {through:.2f} get through, {through / cost:.2f} times as soon")


def draw(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write an SVG of median regrets over time: a row for each table, a panel for each number of workers."""
    groups: dict[str, dict[int, dict[str, list[dict[str, Any]]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for line in lines:
        if line["method"] in DRAWN:
            groups[line["table"]][line["workers"]][line["method"]].append(line)
    moments = [0.05 * (LENGTH / 0.05) ** (step / 120) for step in range(121)]
    rows = [
        {
            f"{table}, {workers} workers": {
                name: [(when, median_regret(methods[name], when)) for when in moments]
                for name in DRAWN
                if name in methods
            }
            for workers, methods in sorted(groups[table].items())
        }
        for table in sorted(groups, reverse=True)
    ]
    plot(path, rows, "time, in trainings in full", "median regret")


def main() -> None:
    """Run what the file does not hold yet, or sum up what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--append", type=Path, help="a file of lines: what it holds is not run again")
    parser.add_argument("--summary", type=Path, help="print the medians of such a file, and run nothing")
    parser.add_argument("--plot", type=Path, help="with --summary: draw the file's medians into this SVG as well")
    parser.add_argument("--limits", action="store_true", help="print what promotion could gain at most on each table")
    given = parser.parse_args()
    if given.limits:
        for table in map(Table, given.tables):
            limits(table)
        return
    if given.summary:
        lines = [json.loads(line) for line in given.summary.read_text(encoding="utf-8").splitlines()]
        summary(lines)
        if given.plot:
            draw(given.plot, lines)
        return
    held = given.append.read_text(encoding="utf-8").splitlines() if given.append and given.append.exists() else []
    known = {tuple(json.loads(line)[key] for key in ("table", "workers", "method", "seed")) for line in held}
    for table in map(Table, given.tables):
        for workers in given.workers:
            for seed in range(given.seeds):
                for method in given.methods:
                    if (table.name, workers, method, seed) in known:
                        continue
                    line = json.dumps(run(table, workers, method, seed), separators=(",", ":"))
                    if given.append:
                        with given.append.open("a", encoding="utf-8") as file:
                            file.write(line + "\n")
                    else:
                        sys.stdout.write(line + "\n")
                        sys.stdout.flush()


if __name__ == "__main__":
    main()
