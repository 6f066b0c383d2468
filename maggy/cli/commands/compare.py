"""`maggy compare`: studies side by side."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import click

from maggy.cli.options import query, reading, say, studies_argument
from maggy.cli.ranking import ranked
from maggy.cli.text import MISSING, columns, to_seconds
from maggy.cli.trials import finite, matching, objective_of, outlines, said, settings
from maggy.store import Reader, StudyEntry
from maggy.trial import Status
from maggy.views.explanation import optimizer_of
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
        told = [_described(reader, entry, now) for entry in matching(reader.studies(), patterns)]
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


def _described(reader: Reader, entry: StudyEntry, now: float) -> dict[str, Any]:
    found = settings(reader, entry.name)
    objective = objective_of(found)
    trials = outlines(reader, entry, now)
    counts = Counter(trial.status for trial in trials)
    rows = ranked(finite(reader, entry.name)[0], objective, 1)
    best = rows[0].first if rows else None
    began = min((trial.created for trial in trials), default=entry.created)
    return {
        "study": entry.name,
        "objective": said(objective),
        "optimizer": optimizer_of(found),
        "trials": len(trials),
        "completed": counts[Status.COMPLETED],
        "stopped": counts[Status.STOPPED],
        "failed": counts[Status.FAILED],
        "seconds": max((trial.touched(now) for trial in trials), default=began) - began,
        "best": rows[0].value if rows else None,
        "best_budget": best.budget if best else None,
        "best_trial": best.trial if best else None,
    }
