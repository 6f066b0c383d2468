"""Connections that break and networks that fall silent, with real executors behind a proxy."""

import threading
from collections import Counter
from contextlib import ExitStack, closing

import pytest
from network import Proxy
from served import Served
from waiting import until

from maggy.events import Lost
from maggy.testing.logcheck import check_log

STEPS = 150


def train_fn(x, reporter):
    import time

    for step in range(STEPS):
        reporter.broadcast(x, step=step)
        time.sleep(0.02)
    return x


class Running(Served):
    """A study of two executors that reach their driver through a proxy; `slow` of them have a slow line."""

    def __init__(self, trials=2, slow=0, function=train_fn, **terms):
        super().__init__(trials, **terms)
        self.listen()
        self.proxy = Proxy(("127.0.0.1", self.port))
        self.proxy.slow_down(slow)
        self.launch(function, {}, port=self.proxy.port)

    def watch_joins(self):
        """Return a list to which everybody who joins from now on is added."""
        joined, before = [], self.server.scheduler.joined
        self.server.scheduler.joined = lambda hello, now: (joined.append(hello), before(hello, now))[1]
        return joined

    def close(self):
        super().close()
        self.proxy.close()


@pytest.fixture
def running():
    """Give a function that starts such a study, and end it afterwards."""
    with ExitStack() as started:
        yield lambda **options: started.enter_context(closing(Running(**options)))


def half_way(study):
    return study.reports > STEPS


def test_f06_a_broken_connection_is_resumed(running):
    """F6, F21: cut again and again, nothing is lost and nothing counted twice."""
    study = running(reconnect_grace=10.0)  # long enough for the busiest machine
    for reports in range(20, 280, 40):
        study.until(lambda fold, reports=reports: fold.reports > reports)
        study.proxy.cut()
    assert study.server.closed.wait(30)
    study.complete(STEPS)
    assert study.proxy.connections > 8


def test_f06_a_silence_shorter_than_the_lease_loses_nothing(running):
    """F6: what was held up for two seconds arrives, once and in order."""
    study = running(lease=20.0)
    study.until(half_way)
    study.proxy.freeze(True)
    threading.Event().wait(2)
    study.proxy.freeze(False)
    assert study.server.closed.wait(30)
    study.complete(STEPS)


def test_f07_a_silence_longer_than_the_lease_is_fenced(running):
    """F5, F7: the trials run again elsewhere or here, what the zombie says does not count, and its slot comes back."""
    study = running(lease=4.0)
    study.until(half_way)
    joined = study.watch_joins()
    study.proxy.freeze(True)
    study.lost(2)
    study.proxy.freeze(False)
    assert study.server.closed.wait(60)
    fold = check_log(study.log)
    assert [trial.status for trial in fold.trials.values()] == ["completed"] * 2
    assert len([event for event in study.log if isinstance(event, Lost)]) == 2
    assert [trial.attempt for trial in fold.trials.values()] == [2, 2]
    assert [hello.again for hello in joined] == [True, True]


def test_f21_confirmations_that_are_lost(running):
    """F21: what the driver says is lost, outcomes' confirmations and new trials too; after the cut all of it comes."""
    study = running(reconnect_grace=10.0, trials=4)
    for ended in range(3):
        before = study.server.scheduler.study.reports
        study.until(lambda fold, before=before: fold.reports > before)  # so they are there, or back
        study.proxy.deafen()
        study.until(lambda fold, ended=ended: fold.counts["completed"] > ended)
        until(lambda: study.proxy.lost)
        study.proxy.cut()
    assert study.server.closed.wait(60)
    study.complete(STEPS)
    assert study.proxy.connections > 4


def test_f17_a_peer_that_has_vanished_without_a_word(running):
    """F17: both connections lead nowhere, and no end is told. The lease ends, and the driver closes its ends."""
    study = running(lease=2.0)
    study.until(half_way)
    before = set(study.server.scheduler.executors)
    peers = list(study.server._roll._lives.values())
    study.proxy.vanish()
    assert study.lost(2) < 2.0 + 2.0 + 5  # on a busy machine
    assert [life.line._transport.is_closing() for life in peers] == [True, True]
    assert not before & study.server.scheduler.executors.keys()  # they may be back as others
    check_log(study.log)


def prints(x, reporter):
    import time

    print("y" * 20_000)
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
