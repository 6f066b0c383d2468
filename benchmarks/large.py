"""A large study, for real: trials that report, then taken up again; one line of JSON.

gap_ms_first/last  median time between two trials of an executor, as user code sees it, of the first and of the last
                   thousand of them
run_s              from the first trial's start to the last one's end
rss_mb             memory of the driver at the end, and what each report has added to it
resume_s           from the call that takes the study up again, for a few more trials, to their first start
list_s, leaderboard_s   CPU of `maggy list` and `maggy leaderboard` on its store
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from maggy import Float, Searchspace, experiment

PAGE = os.sysconf("SC_PAGE_SIZE")
MORE = 20  # trials when it is taken up again
THOUSAND = 1000


def reporting(x: float, reporter: Any, journal: str, trial: int, reports: int) -> float:
    """Report, and note when this process began and ended the trial."""
    import os
    import time
    from pathlib import Path

    began = time.monotonic()
    if "notes" not in globals():
        globals()["notes"] = Path(journal, str(os.getpid())).open("a", buffering=1, encoding="ascii")  # noqa: SIM115 - stays open
    for step in range(reports):
        reporter.broadcast(x, step=step)
    globals()["notes"].write(f"{trial} {began} {time.monotonic()}\n")
    return x


def study(trials: int, reports: int, folder: Path, *, resume: bool = False) -> None:
    """Run the study, or go on with it."""
    experiment.lagom(
        reporting,
        Searchspace(x=Float(0, 1)),
        num_trials=trials,
        launcher="local",
        num_executors=4,
        store=folder / "maggy.db",
        name="large",
        resume=resume,
        log_dir=None,
        train_args={"journal": str(folder / "notes"), "reports": reports},
        seed=0,
        earlystop=None,
        quiet=True,
    )


def gaps(notes: Path) -> list[tuple[int, float, float]]:
    """Return trial, begin and milliseconds since the trial before it of the same process, in the order of beginning."""
    found = []
    for file in notes.iterdir():
        spans = [tuple(map(float, line.split())) for line in file.read_text(encoding="ascii").splitlines()]
        found += [
            (int(after[0]), after[1], 1000 * (after[1] - before[2])) for before, after in itertools.pairwise(spans)
        ]
    return sorted(found, key=lambda each: each[1])


def resident() -> float:
    """Return the MB of memory that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE / 1e6


def command(store: Path, *words: str) -> float:
    """Return the seconds of CPU that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "maggy", *words, "--store", str(store)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--reports", type=int, default=20, help="of each trial")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = folder / "notes"
        notes.mkdir()
        before = resident()
        study(given.trials, given.reports, folder)
        after = resident()
        found = gaps(notes)
        first, last = found[:THOUSAND], found[-THOUSAND:]
        for file in notes.iterdir():
            file.unlink()
        began, cpu = time.monotonic(), time.process_time()
        study(given.trials + MORE, given.reports, folder, resume=True)
        again = min(float(file.read_text(encoding="ascii").split()[1]) for file in notes.iterdir())
        figures = {
            "trials": given.trials,
            "reports": given.trials * given.reports,
            "run_s": round(found[-1][1] - found[0][1], 1),
            "gap_ms_first": round(statistics.median(each[2] for each in first), 3),
            "gap_ms_last": round(statistics.median(each[2] for each in last), 3),
            "rss_mb": round(after),
            "bytes_a_report": round((after - before) * 1e6 / (given.trials * given.reports), 1),
            "resume_s": round(again - began, 2),
            "resume_cpu_s": round(time.process_time() - cpu, 2),
            "rss_mb_resumed": round(resident()),
            "list_s": round(command(folder / "maggy.db", "list"), 2),
            "leaderboard_s": round(command(folder / "maggy.db", "leaderboard", "large"), 2),
            "python": platform.python_version(),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
