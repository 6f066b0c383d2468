"""Connections that break and networks that fall silent, with real executors behind a proxy."""

import secrets
import threading
import time
from collections import Counter
from functools import partial

import cloudpickle
import pytest
from network import Proxy

from maggy import Float, Searchspace
from maggy.driver.asker import InlineAsker
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.local import LocalLauncher
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler, Terms
from maggy.driver.server import Server
from maggy.events import Lost, Reported, StudyOpened
from maggy.executor.line import Ticket
from maggy.executor.worker import run_slot
from maggy.optimizers import RandomSearch
from maggy.store import MemoryStore, Owner
from maggy.study import Study
from maggy.testing.logcheck import check_log

STEPS = 150


def train_fn(x, reporter):
    import time

    for step in range(150):
        reporter.broadcast(x, step=step)
        time.sleep(0.02)
    return x


class Running:
    """A study of two executors that reach their driver through a proxy; `slow` of them have a slow line."""

    def __init__(self, trials=2, slow=0, function=train_fn, **terms):
        self.store = MemoryStore()
        owner = Owner.current()
        now = time.time()
        self.store.create("s", now)
        self.store.claim("s", owner, now)
        settings = {"name": "s", "num_trials": trials, "searchspace": Searchspace(x=Float(0, 1)).to_dict()}
        self.store.append("s", 0, [StudyOpened(now, settings)])
        self.server = Server(
            Scheduler(Study.of(self.store.read("s")), Terms(**terms)),
            secret=secrets.token_bytes(32),
            asker=InlineAsker(RandomSearch(), 0),
            journal=Journal(self.store, "s", owner, 1),
            logs=TrialLogs(None, verbose=False),
            clock=Clock(),
        )
        self.proxy = Proxy(("127.0.0.1", self.server.start("127.0.0.1")))
        self.proxy.slow_down(slow)
        ticket = Ticket("127.0.0.1", self.proxy.port, "1", self.server.secret)
        self.launcher = LocalLauncher()
        self.launcher.start(partial(run_slot, ticket, cloudpickle.dumps((function, {}))), 2)

    def until(self, condition):
        """Wait for what reports bring about."""
        ends = time.monotonic() + 30
        while not condition(self.server.scheduler.study):
            assert time.monotonic() < ends, self.log[-5:]
            threading.Event().wait(0.01)

    def watch_joins(self):
        """Return a list to which everybody who joins from now on is added."""
        joined, before = [], self.server.scheduler.joined
        self.server.scheduler.joined = lambda hello, now: (joined.append(hello), before(hello, now))[1]
        return joined

    @property
    def log(self):
        return list(self.store.read("s"))

    def close(self):
        self.launcher.finish(2.0)
        self.server.stop()
        self.proxy.close()


@pytest.fixture
def running():
    """Give a function that starts such a study, and end it afterwards."""
    started = []

    def start(**options):
        started.append(Running(**options))
        return started[0]

    yield start
    started[0].close()


def half_way(study):
    return study.reports > STEPS


def complete(log):
    """Check a log, and that every trial reported each step once, in order."""
    study = check_log(log)
    for trial in study.trials.values():
        steps = [event.step for event in log if isinstance(event, Reported) and event.trial == trial.id]
        assert steps == list(range(STEPS))
        assert trial.attempt == 1
    return study


def test_f06_a_broken_connection_is_resumed(running):
    """F6, F21: cut again and again, nothing is lost and nothing counted twice."""
    study = running(reconnect_grace=10.0)  # long enough for the busiest machine
    for reports in range(20, 280, 40):
        study.until(lambda fold, reports=reports: fold.reports > reports)
        study.proxy.cut()
    assert study.server.closed.wait(30)
    complete(study.log)
    assert study.proxy.connections > 8


def test_f06_a_silence_shorter_than_the_lease_loses_nothing(running):
    """F6: what was held up for two seconds arrives, once and in order."""
    study = running(lease=20.0)
    study.until(half_way)
    study.proxy.freeze(True)
    threading.Event().wait(2)
    study.proxy.freeze(False)
    assert study.server.closed.wait(30)
    complete(study.log)


def test_f07_a_silence_longer_than_the_lease_is_fenced(running):
    """F5, F7: the trials run again elsewhere or here, what the zombie says does not count, and its slot comes back."""
    study = running(trials=4, lease=4.0)
    study.until(half_way)
    joined = study.watch_joins()
    study.proxy.freeze(True)
    study.until(lambda fold: sum(trial.lost for trial in fold.trials.values()) == 2)
    study.proxy.freeze(False)
    assert study.server.closed.wait(60)
    fold = check_log(study.log)
    assert [trial.status for trial in fold.trials.values()] == ["completed"] * 4
    assert len([event for event in study.log if isinstance(event, Lost)]) == 2
    assert sorted(trial.attempt for trial in fold.trials.values()) == [1, 1, 2, 2]
    assert [hello.again for hello in joined] == [True, True]


def test_f21_confirmations_that_are_lost(running):
    """F21: what the driver says is lost, outcomes' confirmations and new trials too; after the cut all of it comes."""
    study = running(reconnect_grace=10.0, trials=4)
    for ended in range(3):
        study.until(lambda fold, ended=ended: fold.last_end and fold.counts["completed"] > ended)
        study.proxy.deafen()
        threading.Event().wait(0.3)
        study.proxy.cut()
    assert study.server.closed.wait(60)
    complete(study.log)
    assert study.proxy.connections > 4


def test_f17_a_peer_that_has_vanished_without_a_word(running):
    """F17: both connections lead nowhere, and no end is told. The lease ends, and the driver closes its ends."""
    study = running(lease=2.0)
    study.until(half_way)
    before = set(study.server.scheduler.executors)
    peers = list(study.server._roll._lives.values())
    study.proxy.vanish()
    began = time.monotonic()
    study.until(lambda fold: sum(trial.lost for trial in fold.trials.values()) == 2)
    assert time.monotonic() - began < 2.0 + 2.0 + 5  # on a busy machine
    assert [life.line._transport.is_closing() for life in peers] == [True, True]
    assert not before & study.server.scheduler.executors.keys()  # they may be back as others
    check_log(study.log)


def prints(x, reporter):
    import time

    print("y" * 60_000)
    for step in range(20):
        reporter.broadcast(x, step=step)
        time.sleep(0.02)
    return x


def test_f18_a_slow_line_is_no_silence(running):
    """F18: a message may take longer than the lease to come; who is at it lives, and others do not wait."""
    study = running(trials=12, slow=1, function=prints, lease=1.5, beat=0.5)
    assert study.server.closed.wait(60)
    fold = check_log(study.log)
    assert [trial.attempt for trial in fold.trials.values()] == [1] * 12
    by = Counter(trial.executor for trial in fold.trials.values())
    assert max(by.values()) >= 9, by
