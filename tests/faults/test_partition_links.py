"""Partitions of a real network, without Spark: agents in a namespace of their own whose link is taken down."""

import secrets
import sys
import threading
import time
from functools import partial

import cloudpickle
import pytest
from namespaces import Network, why_not

from maggy import Float, Searchspace
from maggy.driver.asker import InlineAsker
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.local import LocalLauncher
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler, Terms
from maggy.driver.server import Server
from maggy.events import Lost, Started, StudyOpened
from maggy.executor.line import Ticket
from maggy.executor.worker import run_slot
from maggy.optimizers import RandomSearch
from maggy.store import MemoryStore, Owner
from maggy.study import Study
from maggy.testing.logcheck import check_log

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def train_fn(x, reporter):
    import time

    for step in range(300):
        reporter.broadcast(x, step=step)
        time.sleep(0.03)
    return x


class Remote:
    """A study whose two agents are on another host."""

    def __init__(self, network, python, **terms):
        self.store = MemoryStore()
        owner, now = Owner.current(), time.time()
        self.store.create("s", now)
        self.store.claim("s", owner, now)
        settings = {"name": "s", "num_trials": 2, "searchspace": Searchspace(x=Float(0, 1)).to_dict()}
        self.store.append("s", 0, [StudyOpened(now, settings)])
        self.clock = Clock()
        self.server = Server(
            Scheduler(Study.of(self.store.read("s")), Terms(**terms)),
            secret=secrets.token_bytes(32),
            asker=InlineAsker(RandomSearch(), 0),
            journal=Journal(self.store, "s", owner, 1),
            logs=TrialLogs(None, verbose=False),
            clock=self.clock,
        )
        ticket = Ticket(network.address, self.server.start(network.address), "1", self.server.secret)
        self.launcher = LocalLauncher()
        before, sys.executable = sys.executable, python
        self.launcher.start(partial(run_slot, ticket, cloudpickle.dumps((train_fn, {}))), 2)
        self.until(lambda study: study.reports > 20)
        sys.executable = before

    def until(self, condition, seconds=30):
        """Wait for what is recorded and return how long that took."""
        began = time.monotonic()
        while not condition(self.server.scheduler.study):
            assert time.monotonic() < began + seconds, self.log[-5:]
            threading.Event().wait(0.01)
        return time.monotonic() - began

    @property
    def log(self):
        return list(self.store.read("s"))

    def close(self):
        self.launcher.finish(2.0)
        self.server.stop()


@pytest.fixture
def network():
    found = Network("10.78.0", 1, tag=f"m{secrets.token_hex(2)}")
    yield found
    found.close()


@pytest.fixture
def remote(network, tmp_path):
    """Give a function that starts a study on the other host, and end it afterwards."""
    python = tmp_path / "python"  # of the other host
    python.write_text(f'#!/bin/sh\nexec {" ".join(network.inside(network.hosts[0]))} {sys.executable} "$@"\n')
    python.chmod(0o755)
    started = []

    def start(**terms):
        started.append(Remote(network, str(python), **terms))
        return started[0]

    yield start
    network.link(network.hosts[0], up=True)
    started[0].close()


def pause(network, seconds):
    network.link(network.hosts[0], up=False)
    threading.Event().wait(seconds)
    network.link(network.hosts[0], up=True)


@pytest.mark.parametrize("seconds", [8, pytest.param(9.5, marks=pytest.mark.chaos)])
def test_f06_a_partition_shorter_than_the_lease_loses_nothing(network, remote, seconds):
    """F6: what was reported meanwhile comes afterwards, once and in order."""
    study = remote(lease=10.0)
    pause(network, seconds)
    before = study.server.scheduler.study.reports
    took = study.until(lambda fold: fold.reports > before)
    print(f"a partition of {seconds} s: reports again after {took:.2f} s")
    assert study.server.closed.wait(60)
    fold = check_log(study.log)
    assert [trial.attempt for trial in fold.trials.values()] == [1, 1]
    assert [trial.curve.steps.tolist() for trial in fold.trials.values()] == [list(range(300))] * 2


def test_f07_a_slot_is_used_again_soon_after_a_long_partition(network, remote):
    """F7, F17: the zombies are fenced, end their trials, and work again; nobody waits for TCP's long pauses."""
    study = remote(lease=4.0)
    began = time.monotonic()
    network.link(network.hosts[0], up=False)
    study.until(lambda fold: sum(trial.lost for trial in fold.trials.values()) == 2)
    lost = time.monotonic() - began
    threading.Event().wait(16 - lost)
    network.link(network.hosts[0], up=True)
    healed = study.clock.now()
    assert study.server.closed.wait(60)
    fold = check_log(study.log)
    assert [trial.status for trial in fold.trials.values()] == ["completed"] * 2
    assert len([event for event in study.log if isinstance(event, Lost)]) == 2
    again = [event.at - healed for event in study.log if isinstance(event, Started)][-2:]
    print(f"lost after {lost:.2f} s, used again after {max(again):.2f} s")
    assert max(again) < 5
