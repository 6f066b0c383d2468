"""What a program prints, taken apart line by line: reports, signs of life, progress bars, and all the rest."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

METRICS = "METRICS: "
_DIRECTIVE = re.compile(r"(?:MAGGY|DIVINER): keepalive=(\S*)\s*\Z")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BREAK = re.compile(r"\r\n|\n|\r")
LONGEST = 16 * 1024  # characters without an end that are kept to see whether they become a report


@dataclass(frozen=True, slots=True)
class Text:
    """What goes into the log as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A line that the next one takes the place of, as on a terminal: it shows how things stand, and is not kept."""

    line: str


@dataclass(frozen=True, slots=True)
class Report:
    """A line of metrics."""

    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The program will be heard of within so many seconds; 0: nobody need wait for that."""

    seconds: float


Said = Text | Progress | Report | Keepalive


class Output:
    """Bytes in, what they say out. A line without an end waits for it, unless it is very long."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def take(self, data: bytes) -> list[Said]:
        """Take in what has been printed."""
        text = self._begun + self._decoder.decode(data)
        held = text.endswith("\r")  # it may be half of a line's end, and half of it is no progress bar
        found: list[Said] = []
        start = 0
        for end in _BREAK.finditer(text, 0, len(text) - held):
            found += _said(text[start : end.start()], end.group())
            start = end.end()
        self._begun = text[start:]
        if len(self._begun) > LONGEST:
            found.append(Text(self._begun))
            self._begun = ""
        return found

    def end(self) -> list[Said]:
        """Take in that there is no more: a last line without an end is a line."""
        text, self._begun = self._begun + self._decoder.decode(b"", final=True), ""
        line = text.removesuffix("\r")
        return list(_said(line, "\n" if line == text else "\r")) if text else []


def _said(line: str, end: str) -> Iterator[Said]:
    if line.startswith(METRICS):
        metrics = parsed(line.removeprefix(METRICS))
        if metrics is None:
            yield Text(f"{line}\nmaggy: the line above is no report; write METRICS: name=number,name=number\n")
        elif metrics:
            yield Report(metrics)
    elif end == "\r":
        if line:
            yield Progress(line)
    else:
        yield Text(f"{line}\n")
        if (found := _DIRECTIVE.match(line)) and (seconds := duration(found[1])) is not None:
            yield Keepalive(seconds)


def parsed(text: str) -> dict[str, float] | None:
    """Return the metrics of `a=1,b=2`; None where an element is none. Empty elements are skipped, spaces are not."""
    metrics = {}
    for element in filter(None, text.split(",")):
        name, sign, value = element.partition("=")
        if not sign or not name or value != value.strip() or "_" in value:
            return None
        try:
            metrics[name] = float(value)
        except ValueError:
            return None
    return metrics


def duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it, `1h30m`, `250ms` or `0`, days as `7d`; None for none."""
    if text == "0":
        return 0.0
    parts = _DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
