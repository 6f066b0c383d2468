"""The help screens, as the documentation shows them: `python -m maggy.cli.screens docs/cli.md` writes them there."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from maggy.cli.app import app

BEGIN = "<!-- help: written by python -m maggy.cli.screens -->\n"
END = "<!-- end of help -->\n"
WIDTH = 80  # columns


def screens() -> dict[str, str]:
    """Return the help of `maggy` and of each command, by what is typed."""
    shell = click.Context(app, info_name="maggy", terminal_width=WIDTH, help_option_names=["-h", "-help", "--help"])
    found = {"maggy": app.get_help(shell)}
    for name in app.list_commands(shell):
        command = app.get_command(shell, name)
        if command is not None:
            context = click.Context(command, info_name=name, parent=shell, terminal_width=WIDTH)
            found[f"maggy {name}"] = command.get_help(context)
    return {name: "\n".join(line.rstrip() for line in text.splitlines()) for name, text in found.items()}


def written(page: str) -> str:
    """Return a page of documentation with the help screens between its two marks, as they are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    blocks = "\n".join(f"### {name}\n\n```text\n{text}\n```\n" for name, text in screens().items())
    return f"{before}{BEGIN}\n{blocks}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
