"""`maggy create-table`: make the store, or bring one of an earlier version up to date."""

from __future__ import annotations

from contextlib import closing

import click

from maggy.cli.options import named_store, store_option
from maggy.store import open_store


@click.command(epilog="Example: maggy -db results/maggy.db create-table")
@store_option
def command() -> None:
    """Make the store, or update an old one.

    Nobody has to: whoever runs a study in a store does the same. One that is there stays as it is.
    """
    with closing(open_store(named_store())) as store:
        click.echo(f"{store} is ready")
