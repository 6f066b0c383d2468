"""When what has come is confirmed."""

from maggy.rpc.channel import CONFIRM_EVERY, Channel
from maggy.rpc.messages import Ack, Beat, Chunk, Log


def test_confirmations_are_few():
    """One for so many messages, or when it is time to."""
    channel = Channel()
    for _ in range(CONFIRM_EVERY - 1):
        channel.came(Log(1, 1, "text"))
        assert channel.confirmation() is None
        channel.came(Beat())
    assert channel.confirmation(at_once=True) == Ack(CONFIRM_EVERY - 1)
    assert channel.confirmation(at_once=True) is None


def test_chunks_of_checkpoints_are_confirmed_at_once():
    """Otherwise their sender, which keeps what is not confirmed and waits, would wait for the next occasion."""
    channel = Channel()
    channel.came(Chunk(1, 1, "1/1-1.tar", 0, "AAAA"))
    channel.came(Chunk(1, 1, "1/1-1.tar", 3, "AAAA"))
    assert channel.confirmation() == Ack(2)
    channel.came(Log(1, 1, "text"))
    assert channel.confirmation() is None


def test_what_is_not_settled_is_not_confirmed():
    """Its confirmation is due as soon as it is: a chunk's at once."""
    channel = Channel()
    channel.came(Log(1, 1, "text"))
    channel.came(Chunk(1, 1, "1/1-1.tar", 0, "AAAA"))
    channel.came(Log(1, 1, "text"))
    assert channel.confirmation(at_once=True, but=2) == Ack(1)
    assert channel.confirmation(at_once=True, but=2) is None
    assert channel.confirmation(but=1) == Ack(2)
    assert channel.confirmation() == Ack(3)
