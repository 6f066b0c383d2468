"""F9, F10: the driver is killed again and again at random instants; what was acknowledged is there, once, and goes on.

A little of what `benchmarks/kills.py` does a thousand times.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from maggy import experiment
from maggy.events import Ended, Reported, Started, StudyResumed, Suggested
from maggy.store import Owner, open_store

KILLS = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def kill(*options):
    """Run the script and return its line of figures."""
    done = subprocess.run([sys.executable, str(KILLS), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    line, *wrong = done.stdout.splitlines()
    assert wrong == []
    return json.loads(line)


def test_f09_nothing_is_lost_when_drivers_are_killed():
    """F9: ten kills, startup included; results are kept, counted once, and nobody of the dead driver's lives on."""
    line = kill("--kills", "10", "--lanes", "1", "--trials", "120", "--seed", "1")
    assert line["kills"] >= 10
    assert line["studies"] >= 1
    assert line["acknowledged"] > 100
    assert [line[what] for what in ("lost", "double", "broken", "left_running", "leftovers")] == [0] * 5


def same(x):
    return x


def test_f09_a_study_of_ten_thousand_trials_goes_on_soon(tmp_path):
    """F9: all of its log is read before the next trial begins."""
    places = {"store": tmp_path / "maggy.db", "launcher": "local", "num_executors": 1, "log_dir": None, "quiet": True}
    experiment.lagom(same, {"x": (0.0, 1.0)}, num_trials=1, name="s", **places)
    with closing(open_store(tmp_path / "maggy.db")) as store:
        owner, now, position = Owner.current(), time.time(), store.studies()[0].position
        events = [StudyResumed(now, {"num_trials": 10_000})]
        for number in range(2, 10_001):
            seen = position + len(events)
            events += [Suggested(now, number, {"x": 0.5}, None, None, seen), Started(now, number, 1, "executor")]
            events += [Reported(now, number, 1, step, {"metric": 0.5}) for step in range(10)]
            events += [Ended(now, number, 1, "completed", 0.5, {"metric": 0.5})]
        store.claim("s", owner, now)
        store.append("s", position, events)
        store.release("s", owner)
    began = time.time()
    result = experiment.resume("s", same, num_trials=10_001, **places)
    assert [trial.status for trial in result.trials] == ["completed"] * 10_001
    print(f"F9: the next of 10,000 trials began {result.trials[-1].started - began:.2f} s after the call")


@pytest.mark.spark
@pytest.mark.timeout(400)
def test_f09_f10_the_driver_on_spark_is_killed_and_then_its_jvm():
    """F9, F10: the same on Spark; a driver whose JVM has died ends by itself, with an error."""
    line = kill(
        "--launcher", "spark", "--kills", "2", "--lanes", "1", "--trials", "150", "--window", "4", "--seed", "2"
    )
    assert (line["kills"], line["jvms"], line["studies"]) == (2, 1, 1)
    assert [line[what] for what in ("lost", "double", "broken", "left_running", "leftovers")] == [0] * 5
