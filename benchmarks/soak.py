"""Study after study while a nemesis does harm every few seconds: a line of JSON and a table.

The nemesis kills a trial's process, an agent or the driver (which is started again and goes on), stops one of them for
a while, takes the network down between driver and agents, and fills the disk that the store is on; with `--spark` it
kills an executor's JVM as well. What it cannot do here (no right to make a network namespace or to mount) it says.
At the end of every study, and after every death of a driver, the log is checked against what trials have noted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemesis import Driver, Orphans, acknowledged, audit, audit_end, below, read_log, send, undisturbed

from maggy.events import Ended, Event, Lost, Started, StudyResumed

OPTIMIZERS = ("randomsearch", "asha", "gridsearch")
LEASE = 5.0
FLAT = 660.0  # seconds without an event after which a study hangs: a driver itself has patience for 600
NAMESPACE = f"maggy-soak-{os.getpid()}"
INSIDE = ("ip", "netns", "exec", NAMESPACE)


def succeeds(*words: str) -> bool:
    """Run a command and return whether it did."""
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Harm:
    """What was done to an agent, by its process's number, from when to when (seconds since the epoch)."""

    kind: str
    pid: int
    began: float
    ended: float


class Soak:
    """The study that runs, its driver, and what was done to them."""

    def __init__(self, arguments: argparse.Namespace, place: Path) -> None:
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.times: dict[str, list[float]] = {}
        self.orphans = Orphans()
        self.missing: list[str] = []
        self._place = place
        self._spark: bool = arguments.spark
        self._pace: float = arguments.pace
        self._trials: int = arguments.trials
        self._executors: int = arguments.executors
        self._chance = random.Random(arguments.seed)
        self._disk = place / "disk"
        self._disk.mkdir()
        self._small = succeeds("mount", "-t", "tmpfs", "-o", "size=24m", "maggy-soak", str(self._disk))
        self._inside = succeeds("ip", "netns", "add", NAMESPACE) and succeeds(*INSIDE, "ip", "link", "set", "lo", "up")
        self._number = self._life = 0
        self._disk_was_full = 0.0
        self._begin()

    # -- studies -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin another study."""
        self._number += 1
        self._folder = self._place / str(self._number)
        self._folder.mkdir()
        self._options = {
            "folder": str(self._folder),
            "store": str(self._disk / f"{self._number}.db"),
            "optimizer": OPTIMIZERS[self._number % len(OPTIMIZERS)],
            "num_trials": self._trials,
            "seed": self._number,
            "launcher": "spark" if self._spark else "local",
            "master": f"local-cluster[{self._executors},1,1024]",
            "executors": self._executors,
            "lease": LEASE,
            "pace": self._pace,
        }
        self._harms: list[Harm] = []
        self._before: list[Event] = []
        self._start()

    def _start(self) -> None:
        self._life += 1
        self._written = time.monotonic(), 0
        self._driver = Driver(self._options, f"{os.getpid()}.{self._life}", INSIDE if self._inside else ())

    def look(self) -> None:
        """See how the study is getting on; go on with it where its driver has ended, or begin another."""
        store = Path(self._options["store"])  # type: ignore[arg-type]
        written = max((file.stat().st_mtime_ns for file in store.parent.glob(f"{store.name}*")), default=0)
        if written != self._written[1]:
            self._written = time.monotonic(), written
        elif time.monotonic() > self._written[0] + FLAT:
            self._blame("broken", f"nothing has happened for {FLAT:.0f} s")
            self._driver.kill()
        if self._driver.running:
            return
        self.orphans.died(self._driver.mark)
        code, said = self._driver.wait(0), self._driver.said()
        log = self._check()
        if code == 0:
            self._finish(log)
            self._begin()
            return
        if time.time() < self._disk_was_full + 30 and ("StoreError" in said or "StoreUnavailable" in said):
            self.counts["stopped_by_full_disk"] += 1
        elif code != -signal.SIGKILL:
            self._blame("broken", f"the driver ended with code {code}: {said[-2000:]}")
        self.counts["resumed"] += 1
        self._start()

    def _check(self) -> list[Event]:
        """Check the log of a study whose driver is gone, or done."""
        noted = acknowledged(self._folder, str(self._options["optimizer"]))
        store = Path(self._options["store"])  # type: ignore[arg-type]
        log = read_log(store) if store.exists() else []
        for kind, found in audit(log, noted, self._before).items():
            for what in found:
                self._blame(kind, what)
        self._before = log
        self._noted = len(noted)
        return log

    def _finish(self, log: list[Event]) -> None:
        for what in audit_end(log, undisturbed(self._options)):
            self._blame("left_running" if "left running" in what else "broken", what)
        self.counts["studies"] += 1
        self.counts["acknowledged"] += self._noted
        self.counts["events"] += len(log)
        for event in log:
            if isinstance(event, Ended):
                self.counts["trials"] += 1
                self.counts["poison"] += "times, the last time because" in (event.error or "")
                self.counts["killed_trials"] += "SIGKILL" in (event.error or "").partition("\n")[0]
                self.counts["completed"] += event.status == "completed"
            self.counts["lost_attempts"] += isinstance(event, Lost)
            self.counts["resumptions"] += isinstance(event, StudyResumed)
        self._measure(log)
        if not self.wrong:
            shutil.rmtree(self._folder, ignore_errors=True)
            for file in self._disk.glob(f"{self._number}.db*"):
                file.unlink()

    def _measure(self, log: list[Event]) -> None:
        """Measure how long it took until what was done to agents showed, and until their slots were used again."""
        known: dict[int, str] = {}  # the executor that runs a trial
        first: dict[str, float] = {}  # when each executor was given its first trial
        lost: dict[str, list[float]] = {}
        for event in log:
            if isinstance(event, Started):
                known[event.trial] = event.executor
                first.setdefault(event.executor, event.at)
            elif isinstance(event, Lost):
                lost.setdefault(known[event.trial], []).append(event.at)
        for harm in self._harms:
            mine = [name for name in first if f"-{harm.pid}-" in name and first[name] < harm.ended]
            shown = [at for name in mine for at in lost.get(name, []) if harm.began < at < harm.ended + 2]
            self.times.setdefault(f"{harm.kind}_lost_s", []).extend(at - harm.began for at in shown)
            fresh = [at for name, at in first.items() if at > harm.ended and name not in mine]
            if fresh and shown:
                self.times.setdefault(f"{harm.kind}_slot_back_s", []).append(min(fresh) - harm.ended)

    def _blame(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self.wrong.append(f"study {self._number}, life {self._life}: {kind}: {what}")

    # -- the nemesis -------------------------------------------------------------------------------------------------

    def faults_there_are(self) -> dict[str, Callable[[], bool]]:
        """Return what can be done here; what cannot is said."""
        there = {
            "kill_trial": self._kill_trial,
            "kill_agent": self._kill_agent,
            "kill_driver": self._kill_driver,
            "stop_agent": self._stop_agent,
            "stop_driver": self._stop_driver,
        }
        if self._inside:
            there["link_down"] = self._link_down
        else:
            self.missing.append("link_down (no right to make a network namespace)")
        if self._small:
            there["disk_full"] = self._fill_disk
        else:
            self.missing.append("disk_full (no right to mount a small disk)")
        if self._spark:
            there["kill_executor_jvm"] = self._kill_jvm
        return there

    def harm(self, name: str, fault: Callable[[], bool]) -> None:
        """Do harm; where there was nobody to do it to, it does not count."""
        if not self._spark or self._driver.trials():  # a Spark that is harmed before it is up would never be
            self.faults[name] += fault()

    def _one(self, pids: list[int]) -> int | None:
        return self._chance.choice(pids) if pids else None

    def _kill_trial(self) -> bool:
        pid = self._one(self._driver.trials())
        return pid is not None and send(pid, signal.SIGKILL)

    def _kill_agent(self) -> bool:
        pid = self._one(self._driver.agents())
        if pid is None:
            return False
        bereft, now = below(pid), time.time()
        done = send(pid, signal.SIGKILL)
        self.orphans.bereft(bereft)
        self._harms.append(Harm("kill_agent", pid, now, now))
        return done

    def _kill_driver(self) -> bool:
        self._driver.kill()
        self.look()
        return True

    def _kill_jvm(self) -> bool:
        pid = self._one(self._driver.executor_jvms())
        return pid is not None and send(pid, signal.SIGKILL)

    def _stop_agent(self) -> bool:
        pid = self._one(self._driver.agents())
        if pid is None or not send(pid, signal.SIGSTOP):
            return False
        began = time.time()
        self._pause(self._chance.uniform(1, 2.5 * LEASE))
        send(pid, signal.SIGCONT)
        self._harms.append(Harm("stop_agent", pid, began, time.time()))
        return True

    def _stop_driver(self) -> bool:
        driver = self._driver
        if not driver.running:
            return False
        driver.process.send_signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(1, 3 * LEASE))
        driver.process.send_signal(signal.SIGCONT)
        return True

    def _link_down(self) -> bool:
        succeeds(*INSIDE, "ip", "link", "set", "lo", "down")
        self._pause(self._chance.uniform(0.5, 2 * LEASE))
        return succeeds(*INSIDE, "ip", "link", "set", "lo", "up")

    def _fill_disk(self) -> bool:
        big = self._disk / "full"
        with big.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass  # now it is
        self._pause(self._chance.uniform(1, 10))
        self._disk_was_full = time.time()
        big.unlink()
        return True

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.2)

    # -- the end -----------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Let the study that runs come to its end, unharmed."""
        number = self._number
        while self._number == number:
            time.sleep(0.2)
            self.look()
        self._driver.kill()  # of the study that has just begun
        self.orphans.died(self._driver.mark)
        self._driver.said()

    def tidy(self) -> None:
        """Take away what was put up."""
        if self._driver.running:
            self._driver.kill()
        if self._inside:
            succeeds("ip", "netns", "del", NAMESPACE)
        if self._small:
            succeeds("umount", "-l", str(self._disk))


def table(line: dict[str, Any]) -> str:
    """Return the figures as a table."""
    rows = [*line["faults"].items(), ("", ""), *((key, value) for key, value in line.items() if key != "faults")]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--spark", action="store_true", help="on a local cluster of Spark's instead of local processes")
    parser.add_argument("--seed", type=int, default=None, help="of the faults; another one each time by default")
    parser.add_argument("--pace", type=float, default=20.0, help="how long trials take: 20 is up to 4 s")
    parser.add_argument("--trials", type=int, default=600, help="of a study")
    parser.add_argument("--executors", type=int, default=3)
    parser.add_argument("--pauses", type=float, nargs=2, default=(5.0, 15.0), help="seconds between two faults")
    arguments = parser.parse_args()
    arguments.seed = time.time_ns() if arguments.seed is None else arguments.seed
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="maggy-soak-"))
    soak = Soak(arguments, place)
    over = threading.Event()
    watch = threading.Thread(target=soak.orphans.watch, args=(over,))
    watch.start()
    chance = random.Random(f"{arguments.seed} when")
    try:
        faults = soak.faults_there_are()
        while time.monotonic() < began + 60 * arguments.minutes:
            until = time.monotonic() + chance.uniform(*arguments.pauses)
            while time.monotonic() < until:
                time.sleep(0.2)
                soak.look()
            soak.harm(*chance.choice(list(faults.items())))
        soak.end()
    finally:
        over.set()
        watch.join()
        soak.tidy()
    gone = soak.orphans.gone
    zero = dict.fromkeys(("lost", "double", "broken", "left_running"), 0)
    line = {
        "launcher": "spark" if arguments.spark else "local",
        "faults": dict(sorted(soak.faults.items())),
        "harmed": sum(soak.faults.values()),
        **zero,
        **soak.counts,
        "leftovers": len(soak.orphans.left),
        "orphans_gone_s_max": round(max(gone), 2) if gone else None,
        **{f"{name}_p50": round(statistics.median(times), 2) for name, times in sorted(soak.times.items()) if times},
        **{f"{name}_max": round(max(times), 2) for name, times in sorted(soak.times.items()) if times},
        "not_done": soak.missing,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(line))
    print(table(line))
    for what in [*soak.wrong, *(f"left: {each}" for each in soak.orphans.left)][:20]:
        print(what[:1500])
    if not soak.wrong:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
