"""`maggy explain`: why a trial was suggested, promoted, stopped."""

from __future__ import annotations

import click

from maggy.cli.options import complete, query, reading, say
from maggy.cli.text import block
from maggy.cli.trials import the_trial
from maggy.views.summary import plain


@click.command(epilog="Example: maggy explain digits:14")
@click.argument("trial", metavar="STUDY:TRIAL", shell_complete=complete)
@query
def command(trial: str, as_json: bool) -> None:
    """Tell why a trial is what it is.

    Why it was suggested or promoted, how its attempts went, why it stopped, and where it stands in its rung. All of it
    comes from the log, which is read whole: a second for 100,000 events.
    """
    from maggy.views.explanation import explained, told

    with reading() as reader:
        entry, number = the_trial(reader, trial)
        why = explained(reader.read(entry.name), number)
    if as_json:
        say({"study": entry.name, **why})
        return
    click.echo(f"{plain(entry.name)}:{number}:")
    click.echo("\n".join(block([(label, plain(text)) for label, text in told(why, entry.name)])))
