"""The program `maggy`: its commands are found by the names of their modules, and loaded when they are needed."""

from __future__ import annotations

import gc
import os
import pkgutil
from importlib import import_module
from typing import Any, cast

import click

from maggy.cli.options import store_option
from maggy.errors import MaggyError, nearest
from maggy.version import VERSION
from maggy.views.summary import harmless, shortened

HOME = "maggy.cli.commands"
LONGEST = 1000  # characters of a line of a refusal, which may tell what stands in a damaged store
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
        lines = [shortened(harmless(line), LONGEST) for line in f"maggy: {self.message}".splitlines()]
        click.echo("\n".join(lines), err=True, file=file)


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

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command that is asked for, or say which may have been meant."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            ctx.fail(f"There is no command {args[0]!r}{nearest(args[0], known)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what maggy refuses becomes a sentence."""
        given = list(ctx.args)
        try:
            return super().invoke(ctx)
        except MaggyError as error:
            raise Refusal(str(error)) from error
        except click.NoSuchOption as error:
            raise _unknown(error, given) from None


def _unknown(error: click.NoSuchOption, given: list[str]) -> click.UsageError:
    """Return what to say of an option that there is not: of `-run` click knows only that there is no `-r`."""
    word = next((each for each in given if each.startswith(error.option_name)), error.option_name).partition("=")[0]
    params = error.ctx.command.get_params(error.ctx) if error.ctx else []
    known = [name for each in params for name in each.opts if name.startswith("--") or name[2:]]
    return click.UsageError(f"There is no option {word}{nearest(word, known)}", error.ctx)


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
