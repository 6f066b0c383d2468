"""`maggy compare`: studies side by side."""

from __future__ import annotations

import time

import click

from maggy.cli.options import query, reading, say, studies_argument
from maggy.cli.text import MISSING, columns, to_seconds
from maggy.cli.told import compared
from maggy.cli.trials import matching
from maggy.views.summary import number, plain


@click.command(epilog="Example: maggy compare 'digits.*'")
@studies_argument(required=True)
@query
def command(patterns: tuple[str, ...], as_json: bool) -> None:
    """Show studies side by side.

    What each optimized, how, how its trials came out, and the best of them.
    """
    now = time.time()
    with reading() as reader:
        told = [compared(reader, entry, now) for entry in matching(reader.studies(), patterns)]
    if as_json:
        say(told)
        return
    header = ["study", "objective", "optimizer", "trials", "completed", "stopped", "failed", "time", "best", "trial"]
    rows = [header]
    for each in told:
        best = (MISSING, MISSING) if each["best"] is None else (number(each["best"], 4), str(each["best_trial"]))
        counts = [str(each[key]) for key in header[3:7]]
        front = [plain(each["study"]), plain(each["objective"]), plain(each["optimizer"])]
        rows.append([*front, *counts, to_seconds(each["seconds"]), *best])
    click.echo("\n".join(columns(rows)))
    if len({each["objective"] for each in told}) > 1:
        click.echo("maggy: these studies optimize different things; compare no best with another's", err=True)
