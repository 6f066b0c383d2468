"""Leaderboards: which trials are compared, how they are ranked, and which columns say something. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from maggy.cli.options import chosen
from maggy.cli.text import MISSING, brief, shown, three_digits
from maggy.jsonvalue import identity
from maggy.trial import Objective
from maggy.views.summary import plain

BUDGET = "budget"  # a reserved name: no parameter is called so


class Entrant(NamedTuple):
    """A completed run and its value. Those of one `group` are replicates: one configuration, run several times."""

    study: str
    trial: int
    value: float
    budget: float | None = None
    replicate: int = 0
    group: int | None = None


@dataclass(slots=True)
class Row:
    """A line of a leaderboard: one run, or the replicates of one configuration, with the mean of their values."""

    entrants: list[Entrant]
    value: float = math.nan
    values: dict[str, Any] = field(default_factory=dict)  # the parameters
    metrics: dict[int, dict[str, Any]] = field(default_factory=dict)  # by trial

    @property
    def first(self) -> Entrant:
        """The run that stands for the others in all in which they are alike."""
        return self.entrants[0]

    @property
    def name(self) -> str:
        """`digits:3`, or `digits:1,2,3`."""
        return f"{plain(self.first.study)}:{','.join(str(each.trial) for each in self.entrants)}"

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters, the budget among them where there is one."""
        return ({} if self.first.budget is None else {BUDGET: self.first.budget}) | self.values

    def metric(self, name: str) -> str:
        """Return the mean of a metric, with its range where replicates differ; NA where none has it."""
        found, numbers = self._found(name)
        return _with_range(numbers) if numbers else shown(found[0]) if found else MISSING

    @property
    def means(self) -> dict[str, Any]:
        """The mean of each metric; of one that is no number the first value."""
        names = {name: None for metrics in self.metrics.values() for name in metrics}
        found = {name: self._found(name) for name in names}
        return {name: mean(numbers) if len(numbers) > 1 else all_[0] for name, (all_, numbers) in found.items()}

    def _found(self, name: str) -> tuple[list[Any], list[float]]:
        found = [metrics[name] for metrics in self.metrics.values() if name in metrics]
        return found, [value for value in found if isinstance(value, float | int) and not isinstance(value, bool)]

    @property
    def told(self) -> str:
        """The value, with its range where replicates differ."""
        return _with_range([each.value for each in self.entrants])


def ranked(entrants: Sequence[Entrant], objective: Objective, number: int = 0, *, expand: bool = False) -> list[Row]:
    """Return the first rows, 0 for all, the best first: by budget, for little says less than much, then by value.

    Among equals the first that was handed in is first. Of several runs of a replicate the latest counts.
    """
    sign = -1 if objective.direction == "max" else 1
    if expand or all(each.group is None for each in entrants):
        order = [(-(each.budget or 0.0), sign * each.value, place, each) for place, each in enumerate(entrants)]
        best = heapq.nsmallest(number, order) if number else sorted(order)
        return [Row([each], each.value) for *_, each in best]
    rows: dict[tuple[str, int | None, int], Row] = {}
    for each in sorted(entrants, key=lambda each: each.trial):
        key = (each.study, each.group, each.trial if each.group is None else 0)
        rows.setdefault(key, Row([])).entrants.append(each)
    for row in rows.values():
        latest = {each.replicate: each for each in row.entrants}
        row.entrants = [latest[replicate] for replicate in sorted(latest)]
        row.value = mean([each.value for each in row.entrants])
    found = sorted(rows.values(), key=lambda row: (-(row.first.budget or 0.0), sign * row.value, *row.first[:2]))
    return found[:number] if number else found


def table(rows: Sequence[Row], metric: str, metrics: str | None, values: str) -> list[list[str]]:
    """Return the cells, the header first: parameters that are the same in all rows say nothing and are left out."""
    names = sorted({name for row in rows for name in row.params}, key=lambda name: (name != BUDGET, name))
    names = [name for name in chosen(names, values) if len(rows) == 1 or _differ(name, rows)]
    more = sorted({name for row in rows for each in row.metrics.values() for name in each} - {metric})
    more = chosen(more, metrics)
    header = ["study", "replicates", metric, *more, *names]
    cells = [list(map(plain, header))]
    for row in rows:
        params = row.params
        cells.append(
            [
                row.name,
                ",".join(str(each.replicate) for each in row.entrants),
                row.told,
                *(row.metric(name) for name in more),
                *(brief(params[name]) if name in params else MISSING for name in names),
            ]
        )
    return cells


def mean(values: Sequence[float]) -> float:
    """Return the mean, which is infinite or nan where such are among them: `math.fsum` would raise."""
    return sum(values) / len(values)


def _differ(name: str, rows: Sequence[Row]) -> bool:
    return len({identity(row.params[name]) if name in row.params else None for row in rows}) > 1


def _with_range(values: Sequence[float]) -> str:
    middle, low, high = (three_digits(each) for each in (mean(values), min(values), max(values)))
    return middle if min(values) == max(values) else f"{middle} [{low}-{high}]"
