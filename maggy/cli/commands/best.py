"""`maggy best`: a study's best trial."""

from __future__ import annotations

import click

from maggy.cli.options import query, reading, say, studies_argument
from maggy.cli.ranking import ranked
from maggy.cli.text import BLOCK, block, shown
from maggy.cli.trials import finite, objective_of, said, settings, the_study
from maggy.errors import ConfigError
from maggy.events import Drawn, Suggested
from maggy.views.summary import plain


@click.command(epilog="Example: maggy best digits")
@studies_argument(required=True, name="study", one=True)
@query
def command(study: str, as_json: bool) -> None:
    """Show a study's best trial.

    The best that completed, of those with the largest budget that any completed. Of replicates the mean counts.
    """
    with reading() as reader:
        the_study(reader, study)
        objective = objective_of(settings(reader, study))
        rows = ranked(finite(reader, study)[0], objective, 1)
        if not rows:
            raise ConfigError(f"no trial of study {study!r} has completed with a finite value")
        row, best = rows[0], rows[0].first
        facts = reader.of_trials(study, [best.trial])
        params = dict([each for each in facts if isinstance(each, Suggested | Drawn)][-1].params)
    told = {
        "study": study,
        "trial": best.trial,
        "trials": [each.trial for each in row.entrants],
        "objective": said(objective),
        "value": row.value,
        "budget": best.budget,
        "params": params,
    }
    if as_json:
        say(told)
        return
    budget = [] if best.budget is None else [("budget", shown(best.budget))]
    value = shown(row.value) if len(row.entrants) == 1 else row.told
    click.echo(f"{row.name}:")
    click.echo("\n".join(block([("objective", said(objective)), ("value", value), *budget])))
    values = [(plain(name), shown(value)) for name, value in sorted(params.items())]
    click.echo("\n".join([f"{BLOCK}values:", *block(values, depth=2)]))
