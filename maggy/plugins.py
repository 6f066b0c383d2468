"""Plug-ins (optimizers, stop rules) by name, and their settings as JSON.

A built-in plug-in is a frozen dataclass of its settings, so that a study's log can hold it and a resume rebuild it.
Somebody else's object is recorded by its class name alone and has to be passed again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import is_json

Registry = Mapping[str, type]
NESTED = {"nested": True}  # metadata of a setting that is a plug-in itself, or None


def by_name(kind: str, name: str, registry: Mapping[str, Callable[[], Any]]) -> Any:
    """Return the plug-in of this name with its default settings."""
    made = registry.get(name.lower())
    if made is None:
        known = ", ".join(repr(each) for each in registry)
        raise ConfigError(f"there is no {kind} {name!r}{nearest(name.lower(), registry)} (there are {known})")
    return made()


def checked(kind: str, given: Any, method: str, example: str) -> Any:
    """Return what was given in place of a name. Raises `ConfigError` unless it is an instance that has the method."""
    if isinstance(given, type) or not callable(getattr(given, method, None)):
        name = getattr(given, "__name__", None) if callable(given) else None
        kind_of = "class" if isinstance(given, type) else "function"
        what = f"of type {type(given).__name__}" if name is None else f"the {kind_of} {name}"
        raise ConfigError(
            f"the {kind} is {what}; pass a name such as {example!r}, or an instance with a method {method}()"
        )
    return given


def to_json(plugin: Any, registry: Registry) -> dict[str, Any]:
    """Describe a plug-in: `{"name": …, settings…}` for a built-in one, `{"custom": class}` for another.

    A setting that is a plug-in itself is described likewise.
    Raises `ConfigError` for a setting that a log cannot hold: leaving it out would change the study when it is resumed.
    """
    cls = type(plugin)
    name = next((name for name, known in registry.items() if known is cls), None)
    if name is None:
        return {"custom": f"{cls.__module__}.{cls.__qualname__}"}
    settings = {field.name: getattr(plugin, field.name) for field in dataclasses.fields(cls)}
    for key in (field.name for field in dataclasses.fields(cls) if field.metadata.get("nested")):
        settings[key] = None if settings[key] is None else to_json(settings[key], registry)
    for key, value in settings.items():
        if not is_json(value) and not isinstance(value, float):  # infinities have a form in our JSON
            raise ConfigError(
                f"{cls.__name__}({key}={value!r}) is of type {type(value).__name__}, which no log can hold; "
                "give a plain number, string or list"
            )
    return {"name": name, **settings}


def from_json(kind: str, described: Mapping[str, Any], registry: Registry) -> Any:
    """Rebuild a built-in plug-in. Raises `ConfigError` for one that has to be passed again."""
    if "custom" in described:
        raise ConfigError(f"the study's {kind} is {described['custom']}, which no log can hold: pass it again")
    cls = registry.get(described["name"])
    if cls is None:
        raise ConfigError(f"the study's {kind} {described['name']!r} is unknown to this version of maggy")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    settings = {key: value for key, value in described.items() if key in fields}
    for key, value in settings.items():
        if fields[key].metadata.get("nested") and value is not None:
            settings[key] = from_json(key, value, registry)
    return cls(**settings)
