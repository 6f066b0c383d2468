"""Kill the driver of a study at random instants and go on with it, again and again: one line of JSON.

    kills, in_startup      drivers killed; those of them that had given out no trial yet
    studies, trials        that were brought to their end so, and their trials
    acknowledged           results that an executor was told are kept, looked for after every kill
    lost, double, broken   of these; counted twice; other invariants of the log (all have to be 0)
    left_running           trials that were still running, or waiting, in a study that was done
    leftovers              processes of a driver that were left 5 s after its death
    orphans_gone_s_*       seconds from the death of a driver to that of the last process below it

Random and grid search have to try what they try without an interruption; every optimizer, asked again about what it had
seen, has to answer as it did. With `--launcher spark` every other kill hits the JVM; `driver_ended_s_max` is how long
its driver took to end. With `--add FILE` the line is added to those of earlier runs, and their sum is printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nemesis import Driver, Orphans, acknowledged, audit, audit_end, read_log, send, undisturbed

from maggy.events import Ended, Event, Started

OPTIMIZERS = ("randomsearch", "asha", "gridsearch")
ENDLESS = 300.0  # seconds after which a driver that nobody kills hangs


class Killing:
    """The counts of all lanes, and when it is enough."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.launcher: str = arguments.launcher
        self.trials: int = arguments.trials
        self.window: float = arguments.window
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.ended: list[float] = []  # seconds from the death of a JVM to that of its driver
        self.orphans = Orphans()
        self._startups: deque[float] = deque(maxlen=10)
        self._goal: int = arguments.kills
        self._until = time.monotonic() + 60 * arguments.minutes
        self._lock = threading.Lock()

    @property
    def enough(self) -> bool:
        """Whether no more studies are to be begun."""
        return self.counts["kills"] >= self._goal or time.monotonic() > self._until

    @property
    def startup(self) -> float:
        """Seconds from the start of a driver to its first trial, as it was of late."""
        return statistics.median(self._startups)

    def count(self, **counts: int) -> None:
        """Add to the counts."""
        with self._lock:
            self.counts.update(counts)

    def judge(self, found: dict[str, list[str]], where: str) -> None:
        """Count what is wrong."""
        with self._lock:
            for kind, what in found.items():
                self.counts[kind] += len(what)
                self.wrong += [f"{where}: {kind}: {each}" for each in what]

    def study(self, number: int, folder: Path, chance: random.Random) -> None:
        """Bring one study to its end, killing its driver until it is there."""
        options = {
            "folder": str(folder),
            "optimizer": OPTIMIZERS[number % len(OPTIMIZERS)],
            "num_trials": self.trials,
            "seed": number,
            "launcher": self.launcher,
        }
        reference = undisturbed(options)
        before: list[Event] = []
        for life in itertools.count(1):
            driver = Driver(options, f"{os.getpid()}.{number}.{life}")  # others may be at it on this machine
            where = f"study {number}, life {life}"
            patience = ENDLESS if self.enough else chance.uniform(0, self.startup + self.window)
            jvm = self.launcher == "spark" and life % 2 == 0
            while jvm and driver.running and driver.jvm() is None:
                time.sleep(0.1)
            code = driver.wait(patience)
            if code is None:
                self._kill(driver, jvm=jvm)
            elif code:
                self.judge({"broken": [f"exit code {code}: {driver.said()[-2000:]}"]}, where)
                return
            self.orphans.died(driver.mark)
            driver.said()
            noted = acknowledged(folder, str(options["optimizer"]))
            log = read_log(folder / "maggy.db") if (folder / "maggy.db").exists() else []
            self.judge(audit(log, noted, before), where)
            if code == 0:
                self._finish(log, len(noted), reference, where)
                return
            begins = [event.at for event in log[len(before) :] if isinstance(event, Started)]
            self.count(kills=1, in_startup=int(not begins))
            if begins:
                self._startups.append(begins[0] - driver.began)
            before = log

    def probe(self, folder: Path) -> None:
        """Measure once how long a driver takes to its first trial."""
        options = {"folder": str(folder), "optimizer": "randomsearch", "num_trials": 1, "seed": 0}
        driver = Driver({**options, "launcher": self.launcher}, f"{os.getpid()}.probe")
        if driver.wait(ENDLESS) != 0:
            raise RuntimeError(driver.said())
        driver.said()
        log = read_log(folder / "maggy.db")
        self._startups.append(next(event.at for event in log if isinstance(event, Started)) - driver.began)

    def _kill(self, driver: Driver, *, jvm: bool) -> None:
        java = driver.jvm() if jvm else None
        if java is None:
            driver.kill()
            return
        began = time.monotonic()
        send(java, signal.SIGKILL)
        if driver.wait(60) is None:
            self.judge({"broken": ["the driver hangs after the death of its JVM"]}, driver.mark)
            driver.kill()
        self.count(jvms=1)
        self.ended.append(time.monotonic() - began)

    def _finish(self, log: list[Event], noted: int, reference: list[Mapping[str, Any]], where: str) -> None:
        wrong = audit_end(log, reference)
        left = [what for what in wrong if "left running" in what]
        self.judge({"left_running": left, "broken": [what for what in wrong if what not in left]}, where)
        trials = sum(isinstance(event, Ended) for event in log)
        self.count(studies=1, trials=trials, acknowledged=noted, events=len(log))


def lane(killing: Killing, place: Path, numbers: itertools.count[int], seed: int) -> None:
    """Go from study to study."""
    while not killing.enough:
        number = next(numbers)
        folder = place / str(number)
        folder.mkdir()
        wrong = len(killing.wrong)
        killing.study(number, folder, random.Random(f"{seed} {number}"))
        if len(killing.wrong) == wrong:
            shutil.rmtree(folder, ignore_errors=True)


def added_up(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of several runs' lines; of what ends in `_max` the largest."""
    total: dict[str, Any] = {}
    for key in dict.fromkeys(key for line in lines for key in line):
        values = [line[key] for line in lines if line.get(key) is not None]
        if key.endswith("_max"):
            total[key] = max(values, default=None)
        elif values and all(isinstance(value, int | float) for value in values) and "_s_" not in f"{key}_":
            total[key] = round(sum(values), 1)
    return {"runs": len(lines), **total}


def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=1000, help="how many drivers to kill")
    parser.add_argument("--minutes", type=float, default=60, help="when to stop at the latest")
    parser.add_argument("--launcher", choices=["local", "spark"], default="local")
    parser.add_argument("--trials", type=int, default=300, help="of each study of random search and ASHA")
    parser.add_argument(
        "--window", type=float, default=3.0, help="seconds after its first trial that a driver lives at most"
    )
    parser.add_argument("--lanes", type=int, default=2, help="studies at a time")
    parser.add_argument("--seed", type=int, default=None, help="of the instants; another one each time by default")
    parser.add_argument("--add", type=Path, help="a file of lines to add this one to")
    arguments = parser.parse_args()
    seed = time.time_ns() if arguments.seed is None else arguments.seed
    began = time.monotonic()
    killing = Killing(arguments)
    over = threading.Event()
    watch = threading.Thread(target=killing.orphans.watch, args=(over,))
    watch.start()
    place = Path(tempfile.mkdtemp(prefix="maggy-kills-"))
    numbers = itertools.count(1)
    try:
        killing.probe(place / "probe")
        with ThreadPoolExecutor(arguments.lanes) as pool:
            for each in [pool.submit(lane, killing, place, numbers, seed) for _ in range(arguments.lanes)]:
                each.result()
    finally:
        over.set()
        watch.join()
    gone, counts = killing.orphans.gone, killing.counts
    zero = dict.fromkeys(("kills", "in_startup", "jvms", "studies", "trials", "acknowledged", "events"), 0)
    zero |= dict.fromkeys(("lost", "double", "broken", "left_running"), 0)
    line = {
        "launcher": arguments.launcher,
        **zero,
        **counts,
        "leftovers": len(killing.orphans.left),
        "orphans_gone_s_p50": round(statistics.median(gone), 2) if gone else None,
        "orphans_gone_s_max": round(max(gone), 2) if gone else None,
        "startup_s": round(killing.startup, 2),
        "driver_ended_s_max": round(max(killing.ended), 2) if killing.ended else None,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(line))
    for what in [*killing.wrong, *(f"left: {each}" for each in killing.orphans.left)][:20]:
        print(what[:1000])
    if not killing.wrong:
        shutil.rmtree(place, ignore_errors=True)
    if arguments.add:
        with arguments.add.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(added_up([json.loads(each) for each in arguments.add.read_text().splitlines()])))


if __name__ == "__main__":
    main()
