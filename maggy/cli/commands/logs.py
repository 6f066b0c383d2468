"""`maggy logs`: what a trial has printed."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from maggy.cli.options import complete, moment, reading, store_option
from maggy.cli.told import log_of
from maggy.cli.trials import settings, the_trial
from maggy.errors import ConfigError
from maggy.events import Ended
from maggy.store import Reader
from maggy.views.summary import TEXT_WIDTH, harmless, shortened

LOOK = 0.3  # seconds between two looks at a log that is followed
PIECE = 1 << 16  # bytes


@click.command(epilog="Example: maggy logs -f digits:3")
@click.argument("trial", metavar="STUDY:TRIAL", shell_complete=complete)
@click.option("-f", "--follow", is_flag=True, help="Go on with what it prints until the trial has ended.")
@click.option("-since", "--since", metavar="WHEN", help="Only if it has printed something since: 90m, 2d, 2026-11-21.")
@store_option
def command(trial: str, follow: bool, since: str | None) -> None:
    """Print what a trial has printed."""
    after = moment(since)
    with reading() as reader:
        entry, number = the_trial(reader, trial)
        files = settings(reader, entry.name).get("files")
        if not files:
            raise ConfigError(f"study {entry.name!r} keeps no logs: it was run with log_dir=None")
        log = log_of(files, number)
        if not follow and not _there(log.is_file):
            missing = f"has its log in {shortened(files, TEXT_WIDTH)}, which is not here"
            missing = "has printed nothing" if _there(Path(files).is_dir) else missing
            raise ConfigError(f"trial {trial!r} {missing}")
        if after is not None and not follow and log.stat().st_mtime < after:
            return
        try:
            for piece in _pieces(log, _ends(reader, entry.name, number) if follow else iter([True])):
                _print(piece)
        except PermissionError as error:
            raise ConfigError(f"the log of trial {trial!r} cannot be read: {error}") from None


def _there(look: Callable[[], bool]) -> bool:
    """Whether it is a file, or a directory: a pipe would keep us waiting, and a stranger's store names any folder."""
    try:
        return look()
    except OSError:  # a name that is too long
        return False


def _ends(reader: Reader, study: str, number: int) -> Iterator[bool]:
    """Say at each look whether the trial had ended, or nobody ran it, at the one before: its last lines come late."""
    ended = False
    while True:
        yield ended
        held = any(entry.name == study and entry.held(time.time()) for entry in reader.studies())
        ended = not held or any(isinstance(event, Ended) for event in reader.of_trials(study, [number]))
        time.sleep(LOOK)


def _pieces(log: Path, ends: Iterator[bool]) -> Iterator[str]:
    """Yield what is in the log, and what comes, until it has ended and all is read."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    at = 0
    for ended in ends:
        if _there(log.is_file):
            with log.open("rb") as file:
                file.seek(at)
                while piece := file.read(PIECE):
                    at += len(piece)
                    yield decoder.decode(piece)
        if ended:
            return


def _print(piece: str) -> None:
    """Print to a terminal what it can show; to others what is there."""
    if sys.stdout.isatty():
        ends = "\n" if piece.endswith("\n") else ""
        piece = "\n".join(map(harmless, piece.splitlines())) + ends
    click.echo(piece, nl=False, color=True)
