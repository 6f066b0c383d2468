"""`python -m maggy.studyfile run FILE` and `… script FILE STUDY`."""

import sys

import click

from maggy.errors import MaggyError
from maggy.studyfile.commands import run, script

commands = click.Group("maggy", commands={"run": run, "script": script})

if __name__ == "__main__":
    try:
        commands()
    except MaggyError as error:
        click.echo(f"maggy: {error}", err=True)
        sys.exit(2)
