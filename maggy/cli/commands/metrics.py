"""`maggy metrics`: what a trial has reported, as a table for other programs."""

from __future__ import annotations

from typing import Any

import click

from maggy.cli.options import chosen, complete, query, reading, say
from maggy.cli.text import number_of
from maggy.cli.trials import the_trial
from maggy.events import Ended, Reported
from maggy.views.summary import plain


@click.command(epilog="Example: maggy metrics -metrics 'loss$' digits:3 > curve.tsv")
@click.argument("trial", metavar="STUDY:TRIAL", shell_complete=complete)
@click.option("-metrics", "--metrics", "wanted", metavar="RE,...", help="Only metrics whose name matches.")
@query
def command(trial: str, wanted: str | None, as_json: bool) -> None:
    """Print what a trial has reported.

    Tab-separated, a line for each report, NA for what one lacks; of a trial without any what it has returned. JSON has
    the step, the attempt and the time of each as well.
    """
    with reading() as reader:
        entry, number = the_trial(reader, trial)
        reports: list[Reported | Ended] = list(reader.reports(entry.name, number))
        if not reports:
            ended = [event for event in reader.of_trials(entry.name, [number]) if isinstance(event, Ended)]
            reports += [event for event in ended[-1:] if event.metrics]
    names = sorted({name for report in reports for name in report.metrics})
    names = chosen(names, wanted) if wanted else names
    if as_json:
        say([_described(report, names) for report in reports])
        return
    click.echo("\t".join(map(plain, names)))
    for report in reports:
        click.echo("\t".join(number_of(report.metrics, name) for name in names))


def _described(report: Reported | Ended, names: list[str]) -> dict[str, Any]:
    metrics = {name: report.metrics[name] for name in names if name in report.metrics}
    step = report.step if isinstance(report, Reported) else None
    return {"step": step, "attempt": report.attempt, "at": report.at, "metrics": metrics}
