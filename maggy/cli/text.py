"""How a terminal shows it: columns, blocks, times, values. Diviner's layouts, as its users know them.

Pure, but for the zone that this place is in. What users wrote passes `plain`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from maggy.jsonvalue import dumps
from maggy.views.summary import number, plain

DAY = 86_400.0
MISSING = "NA"
BLOCK = " " * 4


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, each column as wide as its widest cell and a space apart from the next."""
    widths: list[int] = []
    for row in rows:  # a hundred thousand of them take a quarter of a second
        widths += [0] * (len(row) - len(widths))
        for place, cell in enumerate(row):
            size = len(cell) if cell.isascii() else width_of(cell)
            if size > widths[place]:  # noqa: PLR1730 - `max` takes twice the time
                widths[place] = size
    formats = [" ".join(f"{{:<{width}}}" for width in widths[:count]).format for count in range(len(widths) + 1)]
    return [
        (formats[len(row)](*row) if all(map(str.isascii, row)) else " ".join(map(padded, row, widths))).rstrip()
        for row in rows
    ]


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese character has two, an accent of its own none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # late: most tables need none of it

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """Return a text with spaces behind it, as wide as that."""
    return text + " " * (width - width_of(text))


def cut(text: str, width: int) -> str:
    """Return as much of a text as so many columns of a terminal have room for."""
    if width_of(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, width).rstrip()


def block(items: Iterable[tuple[str, str]], depth: int = 1) -> list[str]:
    """Return `key: value` lines with the values below each other; an empty value is a key with a block of its own."""
    found = list(items)
    width = max((width_of(key) for key, value in found), default=0) + 1
    return [(BLOCK * depth + f"{padded(key + ':', width)} {value}").rstrip() for key, value in found]


def shown(value: Any) -> str:
    """Return a value as it would be written: numbers short, texts in quotes, lists and dicts as JSON."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return plain(dumps(value))


def brief(value: Any) -> str:
    """Return a value as a table has room for: numbers with six digits, as everywhere but in `info`, `best` and JSON."""
    return number(value, 6) if isinstance(value, float) else shown(value)


def three_digits(value: float) -> str:
    """Return a metric as leaderboards show it."""
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return `13m29.972611s`, `1h0m5s`, `150ms`, `0s`: as Go writes a duration, to the microsecond."""
    micros = round(max(seconds, 0.0) * 1e6) if math.isfinite(seconds) else 0
    if 0 < micros < 1_000_000:  # noqa: PLR2004 - in a second
        return f"{micros / 1000:g}ms" if micros >= 1000 else f"{micros}µs"  # noqa: PLR2004 - micros in a milli
    whole, rest = divmod(micros, 1_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    front = f"{hours}h{minute}m" if hours else f"{minute}m" if minute else ""
    return f"{front}{second}{fraction}s"


def to_seconds(seconds: float) -> str:
    """Return a duration without what is below a second."""
    return _whole(int(seconds) if math.isfinite(seconds) else 0)


@lru_cache(maxsize=10_000)
def _whole(seconds: int) -> str:
    return duration(float(seconds))


class Clock:
    """Says when something was, for lists: `6:02PM`, `Mon6:02PM` when more than a day ago, `2Jan06` when over a week."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._minutes: dict[float, str] = {}  # a list has many lines of the same minute

    def __call__(self, at: float) -> str:
        """Say when that was."""
        minute = at // 60
        found = self._minutes.get(minute)
        if found is None:
            found = self._minutes[minute] = self._said(at)
        return found

    def _said(self, at: float) -> str:
        local, ago = _local(at), self._now - at
        if local is None:
            return MISSING
        if ago > 7 * DAY:
            return f"{local.tm_mday}{time.strftime('%b%y', local)}"
        clock = f"{local.tm_hour % 12 or 12}{time.strftime(':%M%p', local)}"
        return time.strftime("%a", local) + clock if ago > DAY else clock


def date(at: float) -> str:
    """Return `2019-10-25 18:02:14 -0700 PDT`, or NA where there is no such time."""
    local = _local(at)
    return MISSING if local is None else time.strftime("%Y-%m-%d %H:%M:%S %z %Z", local)


def _local(at: float) -> time.struct_time | None:
    """Return the time of this place, None for one that calendars do not reach: a stranger's store may have any."""
    try:
        return time.localtime(at)
    except (OverflowError, ValueError, OSError):
        return None


def number_of(metrics: Mapping[str, Any], name: str) -> str:
    """Return a metric's value, or NA."""
    return shown(metrics[name]) if name in metrics else MISSING
