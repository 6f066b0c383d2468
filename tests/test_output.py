"""What programs print, taken apart."""

import math

import pytest

from maggy.executor.output import LONGEST, Keepalive, Output, Progress, Report, Text, duration, parsed
from maggy.executor.program import stepped


def said(*pieces):
    output = Output()
    found = [each for piece in pieces for each in output.take(piece)]
    return found + output.end()


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"hello\nyou\n", [Text("hello\n"), Text("you\n")]),
        (b"hello", [Text("hello\n")]),
        (b"METRICS: another=3,paramvalue=2\n", [Report({"another": 3.0, "paramvalue": 2.0})]),
        (b"METRICS: a=1\r\n", [Report({"a": 1.0})]),
        (b" METRICS: a=1\n", [Text(" METRICS: a=1\n")]),
        (b"METRICS:a=1\n", [Text("METRICS:a=1\n")]),
        (b"10%\r20%\rMETRICS: a=1\n", [Progress("10%"), Progress("20%"), Report({"a": 1.0})]),
        (b"20%\r", [Progress("20%")]),
        (b"\r20%\r\r30%\n", [Progress("20%"), Text("30%\n")]),
        (b"windows\r\nx\n", [Text("windows\n"), Text("x\n")]),
        (b"DIVINER: keepalive=1ms\n", [Text("DIVINER: keepalive=1ms\n"), Keepalive(0.001)]),
        (b"MAGGY: keepalive=0\n", [Text("MAGGY: keepalive=0\n"), Keepalive(0.0)]),
        (b"MAGGY: keepalive=soon\n", [Text("MAGGY: keepalive=soon\n")]),
        ("é\n".encode(), [Text("é\n")]),
        (b"\xff\n", [Text("\ufffd\n")]),
    ],
)
def test_d3_lines_are_told_apart_however_they_are_cut(printed, expected):
    """Whole, and byte by byte."""
    assert said(printed) == expected
    assert said(*(printed[at : at + 1] for at in range(len(printed)))) == expected


def test_d3_what_is_no_report_is_logged():
    """With a line that says so."""
    [text] = said(b"METRICS: bad\n")
    assert text.text.startswith("METRICS: bad\nmaggy: the line above is no report")


def test_a_line_without_an_end_is_bounded():
    """It goes into the log before it ends."""
    output = Output()
    assert output.take(b"x" * (LONGEST + 1)) == [Text("x" * (LONGEST + 1))]
    assert output.take(b"y\n") == [Text("y\n")]


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ("a=1,,b=2,", {"a": 1.0, "b": 2.0}),
        ("a=1, b=2", {"a": 1.0, " b": 2.0}),  # Diviner trims nothing
        ("a=inf,b=-inf", {"a": math.inf, "b": -math.inf}),
        ("a=1e-3", {"a": 0.001}),
        ("", {}),
        *[(text, None) for text in ("a", "=1", "a=", "a= 1", "a=x", "a=1_0", "a=1=2")],
    ],
)
def test_metrics_are_numbers_by_name(text, metrics):
    """One that is none makes none of the line."""
    assert parsed(text) == metrics


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1ms", 0.001), ("90s", 90), ("1h30m", 5400), ("1.5m", 90), ("2us", 2e-6)]
    + [(text, None) for text in ("", "5", "s", "1 s", "1h30", "-1s", "x1s")],
)
def test_durations_are_those_of_go(text, seconds):
    """As Diviner's scripts write them."""
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("metrics", "wanted", "rest", "step"),
    [
        ({"loss": 1.0}, "loss", {"loss": 1.0}, None),
        ({"loss": 1.0, "epoch": 3.0}, "loss", {"loss": 1.0}, 3),
        ({"loss": 1.0, "epoch": 3.0, "step": 400.0}, "loss", {"loss": 1.0, "epoch": 3.0}, 400),
        ({"epoch": 3.0, "loss": 1.0}, "epoch", {"epoch": 3.0, "loss": 1.0}, 3),
        ({"epoch": 3.0}, None, {"epoch": 3.0}, 3),
        ({"loss": 1.0, "epoch": 0.5}, None, {"loss": 1.0, "epoch": 0.5}, None),
        ({"loss": 1.0, "epoch": math.nan}, None, {"loss": 1.0, "epoch": math.nan}, None),
        ({"loss": 1.0, "epoch": -1.0}, None, {"loss": 1.0, "epoch": -1.0}, None),
    ],
)
def test_a_report_may_name_its_step(metrics, wanted, rest, step):
    """`step`, or else `epoch`, where it is a whole number."""
    found, at = stepped(metrics, wanted)
    assert (repr(found), at) == (repr(rest), step)
