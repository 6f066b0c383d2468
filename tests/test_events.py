import re
from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maggy.events import (
    KINDS,
    LOG_VERSION,
    SETTINGS,
    Ended,
    Started,
    StudyOpened,
    StudyResumed,
    Suggested,
    body,
    restored,
)
from maggy.jsonvalue import dumps, loads

numbers = st.integers(-(2**63), 2**63 - 1)
values = st.none() | st.booleans() | numbers | st.floats() | st.text()
names = st.text().filter(lambda name: name != "$f" and name not in SETTINGS)
mappings = st.dictionaries(names, values | st.lists(values, max_size=3), max_size=4)
BY_ANNOTATION = {
    "float": st.floats(),
    "int": numbers,
    "str": st.text(),
    "bool": st.booleans(),
    "float | None": st.none() | st.floats(),
    "int | None": st.none() | numbers,
    "str | None": st.none() | st.text(),
    "Mapping[str, Any]": mappings,
    "Mapping[str, Any] | None": st.none() | mappings,
    "Mapping[str, float]": st.dictionaries(st.text().filter("$f".__ne__), st.floats(), max_size=4),
}


@st.composite
def events(draw, kind):
    return kind(**{field.name: draw(BY_ANNOTATION[field.type]) for field in fields(kind)})


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_every_kind_survives_its_store(name, data):
    """An event written as JSON and read back is the same, whatever its fields hold."""
    event = data.draw(events(KINDS[name]))
    assert repr(restored(name, loads(dumps(body(event))))) == repr(event)


def test_an_unknown_kind_is_none():
    """A reader skips the kinds of a later version."""
    assert restored("Promoted", {"at": 1.0}) is None


def test_an_unknown_field_is_ignored():
    """A field that a later version added does not disturb."""
    event = Suggested(1.0, 1, {"x": 2}, None, None, 0)
    assert restored("Suggested", {**body(event), "segment": 3}) == event


@pytest.mark.parametrize("name", KINDS)
def test_a_field_with_a_default_may_be_missing(name):
    """Logs written before a field existed are read, so a field that was added needs a default."""
    kind = KINDS[name]
    some = {"Mapping": {}, "float": 1.0, "int": 1, "str": "", "bool": True}
    event = kind(**{field.name: some[re.match(r"\w+", field.type)[0]] for field in fields(kind)})
    short = {field.name: getattr(event, field.name) for field in fields(kind) if field.default is MISSING}
    assert body(restored(name, short)).keys() == body(event).keys()


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("Suggested", "params", [1], r"params is \[1\]"),
        ("Suggested", "budget", {}, "budget is {}"),
        ("Started", "attempt", True, "attempt is True"),
        ("Ended", "reason", 5, "reason is 5"),
        ("Ended", "value", "x" * 999, r"value is 'x{79}…"),
        ("StudyOpened", "settings", "none", "settings is 'none'"),
        ("StudyOpened", "settings", {"optimizer": "tpe"}, "the setting 'optimizer' is 'tpe'"),
        ("StudyOpened", "settings", {"direction": ["max"]}, r"the setting 'direction' is \['max'\]"),
        ("StudyResumed", "changed", {"num_trials": "many"}, "the setting 'num_trials' is 'many'"),
    ],
)
def test_a16_an_event_of_other_types_is_none(kind, field, value, said):
    """Whoever reads a log relies on what its fields are, and a stranger may have written anything."""
    good = {"Suggested": Suggested(1.0, 1, {}, None, None, 0), "StudyOpened": StudyOpened(1.0, {})}
    good |= {"Started": Started(1.0, 1, 1, "a"), "StudyResumed": StudyResumed(1.0, {})}
    good |= {"Ended": Ended(1.0, 1, 1, "completed", 1, {})}
    assert restored(kind, body(good[kind])) == good[kind]
    with pytest.raises(TypeError, match=said):
        restored(kind, {**body(good[kind]), field: value})


def test_a_log_says_its_version():
    """Writers refuse a log of a newer version, so each log begins with its own."""
    assert body(StudyOpened(0.0, {}))["version"] == LOG_VERSION == 1


def test_the_kinds_and_fields_of_version_one():
    """A kind never changes its meaning: what was written once is in logs for ever."""
    assert {name: [field.name for field in fields(kind)] for name, kind in KINDS.items()} == {
        "StudyOpened": ["at", "settings", "version"],
        "StudyResumed": ["at", "changed"],
        "Suggested": [
            "at",
            "trial",
            "params",
            "budget",
            "parent",
            "seen",
            "origin",
            "why",
            "group",
            "replicate",
            "work",
        ],
        "Drawn": ["at", "trial", "attempt", "params", "domains"],
        "Started": ["at", "trial", "attempt", "executor"],
        "Reported": ["at", "trial", "attempt", "step", "metrics"],
        "Saved": ["at", "trial", "attempt", "checkpoint", "bytes"],
        "StopRequested": ["at", "trial", "attempt", "reason"],
        "Lost": ["at", "trial", "attempt", "cause", "counts"],
        "Ended": ["at", "trial", "attempt", "status", "value", "metrics", "reason", "error"],
        "Requeued": ["at", "trial"],
        "StudyClosed": ["at", "reason"],
    }
