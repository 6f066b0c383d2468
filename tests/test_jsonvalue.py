import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maggy.jsonvalue import dumps, is_json, loads

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text().filter("$f".__ne__), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_values_come_back_as_they_were(value):
    """Everything made of JSON's parts survives, NaN, infinities and -0.0 included, in its type."""
    assert repr(loads(dumps(value))) == repr(value)
    assert repr(loads(dumps(value).encode())) == repr(value)


@given(values)
def test_the_text_is_strict_json(value):
    """What is written any JSON parser reads: no literal NaN, no Infinity."""

    def refuse(literal):
        raise AssertionError(literal)

    json.loads(dumps(value), parse_constant=refuse)


def test_the_mark_of_numbers_that_are_not_finite():
    """NaN and the infinities have one form, which other programs can read."""
    assert dumps([math.nan, math.inf, -math.inf]) == '[{"$f":"nan"},{"$f":"inf"},{"$f":"-inf"}]'


@pytest.mark.parametrize("text", ['{"$f":"3"}', '{"$f":1}', '{"$f":["nan"]}', '{"$f":"nan","x":1}', '{"$f":null}'])
def test_what_only_looks_like_the_mark_is_a_dict(text):
    """A dict is taken for a number only if it is exactly the mark."""
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "[-Infinity]", "", "{", "[1,]", "'a'", '{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]', "1 2", "01"],
)
def test_what_is_no_strict_json_is_refused(text):
    """Python's own literals and objects that have a key twice are errors, and so is what no parser reads."""
    with pytest.raises(ValueError, match=r"."):
        loads(text)


def test_bytes_must_be_utf8():
    """Bytes that are no text are refused with a ValueError too."""
    with pytest.raises(ValueError, match="utf-8"):
        loads(b'"\xff"')


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", 1j, [object()], {"a": object()}, [math.nan, object()]])
def test_what_json_has_no_form_for_is_a_type_error(value):
    """An object is refused, next to a NaN as well."""
    with pytest.raises(TypeError):
        dumps(value)


def test_half_a_surrogate_pair_is_escaped():
    """The name of a file that is no UTF-8 can be stored and sent."""
    text = "/data/\udcff/Grüße"
    assert dumps(text).encode() == b'"/data/\\udcff/Gr\xc3\xbc\xc3\x9fe"'
    assert loads(dumps(text)) == text
    assert loads(dumps("\\\udcff")) == "\\\udcff"


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, True),
        (True, True),
        (2**70, True),
        (0.5, True),
        (math.nan, False),
        (-math.inf, False),
        ("x", True),
        ([1, [2, {"a": None}]], True),
        ([math.inf], False),
        ({1: 2}, False),
        ({"a": {2: 3}}, False),
        ({"$f": "nan"}, False),
        ((1, 2), False),
        (b"x", False),
        (object(), False),
    ],
)
def test_json_values_are_told(value, answer):
    """Only values that come back from JSON as they were are JSON values: no tuples, no numbers as keys."""
    assert is_json(value) is answer


@given(values)
def test_json_values_survive_json(value):
    """What `is_json` admits is equal after a round trip through anybody's JSON."""
    if is_json(value):
        assert repr(json.loads(json.dumps(value))) == repr(loads(dumps(value))) == repr(value)
