"""`maggy resume`: let a paused study go on, or tell how one goes on that has ended."""

from __future__ import annotations

import shlex
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

    Of one that nobody runs, print the line that goes on with it: of Python where it trains a function of yours, which
    its log does not have, or a program; `maggy run` where it is a study file's.
    """
    with reading() as reader:
        entry = the_study(reader, study)
        if not entry.held(time.time()):
            found = settings(reader, study)
            store = None if str(reader) == str(Path(DEFAULT).absolute()) else str(reader)
            if "studyfile" in found:
                where = [] if store is None else ["-db", store]
                click.echo(shlex.join(["maggy", "run", *where, "-stream", found["studyfile"], study]))
                return
            rules = found.get("earlystop") or []
            options = {"optimizer": None} if "custom" in (found.get("optimizer") or {}) else {}
            options |= {"earlystop": None} if any("custom" in rule for rule in rules) else {}
            passed = options if store is None else {**options, "store": store}
            click.echo(resuming(study, passed, command="command" in found))
            return
    wish([study], "resume", "gives out trials again")
