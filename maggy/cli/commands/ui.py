"""`maggy ui`: the store as web pages."""

from __future__ import annotations

from contextlib import suppress

import click

from maggy.cli.options import note, reading, store_option
from maggy.cli.pages import imported

PORT = 8265


@click.command(epilog="Example: maggy ui -db results/maggy.db")
@click.option(
    "-port",
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"Port; 0 for any. By default {PORT}, or any where that is taken.",
)
@store_option
def command(port: int | None) -> None:
    """Show studies in a web browser.

    Studies, their leaderboards while they run, trials with curves, logs and decisions, and plots. Pages only look, and
    are for this machine and you: the address has a token, good for one visit. Ctrl-C ends it. Needs maggy[ui].
    """
    serve = imported("maggy ui").serve
    with reading() as reader, suppress(KeyboardInterrupt):
        serve(reader, port, note, PORT)
