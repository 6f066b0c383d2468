"""`maggy run`: run the studies of a file."""

from __future__ import annotations

import sys

import click

from maggy.cli.options import complete, named_store, note, store_option


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
@click.argument("file", metavar="FILE", type=click.Path(readable=False))
@click.argument("arguments", nargs=-1, metavar="[STUDY...|RUN...]", shell_complete=complete)
def command(
    trials: int,
    rounds: int,
    stream: bool,
    replicate: int | None,
    log_dir: str,
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
        if not Runner(opened, wish, store=named_store(), log_dir=log_dir, say=note).run(studies):
            sys.exit(1)
