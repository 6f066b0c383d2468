"""`maggy leaderboard`: the best trials of one or several studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from maggy.cli.options import query, reading, say, studies_argument
from maggy.cli.ranking import Entrant, Row, ranked, table
from maggy.cli.text import columns
from maggy.cli.told import complete
from maggy.cli.trials import finite, matching, objective_of, said, settings
from maggy.errors import ConfigError, amount
from maggy.store import Reader, StudyEntry
from maggy.study import Study
from maggy.trial import Objective
from maggy.views.effects import Ablation
from maggy.views.summary import ablates


@click.command(epilog="Example: maggy leaderboard -n 3 -metrics acc digits")
@studies_argument(required=True)
@click.option(
    "-objective", "--objective", "override", metavar="[+-]METRIC", help="Rank by it: + or nothing, most first."
)
@click.option("-n", "--number", type=click.IntRange(min=0), default=10, show_default=True, help="Rows; 0 for all.")
@click.option("-values", "--values", metavar="RE,...", default=".", help="Parameters to show; all that differ.")
@click.option("-metrics", "--metrics", metavar="RE,...", help="Other metrics to show.")
@click.option("-expand", "--expand", is_flag=True, help="A row for each replicate.")
@query
def command(
    patterns: tuple[str, ...],
    override: str | None,
    number: int,
    values: str,
    metrics: str | None,
    expand: bool,
    as_json: bool,
) -> None:
    """Show the best trials of studies.

    Of those that completed, the largest budgets first. Parameters that are the same in all rows are left out. Of an
    ablation study alone the effects, the most harmful first; with -objective, -metrics or -expand its trials.
    """
    with reading() as reader:
        entries = matching(reader.studies(), patterns)
        plain = override is None and metrics is None and not expand
        if plain and len(entries) == 1 and ablates(settings(reader, entries[0].name)):
            found = Ablation(Study.of(reader.read(entries[0].name)))
            if as_json:
                say(found.told())
            else:
                click.echo(str(found))
            return
        objective = _objective(reader, entries, override)
        entrants: list[Entrant] = []
        lacking = 0
        for entry in entries:
            these, without = finite(reader, entry.name, objective.metric if override else None)
            entrants, lacking = entrants + these, lacking + without
        rows = ranked(entrants, objective, number, expand=expand)
        complete(reader, rows)
    if lacking:
        click.echo(f"maggy: {amount(lacking, 'completed trial has', 'completed trials have')} no "
                   f"finite {objective.key!r} and are left out", err=True)  # fmt: skip
    if as_json:
        say([_described(row, objective) for row in rows])
    else:
        click.echo("\n".join(columns(table(rows, objective.key, metrics, values))))


def _objective(reader: Reader, entries: Sequence[StudyEntry], override: str | None) -> Objective:
    """Return what to rank by. Raises `ConfigError` where the studies disagree and nothing was named."""
    if override is not None:
        name = override.removeprefix("+") if override.startswith("+") else override.removeprefix("-")
        if not name:
            raise ConfigError(f"-objective {override!r} names no metric: write -objective acc, or -objective -loss")
        return Objective(name, "min" if override.startswith("-") else "max")
    found = {entry.name: objective_of(settings(reader, entry.name)) for entry in entries}
    first, *others = found.items()
    for name, objective in others:
        if objective != first[1]:
            raise ConfigError(
                f"study {first[0]!r} has the objective {said(first[1])}, study {name!r} {said(objective)}: say with "
                "-objective by which metric to rank them"
            )
    return first[1]


def _described(row: Row, objective: Objective) -> dict[str, Any]:
    return {
        "study": row.first.study,
        "trials": [each.trial for each in row.entrants],
        "replicates": [each.replicate for each in row.entrants],
        "objective": said(objective),
        "value": row.value,
        "budget": row.first.budget,
        "params": row.values,
        "metrics": row.means,
    }
