"""The pages as HTML. Pure, but for the zone that this place is in; `tag` escapes what users wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from maggy.cli.ranking import Row, table
from maggy.cli.text import MISSING, date, shown, to_seconds
from maggy.errors import amount
from maggy.searchspace import Searchspace
from maggy.trial import Status
from maggy.views import sketches
from maggy.views.markup import Markup, joined, tag
from maggy.views.summary import harmless, number, plain, shortened

TABS = (("study", "Overview"), ("trials", "Trials"), ("plots", "Plots"))
PLOTS = ("history", "importance", "slices", "parallel", "contour", "curves", "rungs", "timeline")
OF_ABLATION = ("effects", "curves", "rungs", "timeline")
SORTS = {"trial": "trial", "status": "status", "value": "value", "budget": "budget", "seconds": "runtime"}
HEADS = ("study", "", "", "trials:", "failed:", "best:", "objective", "optimizer", "time:")  # of the list of studies
NAMES = 8  # parameters that have a column in the list of trials
METRICS = 12  # that are drawn on a trial's page
WIDTH = 60  # characters of a name in a table
COLUMNS = 24  # parameters that have one in the leaderboard
LONG = 1000  # of a value that is described
MANY = 100  # values that are
TEXTS = {"error": 1 << 14, "script": 1 << 14}  # characters of a trial's that its page has


def link(page: str, text: Any, /, **query: Any) -> Markup:
    """Return a link to a page of ours."""
    return tag("a", text, href=address(page, **query))


def address(page: str, /, **query: Any) -> str:
    """Return where a page is; what is None is left out."""
    told = urlencode({key: value for key, value in query.items() if value is not None})
    return f"/{page}" + (f"?{told}" if told else "")


def page(title: str, store: str, *parts: Markup, plots: bool = False) -> str:
    """Return a whole page."""
    scripts = ["maggy.js"] if not plots else ["plotly.js", "theme.js", "maggy.js"]
    head = joined(
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{title} · maggy"),
        Markup('<link rel="icon" href="/static/icon.svg"><link rel="stylesheet" href="/static/maggy.css">'),
        *(tag("script", src=f"/static/{name}", defer=True) for name in scripts),
    )
    top = tag("header", tag("a", "maggy", href="/", class_="brand"), tag("span", plain(store), class_="where"))
    body = tag("body", top, tag("main", *parts))
    return "<!doctype html>" + tag("html", tag("head", head), body, lang="en")


def live(where: str, content: Markup, *, going: bool, mark: str = "") -> Markup:
    """Return a part of a page that is kept up to date as long as its study runs."""
    return tag("section", content, data_live=where if going else None, data_tag=mark or None)


def problem(text: str) -> Markup:
    """Return what stands on a page that cannot be shown."""
    return joined(tag("h1", "This cannot be shown"), tag("p", "\n".join(map(harmless, text.splitlines()))))


# -- studies -------------------------------------------------------------------------------------------------------


def studies(
    lines: Sequence[Mapping[str, Any]], running: Sequence[bool], wanted: str, at: int, pages: int, total: int
) -> Markup:
    """Return the list of studies, the latest first."""
    rows = []
    for each, held in zip(lines, running, strict=True):
        if "problem" in each:
            name = tag("td", link("study", _name(each["study"]), name=each["study"]))
            rows.append(tag("tr", name, tag("td", plain(each["problem"]), class_="problem", colspan=len(HEADS) - 1)))
            continue
        state = tag("span", "running" if held else "ended", class_="live" if held else "dim")
        best = MISSING if each["best"] is None else number(each["best"], 5)
        cells = [
            tag("td", link("study", _name(each["study"]), name=each["study"])),
            tag("td", state),
            tag("td", _share(each)),
            _number(f"{each['trials']:,}"),
            _number(f"{each['failed']:,}" if each["failed"] else ""),
            _number(best),
            tag("td", _name(each["objective"])),
            tag("td", _name(each["optimizer"])),
            _number(to_seconds(each["seconds"])),
        ]
        rows.append(tag("tr", *cells))
    search = tag(
        "form", tag("input", name="q", value=wanted or None, placeholder="part of a name", aria_label="filter")
    )
    listed = _list(HEADS, rows) if rows else tag("p", "No study is called so." if wanted else "There is no study yet.")
    count = tag("p", amount(total, "study", "studies"), class_="dim")
    return joined(tag("h1", "Studies"), search, count, listed, _turning("", at, pages, q=wanted or None))


def _share(each: Mapping[str, Any]) -> Markup:
    parts = []
    for status in (Status.COMPLETED, Status.STOPPED, Status.FAILED):
        share = 100 * each[str(status)] / (each["trials"] or 1)
        parts.append(tag("i", style=f"width:{share:.1f}%;background:{sketches.COLOURS[status]}"))
    return tag("span", *parts, class_="share")


def heading(study: str, here: str) -> Markup:
    """Return a study's name, and the ways to its pages."""
    tabs = [
        tag("a", text, href=address(where, name=study), class_="on" if where == here else None) for where, text in TABS
    ]
    return joined(tag("h1", _name(study)), tag("nav", *tabs, class_="tabs"))


def leaderboard(rows: Sequence[Row], metric: str) -> Markup:
    """Return the best trials, as `maggy leaderboard` lists them."""
    if not rows:
        return joined()
    head = table(rows, metric, None, ".")[0]
    names = head[3 : 3 + COLUMNS]
    values = [{plain(name): value for name, value in row.params.items()} for row in rows]
    right = [any(isinstance(each.get(name), float | int) for each in values) for name in names]
    replicated = any(len(row.entrants) > 1 for row in rows)
    listed = []
    for row, named in zip(rows, values, strict=True):
        text = ",".join(str(each.trial) for each in row.entrants)
        told = [tag("td", link("trial", text, name=row.first.study, trial=row.first.trial))]
        told += [_number(row.told if replicated else number(row.value, 6))]
        told += [_cell(_short(named, name), right=at) for name, at in zip(names, right, strict=True)]
        listed.append(tag("tr", *told))
    heads = ["trials" if replicated else "trial", f"{_name(head[2])}:"]
    heads += [_name(name) + ":" * at for name, at in zip(names, right, strict=True)]
    return joined(tag("h2", "Leaderboard"), _list(heads, listed))


def effects(columns: Sequence[Sequence[str]]) -> Markup:
    """Return the table of an ablation study, the heads first."""
    heads, *rows = columns
    last = len(heads) - 1
    told = [tag("tr", *(_cell(cell, right=0 < at < last) for at, cell in enumerate(row))) for row in rows]
    return joined(
        tag("h2", "What was left out"), _list([head + ":" * (0 < at < last) for at, head in enumerate(heads)], told)
    )


def about(told: Mapping[str, Any]) -> Markup:
    """Return what a study searches, and how."""
    space = Searchspace.from_json(told["params"])
    optimizer = {key: value for key, value in (told["oracle"] or {}).items() if value is not None}
    name = optimizer.pop("name", None) or optimizer.pop("custom", "none")
    items = [("objective", told["objective"]), ("optimizer", name)]
    items += [(f"  {key}", shown(value)) for key, value in optimizer.items()]
    items += [("trials", f"{told['num_trials']:,}")] if told["num_trials"] else []
    items.append(("created", date(told["created"])))
    items += [("driver", f"process {told['pid']} on {told['host']}")] if told["running"] else []
    items += [("files", told["files"])] if isinstance(told["files"], str) else []
    searched = [(key, repr(domain)) for key, domain in space.items()]
    of = {"name": told["study"]}
    how = tag("div", tag("h2", "How"), described(items, **of))
    return tag("div", tag("div", tag("h2", "Searchspace"), described(searched, **of)), how, class_="columns")


def described(items: Sequence[tuple[str, str]], **of: Any) -> Markup:
    """Return labels and what they stand for; where some is left out, with the way to all of it."""
    pairs = [joined(tag("dt", _name(key)), tag("dd", plain(_cut(text)))) for key, text in items[:MANY]]
    told = [tag("dl", *pairs)]
    if len(items) > MANY or any(len(text) > LONG for _, text in items):
        more = f"{MANY} of {len(items):,}; " if len(items) > MANY else ""
        told.append(tag("p", f"{more}long ones are cut: ", link("raw", "all as text", **of), class_="dim"))
    return joined(*told)


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]}… ({len(text):,} characters)"


def _name(text: str) -> str:
    """Return a name as text of bounded length."""
    return shortened(plain(text[: 4 * WIDTH]), WIDTH)


def _text(told: Mapping[str, Any], part: str) -> list[Markup]:
    """Return a long text of a trial under its name: of an error the end says most, of a script the beginning."""
    text, most = told[part], TEXTS[part]
    if not text:
        return []
    shown_of = text[-most:] if part == "error" else text[:most]
    heading = [tag("h2", part.capitalize())]
    if len(text) > most:
        which = "The last" if part == "error" else "The first"
        way = link("raw", "all of it", name=told["study"], trial=told["trial"], part=part)
        heading.append(tag("p", f"{which} {most:,} of {len(text):,} characters: ", way, class_="dim"))
    return [*heading, tag("pre", "\n".join(map(harmless, shown_of.splitlines())))]


# -- trials --------------------------------------------------------------------------------------------------------


def trials(
    study: str,
    listed: Sequence[Any],
    params: Mapping[int, Mapping[str, Any]],
    why: Mapping[str, str],
    asked: Mapping[str, Any],
    pages: int,
    total: int,
    now: float,
) -> Markup:
    """Return one page of a study's trials."""
    names = list(dict.fromkeys(name for each in listed for name in params.get(each.id, {})))[:NAMES]
    right = [any(isinstance(values.get(name), float | int) for values in params.values()) for name in names]
    sorts = [name for name in SORTS if name != "budget" or any(each.budget is not None for each in listed)]
    rows = []
    for each in listed:
        value = each.value if isinstance(each.value, float | int) else None
        status = "failure" if each.left else str(each.status)
        cells = [
            tag("td", link("trial", each.id, name=study, trial=each.id)),
            tag("td", status, class_=status),
            _number("" if value is None or not math.isfinite(value) else number(value, 6)),
            *([_number("" if each.budget is None else number(each.budget))] if "budget" in sorts else []),
            _number(seconds(each.runtime(now)) if each.started else ""),
            *(_cell(_short(params.get(each.id, {}), name), right=at) for name, at in zip(names, right, strict=True)),
            tag("td", why.get(each.name, ""), class_="long dim", title=why.get(each.name) or None),
        ]
        rows.append(tag("tr", *cells))
    heads: list[Any] = [_sorting(study, name, asked) for name in sorts]
    heads += [_name(name) + ":" * at for name, at in zip(names, right, strict=True)] + [""]
    ways = [(None, "all"), *((str(status), str(status)) for status in Status)]
    states = [
        tag("a", text, href=address("trials", name=study, state=state, sort=asked["sort"]), class_="on")
        if asked["state"] == state
        else link("trials", text, name=study, state=state, sort=asked["sort"])
        for state, text in ways
    ]
    query = {"name": study, "sort": asked["sort"], "state": asked["state"]}
    count = tag("span", amount(total, "trial"))
    return joined(
        tag("div", *states, count, class_="pages"),
        _list(heads, rows, full=True) if rows else tag("p", "There is no such trial."),
        _turning("trials", asked["page"], pages, **query),
    )


def _sorting(study: str, name: str, asked: Mapping[str, Any]) -> Markup:
    """Return the head of a column, which sorts by it; by the other end where that is done already."""
    there = asked["sort"]
    arrow = {name: " ↑", f"-{name}": " ↓"}.get(there, "")
    wanted = f"-{name}" if there == name else name
    right = name not in ("trial", "status")
    return tag(
        "th",
        link("trials", name + arrow, name=study, sort=wanted, state=asked["state"]),
        class_="n" if right else None,
    )


def _short(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    return number(value, 5) if isinstance(value, float) else shortened(plain(str(value)), 24)


def seconds(value: float) -> str:
    """Return a duration as lists of trials have it."""
    return f"{value:.2f}s" if value < 10 else to_seconds(value)  # noqa: PLR2004 - then a hundredth says nothing


# -- a trial -------------------------------------------------------------------------------------------------------


def trial(told: Mapping[str, Any], why: Sequence[tuple[str, str]], log: str, curves: Sequence[Markup]) -> Markup:
    """Return what there is to tell of a trial: how it came out, its values and metrics, why, its curves and its log."""
    status = told["status"] if told["state"] != "failure" else "failed"
    items = [("state", told["state"]), ("created", date(told["created"]))]
    items += [("runtime", seconds(told["runtime"]))] if told["started"] else []
    items += [("restarts", str(told["restarts"]))] if told["restarts"] else []
    items += [(key, number(told[key], 6)) for key in ("value", "budget") if told[key] is not None]
    items += [("reason", told["reason"])] if told["reason"] else []
    last = [(key, _measured(value)) for key, value in told["metrics"].items()]
    values = [(key, shown(value)) for key, value in told["values"].items()]
    columns = [("Outcome", items), ("Values", values), ("Metrics", last)]
    of = {"name": told["study"], "trial": told["trial"]}
    parts = [tag("div", *(_column(*each, of) for each in columns if each[1]), class_="columns")]
    parts += _text(told, "error")
    parts += [tag("h2", "Curves"), tag("div", *curves, class_="charts")] if curves else []
    parts += [tag("h2", "Decisions"), described(why, **of)] if why else []
    parts += _text(told, "script")
    parts += [tag("h2", "Log"), tag("pre", log) if log else tag("p", "It has printed nothing.", class_="dim")]
    words = joined(f"Trial {told['trial']} ", tag("small", told["status"], class_=str(status)))
    return joined(heading(told["study"], "trial"), tag("h1", words), _beside(told), *parts)


def _beside(told: Mapping[str, Any]) -> Markup:
    """Return the ways to the trials before and behind, and to the one that it continues."""
    here, name = told["trial"], told["study"]
    ways = [link("trial", "← previous", name=name, trial=here - 1)] if here > 1 else []
    ways.append(link("trial", "next →", name=name, trial=here + 1))
    if told["parent"] is not None:
        ways.append(link("trial", f"continues trial {told['parent']}", name=name, trial=told["parent"]))
    return tag("div", *ways, class_="pages")


def chart(metric: str, content: Markup) -> Markup:
    """Return a curve under its name."""
    return tag("figure", tag("figcaption", _name(metric)), content)


def _column(name: str, items: Sequence[tuple[str, str]], of: Mapping[str, Any]) -> Markup:
    return tag("div", tag("h2", name), described(items, **of))


def _measured(value: Any) -> str:
    return number(value, 6) if isinstance(value, float) else shown(value)


# -- pictures ------------------------------------------------------------------------------------------------------


def plots(study: str, which: Sequence[str]) -> Markup:
    """Return places for all pictures; each is drawn when it comes into view."""
    places = [tag("div", class_="plot coming", data_figure=address("figure", name=study, which=each)) for each in which]
    return joined(*places)


# -- tables --------------------------------------------------------------------------------------------------------


def _number(text: str) -> Markup:
    return _cell(text, right=True)


def _cell(text: str, *, right: bool) -> Markup:
    return tag("td", text, class_="n" if right else None)


def _list(heads: Sequence[Any], rows: Sequence[Markup], *, full: bool = False) -> Markup:
    """Return a table; a head that ends in a colon is one of numbers."""
    cells = [
        head
        if isinstance(head, Markup)
        else tag("th", head.removesuffix(":"), class_="n" if head.endswith(":") else None)
        for head in heads
    ]
    made = tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *rows), class_="list full" if full else "list")
    return tag("div", made, class_="wide")


def _turning(where: str, at: int, pages: int, **query: Any) -> Markup:
    """Return the ways to other pages of a list, where there are some."""
    if pages < 2:  # noqa: PLR2004
        return joined()
    near = sorted({1, *range(max(1, at - 2), min(pages, at + 2) + 1), pages})
    ways: list[Markup] = []
    for before, each in zip([0, *near], near, strict=False):
        ways += [tag("span", "…")] if each - before > 1 else []
        text = f"{each:,}"
        ways.append(tag("span", text, class_="on") if each == at else link(where, text, **query, page=each))
    return tag("div", *ways, class_="pages")
