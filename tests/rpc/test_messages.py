import contextlib
import json
import math
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maggy.errors import ProtocolError
from maggy.executor.session import Session
from maggy.rpc.frames import HEADER
from maggy.rpc.messages import (
    FROM_DRIVER,
    FROM_EXECUTOR,
    MAX_FRAME,
    MAX_STRINGS,
    MAX_STRUCTURE,
    OUTCOMES,
    Ack,
    Beat,
    Bye,
    Drawn,
    Finished,
    Join,
    Leaving,
    Log,
    Rejoin,
    Reports,
    Run,
    Stop,
    Welcome,
    check_structure,
    decode,
    encode,
)

integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats() | integers
names = st.text().filter("$f".__ne__)
metrics = st.dictionaries(names, floats, max_size=3)
values = st.none() | st.booleans() | st.floats() | st.integers() | st.text()
points = st.lists(st.tuples(st.integers(0, 2**63 - 1), metrics).map(list), max_size=4)
words = st.text(max_size=300).filter(lambda text: not text or text.isprintable())
messages = st.one_of(
    st.builds(Join, words, words, integers, integers, words, words, words),
    st.builds(Rejoin, words, integers, words),
    st.builds(Reports, integers, integers, points),
    st.builds(
        Finished, integers, integers, st.sampled_from(OUTCOMES), st.none() | floats, metrics, st.none() | st.text()
    ),
    st.builds(Log, integers, integers, st.text(), integers),
    st.builds(Drawn, integers, integers, st.dictionaries(names, values, max_size=3), st.just({})),
    st.builds(Leaving),
    st.builds(Beat),
    st.builds(Welcome, floats, floats, floats, st.none() | st.text(), st.text()),
    st.builds(
        Run,
        integers,
        integers,
        st.dictionaries(names, values | st.lists(values, max_size=2), max_size=3),
        st.none() | floats,
        st.none() | integers,
    ),
    st.builds(Stop, integers, integers, st.text()),
    st.builds(Bye, st.text()),
)


def payload(kind, body):
    return json.dumps([kind, body]).encode()


def refused(data, match="."):
    with pytest.raises(ProtocolError, match=match) as caught:
        decode(data)
    return str(caught.value)


FINISHED = {"trial": 1, "attempt": 1, "status": "completed", "value": 0.5, "metrics": {"acc": 0.5}, "error": None}
REPORTS = {"trial": 1, "attempt": 1, "points": [[1, {"acc": 0.5}]]}


@given(messages)
def test_every_message_survives_the_wire(message):
    """What is sent is what arrives, NaN and infinities included, behind its length."""
    frame = encode(message)
    assert int.from_bytes(frame[:HEADER], "big") == len(frame) - HEADER
    assert repr(decode(frame[HEADER:])) == repr(message)


def test_a_frame_can_be_read_in_a_capture():
    """A frame is a length and a line of JSON."""
    assert encode(Stop(7, 1, "below the median")) == (
        b'\x00\x00\x00<["Stop",{"trial":7,"attempt":1,"reason":"below the median"}]'
    )


def test_half_a_surrogate_pair_can_be_sent():
    """A traceback that names a strange file reaches the driver."""
    message = Finished(1, 1, "failed", None, {}, "no file '\udcff'")
    assert decode(encode(message)[HEADER:]) == message


def test_a_message_over_the_limit_is_not_sent():
    """A frame that the peer would refuse is refused here, by name and size; the largest that fits is sent."""
    room = MAX_FRAME - len(encode(Log(1, 1, ""))) + HEADER
    assert len(encode(Log(1, 1, "x" * room))) == MAX_FRAME + HEADER
    with pytest.raises(ProtocolError, match=r"a Log message of 262,145 bytes is over the 262,144 of a frame"):
        encode(Log(1, 1, "x" * (room + 1)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"GET / HTTP/1.1\r\n\r\n",
        b"null",
        b"17",
        b'"ab"',
        b"[]",
        b'["Beat"]',
        b'["Beat",{},{}]',
        b'{"a":1,"b":2}',
        b'["Evil",{}]',
        b'["_FIELDS",{}]',
        b'[["Beat"],{}]',
        b'[{"x":1},{}]',
        b"[null,{}]",
        b'["Beat",[]]',
        b'["Beat",""]',
        b'["Beat",null]',
        b'["Stop","trial"]',
        b'["Stop",[1,1,"x"]]',
        b'["Stop",{"trial":1,"attempt":1}]',
        b'["Beat",{"x":NaN}]',
        b'["Bye",{"reason":"a","reason":"b"}]',
        b'["Bye",{"reason":"a"}]["Bye",{"reason":"b"}]',
        b"\xef\xbb\xbf" + b'["Beat",{}]',
        json.dumps(["Beat", {}]).encode("utf-16"),
    ],
)
def test_what_is_no_message_is_refused(data):
    """Whatever is not a known kind with exactly its fields is a ProtocolError, and nothing else."""
    refused(data)


@pytest.mark.parametrize("cls", [*FROM_EXECUTOR, *FROM_DRIVER])
def test_unknown_fields_are_refused(cls):
    """A body has exactly the fields of its kind."""
    body = {field.name: FINISHED.get(field.name, 1) for field in fields(cls)}
    refused(payload(cls.__name__, {**body, "evil": 1}), "unknown fields|is of type")
    refused(payload("Beat", {"evil": 1}), "Beat has 1 unknown fields")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trial": "1"}, "Finished.trial is of type str"),
        ({"trial": True}, "Finished.trial is of type bool"),  # a bool is no int
        ({"trial": 1.0}, "Finished.trial is of type float"),
        ({"trial": None}, "Finished.trial is of type NoneType"),
        ({"trial": 2**63}, "Finished.trial is an integer of more than 64 bits"),
        ({"value": "0.5"}, "Finished.value is of type str"),
        ({"value": 10**400}, "Finished.value is an integer of more than 64 bits"),  # beyond every float
        ({"value": -(2**63) - 1}, "Finished.value is an integer of more than 64 bits"),
        ({"metrics": []}, "Finished.metrics is of type list"),
        ({"metrics": None}, "Finished.metrics is of type NoneType"),
        ({"metrics": {"acc": "high"}}, "Finished.metrics are not"),
        ({"metrics": {"acc": True}}, "Finished.metrics are not"),
        ({"metrics": {"acc": 10**400}}, "Finished.metrics are not"),
        ({"metrics": {"acc": [0.5]}}, "Finished.metrics are not"),
        ({"status": "running"}, "'running' is no outcome"),
        ({"status": "x" * 1000}, "'xxxxxxxxxxxxxxxxxxxx' is no outcome"),
        ({"error": 3}, "Finished.error is of type int"),
    ],
)
def test_a_field_of_another_type_is_refused(change, message):
    """Each field has its exact type, so that nothing that the driver does with it can fail."""
    assert refused(payload("Finished", FINISHED | change)).startswith(message)


@pytest.mark.parametrize(
    "point",
    [
        [],
        [1],
        [1, {"acc": 0.5}, 2],
        {"1": {"acc": 0.5}},
        "1",
        None,
        ["1", {"acc": 0.5}],
        [True, {"acc": 0.5}],
        [1.0, {"acc": 0.5}],
        [-1, {"acc": 0.5}],
        [2**63, {"acc": 0.5}],
        [1, [0.5]],
        [1, None],
        [1, {"acc": "0.5"}],
        [1, {"acc": None}],
        [1, {"acc": False}],
        [1, {"acc": 2**63}],
        [1, {"acc": {"$g": "nan"}}],
    ],
)
def test_a_point_that_no_curve_can_hold_is_refused(point):
    """A point is a step from 0 that fits 64 bits, and numbers."""
    refused(payload("Reports", REPORTS | {"points": [[1, {"acc": 0.5}], point]}), "Reports.points are not")


def test_an_integer_is_a_fine_float():
    """JSON does not tell 1 from 1.0, so a float may come as an integer."""
    assert decode(payload("Finished", FINISHED | {"value": 1, "metrics": {"acc": 2}})).value == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pythons_own_literals_are_refused(value):
    """NaN travels under its mark, never as the literal that only Python reads."""
    refused(payload("Finished", FINISHED | {"value": value}), "not a message: ValueError")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["Run",{"trial":1,"attempt":1,"params":{"a":' + b"["])
def test_deep_nesting_is_refused(opening):
    """A bomb of brackets is a ProtocolError, not a RecursionError or a crash."""
    refused((opening * MAX_FRAME)[:MAX_FRAME])
    depth = sys.getrecursionlimit() * 4
    refused(payload("Reports", REPORTS).replace(b"0.5", b"[" * depth + b"]" * depth))


@pytest.mark.parametrize("digits", [4_299, 5_000, 200_000])
def test_huge_integers_are_refused(digits):
    """An integer of many digits is refused in no time, before or after it is parsed."""
    refused(payload("Stop", {"trial": 1, "attempt": 1, "reason": "x"}).replace(b": 1", b": " + b"9" * digits))


def test_text_is_no_structure():
    """What a trial prints may be full of brackets, quotes and backslashes: it passes."""
    for text in ('{"a": [1, 2]}, ' * 2000, '\\"' * 10_000, "\\" * 30_000, "[" * 30_000, "\udcff" * 30_000):
        check_structure(encode(Log(1, 1, text))[HEADER:])


def test_what_an_executor_reports_passes():
    """The largest frames that executors make stay below the limits that drivers set, by far."""
    session = Session(0.0)
    session.received(Welcome(1.0, 10.0, 5.0, None, ""), 0.0)
    session.received(Run(1, 1, {}, None, None), 0.0)
    for metrics in ({"a": -1.2345678901234567e-300}, {str(key): 1e-300 for key in range(600)}, {"ü" * 4000: 0.1}):
        for step in range(3000):
            for order in session.reported(step, metrics, 0.0):
                payload = encode(order.message)[HEADER:]
                assert payload.count(b'"') < MAX_STRINGS
                assert len(payload) < MAX_FRAME - MAX_STRUCTURE
                check_structure(payload)


@pytest.mark.parametrize("text", ["x" * 301, "two\nlines", "\x1b[31m", "\udcff", "\u202e", "a\x00"])
@pytest.mark.parametrize("field", ["executor", "host", "python", "maggy", "token"])
def test_a12_an_introduction_is_fit_to_print(field, text):
    """A12: who introduces itself leaves in logs what can stand in a line, and no megabytes."""
    body = {"executor": "e", "host": "h", "pid": 1, "slot": 0, "python": "3", "maggy": "2", "token": "", "again": False}
    refused(payload("Join", body | {field: text}), f"Join.{field} is not a line of at most 300 characters")


def test_a_map_of_many_keys_is_bounded_by_its_frame():
    """The largest map that fits a frame is taken or refused, but does not break."""
    many = {str(key): 0 for key in range(MAX_FRAME // 12)}
    assert len(decode(payload("Finished", FINISHED | {"metrics": many})).metrics) == len(many)


@given(st.binary())
def test_random_bytes_are_no_message(data):
    """Noise never raises anything but ProtocolError."""
    with contextlib.suppress(ProtocolError):
        decode(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(messages, st.data())
def test_a_message_with_one_field_changed_is_taken_or_refused(message, data):
    """Structure-aware noise: what is taken can be encoded again, anything else is a ProtocolError."""
    kind, body = json.loads(encode(message)[HEADER:])
    field = data.draw(st.sampled_from([*body, "evil"]))
    body[field] = data.draw(json_values)
    try:
        taken = decode(payload(kind, body))
    except ProtocolError:
        return
    assert repr(decode(encode(taken)[HEADER:])) == repr(taken)


def test_what_goes_both_ways():
    """Who says what is fixed; signs of life and confirmations come from both sides."""
    assert set(FROM_EXECUTOR) & set(FROM_DRIVER) == {Ack, Beat}
