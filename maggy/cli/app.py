"""The program `maggy`: its commands are found by the names of their modules, and loaded when they are needed."""

from __future__ import annotations

import gc
import os
import pkgutil
from importlib import import_module
from typing import Any, cast

import click

from maggy.cli.options import store_option
from maggy.errors import MaggyError
from maggy.version import VERSION
from maggy.views.summary import harmless

HOME = "maggy.cli.commands"
EPILOG = """
\b
  maggy list -runs -state pending -s
  maggy leaderboard digits
  maggy -db results/maggy.db watch digits

Studies are named by regular expressions that match the whole name, trials as digits:3. Completion in your shell:
eval "$(_MAGGY_COMPLETE=bash_source maggy)", or zsh_source, fish_source.
"""


class Refusal(click.ClickException):
    """What cannot be done, in a sentence; exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the sentence to stderr, and what it shows of a study file below it."""
        click.echo("\n".join(map(harmless, f"maggy: {self.message}".splitlines())), err=True, file=file)


class Maggy(click.Group):
    """A group whose commands are the modules of a package."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        found = pkgutil.iter_modules(import_module(HOME).__path__)
        return sorted(module.name.replace("_", "-") for module in found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        return cast("click.Command", import_module(f"{HOME}.{name}").command)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what maggy refuses becomes a sentence."""
        try:
            return super().invoke(ctx)
        except MaggyError as error:
            raise Refusal(str(error)) from error


def _change_directory(ctx: click.Context, param: click.Parameter, where: str | None) -> None:  # noqa: ARG001
    if where is not None and not ctx.resilient_parsing:
        os.chdir(where)


@click.group(cls=Maggy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "-help", "--help"]})
@store_option
@click.option(
    "-C",
    "directory",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    callback=_change_directory,
    expose_value=False,
    is_eager=True,
    help="Work in this directory.",
)
@click.version_option(VERSION, "--version", message="maggy %(version)s")
def app() -> None:
    """Look at studies, those that run included, and say what they are to do."""


def main() -> None:
    """Run the program."""
    gc.set_threshold(100_000)  # a list makes many objects and no cycles: looking for some is a fifth of its time
    app(prog_name="maggy")
