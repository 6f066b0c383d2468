"""A picture of an ablation: what each absence does."""

from __future__ import annotations

from typing import Any

from maggy.effects import Effect, effects
from maggy.errors import ConfigError
from maggy.study import Study
from maggy.views.plots.base import GREEN, GREY, RED, figure, metric, said
from maggy.views.summary import number, title

LONGEST = 60  # changes that one picture can take
MEANING = {
    "needed": (RED, "needed"),
    "harmful": (GREEN, "harmful"),
    "unclear": (GREY, "unclear"),
    "": (GREY, "one seed"),
}


def bars(study: Study) -> Any:
    """Draw the effect of each change, the most harmful on top, with its 95 % interval."""
    reference, *told = effects(study)
    known = [effect for effect in told if effect.effect is not None]
    if not known:
        raise ConfigError(f"study {title(study)!r} has no change that was measured beside its reference")
    shown = list(reversed(known[:LONGEST]))
    value = "" if reference.value is None else f" (reference {number(reference.value)}, n = {reference.n})"
    found = figure(
        study,
        f"effects{value}",
        xaxis={
            "title": f"difference in {metric(study)}",
            "zeroline": True,
            "zerolinewidth": 2,
            "zerolinecolor": "#444",
        },
        yaxis={"type": "category", "ticksuffix": "  "}
        | {"categoryorder": "array", "categoryarray": [said(each.label) for each in shown]},
        height=150 + 28 * len(shown),
        bargap=0.35,
    )
    for verdict, (colour, name) in MEANING.items():
        some = [each for each in shown if each.verdict == verdict]
        if some:
            found.add_bar(
                orientation="h",
                y=[said(each.label) for each in some],
                x=[each.effect for each in some],
                error_x=_intervals(some),
                name=name,
                marker={"color": colour},
                hovertext=[f"{said(each.label)}<br>{each.effect:+.4g}, n = {each.n}" for each in some],
                hoverinfo="text",
            )
    found.update_layout(barmode="overlay")
    return found


def _intervals(some: list[Effect]) -> dict[str, Any]:
    above = [0.0 if each.high is None else each.high - (each.effect or 0) for each in some]
    below = [0.0 if each.low is None else (each.effect or 0) - each.low for each in some]
    told = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return told | {"color": "#333", "thickness": 1.3, "width": 4}
