"""Both ends of a conversation whose driver does not keep up: it pauses reading, and nothing is lost by that."""

import random

import pytest

from maggy.driver import roll as rolls
from maggy.driver.roll import Roll
from maggy.executor.link import Link
from maggy.rpc.messages import Bye, Join, Log
from maggy.rpc.stream import Peer

SECRET = b"nobody knows the study's secret."
MOST = 20_000  # bytes that wait
LARGEST = 4_000  # bytes of a read: each new connection brings one more before it is paused as well


class Transport:
    """What asyncio gives a connection: here it does nothing but remember."""

    def __init__(self):
        self.paused = self.closed = False
        self.sent = b""

    def set_write_buffer_limits(self, high):
        pass

    def is_closing(self):
        return self.closed

    def write(self, data):
        self.sent += data

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def close(self):
        self.closed = True

    abort = close


class Talk:
    """One executor, its driver, and what is under way between them."""

    def __init__(self, rng):
        self.rng, self.said, self.heard, self.replies, self.got = rng, [], [], [], []
        self.inputs, self.slow = [], []
        self.roll = Roll(self, self.inputs.append, self.take)
        self.link = Link(Join("a", "host", 1, 0, "3.11.7", "2.0"), SECRET)
        self.connect()

    def decided(self, *_):
        """Decide on nothing, as a scheduler."""
        return []

    joined = broke = returned = decided

    def gone(self, peer, why):
        self.roll.gone(peer, why)

    def connect(self):
        self.up, self.transport = b"", Transport()
        self.peer = Peer(self.roll, SECRET)
        self.peer.connection_made(self.transport)
        self.link.connected(self.rng.randbytes(32))

    def take(self, name, message, now):
        if isinstance(message, Log):
            self.heard.append(int(message.text.split()[0]))
            if self.rng.random() < 0.2:
                self.slow.append(self.roll.hold(name))
        return []

    def say(self):
        self.said.append(len(self.said))
        self.link.tell(Log(1, 1, f"{self.said[-1]} " + "x" * self.rng.randrange(3_000)))

    def answer(self):
        self.replies.append(len(self.replies))
        self.roll.send("a", Bye(str(self.replies[-1])))

    def read(self):
        self.up += self.link.outgoing()
        if self.up and not self.transport.paused:
            size = self.rng.randrange(1, min(len(self.up), LARGEST) + 1)
            data, self.up = self.up[:size], self.up[size:]
            self.peer.data_received(data)
        self.check()

    def hear(self):
        size = self.rng.randrange(len(self.transport.sent) + 1)
        data, self.transport.sent = self.transport.sent[:size], self.transport.sent[size:]
        self.got += [message for message in self.link.received(data) if isinstance(message, Bye)]

    def turn(self):
        for given in [self.inputs.pop(0) for _ in range(len(self.inputs))]:
            given(0.0)
        if not self.inputs:
            self.roll.confirm(at_once=self.rng.random() < 0.5)

    def through(self):
        if self.slow:
            self.slow.pop(0)(0.0)

    def breaks(self):
        if self.link.left is None:
            self.transport.closed = True
            self.peer.connection_lost(None)
            self.link.broke("it broke", 0.0)
            self.connect()

    def check(self):
        assert not self.transport.closed, self.peer._why
        life = self.roll._lives.get("a")
        if life is not None and life.line is self.peer:
            assert life.waiting <= 2 * MOST  # who has more is dropped
            assert self.transport.paused == life.full
        assert self.heard == self.said[: len(self.heard)]


@pytest.mark.parametrize("seed", range(300))
def test_f18_who_is_not_read_for_a_while_loses_nothing(seed, monkeypatch):
    """F18, A12: however slow the driver, and whatever breaks: all is heard once and in order, and reads go on."""
    monkeypatch.setattr(rolls, "MOST_WAITING", MOST)
    rng = random.Random(seed)
    talk = Talk(rng)
    steps = [talk.say, talk.say, talk.read, talk.read, talk.hear, talk.turn, talk.through, talk.answer]
    while not talk.roll.knows("a"):
        talk.read()
        talk.hear()
    for _ in range(rng.randrange(50, 500)):
        (talk.breaks if rng.random() < 0.01 else rng.choice(steps))()
    for _ in range(20_000):
        for step in (talk.read, talk.hear, talk.through, talk.turn):
            step()
        if talk.heard == talk.said and len(talk.got) >= len(talk.replies) and not talk.slow and not talk.inputs:
            break
    assert talk.heard == talk.said
    assert [int(each.reason) for each in talk.got] == talk.replies
    assert not talk.transport.paused
