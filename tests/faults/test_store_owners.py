"""F38: two drivers want one study. Real ones, each in a process of its own, with executors of its own."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from random import Random

import pytest
from driving import locked, python
from waiting import until, until_gone

from maggy.events import StudyOpened, StudyResumed
from maggy.store import LEASE, open_store
from maggy.testing.logcheck import check_log

DRIVER = """
import json, os, sys, time
if shift := float(os.environ.get("SHIFT", 0)):  # the clock on the wall is wrong by so many seconds
    wall = time.time
    time.time = lambda: wall() + shift
from maggy.store import base
if place := os.environ.get("PLACE"):  # as if this were another host: no process here can be seen from there
    base._place = lambda: place
from maggy import Float, Searchspace, experiment
from maggy.errors import MaggyError

def train(x, trial, reporter, agents, go):
    import os, time
    from pathlib import Path
    guard = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    Path(agents, guard[1]).touch()
    step = 0
    while step < 20 or trial > 1 and not Path(go).exists():  # so the study goes on until it may end
        reporter.broadcast(x, step=step)
        time.sleep(0.02)
        step += 1
    return x

print("here we go")
try:
    result = experiment.lagom(
        train, Searchspace(x=Float(0, 1)), num_trials=6, name="digits", resume=True, store=sys.argv[1], seed=1,
        launcher="local", num_executors=2, quiet=True, log_dir=None, earlystop=None,
        train_args={"agents": sys.argv[2], "go": sys.argv[3]},
    )
    print(json.dumps(["done", [trial.status for trial in result.trials]]))
except MaggyError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maggy.db"


@pytest.fixture
def drive(path, tmp_path):
    """Give a function that starts a driver; its executors leave their pids in a folder with its name.

    Its study ends when there is a file `go`.
    """
    started = []

    def start(name, **environment):
        (tmp_path / name).mkdir()
        driver = python(DRIVER, path, tmp_path / name, tmp_path / "go", stderr=subprocess.DEVNULL, env=environment)
        started.append(driver)
        assert driver.stdout.readline() == "here we go\n"
        return driver

    yield start
    for driver in started:
        if driver.poll() is None:
            driver.send_signal(signal.SIGCONT)
            driver.kill()
        driver.communicate()


def said(driver):
    return json.loads(driver.communicate(timeout=60)[0])


def log(path):
    with closing(open_store(path)) as store:
        return list(store.read("digits"))


def under_way(path):
    """Wait until a study has an end recorded, and others run."""
    until(path.exists)
    with closing(open_store(path)) as store:
        until(store.studies)
        until(lambda: any(type(event).__name__ == "Ended" for event in store.read("digits")))


def stop(driver, path):
    """Stop a driver, but not in the midst of a transaction, which would hold everybody up."""
    while True:
        driver.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, driver.pid, os.WSTOPPED | os.WNOWAIT)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as probe:
            try:
                probe.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                driver.send_signal(signal.SIGCONT)
                continue
            probe.execute("ROLLBACK")
            return


def gone(folder):
    """Wait until the executors that left their pids there are gone."""
    pids = [int(file.name) for file in folder.iterdir()]
    assert pids
    until_gone(pids)


def test_f38_a_second_driver_is_refused(drive, path, tmp_path):
    """F38: while the first lives, also when it is stopped: nobody can tell that it will not wake up and write."""
    first = drive("first")
    under_way(path)
    kind, why = said(drive("second"))
    assert kind == "StudyOwned"
    assert f"study 'digits' is held by process {first.pid} on host" in why
    stop(first, path)
    before = log(path)
    kind, why = said(drive("third"))
    assert (kind, str(first.pid) in why) == ("StudyOwned", True)
    assert log(path) == before
    first.send_signal(signal.SIGCONT)
    (tmp_path / "go").touch()
    assert said(first) == ["done", ["completed"] * 6]
    check_log(log(path))


def test_f38_whose_a_study_is_can_be_told_while_the_store_is_busy(drive, path):
    """F38, F36: as where another process has the disk: the second is refused as ever, and not for want of a lock."""
    first = drive("first")
    under_way(path)
    with locked(path):
        kind, why = said(drive("second"))
    assert (kind, f"held by process {first.pid} on host" in why) == ("StudyOwned", True)


def test_f38_a_killed_driver_is_followed_at_once(drive, path, tmp_path):
    """F38, F9: the next one takes over without waiting for a lease, and keeps all that was recorded."""
    first = drive("first")
    under_way(path)
    first.kill()
    first.communicate()
    before = log(path)
    second = drive("second")
    until(lambda: any(isinstance(event, StudyResumed) for event in log(path)))
    gone(tmp_path / "first")
    (tmp_path / "go").touch()
    assert said(second) == ["done", ["completed"] * 6]
    after = log(path)
    assert after[: len(before)] == before
    check_log(after)


def test_f38_a_driver_elsewhere_is_followed_after_its_lease_and_then_fenced(drive, path, tmp_path):
    """F38: the first, stopped and woken, is refused at its next commit, ends with a clear error and its executors."""
    first = drive("first", PLACE="another host")
    under_way(path)
    stop(first, path)
    before, began = log(path), time.monotonic()
    second = drive("second")
    until(lambda: any(isinstance(event, StudyResumed) for event in log(path)))
    assert time.monotonic() - began > LEASE - 1
    first.send_signal(signal.SIGCONT)
    kind, why = said(first)
    assert kind == "StudyMoved"
    assert f"process {second.pid} on host" in why
    assert "has taken it over: stop here" in why
    gone(tmp_path / "first")
    assert second.poll() is None
    (tmp_path / "go").touch()
    assert said(second) == ["done", ["completed"] * 6]
    after = log(path)
    assert after[: len(before)] == before
    assert [type(event) for event in after if isinstance(event, StudyOpened | StudyResumed)] == [
        StudyOpened,
        StudyResumed,
    ]
    check_log(after)


def test_f38_a_driver_elsewhere_that_lives_is_left_alone(drive, path, tmp_path):
    """F34, F38: a sign of life within the lease is enough, whatever the clocks of the hosts say."""
    first = drive("first", PLACE="another host")
    under_way(path)
    others = [drive(f"{shift} s", SHIFT=str(shift)) for shift in (-86_400, 0, 86_400)]
    assert [said(other)[0] for other in others] == ["StudyOwned"] * 3
    (tmp_path / "go").touch()
    assert said(first) == ["done", ["completed"] * 6]


WRITER = """
import sys
from maggy.errors import StoreError
from maggy.store import Owner, base, open_store
from maggy.testing.store_contract import report
base._place = lambda: sys.argv[2]
store, owner, mine = open_store(sys.argv[1]), Owner.current(), []
for line in sys.stdin:
    now = float(line)
    try:
        store.claim("s", owner, now)
        position = store.studies()[0].position
        for _ in range(20):
            before, position = position, store.append("s", position, [report(owner.pid), report(owner.pid)])
            mine.append(before + 1)
    except StoreError as error:
        print(type(error).__name__)
    else:
        print("held")
print(mine)
"""


def test_f38_of_many_commits_none_is_lost_and_none_is_between(path):
    """F38: two processes that take the study from each other, time after time: each turn is where its writer put it."""
    with closing(open_store(path)) as store:
        store.create("s", 0.0)
        with python(WRITER, path, "here") as one, python(WRITER, path, "there") as other:
            taken = []
            for turn in range(40):
                writers = (one, other) if turn % 3 else (one, other)[turn % 2 :][:1]
                for writer in writers:  # at the same time, where it is two
                    writer.stdin.write(f"{turn * 2 * LEASE}\n")
                    writer.stdin.flush()
                taken.append([writer.stdout.readline().strip() for writer in writers])
            positions = [(json.loads(writer.communicate("")[0]), writer.pid) for writer in (one, other)]
        assert all("held" in said for said in taken)
        events = list(store.read("s"))
        assert store.studies()[0].position == len(events) == 2 * sum(len(mine) for mine, _ in positions)
        for mine, pid in positions:
            assert mine
            assert all(events[at - 1].step == events[at].step == pid for at in mine)


# -- a driver that is killed anywhere -------------------------------------------------------------------------------

KILLED = """
import os, sys
from itertools import count
from maggy.events import Reported, StudyOpened, StudyResumed
from maggy.store import Owner, open_store
from maggy.store.sql import SqlStore

def drive(path):
    print("pid", os.getpid())
    store, owner = open_store(path), Owner.current()
    name = store.latest("s") or store.create("s", 0.0)
    store.claim(name, owner, 0.0)
    position = len(list(store.read(name)))
    position = store.append(name, position, [StudyResumed(0.0, {}) if position else StudyOpened(0.0, {})])
    for turn in count():
        begun, size = position, turn % 7 + 1
        position = store.append(name, position, [Reported(0.0, begun, turn, n, {"acc": 0.5}) for n in range(size)])
        print(position)
        if turn % 5 == 0:
            store.renew(name, owner, float(turn))
            store.request(name, "pause")
            store.requests(name)
        if turn % 20 == 19:
            store.release(name, owner)
            store.close()
            store = open_store(path)
            store.claim(name, owner, float(turn))

for _ in sys.stdin:  # each line is answered by a driver that has everything imported already
    if not (child := os.fork()):
        drive(sys.argv[1])
    os.waitpid(child, 0)
    print("dead")
"""


def test_f38_a_driver_killed_at_any_instant_leaves_a_store_that_goes_on(path):
    """F38, F9: fifty kills between any two statements: whole turns only, nothing acknowledged lost, open at once."""
    acknowledged, rng = 0, Random(38)
    with python(KILLED, path) as drivers:
        for kill in range(50):
            drivers.stdin.write("\n")
            drivers.stdin.flush()
            pid = int(drivers.stdout.readline().split()[1])
            for _ in range(rng.randrange(40) if kill % 4 else 0):  # every fourth dies while it opens and claims
                acknowledged = int(drivers.stdout.readline())
            threading.Event().wait(rng.uniform(0, 0.005 if kill % 4 else 0.05))
            os.kill(pid, signal.SIGKILL)
            while (line := drivers.stdout.readline()) != "dead\n":
                acknowledged = int(line)
            with closing(open_store(path)) as store:
                entries = store.studies()
                events = list(store.read("s")) if entries else []
            assert len(events) == (entries[0].position if entries else 0) >= acknowledged
            whole(events)
        drivers.communicate("")
    assert acknowledged > 1000


def whole(events):
    """Check that a log holds turns from their first event to their last; a turn says in each where it began."""
    turns = {}
    for at, event in enumerate(events):
        if hasattr(event, "trial"):
            turns.setdefault((event.trial, event.attempt), []).append((at, event.step))
    for (begun, turn), found in turns.items():
        assert found == [(begun + number, number) for number in range(turn % 7 + 1)]
