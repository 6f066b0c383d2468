"""HTML that is escaped as it is made: text becomes markup only by way of `tag`."""

from __future__ import annotations

from html import escape
from typing import Any


class Markup(str):
    """HTML; every other text is escaped before it stands in any."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element with its children; a text among these is escaped, and so is an attribute's value.

    `class_` is the attribute `class`, `data_live` is `data-live`. An attribute that is None or False is left out, one
    that is True stands without a value.
    """
    told = ""
    for key, value in attributes.items():
        if value is not None and value is not False:
            word = key.rstrip("_").replace("_", "-")
            told += f" {word}" if value is True else f' {word}="{escape(str(value))}"'
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*children: Any) -> Markup:
    """Return the children side by side, each text among them escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(str(child)) for child in children))
