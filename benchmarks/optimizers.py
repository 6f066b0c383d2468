"""Which optimizer finds better configurations with as many evaluations: maggy's and others', side by side.

::

    pip install optuna hyperopt smac scikit-optimize torch matplotlib
    python benchmarks/optimizers.py --append found.jsonl     # goes on where the file ends
    python benchmarks/optimizers.py --summary found.jsonl --plot regret.svg

Sixty evaluations of each problem, one after the other or by four asynchronous workers: then whichever of the four
is drawn ends next, so three run at each ask. The same draws for all. A line holds the best regret after 5, 10, … 60
evaluations, and the seconds of CPU that all asks and tells took together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

from panels import plot
from problems import OTHERS, PROBLEMS, Problem
from rivals import RIVALS, Task, available, one_thread

TRIALS = 60
EVERY = 5


def race(method: str, problem: Problem, workers: int, seed: int) -> dict[str, Any]:
    """Return the best regrets on the way, and the seconds of CPU that the optimizer took."""
    began = time.process_time()
    rival = RIVALS[method][1](Task(problem.searchspace, TRIALS, workers, seed))
    seconds = time.process_time() - began
    turns, running, found = Random(seed), list[tuple[int, float]](), list[float]()
    asked = 0
    while len(found) < TRIALS:
        began = time.process_time()
        while len(running) < workers and asked < TRIALS:
            number, params = rival.ask()
            running.append((number, problem.f(params)))
            asked += 1
        number, value = running.pop(turns.randrange(len(running)))
        rival.tell(number, value)
        seconds += time.process_time() - began
        found.append(problem.regret(value))
    best = [min(found[:count]) for count in range(EVERY, TRIALS + 1, EVERY)]
    return {"regret": [float(f"{each:.4g}") for each in best], "seconds": round(seconds, 2)}


Lines = Sequence[dict[str, Any]]


def ranks(lines: Lines, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the rank of each method on each problem: 1 is best; by the median of the last regrets."""
    found: dict[str, dict[str, float]] = {method: {} for method in methods}
    for problem in dict.fromkeys(line["problem"] for line in lines):
        last = {}
        for method in methods:
            values = [line["regret"][-1] for line in lines if (line["problem"], line["method"]) == (problem, method)]
            if values:
                last[method] = statistics.median(values)
        for method, value in last.items():
            better = sum(other < value for other in last.values())
            equal = sum(other == value for other in last.values())
            found[method][problem] = better + (equal + 1) / 2
    return found


def summary(lines: Lines, methods: Sequence[str]) -> None:
    """Print, as Markdown, medians of the last regrets with ranks, and the average rank."""
    for workers in sorted({line["workers"] for line in lines}):
        here = [line for line in lines if line["workers"] == workers]
        problems = [name for name in {**PROBLEMS, **OTHERS} if any(line["problem"] == name for line in here)]
        rank = ranks(here, methods)
        title = "one after the other" if workers == 1 else f"{workers} asynchronous workers"
        print(f"\n{title}\n\n| | average rank | {' | '.join(problems)} | ms an ask |")
        print(f"|---|---|{'---|' * len(problems)}---|")
        average = {method: statistics.mean(found.values()) for method, found in rank.items() if found}
        for method in sorted(average, key=lambda each: average[each]):
            own = [line for line in here if line["method"] == method]
            cells = []
            for problem in problems:
                values = [line["regret"][-1] for line in own if line["problem"] == problem]
                cells.append(f"{statistics.median(values):.3g} ({rank[method][problem]:g})" if values else "")
            cost = 1000 * sum(line["seconds"] for line in own) / (TRIALS * len(own))
            print(f"| {method} | {average[method]:.2f} | {' | '.join(cells)} | {cost:.0f} |")
        seeds = defaultdict(set)
        for line in here:
            seeds[len({each["seed"] for each in here if each["method"] == line["method"]})].add(line["method"])
        print("\nseeds: " + "; ".join(f"{count}: {', '.join(sorted(names))}" for count, names in seeds.items()))


DRAWN = ("auto", "tpe", "optuna tpe", "optuna gp", "hyperopt tpe", "smac", "skopt gp", "randomsearch")


def draw(path: Path, lines: Lines) -> None:
    """Write an SVG of the median regrets on the way: a panel for each problem, two rows for each number of workers."""
    rows: list[dict[str, dict[str, list[tuple[float, float]]]]] = []
    for workers in sorted({line["workers"] for line in lines}):
        panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for problem in dict.fromkeys(line["problem"] for line in lines):
            curves = panels[f"{problem}, {workers} at a time"] = {}
            for method in DRAWN:
                found = [line["regret"] for line in lines if race_of(line) == (problem, workers, method)]
                if found:
                    medians = [max(statistics.median(at), 1e-6) for at in zip(*found, strict=True)]
                    curves[method] = list(zip(range(EVERY, TRIALS + 1, EVERY), medians, strict=True))
        titles = list(panels)
        rows += [{title: panels[title] for title in part} for part in (titles[:5], titles[5:]) if part]
    plot(path, rows, "evaluations", "median regret", scale="linear")


def race_of(line: dict[str, Any]) -> tuple[str, int, str]:
    """Return what a line's seeds have in common."""
    return line["problem"], line["workers"], line["method"]


def main() -> None:
    """Run what the file does not hold yet, or sum up what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=[*PROBLEMS, *OTHERS])
    parser.add_argument("--methods", nargs="+", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--append", type=Path, help="a file of lines: what it holds is not run again")
    parser.add_argument("--summary", type=Path, help="print the tables of such a file, and run nothing")
    parser.add_argument("--plot", type=Path, help="with --summary: draw the medians into this SVG as well")
    given = parser.parse_args()
    if given.summary:
        lines = [json.loads(line) for line in given.summary.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if line["problem"] in given.problems]
        summary(lines, given.methods)
        if given.plot:
            draw(given.plot, [line for line in lines if line["method"] in given.methods])
        return
    held = given.append.read_text(encoding="utf-8").splitlines() if given.append and given.append.exists() else []
    known = {tuple(json.loads(line)[key] for key in ("problem", "workers", "method", "seed")) for line in held}
    warnings.simplefilter("ignore")  # of other libraries
    one_thread()
    versions = {method: found for method in given.methods if (found := available(method))}
    if missing := [method for method in given.methods if method not in versions]:
        print(f"not installed, so left out: {', '.join(missing)}", file=sys.stderr)
    problems = {name: {**PROBLEMS, **OTHERS}[name]() for name in given.problems}
    for seed in range(given.seeds):
        for workers in given.workers:
            for name, problem in problems.items():
                for method, found in versions.items():
                    if (name, workers, method, seed) in known:
                        continue
                    line = {"problem": name, "workers": workers, "method": method, "seed": seed}
                    line |= {"version": found} | race(method, problem, workers, seed)
                    with given.append.open("a", encoding="utf-8") if given.append else nullcontext(sys.stdout) as file:
                        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
