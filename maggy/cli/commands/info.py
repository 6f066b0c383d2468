"""`maggy info`: all about a study, or a trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from textwrap import dedent
from typing import Any

import click

from maggy.cli.options import query, reading, say
from maggy.cli.text import BLOCK, block, date, duration, shown
from maggy.cli.trials import LEFT, Outline, is_trial, objective_of, outlines, said, settings, the_study, the_trial
from maggy.errors import amount
from maggy.events import Drawn, Ended, Event, Lost, Requeued, Started, Suggested
from maggy.searchspace import Searchspace
from maggy.store import Reader, StudyEntry
from maggy.trial import Status
from maggy.views.summary import harmless, plain


@click.command(epilog="Example: maggy info digits digits:3")
@click.argument("ids", nargs=-1, required=True, metavar="STUDY|STUDY:TRIAL...")
@click.option("-v", "--verbose", is_flag=True, help="Every report of a trial, instead of its last values.")
@query
def command(ids: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """Tell all about studies and trials."""
    now = time.time()
    told, lines = [], []
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


def trial_told(reader: Reader, entry: StudyEntry, number: int, now: float) -> dict[str, Any]:
    """Gather what there is to tell of a trial, as JSON values."""
    facts = list(reader.of_trials(entry.name, [number]))
    outline, suggested, ended = _outlined(entry, facts, now)
    reports = list(reader.reports(entry.name, number))
    last: dict[str, Any] = {}
    for report in reports:
        last |= report.metrics
    return {
        "study": entry.name,
        "trial": number,
        "state": outline.state,
        "status": outline.status,
        "created": outline.created,
        "started": outline.started,
        "ended": outline.ended,
        "runtime": outline.runtime(now),
        "restarts": max(outline.attempts - 1, 0),
        "replicate": suggested.replicate or 0,
        "budget": suggested.budget,
        "parent": suggested.parent,
        "origin": suggested.origin,
        "why": suggested.why,
        "reason": (ended.reason if ended else None) or (LEFT if outline.left else None),
        "error": ended.error if ended else None,
        "value": ended.value if ended else None,
        "values": dict(suggested.params),
        "script": (suggested.work or {}).get("script"),
        "metrics": last | dict(ended.metrics if ended else {}),
        "reports": [{"step": report.step, "attempt": report.attempt, "metrics": report.metrics} for report in reports],
        "lost": [{"attempt": event.attempt, "cause": event.cause} for event in facts if isinstance(event, Lost)],
    }


def _outlined(entry: StudyEntry, facts: Sequence[Event], now: float) -> tuple[Outline, Suggested, Ended | None]:
    suggested = next(event for event in facts if isinstance(event, Suggested))
    outline = Outline(entry.name, suggested.trial, suggested.at, suggested.budget, entry.held(now))
    ended = None
    for event in facts:
        match event:
            case Drawn():
                suggested = replace(suggested, params=event.params)
            case Started():
                outline.status, outline.started, outline.attempts = Status.RUNNING, event.at, outline.attempts + 1
            case Lost():
                outline.status, outline.started = Status.QUEUED, None
            case Ended():
                outline.status, outline.ended, ended = Status(event.status), event.at, event
            case Requeued():
                outline.status, outline.started, outline.ended, ended = Status.QUEUED, None, None, None
    return outline, suggested, ended


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
    if verbose:
        for index, report in enumerate(told["reports"]):
            lines += [f"{BLOCK}metrics[{index}]:", *_values(report["metrics"])]
        if told["script"]:
            lines += [
                f"{BLOCK}script:",
                *(BLOCK * 2 + harmless(line) for line in dedent(told["script"]).strip().splitlines()),
            ]
    else:
        lines += [f"{BLOCK}metrics:", *_values(told["metrics"])]
    if told["error"]:
        lines += [f"{BLOCK}error:", *(BLOCK * 2 + harmless(line) for line in told["error"].splitlines())]
    return lines


def _values(values: dict[str, Any]) -> list[str]:
    return block([(plain(name), shown(values[name])) for name in sorted(values)], depth=2)


# -- a study -------------------------------------------------------------------------------------------------------


def study_told(reader: Reader, entry: StudyEntry, now: float) -> dict[str, Any]:
    """Gather what there is to tell of a study, as JSON values."""
    found = settings(reader, entry.name)
    trials = outlines(reader, entry, now)
    held = entry.held(now)
    counts = Counter(str(trial.status) for trial in trials)
    return {
        "study": entry.name,
        "objective": said(objective_of(found)),
        "params": found.get("searchspace") or {},
        "oracle": found.get("optimizer"),
        "replicates": found.get("replicates") or 0,
        "num_trials": found.get("num_trials"),
        "created": entry.created,
        "running": held,
        "host": entry.owner.host if held and entry.owner else None,
        "pid": entry.owner.pid if held and entry.owner else None,
        "counts": {str(status): counts[status] for status in Status},
        "files": found.get("files"),
        "events": entry.position,
    }


def study_lines(told: dict[str, Any]) -> list[str]:
    """Return a study as Diviner shows it, then who runs it and how its trials stand."""
    space = Searchspace.from_json(told["params"])
    optimizer = dict(told["oracle"] or {})
    name = optimizer.pop("name", None) or optimizer.pop("custom", "") or ""
    with_settings = ", ".join(f"{key}={shown(value)}" for key, value in optimizer.items() if value is not None)
    counts = ", ".join(f"{count:,} {status}" for status, count in told["counts"].items() if count)
    driver = f"process {told['pid']} on {told['host']}" if told["running"] else "none"
    items = [
        ("objective", told["objective"]),
        *((plain(key), _domain(domain)) for key, domain in space.items()),
        ("oracle", plain(f"{name}({with_settings})" if with_settings else name)),
        ("replicates", str(told["replicates"])),
        ("created", date(told["created"])),
        ("driver", plain(driver)),
        ("trials", f"{amount(sum(told['counts'].values()), 'trial')}{': ' + counts if counts else ''}"),
        *([("files", plain(told["files"]))] if told["files"] else []),
    ]
    return [f"study {plain(told['study'])}:", *block(items)]


def _domain(domain: Any) -> str:
    """Return `discrete(1, 10)` for a list of values, `range(0.1, 1.0)` with what is peculiar about it otherwise."""
    told = domain.to_json()
    kind = told.pop("type")
    listed = told.pop("choices", None) or told.pop("values", None)
    more = [f"{key}={shown(value)}" for key, value in told.items() if key not in ("low", "high")]
    if kind in ("categorical", "ordinal"):
        return f"discrete({', '.join([*map(shown, listed), *more])})"
    return f"range({', '.join([shown(told['low']), shown(told['high']), *more])})"
