"""`maggy watch`: a live view of a study that another process runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import click

from maggy.cli.options import reading, store_option, studies_argument
from maggy.cli.ranking import Entrant, ranked
from maggy.cli.text import brief, columns, cut, to_seconds
from maggy.cli.trials import the_study
from maggy.errors import last_line
from maggy.store import Reader
from maggy.study import Study
from maggy.trial import Status
from maggy.views.summary import number, plain, progress

LOOK = 0.5  # seconds between two looks at the log
PLAIN = 5.0  # seconds between two lines where there is no terminal
SHOWN = 20  # running trials that are listed, where the terminal has room for them
ENDED = 5  # trials of which the end is told
MARGIN = 3  # columns: a terminal shows `^C` behind the last line, which must not become two


@click.command(epilog="Example: maggy watch digits")
@studies_argument(required=True, name="study", one=True)
@store_option
def command(study: str) -> None:
    """Watch a study until it ends.

    Shows what runs, how far each trial is, what ended last, and the best so far. Where there is no terminal, a line of
    progress now and then. Ctrl-C ends the watching, not the study.
    """
    with reading() as reader, suppress(KeyboardInterrupt):
        _show(reader, study)


def _show(reader: Reader, name: str) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    looks = _looks(reader, name)
    if not sys.stdout.isatty():
        told, line = 0.0, ""
        for study, elapsed, _ in looks:
            line = _progress(study, elapsed, None)
            if time.monotonic() > told + PLAIN:
                click.echo(line)
                told, line = time.monotonic(), ""
        if line:
            click.echo(line)
        return
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False) as live:
        for study, elapsed, held in looks:
            width, height = console.size
            lines = screen(study, elapsed, time.time(), held=held, width=width, height=height)
            live.update(Text("\n".join(lines)), refresh=True)


def _looks(reader: Reader, name: str) -> Iterator[tuple[Study, float, bool]]:
    """Yield the study again and again, and how long it has been going on; of its log only what is new is read."""
    study = Study()
    began = latest = the_study(reader, name).created
    while True:
        entry = the_study(reader, name)
        held = entry.held(time.time())
        study.take(reader.read(name, study.position))
        if not held and study.position:
            latest = next((event.at for event in reader.read(name, study.position - 1) if event), began)
        yield study, (time.time() if held else latest) - began, held
        if not held:
            return
        time.sleep(LOOK)


def screen(study: Study, elapsed: float, now: float, *, held: bool, width: int, height: int = 100) -> list[str]:
    """Return the lines that are shown: progress, what runs, what ended last, the best configuration.

    Where there are too many for the terminal, of those that run fewer are listed.
    """
    width = max(width - MARGIN, 20)
    ended = [trial for trial in study.trials.values() if trial.status in (Status.STOPPED, Status.FAILED)]
    latest = sorted(ended, key=lambda trial: trial.end or 0)[-ENDED:]
    others = [
        [f"trial {trial.id} {trial.status}: {_why(trial.stop_reason, trial.error)}" for trial in latest],
        [best] if (best := _best(study)) else [],
        [] if held else [f"ended: {plain(study.closed or 'its driver is gone')}"],
    ]
    room = height - sum(len(part) + 1 for part in others if part) - 5  # for progress, a gap, names, how many more
    running = _running(study, now, min(max(room, 1), SHOWN)) if held else []
    parts = [[_progress(study, elapsed, width)], running, *others]
    lines = [line for part in parts if part for line in ("", *part)]
    return [cut(line, width) for line in lines[1:]]


def _running(study: Study, now: float, most: int) -> list[str]:
    """Return a table of the trials that run, of so many at most."""
    running = sorted(study.running.values(), key=lambda trial: trial.id)
    rows = [["trial", "budget", "step", "value", "for"]] if running else []
    for trial in running[:most]:
        curve = trial.curve
        step, value = (str(curve.steps[-1]), number(curve.values[-1])) if curve else ("", "")
        budget = "" if trial.budget is None else number(trial.budget)
        rows.append([str(trial.id), budget, step, value, to_seconds(now - (trial.started or now))])
    return [*columns(rows), *([f"and {len(running) - most} more"] if len(running) > most else [])]


def _best(study: Study) -> str | None:
    """Tell of the best configuration: of replicates the mean counts."""
    if study.best is None:
        return None
    value, trials, best = number(study.best.value or 0.0), f"trial {study.best.id}", study.best
    if best.group is not None:
        usable = [trial for trial in study.trials.values() if trial.usable and trial.value is not None]
        runs = [Entrant("", one.id, one.value or 0.0, one.budget, one.replicate or 0, one.group) for one in usable]
        [row] = ranked(runs, study.objective, 1)
        best = study.trials[row.first.trial]
        value, trials = row.told, f"trials {', '.join(str(each.trial) for each in row.entrants)}"
    params = ", ".join(f"{plain(name)}={brief(each)}" for name, each in best.params.items())
    return f"best {value} by {trials}: {params}"


def _why(reason: str | None, error: str | None) -> str:
    return plain(reason or last_line(error) or "no reason given")


def _progress(study: Study, elapsed: float, width: int | None) -> str:
    return progress(study, elapsed, study.reports / elapsed if elapsed > 0 else 0.0, 1, width)
