"""Partitions of a real network, without Spark: agents in a namespace of their own whose link is taken down."""

import sys
import threading
from contextlib import ExitStack, closing

import pytest
from namespaces import Network, why_not
from served import Served

from maggy.events import Lost, Started
from maggy.testing.logcheck import check_log

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def train_fn(x, reporter):
    import time

    for step in range(300):
        reporter.broadcast(x, step=step)
        time.sleep(0.03)
    return x


class Remote(Served):
    """A study whose two agents are on another host, which has a Python of its own."""

    def __init__(self, network, python, **terms):
        super().__init__(trials=2, **terms)
        self.listen(network.address)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", python)
            self.launch(train_fn, {})
            self.until(lambda study: study.reports > 20)


@pytest.fixture
def network():
    found = Network(1)
    yield found
    found.close()


@pytest.fixture
def remote(network, tmp_path):
    """Give a function that starts a study on the other host, and end it afterwards."""
    python = tmp_path / "python"  # of the other host
    python.write_text(f'#!/bin/sh\nexec {" ".join(network.inside(network.hosts[0]))} {sys.executable} "$@"\n')
    python.chmod(0o755)
    with ExitStack() as started:
        yield lambda **terms: started.enter_context(closing(Remote(network, str(python), **terms)))
        network.link(network.hosts[0], up=True)


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
    network.link(network.hosts[0], up=False)
    lost = study.lost(2)
    threading.Event().wait(16 - lost)
    network.link(network.hosts[0], up=True)
    healed = study.clock.now()
    assert study.server.closed.wait(60)
    fold = check_log(study.log)
    assert [trial.status for trial in fold.trials.values()] == ["completed"] * 2
    assert len([event for event in study.log if isinstance(event, Lost)]) == 2
    again = [event.at - healed for event in study.log if isinstance(event, Started)][-2:]
    print(f"F7: lost after {lost:.2f} s, used again {max(again):.2f} s after the healing")
    assert max(again) < 10  # TCP's pauses are as long as the partition was: 16 s
