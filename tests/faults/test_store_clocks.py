"""F34: clocks on the wall that jump, and that differ: leases, timeouts and durations go by clocks that do not."""

import time
from itertools import count
from pathlib import Path

import pytest
from driving import python
from waiting import until

from maggy.driver.clock import Clock
from maggy.events import Lost
from maggy.store import open_store
from maggy.testing.logcheck import check_log

DAY = 86_400.0
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
faked = pytest.mark.skipif(LIBRARY is None, reason="there is no libfaketime (Debian's package libfaketime)")


def never_back(log):
    """Check that in this log no trial was lost, no time goes back, and none is a day away from the one before."""
    study = check_log(log)
    assert not [event for event in log if isinstance(event, Lost) and event.counts]
    times = [event.at for event in log]
    assert times == sorted(times)
    assert times[-1] - times[0] < 3600
    assert all(0 <= trial.duration < 60 for trial in study.trials.values())
    return study


def test_f34_the_drivers_wall_clock_jumps(driving, monkeypatch):
    """F34: a day ahead, a day back, at every look: nobody is lost and no duration is negative."""
    study, wall, look = driving(lease=2.0), time.time, count()
    monkeypatch.setattr(time, "time", lambda: wall() + (DAY, -DAY)[next(look) % 2])
    study.launch()
    assert study.server.closed.wait(60)
    monkeypatch.undo()
    study.complete()
    never_back(study.log)


@faked
@pytest.mark.parametrize("shift", ["+1h", "-1h"])
def test_f34_executors_live_an_hour_away(driving, monkeypatch, shift):
    """F34: an executor's clock has no say in anything."""
    for name, value in (("LD_PRELOAD", str(LIBRARY)), ("FAKETIME", shift), ("DONT_FAKE_MONOTONIC", "1")):
        monkeypatch.setenv(name, value)
    study = driving(trials=2, steps=50).launch(function=far_away)
    assert study.server.closed.wait(60)
    found = never_back(study.log)
    told = [trial.value - time.time() for trial in found.trials.values()]
    assert all(3000 < abs(difference) < 4000 for difference in told), told  # it was indeed elsewhere


def far_away(x, reporter, progress, steps):
    import threading
    import time

    for step in range(steps):
        reporter.broadcast(x, step=step)
        threading.Event().wait(0.01)  # time.sleep fails under this library
    return time.time()


STUDY = """
import sys
from maggy import Float, Searchspace, experiment

def train(x, reporter):
    import threading
    for step in range(100):
        reporter.broadcast(x, step=step)
        threading.Event().wait(0.02)  # time.sleep fails under this library
    return x

experiment.lagom(train, Searchspace(x=Float(0, 1)), num_trials=6, name="s", store=sys.argv[1], launcher="local", seed=1,
                 num_executors=2, quiet=True, log_dir=None, earlystop=None, lease=3.0)
"""


@faked
def test_f34_the_clock_of_the_whole_machine_jumps(tmp_path):
    """F34: driver, agents and trials see the wall clock go a day ahead, then two back, then to the first again."""
    path, clock = tmp_path / "maggy.db", tmp_path / "clock"
    clock.write_text("+0d\n")
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with python(STUDY, path, env=environment) as study:
        until(Path(f"{path}-wal").exists)  # to open it before is to be in the way, and who then waits sleeps
        store = open_store(path)
        for number, shift in enumerate(("+1d", "-1d", "+0d"), 1):
            until(lambda number=number: any(entry.position > 100 * number for entry in store.studies()))
            clock.write_text(shift + "\n")
        study.communicate(timeout=60)
        assert study.returncode == 0
    found = never_back(list(store.read("s")))
    store.close()
    assert [trial.status for trial in found.trials.values()] == ["completed"] * 6


def test_f34_a_log_from_the_future_is_believed():
    """F34: whoever goes on with a study whose last driver's clock was a day ahead does not go back behind its log."""
    assert Clock(time.time() + DAY).now() > time.time() + DAY - 10
    assert abs(Clock(time.time() - DAY).now() - time.time()) < 10
