"""`maggy list`: the studies, or their trials."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from maggy.cli.options import chosen, colours, file_option, moment, query, reading, say, studies_argument
from maggy.cli.text import Clock, brief, columns, to_seconds
from maggy.cli.told import statuses
from maggy.cli.trials import STATES, Outline, matching, outlines
from maggy.errors import ConfigError
from maggy.jsonvalue import loads
from maggy.store import Reader, StudyEntry
from maggy.trial import Status
from maggy.views.summary import plain

WORDS = sorted({*STATES.values(), *map(str, Status)})
COLOURS = {"pending": "yellow", "success": "green", "failure": "red", "stopped": "blue"}


@click.command(
    epilog="""\b
Example: maggy list -runs -state pending -s
  digits:31 6:02PM 12s pending running: epoch 4 accuracy 0.91"""
)
@studies_argument()
@click.option("-runs", "--runs", is_flag=True, help="List trials instead of studies.")
@click.option("-state", "--state", metavar="WORD,...", help=f"Only these: {', '.join(WORDS)}.")
@click.option("-s", "--status", "with_status", is_flag=True, help="Show what each does, or how it ended.")
@click.option("-since", "--since", metavar="WHEN", help="Only what has happened since: 90m, 2d, 2026-11-21.")
@click.option("-values", "--values", metavar="RE,...", help="Show parameters whose name matches.")
@file_option
@query
def command(
    patterns: tuple[str, ...],
    runs: bool,
    state: str | None,
    with_status: bool,
    since: str | None,
    values: str | None,
    file: str | None,
    as_json: bool,
) -> None:
    """List studies, or with -runs their trials.

    Of a trial its id, when it was suggested, for how long it ran, its state: pending (queued or running), success
    (completed), failure or stopped (early). Unfinished ones of a study without a driver are failures.
    """
    wanted = _words(state)
    after, now = moment(since), time.time()
    if file is not None:
        if runs:
            raise ConfigError("-l lists the studies of a file, which has no runs: leave out one of -l and -runs")
        from maggy.cli.files import defined

        names = [each.name for each in defined(file, patterns)]
        say([{"study": name} for name in names]) if as_json else click.echo("\n".join(names))
        return
    with reading() as reader:
        entries = matching(reader.studies(), patterns)
        if not runs:
            _list_studies(entries if after is None else _since(reader, entries, after, now), now, as_json=as_json)
            return
        found: list[Outline] = []
        told: dict[str, str] = {}
        for entry in entries:
            these = _trials(reader, entry, wanted, after, now, bodies=_bodies(with_status, values, as_json))
            if with_status or as_json:
                told |= statuses(reader, entry, these)
            found += these
    if as_json:
        say([_described(each, told, now) for each in found])
        return
    shown_lines = lines(found, now, told if with_status else None, values)
    if colours():
        shown_lines = [painted(line, each.state) for line, each in zip(shown_lines, found, strict=True)]
    if shown_lines:
        click.echo("\n".join(shown_lines))


def lines(found: Sequence[Outline], now: float, told: Mapping[str, str] | None, values: str | None) -> list[str]:
    """Return the trials as Diviner lists its runs; `told` is what each does, by its name."""
    clock, rows = Clock(now), []
    names = {study: plain(study) for study in {each.study for each in found}}  # a stranger's may be anything
    for each in found:
        row = [f"{names[each.study]}:{each.id}", clock(each.created), to_seconds(each.runtime(now)), each.state]
        if told is not None:
            row.append(told[each.name])
        if values:
            params = each.params
            row += [f"{plain(name)}:{brief(params[name])}" for name in chosen(sorted(params), values)]
        rows.append(row)
    return columns(rows) if rows else []


def painted(line: str, state: str) -> str:
    """Return the line with its state in colour."""
    return line.replace(f" {state}", f" {click.style(state, COLOURS[state])}", 1)


def _words(state: str | None) -> set[str]:
    """Return the states that are asked for, all where there is none."""
    wanted = set(state.split(",")) if state else set()
    if unknown := wanted - set(WORDS):
        raise ConfigError(f"-state {min(unknown)!r} is no state of a trial, which are: {', '.join(WORDS)}")
    return wanted


def _bodies(with_status: bool, values: str | None, as_json: bool) -> list[str]:
    return [*(["Suggested", "Drawn"] if values or as_json else []), *(["Ended"] if with_status or as_json else [])]


def _since(reader: Reader, entries: list[StudyEntry], after: float, now: float) -> list[StudyEntry]:
    """Return the studies that run, or to whose log something was added since."""

    def latest(entry: StudyEntry) -> float:
        last = next(reader.read(entry.name, entry.position - 1), None) if entry.position else None
        return entry.created if last is None else last.at

    return [entry for entry in entries if entry.held(now) or latest(entry) >= after]


def _list_studies(listed: list[StudyEntry], now: float, *, as_json: bool) -> None:
    if as_json:
        say(
            [
                {
                    "study": entry.name,
                    "created": entry.created,
                    "events": entry.position,
                    "running": entry.held(now),
                    "host": entry.owner.host if entry.owner and entry.held(now) else None,
                    "pid": entry.owner.pid if entry.owner and entry.held(now) else None,
                }
                for entry in listed
            ]
        )
    elif listed:
        click.echo("\n".join(plain(entry.name) for entry in listed))


def _trials(
    reader: Reader, entry: StudyEntry, wanted: set[str], after: float | None, now: float, *, bodies: list[str]
) -> list[Outline]:
    """Return the trials that are wanted; where only unfinished ones are, no others are read."""
    unfinished = bool(wanted) and wanted <= {"pending", "queued", "running"}
    if unfinished and not entry.held(now):
        return []
    return [
        each
        for each in outlines(reader, entry, now, unfinished=unfinished, bodies=bodies)
        if (not wanted or each.is_in(wanted)) and (after is None or each.touched(now) >= after)
    ]


def _described(each: Outline, told: dict[str, str], now: float) -> dict[str, Any]:
    return {
        "study": each.study,
        "trial": each.id,
        "state": each.state,
        "status": each.status,
        "detail": told[each.name],
        "created": each.created,
        "started": each.started,
        "ended": each.ended,
        "runtime": each.runtime(now),
        "attempts": each.attempts,
        "budget": each.budget,
        "value": each.value if isinstance(each.value, float | int) else loads(each.value) if each.value else None,
        "params": each.params,
    }
