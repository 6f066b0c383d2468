"""`maggy script`: show what a trial of a study file would run."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import click

from maggy.cli.options import note
from maggy.domain import Domain
from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import dumps
from maggy.studyfile.definition import Definition


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Example: maggy script mnist.dv mnist -epochs=1 > trial.sh",
)
@click.option("-ident", "--ident", metavar="ID", help="The id that the script is to see; STUDY:0 by default.")
@click.argument("file", metavar="FILE", type=click.Path(readable=False))
@click.argument("study", metavar="STUDY [-NAME=VALUE...]")
@click.pass_context
def command(ctx: click.Context, ident: str | None, file: str, study: str) -> None:
    """Print what a trial of a study file would run.

    Functions of bash: `study`, and one for each dataset. Values that are not given, as -name=value, are drawn at
    random, always the same.
    """
    from maggy.studyfile.file import StudyFile
    from maggy.studyfile.runner import rendered

    with StudyFile(file, note) as opened:
        names = {each.name: each for each in opened.definitions}
        if study not in names:
            raise ConfigError(f"there is no study {study!r} in {file}{nearest(study, names)}")
        found = names[study]
        if found.acquires:
            raise ConfigError(f"study {study!r} has no script: its trials call the function that acquire= names")
        values = overridden(found, ctx.args)
        click.echo(rendered(opened.run_config(found, values, ident or f"{study}:0")), nl=False)


def overridden(study: Definition, arguments: list[str]) -> dict[str, Any]:
    """Return a study's configuration, drawn from seed 0, with some of its values as arguments `-name=value` say."""
    values: dict[str, Any] = dict(study.searchspace.sample(Random(0)))
    for argument in arguments:
        if argument in ("-db", "--store"):
            raise ConfigError(f"a script is made from the file alone; {argument} is for commands that read a store")
        name, sign, text = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not sign:
            raise ConfigError(f"{argument!r} is no value; write -name=value")
        domains: Mapping[str, Domain] = dict(study.searchspace.items())
        if name not in domains:
            raise ConfigError(f"study {study.name!r} has no parameter {name!r}{nearest(name, domains)}")
        values[name] = _value(name, domains[name], text)
    study.searchspace.check(values)
    return values


def _value(name: str, domain: Domain, text: str) -> Any:
    listed = [domain.nth(rank) for rank in range(domain.size)] if domain.size and domain.size <= 10_000 else []  # noqa: PLR2004 - then it is a range
    if any(isinstance(each, list | dict) for each in listed):
        raise ConfigError(f"parameter {name!r} is a list or a dict; such cannot be given here")
    for each in listed:
        if text in (each if isinstance(each, str) else dumps(each), str(each)):
            return each
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if domain.contains(value):
            return value
    raise ConfigError(f"-{name}={text} is not in {domain!r}")
