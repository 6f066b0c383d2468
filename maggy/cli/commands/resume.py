"""`maggy resume`: let a paused study go on, or tell how one goes on that has ended."""

from __future__ import annotations

import time
from pathlib import Path

import click

from maggy.cli.options import reading, store_option, studies_argument
from maggy.cli.trials import settings, the_study
from maggy.cli.wishes import wish
from maggy.store import DEFAULT
from maggy.views.summary import resuming


@click.command(epilog="Example: maggy resume digits")
@studies_argument(required=True, name="study", one=True)
@store_option
def command(study: str) -> None:
    """Let a paused study go on.

    Of one that nobody runs, print the line of Python that goes on with it: what such a study trains is a function of
    yours, which its log does not have.
    """
    with reading() as reader:
        entry = the_study(reader, study)
        if not entry.held(time.time()):
            found = settings(reader, study)
            rules = found.get("earlystop") or []
            options = {"optimizer": None} if "custom" in (found.get("optimizer") or {}) else {}
            options |= {"earlystop": None} if any("custom" in rule for rule in rules) else {}
            store = str(reader)
            click.echo(resuming(study, options | ({} if store == str(Path(DEFAULT).absolute()) else {"store": store})))
            return
    wish([study], "resume", "gives out trials again")
