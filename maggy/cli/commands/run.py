"""`maggy run`: run the studies of a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import click

from maggy.cli.options import complete, named_store, note, reading, store_option
from maggy.cli.pages import imported
from maggy.errors import ConfigError

LAST_PORT = 65535


def _port(ctx: click.Context, param: click.Parameter, where: str | None) -> int | None:  # noqa: ARG001 - click's signature
    """Return the port of `8000`, of `:8000` as Diviner has it, or of `127.0.0.1:8000`."""
    if where is None:
        return None
    host, _, port = where.rpartition(":")
    if host not in ("", "127.0.0.1", "localhost"):
        raise ConfigError(f"-http {where}: pages are for this machine alone; name a port, or 127.0.0.1:PORT")
    if not port.isascii() or not port.isdigit() or int(port) > LAST_PORT:
        raise ConfigError(f"-http {where}: it must be a port, from 0, for any that is free, to {LAST_PORT}")
    return int(port)


@click.command(epilog="Example: maggy run -stream -trials 5 mnist.dv\n\nCtrl-C lets what runs end; twice stops it.")
@click.option("-trials", "--trials", default=1, metavar="N", help="Trials at a time; 1 by default.")
@click.option("-rounds", "--rounds", default=1, metavar="M", help="Rounds of so many trials; 1 by default.")
@click.option("-stream", "--stream", is_flag=True, help="Start a trial whenever another has ended, without rounds.")
@click.option("-replicate", "--replicate", type=int, metavar="R", help="Replicates, instead of the file's.")
@store_option
@click.option(
    "-log-dir",
    "--log-dir",
    type=click.Path(readable=False),
    default="maggy_logs",
    metavar="DIR",
    help="Where logs go; ./maggy_logs by default.",
)
@click.option(
    "-http", "--http", "port", metavar="PORT", callback=_port, help="Serve pages on this machine; 0: any port."
)
@click.argument("file", metavar="FILE", type=click.Path(readable=False))
@click.argument("arguments", nargs=-1, metavar="[STUDY...|RUN...]", shell_complete=complete)
def command(
    trials: int,
    rounds: int,
    stream: bool,
    replicate: int | None,
    log_dir: str,
    port: int | None,
    file: str,
    arguments: tuple[str, ...],
) -> None:
    """Run the studies of a file.

    Those whose whole names match, all by default; or some of their runs again.
    """
    from maggy.studyfile.file import StudyFile
    from maggy.studyfile.runner import Runner, Wish, chosen

    Wish(trials, rounds, stream, replicate)  # what cannot be wished is told before a file is read
    with StudyFile(file, note) as opened:
        studies, again = chosen(opened, arguments)
        wish = Wish(trials, rounds, stream, replicate, again)
        beside = nullcontext if port is None else _pages(port)
        if not Runner(opened, wish, store=named_store(), log_dir=log_dir, say=note).run(studies, beside):
            sys.exit(1)


def _pages(port: int) -> Callable[[], AbstractContextManager[None]]:
    """Return what serves the store's pages on this machine for as long as it is entered."""
    served = imported("maggy run -http").serving

    @contextmanager
    def pages() -> Iterator[None]:
        with reading() as reader, served(reader, port, note):
            yield

    return pages
