"""The wire under noise (A8): a short run of the fuzzer, and what hypothesis finds."""

import fuzz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maggy.rpc.messages import FROM_DRIVER, FROM_EXECUTOR

FRAMES = 40_000


def test_a08_every_kind_of_message_is_fuzzed():
    """A8: the mutator begins with what an end may hear, all of it."""
    assert {type(message) for message in fuzz.SENT} == {*FROM_DRIVER, *FROM_EXECUTOR}


@pytest.mark.parametrize("seed", [1, 2])
def test_a08_noise_breaks_nothing_but_its_connection(seed):
    """A8: so many valid, damaged and senseless frames, to both ends, before and behind the handshake: no finding."""
    told = fuzz.seeded(FRAMES, seed)
    assert told.endswith("0 findings")
    assert fuzz.Counter.taken > FRAMES // 4  # the noise is not so loud that nothing gets through


@settings(max_examples=300)
@given(st.integers(0, 7), st.lists(st.sampled_from(fuzz.VALID) | st.binary(max_size=80), max_size=6))
def test_a08_frames_and_noise_in_any_order(first, pieces):
    """A8: the same checks on what hypothesis makes and shrinks."""
    fuzz.feed(bytes([first]) + b"".join(pieces))


@given(st.integers(0, 7), st.integers(0, 2**32 - 1), st.binary(max_size=40))
def test_a06_any_length(first, length, rest):
    """A6, A8: any length in a header is refused at once or waited for, and no more than a frame is kept."""
    fuzz.feed(bytes([first]) + length.to_bytes(4, "big") + rest)


def test_a08_the_fuzzer_finds_what_is_there(monkeypatch):
    """A8: with a fault in the protocol, the same fuzzer does not stay silent."""

    def careless(payload):
        raise RecursionError

    monkeypatch.setattr("maggy.rpc.connection.decode", careless)
    with pytest.raises(RecursionError):
        fuzz.seeded(1000, 1)
