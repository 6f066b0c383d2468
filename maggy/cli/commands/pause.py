"""`maggy pause`: let studies that run give out nothing new, until `maggy resume`."""

from __future__ import annotations

import click

from maggy.cli.options import store_option, studies_argument
from maggy.cli.wishes import wish


@click.command(epilog="Example: maggy pause digits")
@studies_argument(required=True, name="studies")
@store_option
def command(studies: tuple[str, ...]) -> None:
    """Let studies give out no more trials.

    Until `maggy resume`. Trials that run go on. A study that has nothing left to do ends all the same.
    """
    wish(studies, "pause", "gives out nothing new until `maggy resume`; what runs goes on")
