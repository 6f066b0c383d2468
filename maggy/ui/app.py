"""What is at which address: each page reads the store, through the readers that the command line has, and is laid out.

Answers are made on threads of Starlette's pool, one at a time: see `Folds`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from traceback import format_exception
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from maggy.cli.ranking import ranked
from maggy.cli.told import complete, statuses, study_told, tail_of, trial_told
from maggy.cli.trials import Outline, finite, objective_of, outlines, settings, the_trial
from maggy.errors import ConfigError, MaggyError, StoreError
from maggy.events import Drawn, Suggested
from maggy.jsonvalue import dumps
from maggy.store import Reader, StudyEntry
from maggy.study import Study
from maggy.trial import Status
from maggy.ui import pages
from maggy.ui.folds import UNLIKE_OURS, Folds, unlike_ours
from maggy.views import sketches
from maggy.views.effects import Ablation
from maggy.views.explanation import explanation, told
from maggy.views.live import picture
from maggy.views.markup import Markup, joined
from maggy.views.plots import effects, params, trials
from maggy.views.summary import DONE, harmless, is_ablation

STUDIES, TRIALS = 50, 100  # on one page
BEST = 10  # trials of the leaderboard
TAIL = 1 << 16  # bytes of a log that are shown, its last ones
LONGEST = 2000  # characters of a line
STATIC = {
    name: Path(__file__).with_name("static") / name for name in ("maggy.css", "maggy.js", "icon.svg")
} | {"theme.js": Path(trials.__file__).with_name("theme.js")}  # fmt: skip
DRAWN: dict[str, Callable[[Study], Any]] = {
    "history": trials.history,
    "importance": params.importance,
    "slices": params.slices,
    "parallel": params.parallel,
    "contour": params.contour,
    "curves": trials.curves,
    "rungs": trials.rungs,
    "timeline": trials.timeline,
    "effects": effects.bars,
}
Answer = Callable[[Folds, Request], Response]
LOG = logging.getLogger(__name__)


def application(reader: Reader) -> Starlette:
    """Return the pages over a store, without a guard."""
    import plotly

    folds = Folds(reader)
    files = STATIC | {"plotly.js": Path(plotly.__file__).parent / "package_data" / "plotly.min.js"}

    def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        return Response(status_code=404) if file is None else FileResponse(file, headers={"cache-control": "no-cache"})

    answers: dict[str, Answer] = {
        "/": _studies,
        "/study": _study,
        "/live": _live,
        "/trials": _trials,
        "/trial": _trial,
        "/log": _trial_live,
        "/raw": _raw,
        "/plots": _plots,
        "/figure": _figure,
    }
    routes = [Route(path, _answering(folds, answer)) for path, answer in answers.items()]
    return Starlette(routes=[*routes, Route("/static/{name}", static)])


def _answering(folds: Folds, answer: Answer) -> Callable[[Request], Any]:
    """Return what answers a request; what maggy refuses becomes a page with its sentence."""

    def answered(request: Request) -> Response:
        with folds.lock:
            try:
                return answer(folds, request)
            except MaggyError as error:
                status = 404 if isinstance(error, ConfigError) else 503 if isinstance(error, StoreError) else 500
                return _page("a problem", folds, pages.problem(str(error)), status=status)
            except UNLIKE_OURS as error:
                _trace(error)
                told = unlike_ours(request.query_params.get("name", ""), error)
                return _page("a problem", folds, pages.problem(told), status=500)

    @wraps(answer)
    async def asked(request: Request) -> Response:
        return await run_in_threadpool(answered, request)

    return asked


def _trace(error: Exception) -> None:
    """Tell the terminal where a page has stumbled, without what would drive it."""
    LOG.error("%s", "\n".join(map(harmless, "".join(format_exception(error)).splitlines())))


def _page(title: str, folds: Folds, *parts: Any, plots: bool = False, status: int = 200) -> Response:
    return HTMLResponse(pages.page(title, str(folds.reader), *parts, plots=plots), status)


def _entry(folds: Folds, request: Request) -> StudyEntry:
    return folds.entry(request.query_params.get("name", ""))


def _counted(request: Request, total: int, each: int) -> tuple[int, int]:
    """Return which page of a list is asked for, and how many there are."""
    last = max(1, math.ceil(total / each))
    text = request.query_params.get("page", "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1  # noqa: PLR2004
    return min(max(number, 1), last), last


# -- studies -------------------------------------------------------------------------------------------------------


def _studies(folds: Folds, request: Request) -> Response:
    wanted = request.query_params.get("q", "")
    entries = [entry for entry in reversed(folds.reader.studies()) if wanted.lower() in entry.name.lower()]
    at, last = _counted(request, len(entries), STUDIES)
    listed = entries[(at - 1) * STUDIES : at * STUDIES]
    now = time.time()
    lines, running = [folds.line(entry) for entry in listed], [entry.held(now) for entry in listed]
    return _page("Studies", folds, pages.studies(lines, running, wanted, at, last, len(entries)))


def _study(folds: Folds, request: Request) -> Response:
    entry = _entry(folds, request)
    where = pages.address("live", name=entry.name)
    part = pages.live(where, _standing(folds, entry), going=entry.held(time.time()), mark=_mark(entry))
    about = pages.about(study_told(folds.reader, entry, time.time()))
    return _page(entry.name, folds, pages.heading(entry.name, "study"), part, about)


def _live(folds: Folds, request: Request) -> Response:
    """Return the part of a study's page that changes, if it has."""
    entry = _entry(folds, request)
    return _changed(request, entry, lambda: _standing(folds, entry))


def _changed(request: Request, entry: StudyEntry, make: Callable[[], str]) -> Response:
    mark = _mark(entry)
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers={"etag": mark})
    state = "running" if entry.held(time.time()) else "ended"
    return HTMLResponse(make(), headers={"etag": mark, "x-maggy": state})


def _mark(entry: StudyEntry) -> str:
    """Return what is another when there is news; while a study runs its clock is news each ten seconds."""
    now = time.time()
    return f'"{entry.position}-{int(now // 10) if entry.held(now) else "ended"}"'


def _standing(folds: Folds, entry: StudyEntry) -> Markup:
    """Return how a study stands: the picture that notebooks have, and the best trials."""
    study, now = folds.study(entry), time.time()
    held = entry.held(now)
    latest = max((each.ended or each.started or 0.0 for each in study.trials.values()), default=entry.created)
    elapsed = max((now if held else latest) - entry.created, 0.0)
    closed = "done" if study.closed == DONE else study.closed
    state = "running" if held else closed or "left behind: its driver is gone"
    rate = study.reports / elapsed if held and elapsed else 0.0
    shown = picture(study, elapsed=elapsed, now=now if held else latest, state=state, reports_per_s=rate)
    if is_ablation(study):  # its best trials are the luckiest, and say nothing
        return joined(shown, pages.effects(Ablation(study).columns()))
    objective = objective_of(settings(folds.reader, entry.name))
    rows = ranked(finite(folds.reader, entry.name)[0], objective, BEST)
    complete(folds.reader, rows)
    return joined(shown, pages.leaderboard(rows, objective.key))


# -- trials --------------------------------------------------------------------------------------------------------


def _trials(folds: Folds, request: Request) -> Response:
    entry, now = _entry(folds, request), time.time()
    query = request.query_params
    sort = query.get("sort", "trial")
    sort = sort if sort.removeprefix("-") in pages.SORTS else "trial"
    state = query.get("state") if query.get("state") in set(map(str, Status)) else None
    found = outlines(folds.reader, entry, now, bodies=["Ended"])
    found = [each for each in found if state is None or each.status == state]
    found.sort(key=lambda each: _key(each, sort.removeprefix("-"), now), reverse=sort.startswith("-"))
    if sort.removeprefix("-") in ("value", "budget"):  # what has none is last, whichever way
        found.sort(key=lambda each: _key(each, sort.removeprefix("-"), now) == -math.inf)
    at, last = _counted(request, len(found), TRIALS)
    listed = found[(at - 1) * TRIALS : at * TRIALS]
    numbers = [each.id for each in listed]
    events = folds.reader.of_trials(entry.name, numbers)
    values = {event.trial: event.params for event in events if isinstance(event, Suggested | Drawn)}
    why = statuses(folds.reader, entry, listed)
    asked = {"sort": sort, "state": state, "page": at}
    content = pages.trials(entry.name, listed, values, why, asked, last, len(found), now)
    return _page(entry.name, folds, pages.heading(entry.name, "trials"), content)


def _key(each: Outline, by: str, now: float) -> Any:
    if by == "seconds":
        return each.runtime(now)
    if by == "value":
        value = each.value
        return value if isinstance(value, float | int) and math.isfinite(value) else -math.inf
    return {"trial": each.id, "status": str(each.status), "budget": each.budget or -math.inf}[by]


def _trial(folds: Folds, request: Request) -> Response:
    entry, number = _named(folds, request)
    where = pages.address("log", name=entry.name, trial=number)
    part = pages.live(where, _told(folds, entry, number), going=_going(folds, entry, number))
    return _page(f"{entry.name}:{number}", folds, part)


def _trial_live(folds: Folds, request: Request) -> Response:
    entry, number = _named(folds, request)
    state = "running" if _going(folds, entry, number) else "ended"
    return HTMLResponse(_told(folds, entry, number), headers={"x-maggy": state})


def _going(folds: Folds, entry: StudyEntry, number: int) -> bool:
    return entry.held(time.time()) and not folds.study(entry).trials[number].status.final


def _named(folds: Folds, request: Request) -> tuple[StudyEntry, int]:
    query = request.query_params
    return the_trial(folds.reader, f"{query.get('name', '')}:{query.get('trial', '')}")


def _told(folds: Folds, entry: StudyEntry, number: int) -> Markup:
    reader = folds.reader
    described = trial_told(reader, entry, number, time.time())
    study = folds.study(entry)
    ends = [fact[0] for fact in reader.facts(entry.name, ("Ended",))]
    why = told(explanation(study, number, reader.of_trials(entry.name, [number]), ends), entry.name)
    found: dict[str, list[sketches.Point]] = {}
    for report in described["reports"]:
        for name, value in report["metrics"].items():
            if isinstance(value, float | int) and math.isfinite(value):
                found.setdefault(name, []).append((report["step"], value))
    drawn = [(name, sketches.curve(points)) for name, points in list(found.items())[: pages.METRICS]]
    charts = [pages.chart(name, content) for name, content in drawn if content]
    return pages.trial(described, why, _log(study.settings.get("files"), number), charts)


def _raw(folds: Folds, request: Request) -> Response:
    """Return all that there is to tell of a study or a trial as JSON, or one long text of a trial: pages cut these."""
    if "trial" not in request.query_params:
        told = study_told(folds.reader, _entry(folds, request), time.time())
        return _plain(dumps(told))
    entry, number = _named(folds, request)
    told = trial_told(folds.reader, entry, number, time.time())
    part = request.query_params.get("part")
    return _plain(str(told[part] or "") if part in pages.TEXTS else dumps(told))


def _plain(text: str) -> Response:
    return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8")


def _log(files: Any, number: int) -> str:
    """Return the last lines that a trial has printed, without what would drive a terminal."""
    text, size = tail_of(files, number, TAIL)
    lines = [harmless(line[:LONGEST]) for line in text.splitlines()]
    return "\n".join([f"… {size - TAIL:,} bytes before", *lines[1:]] if size > TAIL else lines)


# -- pictures ------------------------------------------------------------------------------------------------------


def _which(study: Study) -> Sequence[str]:
    return pages.OF_ABLATION if is_ablation(study) else pages.PLOTS


def _plots(folds: Folds, request: Request) -> Response:
    entry = _entry(folds, request)
    content = pages.plots(entry.name, _which(folds.study(entry)))
    return _page(entry.name, folds, pages.heading(entry.name, "plots"), content, plots=True)


def _figure(folds: Folds, request: Request) -> Response:
    entry, which = _entry(folds, request), request.query_params.get("which", "")
    if which not in _which(folds.study(entry)):
        return Response("There is no such picture.", 404, media_type="text/plain")
    try:
        found = folds.picture(entry, which, lambda study: str(DRAWN[which](study).to_json()))
    except ConfigError as error:
        return Response(f"{which}: {harmless(str(error))}", 404, media_type="text/plain")
    return Response(found, media_type="application/json")
