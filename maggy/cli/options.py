"""What several commands take: where the store is, JSON instead of text, patterns and moments."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click

from maggy.errors import ConfigError
from maggy.executor.output import duration
from maggy.jsonvalue import dumps
from maggy.store import Reader, Store, open_reader, open_store
from maggy.views.summary import harmless

STORE = "maggy.store"  # the key in click's notes
Function = TypeVar("Function", bound=Callable[..., Any])


# -- the store -----------------------------------------------------------------------------------------------------


def _note_store(ctx: click.Context, param: click.Parameter, where: str | None) -> None:  # noqa: ARG001 - click's
    if where is not None:
        ctx.meta[STORE] = where


def store_option(function: Function) -> Function:
    """Add `-db` and `--store`, before the command or behind it."""
    return click.option(
        "-db",
        "--store",
        metavar="STORE",
        type=click.Path(readable=False),  # so that shells complete it
        callback=_note_store,
        expose_value=False,
        help="A file or postgresql://USER@HOST/DATABASE; $MAGGY_STORE or ./maggy.db otherwise.",
    )(function)


def file_option(function: Function) -> Function:
    """Add `-l`: not of the store, but of a study file."""
    of_file = click.Path(readable=False)
    return click.option("-l", "--load", "file", type=of_file, metavar="FILE", help="Of a study file instead.")(function)


def query(function: Function) -> Function:
    """Add the options of a command that only looks: the store, and JSON."""
    return store_option(click.option("-json", "--json", "as_json", is_flag=True, help="Print JSON.")(function))


def named_store() -> str | None:
    """Return what `-db` has named, None for the default."""
    found: str | None = click.get_current_context().meta.get(STORE)
    return found


@contextmanager
def reading() -> Iterator[Reader]:
    """Open the store to look at it."""
    with closing(open_reader(named_store())) as reader:
        yield reader


@contextmanager
def writing() -> Iterator[Store]:
    """Open the store, which has to be there, to leave a word for a driver or delete a study."""
    with closing(open_store(named_store(), existing=True)) as store:
        yield store


def studies_argument(*, required: bool = False, name: str = "patterns", one: bool = False) -> Callable[..., Any]:
    """Add the argument for studies, which the shell completes."""
    nargs = 1 if one else -1
    shown = "STUDY" if one else "STUDY..." if required else "[STUDY]..."
    return click.argument(name, nargs=nargs, required=required, shell_complete=complete, metavar=shown)


def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:  # noqa: ARG001 - click's signature
    """Return the names of studies that begin so; of trials too, for bash takes `digits:3` for three words."""
    try:
        with closing(open_reader(ctx.meta.get(STORE))) as reader:
            return [entry.name for entry in reader.studies() if entry.name.startswith(begun)]
    except Exception:  # noqa: BLE001 - a shell that completes has no place for errors
        return []


# -- what is asked for ---------------------------------------------------------------------------------------------


def patterns(given: str | Sequence[str] | None) -> list[re.Pattern[str]]:
    """Return the regular expressions of a list, or of a text with commas. Raises `ConfigError` for one that is none."""
    found = []
    for text in (given.split(",") if isinstance(given, str) else given) if given else ():
        try:
            found.append(re.compile(text))
        except re.error as error:
            raise ConfigError(f"{text!r} is no regular expression: {error}") from None
    return found


def chosen(names: Sequence[str], given: str | None) -> list[str]:
    """Return those names in which one of the expressions is found."""
    wanted = patterns(given)
    return [name for name in names if any(pattern.search(name) for pattern in wanted)]


def moment(text: str | None, now: float | None = None) -> float | None:
    """Return when that was: a duration ago, or a date or time of this place. Raises `ConfigError` otherwise."""
    if text is None:
        return None
    if (ago := duration(text)) is not None:
        return (time.time() if now is None else now) - ago
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ConfigError(
            f"{text!r} is no duration (90s, 1h30m, 7d) and no date (2026-11-21, 2026-11-21T18:30)"
        ) from None


# -- what is said --------------------------------------------------------------------------------------------------


def colours() -> bool:
    """Whether what is printed may be coloured: on a terminal, unless NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def say(value: Any) -> None:
    """Print a value as strict JSON, a number that is not finite as `{"$f": "nan"}`."""
    click.echo(dumps(value))


def note(line: str) -> None:
    """Print a line that is not what was asked for."""
    click.echo("\n".join(map(harmless, line.splitlines())), err=True)
