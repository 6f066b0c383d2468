"""Small plots side by side in one SVG: medians that fall, logarithmic. Needs `pip install matplotlib`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Curve = Sequence[tuple[float, float]]  # (what was spent, value), each value until the next


def plot(
    path: Path, rows: Sequence[Mapping[str, Mapping[str, Curve]]], across: str, up: str, scale: str = "log"
) -> None:
    """Write rows of panels: by title, and in each by name, a curve. A name looks the same everywhere.

    `across` and `up` say what the axes are, `scale` is that across.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(
        {"svg.hashsalt": "maggy", "svg.fonttype": "none", "font.size": 8}
    )  # the same data, the same file
    names = list(dict.fromkeys(name for row in rows for curves in row.values() for name in curves))
    colours = {name: mpl.colormaps["tab20"](number % 20) for number, name in enumerate(names)}
    columns = max(map(len, rows))
    figure = Figure(figsize=(3.2 * columns, 2.4 * len(rows) + 0.6), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes_of_row, row in zip(panels, rows, strict=True):
        for axes, (title, curves) in zip(axes_of_row, row.items(), strict=False):
            axes.set_axis_on()
            axes.set(title=title, xscale=scale, yscale="log", xlabel=across, ylabel=up)
            axes.minorticks_off()
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(alpha=0.3)
            for name, curve in curves.items():
                axes.step(*zip(*curve, strict=True), where="post", label=name, color=colours[name], linewidth=1.3)
    handles = {text: line for axes in panels.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(names), 2 * columns))
    figure.savefig(path, metadata={"Date": None})
