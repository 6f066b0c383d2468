"""`maggy export`: a study's trials for other programs."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from maggy.cli.options import reading, store_option, studies_argument
from maggy.cli.trials import the_study
from maggy.errors import ConfigError
from maggy.jsonvalue import dumps
from maggy.study import Study
from maggy.trial import Trial
from maggy.views.summary import harmless

OWN = (
    "trial",
    "status",
    "value",
    "budget",
    "parent",
    "attempt",
    "started",
    "ended",
    "reason",
    "error",
    "group",
    "replicate",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with these a cell is executed by spreadsheets


@click.command(epilog="Example: maggy export --csv -o digits.csv digits")
@studies_argument(required=True, name="study", one=True)
@click.option("-csv", "--csv", "form", flag_value="csv", help="Comma-separated values, a line for each trial.")
@click.option("-json", "--json", "form", flag_value="json", default="json", help="JSON, with all reports (default).")
@click.option("-parquet", "--parquet", "form", flag_value="parquet", help="Parquet; needs maggy[parquet].")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="The file to write; standard output otherwise.")
@store_option
def command(study: str, form: str, output: str | None) -> None:
    """Write a study's trials as CSV, JSON or Parquet.

    Parameters are param_NAME, what was returned metric_NAME, times seconds since 1970. In CSV a text that spreadsheets
    would execute begins with a quote ('); a number that is not finite is nan or inf.
    """
    with reading() as reader:
        the_study(reader, study)
        folded = Study.of(reader.read(study))
        if form == "json":
            content = (dumps(_document(study, folded)) + "\n").encode()
        else:
            rows = [_row(trial) for trial in folded.trials.values()]
            more = sorted({name for row in rows for name in row if name not in OWN})
            content = _csv(rows, [*OWN, *more]) if form == "csv" else _parquet(rows, [*OWN, *more])
    if output is not None:
        Path(output).write_bytes(content)
    elif form == "parquet" and sys.stdout.isatty():
        raise ConfigError("parquet is not for terminals: name a file with -o")
    elif sys.stdout.isatty():
        click.echo("\n".join(map(harmless, content.decode().splitlines())))
    else:
        click.echo(content, nl=False)


def _document(name: str, study: Study) -> dict[str, Any]:
    trials = [
        {
            **{key: value for key, value in _row(trial).items() if key in OWN},
            "params": dict(trial.params),
            "metrics": dict(trial.metrics),
            "reports": [{"step": step, "value": value} for step, value in trial.curve.points()],
        }
        for trial in study.trials.values()
    ]
    return {"study": name, "settings": study.settings, "closed": study.closed, "trials": trials}


def _row(trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "trial": trial.id,
        "status": str(trial.status),
        "value": trial.value,
        "budget": trial.budget,
        "parent": trial.parent,
        "attempt": trial.attempt,
        "started": trial.started,
        "ended": trial.ended,
        "reason": trial.stop_reason,
        "error": trial.error,
        "group": trial.group,
        "replicate": trial.replicate,
    }
    row |= {f"param_{name}": value for name, value in trial.params.items()}
    return row | {f"metric_{name}": value for name, value in trial.metrics.items()}


def _csv(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    """Return a value as a cell that no spreadsheet executes: numbers are numbers, whatever sign they have."""
    if isinstance(value, list | dict | bool):
        value = dumps(value)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def _parquet(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> bytes:
    """Return the rows as Parquet; a column whose values are not all numbers, or all texts, has them as JSON."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ConfigError("--parquet needs pyarrow: `pip install 'maggy[parquet]'`, or take --csv or --json") from None
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def _column(values: list[Any]) -> list[Any]:
    kinds = {bool if isinstance(value, bool) else type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    plain = len(kinds) <= 1 and not kinds & {list, dict}
    return values if plain else [None if value is None else dumps(value) for value in values]
