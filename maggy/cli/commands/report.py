"""`maggy report`: a study as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from maggy.cli.options import reading, store_option, studies_argument
from maggy.cli.trials import the_study
from maggy.errors import ConfigError, StoreError
from maggy.study import Study
from maggy.views.summary import plain


@click.command(epilog="Example: maggy report -o digits.html digits")
@studies_argument(required=True, name="study", one=True)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), help="The file to write; STUDY.html by default."
)
@store_option
def command(study: str, output: str | None) -> None:
    """Write a report of a study, with all pictures.

    One HTML file of 5 to 10 MB that loads nothing from anywhere, as result.to_html writes it. Needs maggy[plots].
    """
    with reading() as reader:
        the_study(reader, study)
        folded = Study.of(reader.read(study))
    from maggy.views.report import report

    # A store of somebody else's may have a study of any name.
    path = Path(output or f"{''.join(char if char.isalnum() or char in '._- ' else '_' for char in study)}.html")
    try:
        page = report(folded)
    except (LookupError, TypeError, ValueError) as error:  # a stranger's: no study of ours has such trials
        raise StoreError(f"study {study!r} has trials that do not fit its searchspace ({error!r})") from error
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the report cannot be written: {error}") from None
    click.echo(f"study {plain(study)!r} is told in {path}")
