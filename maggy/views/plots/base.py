"""What all pictures share: how they look, and how values become places on an axis.

What users wrote passes `said`: plotly reads a little HTML in every text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from maggy.choices import Categorical, Ordinal
from maggy.domain import Domain
from maggy.errors import ConfigError
from maggy.numeric import Float, Integer
from maggy.study import Study
from maggy.trial import Status, Trial
from maggy.views import sketches
from maggy.views.sketches import GOOD
from maggy.views.summary import number, plain, shortened, shown, title

GREY, GREEN = "#9aa3ad", GOOD
COLOURS = {status: colour if status.final else GREY for status, colour in sketches.COLOURS.items()}
BLUE, RED = COLOURS[Status.COMPLETED], COLOURS[Status.FAILED]
SCALE = "Viridis"
WIDTH = 40  # characters of a label
PARAMS = 12  # of a trial that its label lists
POINTS = 2000  # trials that one picture shows: more make a browser slow, and a report large


def plotly() -> Any:
    """Return plotly's graph objects. Raises `ConfigError` where plotly is not installed."""
    try:
        from plotly import graph_objects
    except ImportError:
        raise ConfigError("plots need plotly: pip install 'maggy[plots]'") from None
    return graph_objects


def figure(study: Study, what: str, **layout: Any) -> Any:
    """Return an empty picture with the study's name and what it shows as its title."""
    usual = {
        "template": "plotly_white",
        "title": {"text": f"<b>{escape(title(study))}</b>  {what}", "font": {"size": 16}},
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 70, "r": 30, "t": 60, "b": 55},
        "height": 440,
        "hoverlabel": {"align": "left"},
    }
    return plotly().Figure(layout=usual | layout)


def said(text: Any, width: int = WIDTH) -> str:
    """Return what a user wrote as plotly may show it."""
    return escape(shortened(plain(str(text)), width))


def brief(text: Any, width: int) -> str:
    """Return the same cut in its middle: values and names of one kind often differ at their ends alone."""
    told = plain(str(text))
    half = (width - 1) // 2
    return escape(told if len(told) <= width else f"{told[: width - 1 - half].rstrip()}…{told[-half:].lstrip()}")


def metric(study: Study) -> str:
    """Return what the objective is called."""
    return said(study.objective.key)


def about(trial: Trial) -> str:
    """Return what is shown when the pointer is over a trial."""
    lines = [f"<b>trial {trial.id}</b>, {trial.status}"]
    if trial.value is not None:
        lines.append(f"value {number(trial.value, 6)}")
    if trial.budget is not None:
        lines.append(f"budget {number(trial.budget)}")
    lines += [f"{said(name)} = {said(shown(value))}" for name, value in list(trial.params.items())[:PARAMS]]
    if trial.stop_reason:
        lines.append(said(trial.stop_reason, 80))
    return "<br>".join(lines)


def usable(study: Study) -> list[Trial]:
    """Return the trials with a value. Raises `ConfigError` where there is none."""
    found = [trial for trial in study.trials.values() if trial.usable]
    if not found:
        raise ConfigError(f"study {title(study)!r} has no completed trial with a finite value to plot")
    return found


def thinned(trials: Sequence[Trial], study: Study, most: int = POINTS) -> tuple[list[Trial], str]:
    """Return so many of the trials at most, spread evenly, the best among them; and what the title says of it."""
    if len(trials) <= most:
        return list(trials), ""
    found = [trials[rank * len(trials) // most] for rank in range(most)]
    best = study.best
    if best is not None and any(each is best for each in trials) and all(each is not best for each in found):
        found[-1] = best
    return found, f" ({most:,} of {len(trials):,} trials)"


def comparable(study: Study) -> list[Trial]:
    """Return trials that were measured at one budget: the largest that thirty have completed, or most."""
    by_budget: dict[float, list[Trial]] = {}
    for trial in usable(study):
        by_budget.setdefault(trial.budget or 0, []).append(trial)
    enough = [budget for budget, trials in by_budget.items() if len(trials) >= 30]  # noqa: PLR2004
    return by_budget[max(enough) if enough else max(by_budget, key=lambda budget: (len(by_budget[budget]), budget))]


@dataclass(frozen=True)
class Axis:
    """Where a parameter's values lie: numbers as they are, others by rank; what is absent has a place of its own."""

    name: str
    domain: Domain

    @property
    def listed(self) -> bool:
        """Whether values stand in a list, and have no distance."""
        return isinstance(self.domain, Categorical | Ordinal)

    def place(self, trial: Trial) -> Any:
        """Return where a trial lies, None where it has no such parameter."""
        if self.name not in trial.params:
            return None
        value = trial.params[self.name]
        return self.domain.rank(value) if self.listed else value

    def unit(self, trial: Trial) -> float | None:
        """Return the same in [0, 1]."""
        return self.unit_of(trial.params[self.name]) if self.name in trial.params else None

    def unit_of(self, value: Any) -> float:
        """Return where a value lies in [0, 1]; those that are listed are equally wide, whatever they weigh."""
        return (self.domain.rank(value) + 0.5) / (self.domain.size or 1) if self.listed else self.domain.to_unit(value)

    def layout(self) -> dict[str, Any]:
        """Return what plotly needs to know of the axis."""
        told: dict[str, Any] = {"title": {"text": brief(self.name, 28)}}
        if self.listed:
            values = self.domain.grid() or []
            return told | {
                "tickvals": list(range(len(values))),
                "ticktext": [brief(shown(each), 16) for each in values],
            }
        if not (isinstance(self.domain, Float | Integer) and self.domain.log):
            return told
        many = self.domain.high / self.domain.low >= 1000  # noqa: PLR2004 - enough powers of ten to mark these alone
        return told | {"type": "log", "exponentformat": "power", "tickangle": 0} | ({"dtick": 1} if many else {})


def axes(study: Study, names: Iterable[str] | None = None) -> list[Axis]:
    """Return the axes of these parameters, of all that vary by default. Raises `ConfigError` for an unknown one."""
    if names is None:
        names = [name for name, domain in study.searchspace.items() if domain.size != 1]
    known = study.searchspace
    for name in names:
        if name not in known:
            raise ConfigError(f"study {title(study)!r} has no parameter {name!r}, only: {', '.join(known.keys())}")
    found = [Axis(name, known[name]) for name in names]
    if not found:
        raise ConfigError(f"study {title(study)!r} has no parameter that varies")
    return found
