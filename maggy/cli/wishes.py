"""What is wished of a driver: it reads its study's wishes each second."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from maggy.cli.options import writing
from maggy.cli.trials import the_study
from maggy.errors import ConfigError
from maggy.store import Store, StudyEntry
from maggy.views.summary import plain


def wish(names: Sequence[str], what: str, told: str) -> None:
    """Leave a wish for the drivers of these studies. Raises `ConfigError` where one has none, before any is left."""
    with writing() as store:
        held = [running(store, name) for name in names]
        for entry in held:
            store.request(entry.name, what)
            who = f"process {entry.owner.pid} on {plain(entry.owner.host)}" if entry.owner else "its driver"
            click.echo(f"study {plain(entry.name)!r}: {who} {told}")


def running(store: Store, name: str) -> StudyEntry:
    """Return the study of that name. Raises `ConfigError` where there is none, or nobody runs it."""
    entry = the_study(store, name)
    if not entry.held(time.time()):
        raise ConfigError(f"nobody runs study {name!r}, so there is nobody to tell")
    return entry
