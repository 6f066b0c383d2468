"""`maggy stop`: end studies that run; they can be resumed."""

from __future__ import annotations

import click

from maggy.cli.options import store_option, studies_argument
from maggy.cli.wishes import wish


@click.command(epilog="Example: maggy stop digits")
@studies_argument(required=True, name="studies")
@store_option
def command(studies: tuple[str, ...]) -> None:
    """End studies that run.

    They can be resumed. Trials that run are ended, and run again when the study is resumed. Their drivers hear of it
    within a second.
    """
    wish(studies, "stop", "ends it: what runs will run again when the study is resumed")
