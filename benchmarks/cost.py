"""What a trial costs: microseconds of CPU by process and by thread of the driver, one line of JSON.

A study of 6,500 trivial trials and one of 500 are run with the local launcher, four executors and a durable store; the
difference is what 6,000 trials cost, without what starting and ending does. CPU time, unlike time, hardly depends on
what else a machine is doing; a busy one still makes caches cold. The scheduler's own figures (`/proc/*/schedstat`) are
read every 30 ms, so this is for Linux.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from maggy import Float, Searchspace, experiment

PAUSE = 0.03  # seconds between two looks
SHORT, LONG = 500, 6500


def trivial(x: float) -> float:
    """Do nothing."""
    return x


def spent(process: Path) -> float:
    """Return the seconds that a process, or a thread, has computed for."""
    return int((process / "schedstat").read_text().split()[0]) / 1e9


def below(pid: int) -> Iterator[Path]:
    """Yield the processes below one."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield Path("/proc", child)
            with suppress(OSError):
                yield from below(int(child))


class Looks:
    """Looks again and again at what this process's threads, and the processes below it, have computed for."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="looks")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def sums(self) -> Mapping[str, float]:
        """Return the seconds by kind of process or thread."""
        found = defaultdict[str, float](float)
        for who, seconds in self._seen.items():
            found[who.partition(" ")[0]] += seconds
        return found

    def _look_on(self) -> None:
        while not self._over.wait(PAUSE):
            self._look()

    def _look(self) -> None:
        for thread in threading.enumerate():
            if thread is not self._thread and not thread.name.startswith("maggy-slot"):
                with suppress(OSError):
                    self._seen[f"driver:{thread.name}"] = spent(Path(f"/proc/self/task/{thread.native_id}"))
        with suppress(OSError):
            for process in below(os.getpid()):
                with suppress(OSError):
                    what = "agent" if b"pickle.load" in (process / "cmdline").read_bytes() else "trials"
                    self._seen[f"{what} {process.name}"] = spent(process)


def study(trials: int) -> Mapping[str, float]:
    """Run a study; return the seconds that were computed for it, by process."""
    with tempfile.TemporaryDirectory() as folder, Looks() as looks:
        os.chdir(folder)
        experiment.lagom(
            trivial,
            Searchspace(x=Float(0, 1)),
            optimizer="random",
            num_trials=trials,
            num_executors=4,
            launcher="local",
            store=f"{folder}/maggy.db",
            log_dir=folder,
            seed=1,
            earlystop=None,
            quiet=True,
        )
    return looks.sums()


def main() -> None:
    """Measure, and print."""
    study(SHORT)
    few, many = study(SHORT), study(LONG)
    cost = {who: round(1e6 * (many[who] - few[who]) / (LONG - SHORT)) for who in sorted(many)}
    sys.stdout.write(json.dumps({"us_per_trial": sum(cost.values()), **cost}) + "\n")


if __name__ == "__main__":
    main()
