"""Strict JSON for everything that is stored or sent: text in, values out, and nothing that executes.

JSON has no NaN and no infinities, metrics do. Non-finite floats travel as `{"$f": "nan" | "inf" | "-inf"}`; the
literals `NaN` and `Infinity`, which Python's own encoder would write, are refused in both directions, and so is an
object that has a key twice. Half a surrogate pair, as in the name of a strange file, is escaped: UTF-8 has no form for
it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from json import encoder as parts_of_json
from typing import Any

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_MARK = "$f"


def dumps(value: Any) -> str:
    """Encode `value` compactly. Raises `TypeError` for what JSON has no form for."""
    try:
        text = _encoded(value)
    except ValueError:
        text = _encoded(_marked(value))
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def loads(text: str | bytes) -> Any:
    """Decode what `dumps` wrote. Raises `ValueError` for anything that is not strict JSON."""
    return _DECODER.decode(text.decode() if isinstance(text, bytes) else text)


def loads_own(text: str) -> Any:
    """Decode what `dumps` wrote and nobody has changed: sooner, since nobody looks for a key that is there twice.

    Raises `ValueError` for what is no JSON.
    """
    if _MARK in text:
        return loads(text)
    try:
        value, end = _PLAIN.scan_once(text, 0)  # type: ignore[attr-defined]
    except StopIteration as error:
        raise ValueError("not JSON") from error
    if end != len(text):
        raise ValueError("not JSON: more than one value")
    return value


def is_json(value: Any) -> bool:
    """Whether `value` is made of None, bool, int, finite float, str, and lists and string-keyed dicts of those.

    Such values come back from `loads(dumps(value))` as they were, so a dict with the mark's key is none.
    """
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return math.isfinite(value)
        case list():
            return all(map(is_json, value))
        case dict():
            return all(isinstance(key, str) and key != _MARK for key in value) and all(map(is_json, value.values()))
    return False


def identity(value: Any) -> str:
    """Return what tells JSON values apart: `True` is not `1`, `1` is not `1.0`, and dicts are equal in any order."""
    return _SORTED.encode(value)


def _marked(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_MARK: "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(item) for item in value]
    return value


def _unmarked(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)  # called for every object: 0.3 µs each
    if len(value) != len(pairs):
        raise ValueError("an object has a key twice")
    if _MARK in value and len(value) == 1 and isinstance(name := value[_MARK], str) and name in _NON_FINITE:
        return _NON_FINITE[name]
    return value


def _refuse(literal: str) -> Any:
    raise ValueError(f"{literal} is not JSON")


def _encoder(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """Return what does as `encoder.encode`, without making its part that is written in C anew for each value."""
    make = getattr(parts_of_json, "c_make_encoder", None)
    if make is None:  # no CPython
        return encoder.encode
    separators = encoder.key_separator, encoder.item_separator
    parts = make(None, encoder.default, parts_of_json.encode_basestring, None, *separators, False, False, False)
    return lambda value: "".join(parts(value, 0))


_encoded = _encoder(json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False))
_DECODER = json.JSONDecoder(object_pairs_hook=_unmarked, parse_constant=_refuse)
_PLAIN = json.JSONDecoder(parse_constant=_refuse)
_SORTED = json.JSONEncoder(sort_keys=True)
