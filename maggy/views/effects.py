"""The result of an ablation study as a table: in terminals, notebooks and pandas."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, overload

from maggy.effects import Effect, effects
from maggy.errors import amount
from maggy.study import Study
from maggy.views.summary import number, plain, shortened

HEADS = ("", "n", "value", "effect", "95 % interval", "interaction", "")
COLUMNS = ("label", "n", "value", "effect", "low", "high", "interaction", "verdict", "why")
WIDTH = 60


class Ablation(Sequence[Effect]):
    """The effects of an ablation study, the most harmful change first, and the `reference` that they are measured from.

    Print it, show it in a notebook, `plot()` it, or take `to_pandas()`.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self.reference, *self._effects = effects(study)

    @overload
    def __getitem__(self, index: int) -> Effect: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Effect]: ...
    def __getitem__(self, index: int | slice) -> Effect | Sequence[Effect]:
        return self._effects[index]

    def __len__(self) -> int:
        return len(self._effects)

    @property
    def best(self) -> Effect:
        """The change with the best mean, of those measured with all seeds; the reference where none is better.

        It was chosen for that: on other seeds it will do a little worse than here.
        """
        seeds = max((each.n for each in self), default=0)
        ranked = [each for each in self if each.n == seeds and each.harm < 0]
        return min(ranked, key=lambda each: each.harm, default=self.reference)

    def plot(self) -> Any:
        """Draw the effects as bars with their intervals: a plotly figure. Raises `ConfigError` without plotly."""
        from maggy.views.plots.effects import bars

        return bars(self._study)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells as text, the reference first; columns are those of `HEADS`."""
        return [cells(each) for each in (self.reference, *self._effects)]

    def __str__(self) -> str:
        heads, *rows = self.columns()
        widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
        lines = [
            "  ".join(cell.ljust(width) if not rank else cell.rjust(width) for rank, (cell, width) in enumerate(told))
            for told in (list(zip(row, widths, strict=True)) for row in [heads, *rows])
        ]
        return "\n".join(line.rstrip() for line in [*lines, *self._notes()])

    def __repr__(self) -> str:
        return f"<Ablation: {amount(len(self), 'change')}>"

    def _repr_html_(self) -> str:
        heads, *rows = self.columns()
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def columns(self) -> list[tuple[str, ...]]:
        """Return heads and rows, without columns in which nothing stands."""
        rows = [HEADS, *self.rows()]
        kept = [rank for rank in range(len(HEADS)) if any(row[rank] for row in rows[1:])]
        return [tuple(row[rank] for rank in kept) for row in rows]

    def _notes(self) -> list[str]:
        return [f"{plain(each.label)}: {plain(each.why)}" for each in (self.reference, *self) if each.why]

    def to_pandas(self) -> Any:
        """Return the table as a data frame, the reference first. pandas has to be installed."""
        import pandas as pd

        return pd.DataFrame(self.told(), columns=COLUMNS)

    def told(self) -> list[dict[str, Any]]:
        """Return the table as JSON values, the reference first."""
        return [{name: getattr(each, name) for name in COLUMNS} for each in (self.reference, *self)]


def cells(effect: Effect) -> tuple[str, ...]:
    """Return one row of the table."""
    interval = "" if effect.low is None or effect.high is None else f"{signed(effect.low)} to {signed(effect.high)}"
    return (
        shortened(plain(effect.label), WIDTH),
        str(effect.n),
        "" if effect.value is None else number(effect.value + 0.0),  # 0, not -0
        "" if effect.effect is None else signed(effect.effect),
        interval,
        "" if effect.interaction is None else signed(effect.interaction),
        effect.verdict,
    )


def signed(value: float) -> str:
    """Return a difference with its sign and three digits that count."""
    return "0" if abs(value) < 1e-15 else f"{value:+.3g}"  # noqa: PLR2004 - what is left of a sum of zeros
