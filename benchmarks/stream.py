"""How busy a stream of programs keeps its slots: `maggy run -stream` on trials that sleep 0.1 s and 1 s, in turn.

From the first start to the moment at which there are no further trials, `busy` is the share of the slots' time in which
they had a trial, by the log; `asleep` the share in which the programs slept, so what starting bash costs is no part of
it. `rounds` says the same of rounds, which wait for the slowest trial. One line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from maggy import experiment
from maggy.studyfile.file import StudyFile
from maggy.studyfile.runner import Runner, Wish

FILE = """
local = localsystem("local", SLOTS)
def run(p):
    return run_config(system=local, script="sleep %(seconds)f; echo METRICS: loss=1" % p)
study("s", {"n": range(0, TRIALS // 2), "seconds": discrete(0.1, 1.0)}, minimize("loss"), run)
"""


def measured(text: str, wish: Wish) -> dict[str, float]:
    """Run a study file; return the shares."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.dv")
        path.write_text(text)
        places = {"store": Path(folder, "maggy.db"), "log_dir": Path(folder, "logs")}
        with closing(StudyFile(str(path))) as file:
            Runner(file, wish, **places, say=lambda _: None).run(file.definitions)
        found = experiment.load("s", store=str(places["store"])).trials
    begun = [trial.started for trial in found if trial.started is not None]
    first, exhausted = min(begun), max(begun)
    slots = wish.trials
    busy = asleep = 0.0
    for trial in found:
        if trial.started is not None and trial.ended is not None:
            until = min(trial.ended, exhausted)
            busy += until - trial.started
            asleep += min(until - trial.started, float(trial.params["seconds"]))
    whole = slots * (exhausted - first)
    return {"trials": len(found), "seconds": round(exhausted - first, 2)} | {
        name: round(share / whole, 4) for name, share in (("busy", busy), ("asleep", asleep))
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--trials", type=int, default=200)
    given = parser.parse_args()
    text = FILE.replace("SLOTS", str(given.slots)).replace("TRIALS", str(given.trials))
    found = measured(text, Wish(trials=given.slots, stream=True))
    rounds = Wish(trials=given.slots, rounds=given.trials // given.slots // 4)
    sys.stdout.write(json.dumps({**found, "rounds": measured(text, rounds)}) + "\n")


if __name__ == "__main__":
    main()
