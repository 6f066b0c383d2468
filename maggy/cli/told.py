"""What commands and pages tell of studies and trials, as JSON values: read from the store, and laid out by others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maggy.cli.ranking import Row, ranked
from maggy.cli.text import brief
from maggy.cli.trials import KINDS, LEFT, Outline, final, finite, objective_of, outlines, said, settings
from maggy.errors import StoreError, amount, last_line
from maggy.events import Drawn, Ended, Event, Lost, Requeued, Started, Suggested
from maggy.store import Reader, StudyEntry
from maggy.trial import Status
from maggy.views.explanation import optimizer_of
from maggy.views.summary import plain, shortened

TAIL = 4096  # bytes of a log in which its last line is looked for
STATUS_WIDTH = 120  # columns
STARTED = "maggy: started run "  # how a program's log begins


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
        "description": found.get("description") or "",
        "num_trials": found.get("num_trials"),
        "created": entry.created,
        "running": held,
        "host": entry.owner.host if held and entry.owner else None,
        "pid": entry.owner.pid if held and entry.owner else None,
        "counts": {str(status): counts[status] for status in Status},
        "files": found.get("files"),
        "events": entry.position,
    }


def compared(reader: Reader, entry: StudyEntry, now: float) -> dict[str, Any]:
    """Gather what stands beside other studies: what it optimized, how, how its trials came out, and the best."""
    found = settings(reader, entry.name)
    objective = objective_of(found)
    trials = outlines(reader, entry, now)
    counts = Counter(trial.status for trial in trials)
    rows = ranked(finite(reader, entry.name)[0], objective, 1)
    best = rows[0].first if rows else None
    return {
        "study": entry.name,
        "objective": said(objective),
        "optimizer": optimizer_of(found),
        "trials": len(trials),
        "completed": counts[Status.COMPLETED],
        "stopped": counts[Status.STOPPED],
        "failed": counts[Status.FAILED],
        "seconds": driven(reader, entry, now),
        "best": rows[0].value if rows else None,
        "best_budget": best.budget if best else None,
        "best_trial": best.trial if best else None,
    }


def trial_told(reader: Reader, entry: StudyEntry, number: int, now: float) -> dict[str, Any]:
    """Gather what there is to tell of a trial, as JSON values."""
    facts = list(reader.of_trials(entry.name, [number]))
    outline, suggested, ended = _outlined(entry, facts, now)
    if outline.started is not None:  # it may have been given ahead of need
        listed = outlines(reader, entry, now, unfinished=ended is None)
        outline.started = max([outline.started, *(each.started or 0.0 for each in listed if each.id == number)])
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
        "restarts": outline.restarts,
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
    suggested = next((event for event in facts if isinstance(event, Suggested)), None)
    if suggested is None:
        trial = getattr(facts[0], "trial", None)
        raise StoreError(f"the log of study {entry.name!r} is damaged: nothing suggested trial {trial!r}")
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
                outline.status, outline.ended, ended = final(entry.name, event.trial, event.status), event.at, event
            case Requeued():
                outline.status, outline.started, outline.ended, ended = Status.QUEUED, None, None, None
                outline.failed += 1
    return outline, suggested, ended


def statuses(reader: Reader, entry: StudyEntry, these: list[Outline]) -> dict[str, str]:
    """Return what each trial does: a running one its last line or report, an ended one how it came out."""
    running = [each.id for each in these if each.status is Status.RUNNING and each.held]
    files = settings(reader, entry.name).get("files") if running else None
    reports = reader.last_reports(entry.name, running) if running else {}
    found = {}
    for each in these:
        if each.left:
            text = LEFT
        elif each.status is Status.QUEUED:
            before = {"failed": each.failed, "lost": each.attempts - each.failed}
            told = [f"{how} {amount(times, 'time')}" for how, times in before.items() if times > 0]
            text = ", ".join(["queued again", *told]) if told else "queued"
        elif each.status is Status.RUNNING:
            line = _last_words(tail_of(files, each.id, TAIL)[0])
            if not line and (report := reports.get(each.id)):
                line = ", ".join(
                    [f"step {report.step}", *(f"{key} {brief(num)}" for key, num in report.metrics.items())]
                )
            text = f"running: {line}"
        else:
            text = each.how
        found[each.name] = shortened(plain(text), STATUS_WIDTH)
    return found


def _last_words(log: str) -> str:
    """Return the last line of a log: what a program says, or else bash's trace. Of progress bars the last state."""
    own = [line for line in log.splitlines() if not line.startswith(("+", STARTED))]
    return last_line("\n".join(own)) or last_line(log)


def tail_of(files: str | None, trial: int, most: int) -> tuple[str, int]:
    """Return the last bytes of what a trial has printed, as text, and how many bytes there are.

    What is no file is not opened, for a pipe would keep all who look waiting: a stranger's store names any folder.
    """
    try:
        if files is None or not (path := log_of(files, trial)).is_file():
            return "", 0
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            return file.read(most).decode("utf-8", "replace"), size
    except (OSError, ValueError):  # it has printed nothing yet, or elsewhere; no path has a character 0
        return "", 0


def complete(reader: Reader, rows: Sequence[Row]) -> None:
    """Read what else there is to show of the trials in these rows, and of no others."""
    for study in {row.first.study for row in rows}:
        mine = {each.trial: row for row in rows for each in row.entrants if each.study == study}
        for event in reader.of_trials(study, mine):
            if isinstance(event, Suggested | Drawn):
                mine[event.trial].values = dict(event.params)
            elif isinstance(event, Ended):
                mine[event.trial].metrics[event.trial] = dict(event.metrics)


def log_of(files: str, trial: int) -> Path:
    """Return where a trial of a study with such a folder prints to."""
    return Path(files, str(trial), "output.log")


def driven(reader: Reader, entry: StudyEntry, now: float) -> float:
    """Return for how many seconds a study had a driver: what lies before one took it up again is not counted."""
    found, last = 0.0, None
    for _, kind, _, at, *_ in reader.facts(entry.name, ("StudyOpened", "StudyResumed", "StudyClosed", *KINDS)):
        found += 0.0 if last is None or kind == "StudyResumed" else at - last
        last = at
    return found if last is None or not entry.held(now) else found + max(0.0, now - last)
