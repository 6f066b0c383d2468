"""F9, F10: the driver is killed again and again at random instants; what was acknowledged is there, once, and goes on.

A little of what `benchmarks/kills.py` does a thousand times.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.spark
@pytest.mark.timeout(400)
def test_f09_f10_the_driver_on_spark_is_killed_and_then_its_jvm():
    """F9, F10: the same on Spark; a driver whose JVM has died ends by itself, with an error."""
    line = kill(
        "--launcher", "spark", "--kills", "2", "--lanes", "1", "--trials", "150", "--window", "4", "--seed", "2"
    )
    assert (line["kills"], line["jvms"], line["studies"]) == (2, 1, 1)
    assert [line[what] for what in ("lost", "double", "broken", "left_running", "leftovers")] == [0] * 5
