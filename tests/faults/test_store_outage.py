"""A store that fails for a while: locked by another process, or on a disk that is full."""

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import closing
from functools import partial

import pytest
from driving import Driving, fill, locked, python, small_disk
from served import p99
from waiting import until, until_gone

from maggy import experiment, opening
from maggy.driver import outage
from maggy.driver.outage import Outage
from maggy.errors import StoreError, StoreUnavailable
from maggy.events import Started, StudyResumed
from maggy.opening import Opened
from maggy.store import Owner, open_store, sqlite
from maggy.testing.store_contract import NOW, report

LEASE = 3.0  # shorter than the outages below: an executor that is not listened to must not be taken for dead


@pytest.fixture
def driving(driving):
    """Give a function that makes a driver with that lease, and end what it made."""
    return partial(driving, lease=LEASE)


def told(study):
    """Return how many messages each executor has been told to forget."""
    return [life.channel._confirmed for life in study.lives()]


def pids(study):
    return [int(name.rsplit("-", 2)[1]) for name in study.server.scheduler.executors]


# -- a database that another process holds --------------------------------------------------------------------------


def test_f36_a_lock_longer_than_the_lease_costs_nothing(driving, tmp_path):
    """F36: agents train on and are heard, nothing is confirmed that is not durable, and then all is there, in order."""
    study = driving(trials=2, steps=450).launch()
    study.until(lambda fold: fold.reports > 100)
    with locked(tmp_path / "maggy.db"):
        until(lambda: study.server._held is not None)
        before, confirmed, durable = study.reached(), told(study), study.log
        with study.lag() as lags:
            threading.Event().wait(2 * LEASE)
        assert study.server.trouble is not None
        assert "was locked by another process" in study.server.trouble
        assert told(study) == confirmed
        assert study.log == durable
        after = study.reached()
        assert all(after[trial] > before[trial] + 50 for trial in before), (before, after)
        print(f"F36: the loop late by {p99(lags):.3f} s (p99) while the store was locked for {2 * LEASE:.0f} s")
        assert p99(lags) < 1  # 0.1 on an idle machine
        assert len(study.server.scheduler.executors) == 2
    assert study.server.closed.wait(60)
    assert study.server.trouble is None
    assert study.server.error is None
    study.complete()
    assert study.log[: len(durable)] == durable


def test_f36_an_idle_driver_says_so_as_well(driving, tmp_path, monkeypatch):
    """F36: with nothing to record it is the sign of life that fails; patience has the same end."""
    monkeypatch.setattr(outage, "STORE_PATIENCE", 3.0)
    study = driving().launch(count=0)
    with locked(tmp_path / "maggy.db"):
        until(lambda: study.server.trouble is not None)
        assert study.server.closed.wait(20)
    assert isinstance(study.server.error, StoreUnavailable)


def test_f36_patience_has_an_end(driving, tmp_path, monkeypatch):
    """F36: then everybody is sent home, the error says what is wrong, and the log ends at a whole turn."""
    monkeypatch.setattr(outage, "STORE_PATIENCE", 1.5)
    study = driving().launch()
    study.until(lambda fold: fold.reports > 20)
    with locked(tmp_path / "maggy.db"):
        until(lambda: study.server._held is not None)
        durable, agents = study.log, pids(study)
        assert study.server.closed.wait(20)
        assert isinstance(study.server.error, StoreUnavailable)
        assert study.server.unrecorded
        until_gone(agents, 20)  # they were told, not killed
        assert study.launcher.crashes() == []
    assert study.log == durable


def test_f36_an_interrupt_does_not_wait(driving, tmp_path, monkeypatch):
    """F36: what could not be recorded is given up at once, not when the next attempt would be due."""
    monkeypatch.setattr(outage, "FIRST_RETRY", 30.0)
    study = driving().launch()
    study.until(lambda fold: fold.reports > 20)
    with locked(tmp_path / "maggy.db"):
        until(lambda: study.server._held is not None)
        durable = study.log
        began = time.monotonic()
        study.server.interrupt("interrupted")
        assert study.server.closed.wait(20)
        assert time.monotonic() - began < outage.FIRST_RETRY / 2
    assert study.server.unrecorded
    assert study.server.error is None
    assert study.log == durable


class Failing:
    """A store that fails on demand; it notes what executors had been told to forget at each append."""

    def __init__(self, study):
        self.fails, self.at_failure, self.confirmed = False, None, []
        self._study, self._store = study, study.store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def append(self, study, after, events):
        received = {id(life): life.channel.received for life in self._study.lives()}
        if self.fails:
            self.at_failure = self.at_failure or received
            raise StoreUnavailable("it is locked")
        if self.at_failure:
            self.confirmed.append({id(life): life.channel._confirmed for life in self._study.lives()})
        return self._store.append(study, after, events)


def test_f36_nothing_is_confirmed_before_its_own_turn(driving):
    """F36: when the turn that was held is recorded, what came meanwhile is not: its own commit comes first."""
    study = driving(trials=2, steps=250)
    store = study.journal._store = Failing(study)
    study.launch()
    study.until(lambda fold: fold.reports > 20)
    store.fails = True
    until(lambda: store.at_failure)
    threading.Event().wait(1.5)  # in which a sign of life is due, and with it a confirmation
    until(lambda: all(life.channel.received > store.at_failure[id(life)] + 5 for life in study.lives()))
    store.fails = False
    assert study.server.closed.wait(60)
    study.complete()
    held, gathered = store.confirmed[:2]
    for turn in (held, gathered):
        assert all(turn[name] <= store.at_failure[name] for name in turn)
    assert any(turn.get(name, 0) > store.at_failure[name] for turn in store.confirmed for name in held)


def test_f36_nobodys_silence_counts_meanwhile(driving):
    """F36: an executor that was silent for longer than its lease, but within the outage, has not lost its trial."""
    study = driving(trials=2)
    store = study.journal._store = Failing(study)
    study.launch()
    study.until(lambda fold: fold.reports > 20)
    agent = pids(study)[0]
    os.kill(agent, signal.SIGSTOP)
    threading.Event().wait(0.5)  # what it had said is read and recorded
    store.fails = True
    until(lambda: store.at_failure)
    threading.Event().wait(LEASE + 2)  # the patience with its silence, and the pause until the store is tried again
    store.fails = False
    until(lambda: study.server._held is None)
    os.kill(agent, signal.SIGCONT)
    assert study.server.closed.wait(60)
    study.complete()


SCRIPT = """
import json, sys, time
from maggy import Float, Searchspace, experiment

def train(x, reporter):
    for step in range(100):
        reporter.broadcast(x, step=step)
        time.sleep(0.01)
    return x

result = experiment.lagom(train, Searchspace(x=Float(0, 1)), num_trials=8, launcher="local", num_executors=2, seed=1,
                          name="digits", store=sys.argv[1], log_dir=None, resume=True)
print(json.dumps([result.interrupted, [[t.status, len(t.curve)] for t in result.trials], time.time()]))
"""


def test_f36_lagom_returns_what_is_durable(tmp_path):
    """F36: Ctrl-C during an outage returns within seconds; the result is what the store has; resume goes on."""
    path = tmp_path / "maggy.db"
    with (tmp_path / "err").open("w") as err, python(SCRIPT, path, stderr=err) as driver:
        until(path.exists)
        with closing(open_store(path)) as store:
            until(lambda: [entry.position for entry in store.studies() if entry.position > 150])
        with locked(path):
            until(lambda: "was locked by another process" in (tmp_path / "err").read_text())
            began = time.time()
            driver.send_signal(signal.SIGINT)
            *_, line = driver.communicate(timeout=30)[0].splitlines()
    interrupted, trials, ended = json.loads(line)
    durable = experiment.load("digits", store=path)
    assert interrupted
    assert trials == [[trial.status, len(trial.curve)] for trial in durable.trials]
    print(f"back {ended - began:.2f} s after Ctrl-C")
    with python(SCRIPT, path, stderr=subprocess.DEVNULL) as driver:
        *_, line = driver.communicate(timeout=60)[0].splitlines()
    assert json.loads(line)[:2] == [False, [["completed", 100]] * 8]


GONE = """
import os, signal, sys
from maggy import experiment
from maggy.driver.launcher import Gone
from maggy.driver.local import LocalLauncher

def run(self, task, slot, run=LocalLauncher._run):
    try:
        run(self, task, slot)
    finally:
        raise Gone("Spark has ended")

def train(x, folder):
    import os, time
    from pathlib import Path
    guard = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    Path(folder, f"agent-{guard[1]}").touch()
    time.sleep(100)

LocalLauncher._run = run
experiment.lagom(train, {"x": (0.0, 1.0)}, num_trials=2, launcher="local", num_executors=2, name="digits", lease=3.0,
                 store=sys.argv[1], log_dir=None, train_args={"folder": sys.argv[2]})
"""


def test_f10_f36_spark_that_is_gone_ends_a_study_during_an_outage(tmp_path):
    """F10, F36: nobody is there and nobody can come, whatever the store will do: after a lease the call says so."""
    path, agents = tmp_path / "maggy.db", lambda: [int(file.name[6:]) for file in tmp_path.glob("agent-*")]
    with (tmp_path / "err").open("w") as err, python(GONE, path, tmp_path, stderr=err) as driver:
        until(lambda: len(agents()) == 2)
        with locked(path):
            until(lambda: "was locked by another process" in (tmp_path / "err").read_text())
            for agent in agents():
                os.kill(agent, signal.SIGKILL)
            driver.communicate(timeout=40)
    assert "LauncherError: no executor can be kept running: Spark has ended" in (tmp_path / "err").read_text()
    assert experiment.load("digits", store=path).interrupted


@pytest.mark.filterwarnings("ignore:.*cannot use its write-ahead log")
@pytest.mark.parametrize("on_network", [False, True])
def test_f36_who_waits_and_who_does_not(tmp_path, monkeypatch, on_network):
    """F36: the driver's statements give up at once, people's wait; after the lock all of them work."""
    monkeypatch.setattr(sqlite, "PATIENCE", patience := 2.0)
    monkeypatch.setattr(sqlite, "_on_network", lambda _: on_network)
    path, owner = tmp_path / "maggy.db", Owner.current()
    with closing(open_store(path)) as store:
        store.create("s", NOW)
        store.claim("s", owner, NOW)
        hasty = [lambda: store.append("s", 0, [report(1)]), lambda: store.renew("s", owner, NOW)]
        hasty.append(lambda: store.release("s", owner))
        if on_network:  # where readers wait for writers
            hasty.append(lambda: store.requests("s"))
        patient = [lambda: store.create("t", NOW), lambda: store.request("s", "stop")]
        patient.append(lambda: store.claim("s", owner, NOW))
        with locked(path):
            for statements, waits in ((hasty, False), (patient, True), (hasty, False)):
                for statement in statements:
                    began = time.monotonic()
                    with pytest.raises(StoreUnavailable, match="was locked by another process"):
                        statement()
                    assert (time.monotonic() - began >= patience) == waits
        for statement in (*hasty[:2], *patient):
            statement()


def test_f36_another_thread_of_the_driver_holds_nobody_up(tmp_path):
    """F36: while a patient call of the same process waits for the lock, the driver's own does not wait behind it."""
    path, owner = tmp_path / "maggy.db", Owner.current()
    with closing(open_store(path)) as store:
        store.create("s", NOW)
        store.claim("s", owner, NOW)
        waiting = threading.Thread(target=store.create, args=("t", NOW))
        with locked(path):
            waiting.start()
            until(store._lock.locked)
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="is being written by another thread of this process"):
                store.append("s", 0, [report(1)])
            assert time.monotonic() - began < sqlite.PATIENCE / 2
        waiting.join()
        assert store.latest("t") == "t"
        assert store.append("s", 0, [report(1)]) == 1


def test_f36_a_lock_before_the_study_has_begun(tmp_path, monkeypatch):
    """F36: whoever starts a study waits for a moment's lock, and is told of one that does not pass."""

    def train(x):
        return x

    monkeypatch.setattr(sqlite, "PATIENCE", 0.5)
    monkeypatch.setattr(opening, "PATIENCE", 1.0)
    path = tmp_path / "maggy.db"
    options = {"num_trials": 1, "launcher": "local", "quiet": True, "log_dir": None, "store": path}
    experiment.lagom(train, {"x": (0.0, 1.0)}, **options)
    with locked(path), pytest.raises(StoreError, match="was locked by another process"):
        experiment.lagom(train, {"x": (0.0, 1.0)}, **options)
    assert len(experiment.lagom(train, {"x": (0.0, 1.0)}, **options).trials) == 1


def test_f36_a_short_lock_before_the_driver_starts(tmp_path):
    """F36: nobody waits for executors then, so the first events wait for the lock; letting go need not."""
    path, me = tmp_path / "maggy.db", Owner.current()
    with closing(open_store(path)) as store:
        store.claim(store.create("s", NOW), me, NOW)
        opened = Opened("s", store, me, None)
        appending = threading.Thread(target=opened.append, args=(StudyResumed(NOW, {}),))
        with locked(path):
            opened.release()  # in vain, and without a word
            appending.start()
            threading.Event().wait(0.5)
            assert appending.is_alive()
        appending.join(30)
        assert len(list(store.read("s"))) == opened.study.position == 1


def test_f36_f38_a_claim_waits_longer_than_one_call_of_the_store(tmp_path):
    """F36, F38: the user is told, once, what is waited for; nobody need wait to open a store that is there."""
    path, me, told = tmp_path / "maggy.db", Owner.current(), []
    with closing(open_store(path)) as store:
        store.create("s", NOW)
    with locked(path):
        store = open_store(path)
        claiming = threading.Thread(target=opening.claim, args=(store, "s", me, told.append))
        claiming.start()
        until(lambda: told)  # when the store has waited for sqlite.PATIENCE
        assert claiming.is_alive()
    claiming.join(30)
    with closing(store):
        assert store.studies()[0].owner == me
    assert [line.count("was locked by another process") for line in told] == [1]


# -- a disk that is full --------------------------------------------------------------------------------------------


def test_f35_a_full_disk_pauses_the_study(tmp_path):
    """F35: nothing new is given out while there is no room, nothing is lost, and it goes on when there is some."""
    with (
        small_disk(tmp_path / "disk") as disk,
        closing(Driving(disk / "maggy.db", tmp_path / "progress", trials=3, steps=250, lease=LEASE)) as study,
    ):
        study.launch()
        study.until(lambda fold: fold.reports > 100)
        filling = fill(disk)
        until(lambda: study.server.trouble is not None)
        assert "no room left: make room" in study.server.trouble or "disk" in study.server.trouble
        durable = study.log
        threading.Event().wait(LEASE + 2)
        assert study.log == durable
        assert len([event for event in durable if isinstance(event, Started)]) == 2
        assert len(study.server.scheduler.executors) == 2
        filling.unlink()
        assert study.server.closed.wait(60)
        study.complete()
        assert study.server.trouble is None
        assert study.log[: len(durable)] == durable


def test_f35_no_room_for_a_store(tmp_path):
    """F35: a store that cannot be made says so, and leaves nothing that is taken for one later."""
    with small_disk(tmp_path / "disk") as disk:
        filling = fill(disk)
        with pytest.raises(StoreUnavailable, match=r"store='.*maggy.db' (has no room left|could not be)"):
            open_store(disk / "maggy.db")
        filling.unlink()
        with closing(open_store(disk / "maggy.db")) as store:
            assert store.studies() == []


def test_f35_a_full_disk_takes_nothing_of_a_turn(tmp_path):
    """F35: whatever was acknowledged is there, on the full disk and when there is room again."""
    with small_disk(tmp_path / "disk", "400k") as disk, closing(open_store(disk / "maggy.db")) as store:
        store.create("s", NOW)
        store.claim("s", Owner.current(), NOW)
        acknowledged = 0
        with pytest.raises(StoreUnavailable):  # noqa: PT012 - as many as there is room for
            while True:
                acknowledged = store.append("s", acknowledged, [report(acknowledged), report(acknowledged)])
        assert acknowledged > 50
        assert [event.step for event in store.read("s")] == [number // 2 * 2 for number in range(acknowledged)]
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        last = store.append("s", acknowledged, [report(acknowledged)])
        assert [event.step for event in store.read("s", acknowledged)] == [acknowledged]
        store.close()
        with closing(open_store(disk / "maggy.db")) as again:
            assert len(list(again.read("s"))) == last


# -- what is remembered of it ---------------------------------------------------------------------------------------


def test_f36_attempts_become_rarer_and_end():
    """F36: from 0.1 s to 1 s between two, a word to the user after a second, an end after ten minutes."""
    trouble, error, now = Outage(), StoreUnavailable("it is locked"), 0.0
    delays = []
    while (delay := trouble.failed(error, now)) is not None:
        delays.append(delay)
        assert (trouble.trouble is None) == (now < 1)
        now += delay
    assert delays[:6] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert 600 <= now < 602
    trouble.over()
    assert (trouble.trouble, trouble.failed(error, now)) == (None, 0.1)


def test_f36_other_errors_do_not_pass(driving, monkeypatch):
    """F36: what will not pass ends the study at once, as ever."""

    def append(*_):
        raise StoreError("it is damaged")

    study = driving()
    monkeypatch.setattr(study.store, "append", append)
    study.launch(count=1)
    assert study.server.closed.wait(60)
    assert str(study.server.error) == "it is damaged"
