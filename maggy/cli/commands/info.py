"""`maggy info`: all about a study, or a trial."""

from __future__ import annotations

import math
import time
from textwrap import dedent
from typing import Any

import click

from maggy.cli.options import complete, file_option, query, reading, say
from maggy.cli.text import BLOCK, block, date, duration, shown
from maggy.cli.told import study_told, trial_told
from maggy.cli.trials import is_trial, the_study, the_trial
from maggy.errors import amount
from maggy.searchspace import Searchspace
from maggy.views.summary import harmless, plain


@click.command(epilog="Example: maggy info digits digits:3")
@click.argument("ids", nargs=-1, required=True, metavar="STUDY|STUDY:TRIAL...", shell_complete=complete)
@click.option("-v", "--verbose", is_flag=True, help="Every report of a trial, instead of its last values.")
@file_option
@query
def command(ids: tuple[str, ...], verbose: bool, file: str | None, as_json: bool) -> None:
    """Tell all about studies and trials."""
    now = time.time()
    told, lines = [], []
    if file is not None:
        from maggy.cli.files import defined, definition_told

        told = [definition_told(study) for study in defined(file, ids)]
        say(told) if as_json else click.echo("\n".join(line for each in told for line in study_lines(each)))
        return
    with reading() as reader:
        for name in ids:
            if is_trial(name):
                described = trial_told(reader, *the_trial(reader, name), now)
                lines += trial_lines(described, verbose=verbose)
            else:
                described = study_told(reader, the_study(reader, name), now)
                lines += study_lines(described)
            told.append(described)
    if as_json:
        say(told)
    else:
        click.echo("\n".join(lines))


# -- a trial -------------------------------------------------------------------------------------------------------


def trial_lines(told: dict[str, Any], *, verbose: bool) -> list[str]:
    """Return a trial as Diviner shows a run; what it has not, a budget or a reason, only where there is one."""
    head = [
        ("state", told["state"]),
        ("created", date(told["created"])),
        ("runtime", duration(told["runtime"])),
        ("restarts", str(told["restarts"])),
        ("replicate", str(told["replicate"])),
        *((key, shown(told[key])) for key in ("budget", "value") if told[key] is not None),
        *([("parent", f"{told['study']}:{told['parent']}")] if told["parent"] is not None else []),
        *((key, plain(told[key])) for key in ("origin", "why", "reason") if told[key]),
    ]
    lines = [f"run {plain(told['study'])}:{told['trial']}:", *block(head)]
    lines += [f"{BLOCK}values:", *_values(told["values"])]
    if verbose and told["reports"]:
        for index, report in enumerate(told["reports"]):
            lines += [f"{BLOCK}metrics[{index}]:", *_values(report["metrics"])]
    else:  # what it has returned
        lines += [f"{BLOCK}metrics:", *_values(told["metrics"])]
    if verbose and told["script"]:
        lines += [
            f"{BLOCK}script:",
            *(BLOCK * 2 + harmless(line) for line in dedent(told["script"]).strip().splitlines()),
        ]
    if told["error"]:
        lines += [f"{BLOCK}error:", *(BLOCK * 2 + harmless(line) for line in told["error"].splitlines())]
    return lines


def _values(values: dict[str, Any]) -> list[str]:
    return block([(plain(name), shown(values[name])) for name in sorted(values)], depth=2)


# -- a study -------------------------------------------------------------------------------------------------------


def study_lines(told: dict[str, Any]) -> list[str]:
    """Return a study as Diviner shows it, then who runs it and how its trials stand."""
    space = Searchspace.from_json(told["params"])
    optimizer = dict(told["oracle"] or {})
    name = optimizer.pop("name", None) or str(optimizer.pop("custom", "")).rpartition(".")[2]
    with_settings = ", ".join(f"{key}={shown(value)}" for key, value in optimizer.items() if value is not None)
    items = [
        ("objective", told["objective"]),
        *((plain(key), _domain(domain)) for key, domain in space.items()),
        ("oracle", plain(f"{name}({with_settings})" if with_settings else name)),
        ("replicates", str(told["replicates"])),
        *([("description", plain(told["description"]))] if told["description"] else []),
        *(_standing(told) if "created" in told else []),
    ]
    return [f"study {plain(told['study'])}:", *block(items)]


def _standing(told: dict[str, Any]) -> list[tuple[str, str]]:
    """Return who runs a study, and how its trials stand."""
    counts = ", ".join(f"{count:,} {status}" for status, count in told["counts"].items() if count)
    driver = f"process {told['pid']} on {told['host']}" if told["running"] else "none"
    return [
        ("created", date(told["created"])),
        ("driver", plain(driver)),
        ("trials", f"{amount(sum(told['counts'].values()), 'trial')}{': ' + counts if counts else ''}"),
        *([("files", plain(told["files"]))] if told["files"] else []),
    ]


def _domain(domain: Any) -> str:
    """Return `discrete(1, 10)` for a list of values, `range(0, 10)` with what is peculiar about it otherwise.

    As in a study file the end of a range of integers is not part of it. Nor is that of floats there, which are kept as
    those up to the number before it.
    """
    told = domain.to_json()
    kind = told.pop("type")
    listed = told.pop("choices", None) or told.pop("values", None)
    more = [f"{key}={shown(value)}" for key, value in told.items() if key not in ("low", "high")]
    if kind in ("categorical", "ordinal"):
        return f"discrete({', '.join([*map(shown, listed), *more])})"
    high = told["high"]
    end = high + 1 if kind == "integer" else min(high, math.nextafter(high, math.inf), key=lambda each: len(repr(each)))
    return f"range({', '.join([shown(told['low']), shown(end), *more])})"
