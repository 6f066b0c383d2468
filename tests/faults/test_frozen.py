"""F5, F48: an agent, or the driver itself, stands still for longer than the lease, and wakes."""

import os
import signal
import time

import pytest
from nemesis import Driver, acknowledged, audit, audit_end, read_log, send, undisturbed
from waiting import until

from maggy.events import Lost, Started

LEASE = 2.5


class Frozen:
    """A study in a driver of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.options = {
            "folder": str(folder),
            "optimizer": "randomsearch",
            "num_trials": 60,
            "seed": 3,
            "launcher": "local",
            "lease": LEASE,
            "pace": 30.0,
        }
        self.driver = Driver(self.options, f"{os.getpid()}.{folder.name}")
        self.until(lambda: any(isinstance(event, Started) for event in self.log) and len(self.driver.agents()) == 2)

    @property
    def log(self):
        store = self.folder / "maggy.db"
        return read_log(store) if store.exists() else []

    def until(self, condition):
        """Wait for what the driver does."""
        until(lambda: condition() or not self.driver.running)
        assert self.driver.running

    def done(self):
        """Wait for the study's end, and return its log: nothing is wrong with it."""
        assert self.driver.wait(90) == 0
        log = self.log
        wrong = audit(log, acknowledged(self.folder, "randomsearch"), [])
        assert not any(wrong.values()), wrong
        assert audit_end(log, undisturbed(self.options)) == []
        return log


@pytest.fixture
def frozen(tmp_path):
    found = Frozen(tmp_path)
    yield found
    if found.driver.running:
        send(found.driver.process.pid, signal.SIGCONT)
        found.driver.kill()
    found.driver.said()


def test_f05_an_agent_that_stood_still_is_fenced_and_begins_anew(frozen):
    """F5: its trial runs elsewhere, nothing that it still says counts, and its slot is used again at once."""
    pid = frozen.driver.agents()[0]
    stopped = time.time()
    send(pid, signal.SIGSTOP)
    try:
        frozen.until(lambda: any(isinstance(event, Lost) and event.counts for event in frozen.log))
        frozen.until(lambda: any(isinstance(event, Started) and event.attempt == 2 for event in frozen.log))
    finally:
        send(pid, signal.SIGCONT)
    woken = time.time()
    log = frozen.done()
    (lost,) = [event for event in log if isinstance(event, Lost) and event.counts]
    assert lost.cause == "executor silent for 2.5 s"
    fresh = [event for event in log if isinstance(event, Started) and event.at > woken and f"-{pid}-" in event.executor]
    before = {event.executor for event in log if isinstance(event, Started) and event.at <= woken}
    assert {event.executor for event in fresh}.isdisjoint(before)
    back = fresh[0].at - woken
    print(f"F5: lost after {lost.at - stopped:.2f} s at a lease of {LEASE} s, slot back {back:.2f} s after it woke")


def test_f48_while_the_driver_stands_still_nobody_is_lost(frozen):
    """F48: its own silence is not that of its executors."""
    frozen.driver.process.send_signal(signal.SIGSTOP)
    time.sleep(4 * LEASE)
    frozen.driver.process.send_signal(signal.SIGCONT)
    assert [event for event in frozen.done() if isinstance(event, Lost) and event.counts] == []
