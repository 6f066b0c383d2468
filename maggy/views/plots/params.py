"""Pictures of parameters: which matter, and what becomes of the objective as they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from maggy.errors import ConfigError, amount
from maggy.numeric import Float
from maggy.study import Study
from maggy.trial import Trial
from maggy.views.plots.base import (
    BLUE,
    SCALE,
    Axis,
    about,
    axes,
    brief,
    comparable,
    figure,
    metric,
    plotly,
    said,
    thinned,
)
from maggy.views.plots.importance import importances
from maggy.views.summary import shown, title

ABSENT = -0.25  # where a parameter that a trial has not got stands in [0, 1]
GRID = 30  # places along each side of a contour plot
BRIEF = 1000  # points, of twice as many of which little is told each
OTHERS = 40  # configurations over which what is not shown is averaged
TREES = 60


def importance(study: Study) -> Any:
    """Draw how much each parameter has to do with being among the best."""
    shares = importances(study)
    ranked = sorted(shares.items(), key=lambda item: item[1])
    found = figure(
        study,
        f"importance of parameters ({amount(len(comparable(study)), 'trial')})",
        xaxis={"title": "share", "tickformat": ".0%", "rangemode": "tozero"},
        height=130 + 30 * len(ranked),
        yaxis={"type": "category", "ticksuffix": "  "},
    )
    found.add_bar(
        orientation="h",
        y=[said(name) for name, _ in ranked],
        x=[share for _, share in ranked],
        text=[f"{share:.0%}" for _, share in ranked],
        textposition="outside",
        cliponaxis=False,
        marker={"color": BLUE},
        hoverinfo="x+y",
    )
    return found


def slices(study: Study, params: Sequence[str] | None = None) -> Any:
    """Draw the objective over each parameter by itself; the later a trial, the darker."""
    from plotly.subplots import make_subplots

    shown_axes, (trials, some_of) = axes(study, params), thinned(comparable(study), study)
    columns = min(4, len(shown_axes))
    rows = math.ceil(len(shown_axes) / columns)
    little = len(shown_axes) * len(trials) > 2 * BRIEF  # each trial stands in as many panels as there are axes
    found = figure(study, f"slices{some_of}", height=80 + 260 * rows, showlegend=False)
    grid = make_subplots(rows, columns, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=0.32 / rows)
    grid.update_layout(found.layout)
    for index, axis in enumerate(shown_axes):
        row, column = divmod(index, columns)
        some = [trial for trial in trials if axis.name in trial.params]
        grid.add_scatter(
            x=[axis.place(trial) for trial in some],
            y=[trial.value for trial in some],
            mode="markers",
            marker={"color": [trial.id for trial in some], "colorscale": "Blues", "cmin": -len(trials) / 3, "size": 6}
            | {"line": {"width": 0.4, "color": "#445"}},
            hovertext=[f"trial {trial.id}" if little else about(trial) for trial in some],
            hoverinfo="x+y+text" if little else "text",
            row=row + 1,
            col=column + 1,
        )
        grid.update_xaxes(**axis.layout(), row=row + 1, col=column + 1)
        if column == 0:
            grid.update_yaxes(title_text=metric(study), row=row + 1, col=1)
    return grid


def parallel(study: Study, params: Sequence[str] | None = None) -> Any:
    """Draw each trial as a line over all parameters, coloured by its value."""
    go, shown_axes, (trials, some_of) = plotly(), axes(study, params), thinned(comparable(study), study)
    values = [trial.value for trial in trials]
    some_of = some_of or f" ({amount(len(trials), 'trial')})"
    found = figure(study, f"parallel coordinates{some_of}", margin={"l": 90, "r": 60, "t": 110, "b": 40})
    last = {"label": metric(study), "values": values}
    found.add_trace(
        go.Parcoords(
            dimensions=[*(_dimension(axis, trials) for axis in shown_axes), last],
            line={"color": values, "colorscale": SCALE, "reversescale": study.objective.direction == "min"}
            | {"showscale": True, "colorbar": {"thickness": 12}},
            labelangle=0 if len(shown_axes) <= 8 else -20,  # noqa: PLR2004 - more do not fit side by side
        )
    )
    return found


def _dimension(axis: Axis, trials: list[Trial]) -> dict[str, Any]:
    """Return an axis as plotly's parallel coordinates want it: all numbers, logarithms and absence made by hand."""
    units = [ABSENT if (unit := axis.unit(trial)) is None else unit for trial in trials]
    absent = {ABSENT: "—"} if ABSENT in units else {}
    ticks = absent | {axis.unit_of(value): brief(shown(value), 14) for value in _marks(axis)}
    low = ABSENT if absent else 0.0
    told = {"label": brief(axis.name, 18), "values": units, "range": [low, 1.0]}
    return told | {"tickvals": list(ticks), "ticktext": list(ticks.values())}


def _marks(axis: Axis) -> list[Any]:
    """Return values for an axis to be marked at: all that are listed, five of a range."""
    if axis.listed:
        values = axis.domain.grid() or []
        return values[:: math.ceil(len(values) / 15)]
    if isinstance(axis.domain, Float) and axis.domain.log and axis.domain.high / axis.domain.low >= 1000:  # noqa: PLR2004
        first, last = math.ceil(math.log10(axis.domain.low) - 1e-9), math.floor(math.log10(axis.domain.high) + 1e-9)
        return [10.0**power for power in range(first, last + 1, math.ceil((last - first) / 8))]
    found = [axis.domain.from_unit(step / 4 * (1 - 1e-9)) for step in range(5)]
    least = 1e-6 * max(abs(each) for each in found)
    linear = found[0] <= 0  # and then what is next to 0 is 0
    found = [0.0 if linear and isinstance(each, float) and abs(each) < least else each for each in found]
    return list(dict.fromkeys(float(f"{value:.3g}") if isinstance(value, float) else value for value in found))


def contour(study: Study, params: Sequence[str] | None = None) -> Any:
    """Draw what a forest makes of two parameters, averaged over what it was measured with of the others.

    The two that matter most by default. It is a model's picture: where there are no points it guesses.
    """
    go, (trials, some_of) = plotly(), thinned(comparable(study), study)
    if params is None:
        shares = importances(study)
        if len(shares) < 2:  # noqa: PLR2004
            raise ConfigError(f"study {title(study)!r} varies one parameter, and a contour plot takes two")
        params = sorted(shares, key=lambda name: -shares[name])[:2]
    if len(params) != 2:  # noqa: PLR2004
        raise ConfigError(f"a contour plot has two parameters, not {len(params)}: plot_contour('lr', 'units')")
    every, (across, up) = axes(study), axes(study, params)
    names = [axis.name for axis in every]
    rows = np.array([[ABSENT if (unit := axis.unit(trial)) is None else unit for axis in every] for trial in trials])
    values = [trial.value for trial in trials]
    surface = _surface(rows, values, names.index(across.name), names.index(up.name), across, up)
    found = figure(study, f"{said(across.name)} and {said(up.name)}{some_of}", height=520)
    seen = {
        "x": _places(across),
        "y": _places(up),
        "z": surface,
        "colorscale": SCALE,
        "reversescale": study.objective.direction == "min",
        "colorbar": {"title": {"text": metric(study)}, "thickness": 12},
        "hoverinfo": "z",
    }
    if across.listed or up.listed:  # between two choices there is nothing
        found.add_trace(go.Heatmap(**seen, xgap=int(across.listed), ygap=int(up.listed)))
    else:
        found.add_trace(go.Contour(**seen, contours={"coloring": "fill"}, line={"width": 0.3}, ncontours=24))
    both = [trial for trial in trials if across.name in trial.params and up.name in trial.params]
    found.add_scatter(
        x=[across.place(trial) for trial in both],
        y=[up.place(trial) for trial in both],
        mode="markers",
        marker={"color": "white", "size": 6, "line": {"color": "black", "width": 0.8}},
        hovertext=[about(trial) for trial in both],
        hoverinfo="text",
        showlegend=False,
    )
    found.update_xaxes(**across.layout())
    found.update_yaxes(**up.layout())
    return found


def _units(axis: Axis) -> list[float]:
    if axis.listed:
        return [axis.unit_of(value) for value in axis.domain.grid() or []]
    return [min(step / (GRID - 1), 1 - 1e-9) for step in range(GRID)]


def _places(axis: Axis) -> list[Any]:
    """Return where on the axis each of its units lies."""
    units = _units(axis)
    return list(range(len(units))) if axis.listed else [axis.domain.from_unit(unit) for unit in units]


def _surface(rows: Any, values: Any, first: int, second: int, across: Axis, up: Axis) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=0, n_jobs=1).fit(rows, values)
    others = rows[np.linspace(0, len(rows) - 1, min(OTHERS, len(rows))).astype(int)]
    xs, ys = _units(across), _units(up)
    asked = np.repeat(others[None], len(xs) * len(ys), axis=0)
    asked[:, :, first] = np.tile(xs, len(ys))[:, None]
    asked[:, :, second] = np.repeat(ys, len(xs))[:, None]
    told = forest.predict(asked.reshape(-1, rows.shape[1]))
    return told.reshape(len(ys), len(xs), -1).mean(axis=2)
