"""The protocol machine, tested in pairs: what one end writes, the other reads."""

import contextlib
import hashlib
import hmac
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maggy.errors import ProtocolError
from maggy.rpc import connection
from maggy.rpc.connection import HELLO, KNOCK, MAGIC, MAX_HANDSHAKE_FRAME, NONCE, Connection, check_hello, hello
from maggy.rpc.frames import HEADER
from maggy.rpc.messages import (
    FROM_DRIVER,
    FROM_EXECUTOR,
    MAX_FRAME,
    Beat,
    Bye,
    Finished,
    Join,
    Log,
    Reports,
    Run,
    Stop,
    Welcome,
)

SECRET = b"the study's secret, of 32 bytes."
HERE = b"E" * NONCE  # the executor's nonce
THERE = b"D" * NONCE

TO_DRIVER = [
    Join("e-1", "host", 123, 0, "3.11.7", "2.0"),
    Reports(1, 1, [[0, {"acc": math.inf}], [1, {"acc": 0.5}]]),
    Log(1, 1, "Grüße\x00\n"),
    Beat(),
    Finished(1, 1, "completed", 0.5, {"acc": 0.5}, None),
]
TO_EXECUTOR = [
    Welcome(1.0, 10.0, 5.0, "acc", "/checkpoints"),
    Run(1, 1, {"lr": 0.1, "layers": [1, 2]}, 3.0, None),
    Stop(1, 1, "below the median"),
    Beat(),
    Bye("done"),
]


def executor(secret=SECRET, nonce=HERE):
    return Connection("executor", secret, nonce)


def driver(secret=SECRET, nonce=THERE):
    return Connection("driver", secret, nonce)


def pump(one, other):
    """Carry bytes to and fro until neither end has more to say; return what each end has received."""
    received = {one: [], other: []}
    while True:
        there, back = one.outgoing(), other.outgoing()
        if not there and not back:
            return received[one], received[other]
        received[other] += other.receive(there)
        received[one] += one.receive(back)


def pair():
    """Return an executor and a driver that trust each other."""
    ends = executor(), driver()
    pump(*ends)
    assert all(end.authenticated for end in ends)
    return ends


def frame(payload):
    return len(payload).to_bytes(HEADER, "big") + payload


def message(kind, body):
    return frame(json.dumps([kind, body]).encode())


# -- what works ------------------------------------------------------------------------------------


def test_messages_go_both_ways():
    """After the handshake each end receives what the other sends, in order."""
    one, other = pair()
    for each in TO_DRIVER:
        one.send(each)
    for each in TO_EXECUTOR:
        other.send(each)
    assert pump(one, other) == (TO_EXECUTOR, TO_DRIVER)


def test_what_is_sent_early_waits_for_the_handshake():
    """An end may send at once; nothing leaves before the peer has proved itself."""
    one, other = executor(), driver()
    one.send(TO_DRIVER[0])
    other.send(TO_EXECUTOR[0])
    assert one.outgoing() == hello(SECRET, HERE)
    assert other.outgoing() == b""
    one, other = executor(), driver()
    one.send(TO_DRIVER[0])
    other.send(TO_EXECUTOR[0])
    assert pump(one, other) == ([TO_EXECUTOR[0]], [TO_DRIVER[0]])


def conversation():
    """Return all the bytes of a handshake and messages, from the executor and from the driver."""
    one, other = executor(), driver()
    for each in TO_DRIVER:
        one.send(each)
    for each in TO_EXECUTOR:
        other.send(each)
    said, answered = one.outgoing(), b""
    other.receive(said)
    answered += other.outgoing()
    one.receive(answered)
    more = one.outgoing()
    other.receive(more)
    return said + more, answered + other.outgoing()


def test_split_at_every_byte():
    """Wherever the network cuts the bytes in two, the same messages arrive."""
    for end, data, expected in zip((driver, executor), conversation(), (TO_DRIVER, TO_EXECUTOR), strict=True):
        for cut in range(len(data) + 1):
            receiver = end()
            assert receiver.receive(data[:cut]) + receiver.receive(data[cut:]) == expected


def test_byte_by_byte():
    """The slowest network delivers the same messages, none before its last byte."""
    for end, data, expected in zip((driver, executor), conversation(), (TO_DRIVER, TO_EXECUTOR), strict=True):
        receiver = end()
        assert [each for place in range(len(data)) for each in receiver.receive(data[place : place + 1])] == expected


def test_all_in_one_read():
    """The last step of the handshake and all messages may come at once."""
    said, answered = conversation()
    assert driver().receive(said) == TO_DRIVER
    assert executor().receive(answered) == TO_EXECUTOR


def test_the_largest_frame_passes():
    """A frame of exactly the limit is received."""
    one, other = pair()
    large = Log(
        1,
        1,
        "x"
        * (
            MAX_FRAME
            - len(json.dumps(["Log", {"trial": 1, "attempt": 1, "text": "", "dropped": 0}], separators=(",", ":")))
        ),
    )
    one.send(large)
    assert pump(one, other) == ([], [large])


# -- who does not know the secret ------------------------------------------------------------------


def test_an_executor_with_another_secret_is_refused():
    """Its knock gives it away, and it is told nothing; nor would the driver's proof convince it."""
    one, other = executor(b"another"), driver()
    with pytest.raises(ProtocolError, match="does not know this study's secret"):
        other.receive(one.outgoing())
    assert other.outgoing() == b""
    ours = driver()
    ours.receive(hello(SECRET, HERE))
    with pytest.raises(ProtocolError, match="does not know this study's secret"):
        one.receive(ours.outgoing())
    assert not one.authenticated
    assert not one.outgoing()


def test_a_driver_refuses_a_proof_with_another_secret():
    """An executor that goes on regardless is turned away."""
    other = driver()
    other.receive(hello(SECRET, HERE))
    proof = hmac.new(b"another", MAGIC + b"executor" + HERE + THERE, hashlib.sha256).digest()
    with pytest.raises(ProtocolError, match="does not know this study's secret"):
        other.receive(frame(proof))
    assert not other.authenticated


def test_a_replayed_handshake_is_refused():
    """What an executor once said to one driver is worth nothing to a driver with another nonce."""
    said, answered = conversation()
    with pytest.raises(ProtocolError, match="secret"):
        driver(nonce=b"N" * NONCE).receive(said)
    with pytest.raises(ProtocolError, match="secret"):
        executor(nonce=b"N" * NONCE).receive(answered)


def test_a_reflected_proof_is_refused():
    """The driver's own proof, sent back with any nonces, does not prove an executor."""
    other = driver()
    other.receive(hello(SECRET, HERE))
    proof = other.outgoing()[HEADER + NONCE :]
    with pytest.raises(ProtocolError, match="secret"):
        other.receive(frame(proof))


def test_a_reflected_nonce_is_refused():
    """A peer that uses the driver's nonce as its own, and another driver's proof, gets nowhere."""
    oracle, other = driver(nonce=HERE), driver()
    oracle.receive(hello(SECRET, THERE))
    other.receive(hello(SECRET, HERE))
    with pytest.raises(ProtocolError, match="secret"):
        other.receive(frame(oracle.outgoing()[HEADER + NONCE :]))


def test_a_mirror_is_no_driver():
    """An executor that hears its own words does not trust them."""
    one = executor()
    with pytest.raises(ProtocolError, match="secret"):
        one.receive(one.outgoing())


@pytest.mark.parametrize("length", [1, NONCE - 1, NONCE, NONCE + 1, 2 * NONCE - 1])
def test_a_proof_of_another_length_is_refused(length):
    """Neither an empty proof nor a part of one is enough."""
    answer = conversation()[1][HEADER : HEADER + 2 * NONCE]
    with pytest.raises(ProtocolError, match="secret"):
        executor().receive(frame(answer[:length]))


@pytest.mark.parametrize("flipped", range(2 * NONCE))
def test_every_byte_of_a_proof_counts(flipped):
    """A driver's nonce or proof with one bit changed is refused."""
    answer = bytearray(conversation()[1][HEADER : HEADER + 2 * NONCE])
    answer[flipped] ^= 1
    with pytest.raises(ProtocolError, match="secret"):
        executor().receive(frame(answer))


# -- strangers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,  # a TLS ClientHello
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",  # a pickle
        b"\xff" * 64,
        b"\x00" * 64,
        frame(b""),
        frame(b"x" * 40),
        frame(MAGIC + HERE),
        frame(MAGIC + HERE + b"x" * KNOCK),
        frame(hello(SECRET, HERE)[HEADER:-1]),
        frame(b"maggy/0\n" + hello(SECRET, HERE)[HEADER + len(MAGIC) :]),
        message("Beat", {}),
    ],
)
def test_a_stranger_is_refused_at_its_first_frame(data):
    """Scanners, browsers and other protocols are dropped, and nothing is said to them."""
    other = driver()
    with pytest.raises(ProtocolError):
        other.receive(data)
    assert other.outgoing() == b""


@pytest.mark.parametrize("length", [0, MAX_HANDSHAKE_FRAME + 1, MAX_FRAME, 2**31, 2**32 - 1])
@pytest.mark.parametrize("end", [driver, executor])
def test_before_the_handshake_a_frame_has_at_most_64_bytes(end, length):
    """A larger length, or none, is refused from the header alone."""
    with pytest.raises(ProtocolError, match=f"a frame of {length:,} bytes where 1 to 64 are allowed"):
        end().receive(length.to_bytes(HEADER, "big"))


@pytest.mark.parametrize("length", [0, MAX_FRAME + 1, 2**31, 2**32 - 1])
def test_after_the_handshake_a_frame_is_limited_too(length):
    """A frame over the limit is refused before any of it has come."""
    for end in pair():
        with pytest.raises(ProtocolError, match=f"a frame of {length:,} bytes where 1 to 262,144 are allowed"):
            end.receive(length.to_bytes(HEADER, "big"))


def test_nothing_is_parsed_before_authentication(monkeypatch):
    """Until both proofs hold, no byte reaches the decoder, on either side."""

    def decode(payload):
        raise AssertionError("parsed")

    monkeypatch.setattr(connection, "decode", decode)
    one, other = executor(), driver()
    for step in (message("Beat", {}), frame(b"[]"), hello(SECRET, HERE) + frame(b"[" * 32)):
        with pytest.raises(ProtocolError):
            driver().receive(step)
        with pytest.raises(ProtocolError):
            executor().receive(step)
    pump(one, other)
    with pytest.raises(AssertionError, match="parsed"):
        other.receive(message("Beat", {}))


def test_a_hello_is_judged_as_soon_as_it_can_be():
    """Part of one is waited on, byte for byte; the first byte that fits none is an offence; each of a knock counts."""
    right = hello(SECRET, HERE)
    assert len(right) == HELLO
    assert [check_hello(SECRET, right[:place]) for place in range(HELLO + 1)] == [False] * HELLO + [True]
    assert check_hello(SECRET, right + b"more")
    for place in range(HEADER + len(MAGIC)):
        with pytest.raises(ProtocolError, match="this version of the protocol"):
            check_hello(SECRET, right[:place] + b"\xff")
    for place in range(HEADER + len(MAGIC), HELLO):
        wrong = bytearray(right)
        wrong[place] ^= 1
        with pytest.raises(ProtocolError, match="does not know this study's secret"):
            check_hello(SECRET, bytes(wrong))


@given(st.binary(max_size=200), st.booleans())
def test_strangers_never_get_in(data, step):
    """Noise at any step of the handshake is refused or waited on, and never trusted."""
    other = driver()
    if step:
        other.receive(hello(SECRET, HERE))
    for end in (other, executor()):
        with contextlib.suppress(ProtocolError):
            assert end.receive(data) == []
        assert not end.authenticated


# -- peers that misbehave --------------------------------------------------------------------------


@pytest.mark.parametrize("each", [each for each in TO_EXECUTOR if not isinstance(each, Beat)])
def test_a_driver_hears_no_drivers_message(each):
    """What only a driver says is an offence from an executor."""
    assert not isinstance(each, FROM_EXECUTOR)
    one, other = pair()
    one.send(each)
    with pytest.raises(ProtocolError, match=f"{type(each).__name__} does not come from this side"):
        pump(one, other)


@pytest.mark.parametrize("each", [each for each in TO_DRIVER if not isinstance(each, Beat)])
def test_an_executor_hears_no_executors_message(each):
    """What only an executor says is an offence from a driver."""
    assert not isinstance(each, FROM_DRIVER)
    one, other = pair()
    other.send(each)
    with pytest.raises(ProtocolError, match=f"{type(each).__name__} does not come from this side"):
        pump(one, other)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * MAX_FRAME,
        b'["Log",{"trial":1,"attempt":1,"text":' + b"[" * 10_000 + b"]" * 10_000 + b',"dropped":0}]',
        b'["Log",{"trial":' + b"9" * 5_000 + b',"attempt":1,"text":"","dropped":0}]',
        b'["Log",{"trial":' + b"9" * 30 + b',"attempt":1,"text":"","dropped":0}]',
        b'["Log",{"trial":1,"trial":2,"attempt":1,"text":"","dropped":0}]',
        b'["Log",{"trial":1,"attempt":1,"text":"","dropped":NaN}]',
        b'["Log",{"trial":1,"attempt":1,"text":"","dropped":0,"secret":1}]',
        b'["Log",{"trial":1,"attempt":1,"text":"\xff","dropped":0}]',
        b'["Reports",{"trial":1,"attempt":1,"points":[[1,{"a":1e400}],[1,{"a":Infinity}]]}]',
        b"\x80\x04.",
    ],
)
def test_a_bomb_ends_the_connection(payload):
    """What cannot be a message is one ProtocolError, from an authenticated peer as well."""
    _, other = pair()
    with pytest.raises(ProtocolError):
        other.receive(frame(payload))
    with pytest.raises(ProtocolError):
        other.receive(message("Beat", {}))


def test_dead_after_the_first_offence():
    """Every later receive raises the same error, even for what would have been fine; nothing is kept."""
    for end, data in zip((driver, executor), conversation(), strict=True):
        receiver = end()
        with pytest.raises(ProtocolError) as first:
            receiver.receive(b"\xff" * 100)
        for more in (data, b""):
            with pytest.raises(ProtocolError) as again:
                receiver.receive(more)
            assert again.value is first.value
        assert not receiver.authenticated
        assert not list(receiver._frames.complete())


@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_byte_breaks_nothing_but_the_connection(data):
    """However a conversation is damaged, each end raises ProtocolError or receives messages of the right side."""
    for end, said, accepted in zip((driver, executor), conversation(), (FROM_EXECUTOR, FROM_DRIVER), strict=True):
        damaged = bytearray(said)
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        with contextlib.suppress(ProtocolError):
            assert all(isinstance(each, accepted) for each in end().receive(bytes(damaged)))


# -- discretion ------------------------------------------------------------------------------------


def test_the_secret_shows_nowhere():
    """Neither a repr nor an error nor a byte on the wire holds the secret."""
    one, other = pair()
    with pytest.raises(ProtocolError) as caught:
        driver().receive(b"\xff" * 8)
    shown = repr(one) + repr(other) + repr(caught.value)
    assert SECRET.decode() not in shown
    assert SECRET.hex() not in shown
    assert all(SECRET not in said for said in conversation())
    assert (repr(executor()), repr(other)) == ("<Connection executor in handshake>", "<Connection driver open>")
