"""Tests of `maggy.executor.link`: when an executor tries again, and when it gives its driver up."""

import math

import pytest

from maggy.executor import link as module
from maggy.executor.link import AWAY_SECONDS, EAGER_PATIENCE, EAGER_SECONDS, REFUSED_SECONDS, Link
from maggy.executor.session import ORPHAN_SECONDS
from maggy.rpc.connection import HANDSHAKE_SECONDS, Connection
from maggy.rpc.messages import Join, Welcome

SECRET = b"s" * 32
WELCOME = Welcome(beat=1.0, lease=10.0, grace=5.0, metric=None, checkpoints="")


def answer(link, *messages):
    """Be the driver on a new connection: shake hands, and say these messages."""
    driver = Connection("driver", SECRET, b"d" * 32)
    link.connected(b"e" * 32)
    for _ in range(3):
        driver.receive(link.outgoing())
        link.received(driver.outgoing())
    for message in messages:
        driver.send(message)
    link.received(driver.outgoing())


@pytest.fixture
def link():
    """Give the link of an executor that the driver has welcomed."""
    found = Link(Join("a", "host", 1, 0, "3.11", "2"), SECRET)
    answer(found, WELCOME)
    return found


def test_a_driver_that_never_was_there_is_given_up_at_once():
    """Nothing is lost by it: the slot is started again."""
    link = Link(Join("a", "host", 1, 0, "3.11", "2"), SECRET)
    link.failed("nobody", 0.0, refused=False)
    assert link.left == "nobody"


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ({"refused": True}, REFUSED_SECONDS),
        ({"refused": False}, ORPHAN_SECONDS),
        ({"stranger": True}, REFUSED_SECONDS),
        ({"closed": True}, AWAY_SECONDS),
        ({"closed": False}, ORPHAN_SECONDS),
    ],
)
def test_f09_how_long_a_driver_is_looked_for(link, how, seconds):
    """F9: not long where it refuses, or somebody else is there; long where nothing answers.

    A connection that is closed before the driver has answered may be a relay's, or somebody else's.
    """
    link.broke("cut", 100.0, closed=True)
    assert (link.left, link.retry_at) == (None, 100.0)
    for now in (100.0 + seconds - 0.1, 100.0 + seconds):
        assert link.left is None
        if "refused" in how:
            link.failed("no driver", now, **how)
        else:
            link.connected(b"f" * 32)
            link.broke("no driver", now, **how)
    assert link.left == "no driver"


def test_f06_connections_are_tried_in_haste_while_the_driver_may_wait(link):
    """F6: packets are lost without a word, so it is better to try anew than to wait for TCP."""
    assert link.patience(99.0) == HANDSHAKE_SECONDS
    link.broke("cut", 100.0)
    assert link.patience(100.0) == EAGER_PATIENCE
    assert link.patience(99.9 + EAGER_SECONDS) == EAGER_PATIENCE
    assert link.patience(100.0 + EAGER_SECONDS) == HANDSHAKE_SECONDS
    assert EAGER_PATIENCE + module.RETRY_SECONDS < 0.8  # within the driver's reconnect_grace


def test_while_it_is_connected_nothing_is_tried(link):
    """The alarm is off."""
    assert link.retry_at == math.inf
