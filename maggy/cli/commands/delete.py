"""`maggy delete`: forget studies."""

from __future__ import annotations

import time

import click

from maggy.cli.options import note, store_option, studies_argument, writing
from maggy.cli.trials import the_study
from maggy.errors import amount
from maggy.opening import time_of_holder
from maggy.views.summary import plain


@click.command(epilog="Example: maggy delete --yes digits digits-2")
@studies_argument(required=True, name="studies")
@click.option("-yes", "--yes", is_flag=True, help="Do not ask.")
@store_option
def command(studies: tuple[str, ...], yes: bool) -> None:
    """Delete studies from the store.

    Names are whole names here, not expressions. A study that somebody runs is not deleted. Files (logs, TensorBoard,
    checkpoints) stay where they are.
    """
    with writing() as store:
        entries = [the_study(store, name) for name in studies]
        for entry in entries:
            entry.check_free(None, time.time())
        if not yes:
            what = ", ".join(f"{plain(entry.name)} ({amount(entry.position, 'event')})" for entry in entries)
            click.confirm(f"Delete {what} for good?", abort=True, err=True)
        for entry in entries:
            store.delete(entry.name, time_of_holder(store, entry.name, note))
            click.echo(f"study {plain(entry.name)!r} is deleted")
