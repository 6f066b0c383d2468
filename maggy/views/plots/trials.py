"""Pictures of trials: how a study went, what they reported, when and where they ran, and what was promoted."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Status, Trial
from maggy.views.plots.base import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    POINTS,
    about,
    figure,
    metric,
    plotly,
    said,
    thinned,
    usable,
)
from maggy.views.summary import called, number, title

CROWD = 500  # dots of which each is small
CURVES = 300  # learning curves that one picture can take


def history(study: Study) -> Any:
    """Draw each trial's value in the order in which they ended, and the best so far."""
    go, trials = plotly(), sorted(usable(study), key=lambda trial: trial.end or 0)
    place = {trial.id: rank for rank, trial in enumerate(trials, 1)}
    shown, some_of = thinned(trials, study)
    found = figure(study, f"history{some_of}", xaxis_title="completed trials", yaxis_title=metric(study))
    budgets = sorted({trial.budget or 0 for trial in trials})
    for budget in budgets:
        some = [trial for trial in shown if (trial.budget or 0) == budget]
        last = budget == budgets[-1]
        found.add_scatter(
            x=[place[trial.id] for trial in some],
            y=[trial.value for trial in some],
            mode="markers",
            name="trials" if len(budgets) == 1 else f"budget {number(budget)}",
            marker={"color": BLUE if last else GREY, "size": 7 if last and len(some) < CROWD else 5, "opacity": 0.8},
            hovertext=[about(trial) for trial in some],
            hoverinfo="text",
        )
    finals = [trial for trial in trials if (trial.budget or 0) == budgets[-1]]
    best = math.inf
    line: list[tuple[int, float]] = []
    for trial in finals:
        best = min(best, study.loss(trial))
        if not line or best != study.objective.loss(line[-1][1]):
            line.append((place[trial.id], study.objective.value(best)))
    line.append((len(trials), line[-1][1]))
    found.add_trace(
        go.Scatter(
            x=[x for x, _ in line],
            y=[y for _, y in line],
            mode="lines",
            name="best so far",
            line={"color": GREEN, "width": 2, "shape": "hv"},
            hoverinfo="y",
        )
    )
    return found


def curves(study: Study) -> Any:
    """Draw what trials have reported, step by step; stopped ones end in a cross, the best is drawn over all."""
    go = plotly()
    reported = [trial for trial in study.trials.values() if len(trial.curve)]
    if not reported:
        raise ConfigError(f"study {title(study)!r} has no curves: no trial has reported {study.objective.key!r}")
    shown, some_of = thinned(reported, study, CURVES)
    found = figure(study, f"learning curves{some_of}", xaxis_title="step", yaxis_title=metric(study))
    for status in (Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.RUNNING, Status.QUEUED):
        trials = [trial for trial in shown if trial.status is status and trial is not study.best]
        drawn = [trial for trial in trials if len(trial.curve) > 1]
        if drawn:
            found.add_trace(_lines(go, drawn, status))
        points = [trial for trial in trials if len(trial.curve) == 1]
        if points:
            found.add_trace(_lines(go, points, status, legend=not drawn))
    ends = [trial for trial in shown if trial.status is Status.STOPPED]
    if ends:
        found.add_scatter(
            x=[trial.curve.steps[-1] for trial in ends],
            y=[trial.curve.last for trial in ends],
            mode="markers",
            marker={"symbol": "x", "size": 6, "color": COLOURS[Status.STOPPED]},
            hovertext=[about(trial) for trial in ends],
            hoverinfo="text",
            showlegend=False,
        )
    if study.best is not None and len(study.best.curve):
        found.add_trace(_lines(go, [study.best], "best", GREEN, width=3))
    return found


def _lines(
    go: Any, trials: list[Trial], name: str, colour: str | None = None, width: float = 1, *, legend: bool = True
) -> Any:
    """Return several curves as one trace, with gaps between them: thousands of traces no browser can draw."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for trial in trials:
        points = trial.curve.points()
        x += [*(step for step, _ in points), None]
        y += [*(value for _, value in points), None]
        texts += [about(trial)] * (len(points) + 1)
    return go.Scatter(
        x=x,
        y=y,
        showlegend=None if legend else False,
        mode="lines+markers" if max(len(trial.curve) for trial in trials) == 1 else "lines",
        name=str(name),
        line={"color": colour or COLOURS[Status(name)], "width": width},
        opacity=1.0 if colour else 0.45,
        hovertext=texts,
        hoverinfo="text",
    )


def timeline(study: Study) -> Any:
    """Draw when each trial's last attempt ran, a row for each executor; what is white was idle, starting or lost."""
    ran = [trial for trial in study.trials.values() if trial.duration is not None and trial.executor is not None]
    if not ran:
        raise ConfigError(f"study {title(study)!r} has no trial that has run on an executor")
    first = min(trial.started or 0 for trial in ran)
    names = list(dict.fromkeys(str(trial.executor) for trial in sorted(ran, key=lambda trial: trial.started or 0)))
    told = called(names)
    busy = sum(trial.duration or 0 for trial in ran)
    latest, some_of = ran, ""
    if len(ran) > POINTS:
        latest = sorted(ran, key=lambda trial: trial.ended or 0)[-POINTS:]
        some_of = f" (the last {POINTS:,} of {len(ran):,} trials)"
    whole = max(trial.ended or 0 for trial in ran) - first
    share = f", {busy / (len(names) * whole):.0%} busy" if whole > 0 else ""
    found = figure(
        study,
        f"timeline{share}{some_of}",
        xaxis_title="seconds",
        barmode="overlay",
        height=140 + 34 * len(names),
        yaxis={"type": "category", "ticksuffix": "  "}
        | {"categoryorder": "array", "categoryarray": [said(told[name]) for name in reversed(names)]},
    )
    for status in (Status.COMPLETED, Status.STOPPED, Status.FAILED):
        some = [trial for trial in latest if trial.status is status]
        if some:
            found.add_bar(
                orientation="h",
                y=[said(told[str(trial.executor)]) for trial in some],
                x=[trial.duration for trial in some],
                base=[(trial.started or 0) - first for trial in some],
                name=str(status),
                marker={"color": COLOURS[status], "line": {"color": "white", "width": 0.5}},
                hovertext=[about(trial) for trial in some],
                hoverinfo="text",
            )
    return found


def rungs(study: Study) -> Any:
    """Draw values by budget, and a line from each trial to the one that continues it.

    Where trials have no budget of their own (ASHA by stopping), what they have done stands in its place.
    """
    every = {
        trial.id: (done, value)
        for trial in study.trials.values()
        if (done := _done(trial)) and (value := _value(trial)) is not None
    }
    counts = Counter(done for done, _ in every.values())
    if len(counts) < 2:  # noqa: PLR2004
        raise ConfigError(f"study {title(study)!r} has no rungs: all its trials had the same budget")
    sample, some_of = thinned([study.trials[number] for number in every], study)
    placed = {trial.id: trial for trial in sample}
    for trial in sample:  # with each comes what it continues
        parent = trial.parent
        while parent in every and parent not in placed:
            placed[parent] = study.trials[parent]
            parent = study.trials[parent].parent
    found = figure(study, f"rungs{some_of}", yaxis_title=metric(study))
    x: list[float | None] = []
    y: list[float | None] = []
    for trial in placed.values():
        if trial.parent in placed:
            for done, value in (every[trial.parent], every[trial.id]):
                x.append(done)
                y.append(value)
            x.append(None)
            y.append(None)
    if x:
        found.add_scatter(
            x=x, y=y, mode="lines", line={"color": GREY, "width": 0.7}, name="promoted", hoverinfo="skip", opacity=0.6
        )
    for status in (Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.RUNNING):
        some = [trial for trial in placed.values() if trial.status is status]
        if some:
            found.add_scatter(
                x=[every[trial.id][0] for trial in some],
                y=[every[trial.id][1] for trial in some],
                mode="markers",
                name=str(status),
                marker={"color": COLOURS[status], "size": 7, "opacity": 0.75},
                hovertext=[about(trial) for trial in some],
                hoverinfo="text",
            )
    levels = sorted(counts)
    few = len(levels) <= 12  # noqa: PLR2004 - more than that is no ladder
    ticks = {"tickvals": levels, "ticktext": [f"{number(each)}<br>{counts[each]:,}" for each in levels]} if few else {}
    found.update_xaxes(
        type="log", title={"text": "budget, and how many trials had it" if few else "units done"}, **ticks
    )
    return found


def _done(trial: Trial) -> float | None:
    if trial.budget is not None and trial.status is not Status.STOPPED:
        return trial.budget
    return trial.curve.units() if len(trial.curve) else trial.budget


def _value(trial: Trial) -> float | None:
    value = trial.value if trial.value is not None else trial.curve.last
    return value if value is not None and math.isfinite(value) else None
