"""Small pictures of a study as inline SVG, for notebooks and pages that are drawn again every second.

Rules of this file:

1. Pure, and bounded: a picture has some ten kilobytes at most, however many trials there are.
2. Another thread may be folding the study meanwhile: lists are copied in one step, curves are read by the shorter of
   their two columns.
3. Colours are seen on white and on black; what needs none is drawn in the colour of the text around.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from maggy.study import Study
from maggy.trial import Status, Trial
from maggy.views.markup import Markup, joined, tag
from maggy.views.summary import number

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 6, 8, 20  # what is left free around the lines, for the axes' words
DOTS = 400  # of a history
LINES = 40  # curves in one picture
POINTS = 60  # of a curve
BINS = 120  # pieces of an executor's time
FEW = 20  # values, of which none is left out of sight
TAIL = 0.05  # of more values, this share of the worst may be
GOOD = "#2a9d5c"
COLOURS = {
    Status.COMPLETED: "#4a88d0",
    Status.STOPPED: "#e0872b",
    Status.FAILED: "#d8505c",
    Status.RUNNING: "currentColor",
    Status.QUEUED: "currentColor",
}
Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Where values lie in a picture."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        """Return how far to the right."""
        low, high = self.x
        return LEFT + (WIDTH - LEFT - RIGHT) * ((value - low) / (high - low) if high > low else 0.5)

    def down(self, value: float) -> float:
        """Return how far down; what lies outside lies on the edge."""
        low, high = self.y
        share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def line(self, points: Iterable[Point]) -> str:
        """Return a path along these points."""
        return "M" + "L".join(f"{self.across(x):.0f} {self.down(y):.1f}" for x, y in points)

    def drawn(self, *shapes: Markup, below: str) -> Markup:
        """Return the picture: its shapes, what the axes end at, and what is said below."""
        low, high = self.y
        floor = HEIGHT - BOTTOM
        words = [_word(LEFT - 5, TOP + 7, number(high, 3), "end")]
        words += [_word(LEFT - 5, floor, number(low, 3), "end")] if high > low else []
        words += [
            _word(LEFT, HEIGHT - 5, number(self.x[0], 4)),
            _word((LEFT + WIDTH) // 2, HEIGHT - 5, below, "middle"),
        ]
        words.append(_word(WIDTH - RIGHT, HEIGHT - 5, number(self.x[1], 5), "end"))
        axes = _path(f"M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}", stroke="currentColor", stroke_opacity=0.3)
        return tag("svg", axes, *shapes, *words, viewBox=f"0 0 {WIDTH} {HEIGHT}", width="100%", role="img")


def history(study: Study) -> Markup | None:
    """Draw each value in the order in which trials ended, and the best so far; None where no trial has completed."""
    trials = sorted((each for each in list(study.trials.values()) if each.usable), key=lambda each: each.end or 0)
    if not trials:
        return None
    largest = max(trial.budget or 0 for trial in trials)
    values = [(rank, trial.value or 0.0, (trial.budget or 0) == largest) for rank, trial in enumerate(trials, 1)]
    finals = [(rank, value) for rank, value, final in values if final]
    frame = Frame((1, len(trials)), _range([value for _, value, _ in values], study))
    better = max if study.objective.direction == "max" else min
    steps: list[Point] = []
    for (rank, _), best in zip(finals, accumulate((value for _, value in finals), better), strict=True):
        if not steps or best != steps[-1][1]:
            steps += [(rank, steps[-1][1])] if steps else []
            steps.append((rank, best))
    steps.append((len(trials), steps[-1][1]))
    shapes = []
    for final, colour, size in ((False, "currentColor", 3), (True, COLOURS[Status.COMPLETED], 4)):
        some = [(rank, value) for rank, value, of in values if of is final]
        dots = "".join(f"M{frame.across(x):.0f} {frame.down(y):.0f}h0" for x, y in _thinned(some, DOTS))
        if dots:
            opacity = 0.75 if final else 0.3
            shapes.append(_path(dots, stroke=colour, stroke_width=size, stroke_linecap="round", stroke_opacity=opacity))
    shapes.append(_path(frame.line(_thinned(steps, DOTS)), stroke=GOOD, stroke_width=2))
    return frame.drawn(*shapes, below="completed trials")


def curves(study: Study) -> Markup | None:
    """Draw what the latest trials have reported, the best over all; None where none has reported twice."""
    reported = [trial for trial in list(study.trials.values()) if len(trial.curve) > 1]
    latest = sorted(reported, key=lambda trial: trial.ended or math.inf)[-LINES:]
    best = study.best
    if best is not None and len(best.curve) > 1 and best not in latest:
        latest = [best, *latest[1:]]
    return lines([(points(trial), trial) for trial in latest], study, best)


def lines(shown: Sequence[tuple[list[Point], Trial]], study: Study, best: Trial | None = None) -> Markup | None:
    """Draw some curves, the best trial's thick and over all."""
    lists = [(found, trial) for found, trial in shown if found]
    if not lists:
        return None
    xs = [x for found, _ in lists for x, _ in found]
    frame = Frame((min(xs), max(xs)), _range([y for found, _ in lists for _, y in found], study))
    shapes = []
    for found, trial in sorted(lists, key=lambda each: each[1] is best):
        colour, width = (GOOD, 2.5) if trial is best else (COLOURS[trial.status], 1)
        opacity = 1 if trial is best or len(lists) == 1 else 0.5
        path = frame.line(_thinned(found, POINTS))
        shapes.append(_path(path, stroke=colour, stroke_width=width, stroke_opacity=opacity, stroke_linejoin="round"))
    return frame.drawn(*shapes, below="step")


def curve(shown: Sequence[Point]) -> Markup | None:
    """Draw one curve, of whatever was measured; None where that is less than two points."""
    if len(shown) < 2:  # noqa: PLR2004
        return None
    xs, ys = [x for x, _ in shown], [y for _, y in shown]
    frame = Frame((min(xs), max(xs)), (min(ys), max(ys)))
    return frame.drawn(
        _path(frame.line(_thinned(shown, DOTS)), stroke=COLOURS[Status.COMPLETED], stroke_width=1.5), below="step"
    )


def points(trial: Trial) -> list[Point]:
    """Return the finite points of a trial's curve."""
    pairs = zip(trial.curve.steps[:], trial.curve.values[:], strict=False)
    return [(step, value) for step, value in pairs if math.isfinite(value)]


@dataclass
class Lane:
    """One executor: the share of each piece of the time in which it ran a trial, and what it runs now."""

    name: str
    first: float
    busy: list[float]
    last: int
    seconds: float = 0.0
    runs: int | None = None

    def drawn(self) -> Markup:
        """Draw how busy it was, piece by piece."""
        height = 16
        steps = "".join(f"V{height - height * min(share, 1.0):.0f}h1" for share in self.busy)
        path = tag("path", d=f"M0 {height}{steps}V{height}z", fill=COLOURS[Status.COMPLETED], fill_opacity=0.75)
        ground = tag("path", d=f"M0 0h{BINS}v{height}H0z", fill="currentColor", fill_opacity=0.08)
        box = f"0 0 {BINS} {height}"
        return tag("svg", ground, path, viewBox=box, preserveAspectRatio="none", width="100%", height=height)


def lanes(study: Study, now: float) -> tuple[list[Lane], float]:
    """Return the executors in the order in which they came, and the share of all their time in which they ran trials.

    An executor's time counts from its first trial on. Of a trial that was lost only its last attempt is known.
    """
    trials = [trial for trial in list(study.trials.values()) if trial.executor and trial.started is not None]
    if not trials:
        return [], 0.0
    began = min(trial.started or now for trial in trials)
    ended = max(now, *(trial.ended or 0.0 for trial in trials))
    piece = (ended - began) / BINS or 1.0
    found: dict[str, Lane] = {}
    for trial in trials:
        start, end = trial.started or began, ended if trial.ended is None else trial.ended
        lane = found.setdefault(str(trial.executor), Lane(str(trial.executor), start, [0.0] * BINS, trial.id))
        lane.first, lane.last = min(lane.first, start), max(lane.last, trial.id)
        lane.seconds += max(end - start, 0.0)
        if trial.status is Status.RUNNING:
            lane.runs = trial.id if lane.runs is None else min(lane.runs, trial.id)  # others wait behind it
        for rank in range(int((start - began) / piece), min(int((end - began) / piece), BINS - 1) + 1):
            overlap = min(end, began + (rank + 1) * piece) - max(start, began + rank * piece)
            lane.busy[rank] += max(overlap, 0.0) / piece
    whole = sum(max(ended - lane.first, 0.0) for lane in found.values())
    busy = sum(lane.seconds for lane in found.values()) / whole if whole else 0.0
    return sorted(found.values(), key=lambda lane: lane.first), min(busy, 1.0)


def _range(values: Sequence[float], study: Study) -> tuple[float, float]:
    """Return from where to where the values lie; of many, a few of the worst are left out of sight."""
    finite = sorted(filter(math.isfinite, values)) or [0.0]
    left_out = int(TAIL * len(finite)) if len(finite) > FEW else 0
    low, high = (left_out, -1) if study.objective.direction == "max" else (0, -1 - left_out)
    return finite[low], finite[high]


def _thinned(some: Sequence[Point], most: int) -> Sequence[Point]:
    """Return every so manieth, and the last."""
    step = math.ceil(len(some) / most) or 1
    return some if step == 1 else [*some[:-1:step], some[-1]]


def _path(d: str, **attributes: object) -> Markup:
    return tag("path", d=d, fill="none", **attributes)


def _word(x: float, y: float, text: str, anchor: str = "start") -> Markup:
    style = {"font_size": 10, "fill": "currentColor", "fill_opacity": 0.65, "text_anchor": anchor}
    return tag("text", joined(text), x=x, y=y, **style)
