"""A study as one picture in HTML that is replaced by the next: in a notebook's cell, and on the pages of `maggy ui`.

Rules of this file:

1. Pure, and bounded in size: see `sketches`. No script, nothing is loaded.
2. It is legible on white and on black: it has no ground of its own and the colour of the text around it.
3. What users wrote passes `plain`, and `tag` escapes it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from maggy.errors import amount, last_line
from maggy.study import Study
from maggy.trial import Status, Trial
from maggy.views import sketches
from maggy.views.markup import Markup, joined, tag
from maggy.views.summary import called, duration, is_ablation, number, plain, shortened, shown, title, why_no_best

EVENTS = 6  # ends of trials that are told
LANES = 8  # executors that are drawn
PARAMS = 12  # of the best trial that are shown
REASON = 100  # characters of why a trial ended
NAME = 22  # of an executor's name
TEXT = 40  # of what users call things

STYLE = """
.mg{font:13px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;max-width:1160px;margin:.2em 0;color:inherit}
.mg .row{display:flex;flex-wrap:wrap;align-items:baseline;gap:.15em 1.1em}
.mg .grow{flex:1}.mg .dim{opacity:.65}.mg .name{font-weight:650;font-size:1.15em}
.mg .bar{display:flex;height:7px;border-radius:4px;overflow:hidden;margin:.5em 0;background:rgba(128,128,128,.22)}
.mg .bar i{display:block;height:100%}.mg .bar i+i{border-left:1px solid rgba(128,128,128,.25)}
.mg .dot{display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.4em}
.mg .best{margin:.6em 0 .3em}.mg .best b{font-size:1.5em;font-weight:650;color:#2a9d5c}
.mg .chip{border:1px solid rgba(128,128,128,.4);border-radius:5px;padding:0 .45em}
.mg .chip,.mg td,.mg b{font-variant-numeric:tabular-nums}
.mg .panels{display:flex;flex-wrap:wrap;gap:.6em 1.6em;margin:.5em 0}
.mg .panel{flex:1 1 280px;min-width:240px;max-width:520px}.mg .panel svg{display:block}
.mg h4{font-size:12px;font-weight:600;margin:.3em 0 .35em;opacity:.75}.mg table+h4{margin-top:1em}
.mg table,.mg tr,.mg td{border:0;border-collapse:collapse;background:none;color:inherit;font-size:12px}
.mg table{width:100%;margin:0}.mg td{padding:1px 8px 1px 0;text-align:left;white-space:nowrap}
.mg td.n{text-align:right}.mg td.w{width:99%;max-width:0;overflow:hidden;text-overflow:ellipsis}
.mg .lanes td.w{width:60%;max-width:none;min-width:90px}.mg .warn{color:#c9761a;margin:.25em 0}
.mg .told{width:auto;margin-top:.4em}.mg .told td{padding-right:1.6em;white-space:pre-wrap}
""".replace("\n", "")


def picture(
    study: Study,
    *,
    elapsed: float,
    now: float,
    state: str = "",
    reports_per_s: float = 0.0,
    notices: Sequence[str] = (),
    told: Sequence[tuple[str, str]] = (),
) -> Markup:
    """Return the picture, its style included.

    Arguments:
        study: as it is now.
        elapsed: seconds since the study, or this call, began.
        now: seconds since the epoch, to see what runs.
        state: what is to be said beside the study's name: that it runs, has ended, was interrupted.
        reports_per_s: reports a second, of late.
        notices: what the user should not miss.
        told: labels and texts to put below, such as where things are.

    """
    parts = [_head(study, elapsed, state), _bar(study), _counts(study, reports_per_s)]
    searches = not is_ablation(study)  # of an ablation the best is the luckiest, and says nothing
    parts += [_best(study)] if searches else []
    parts += [tag("div", plain(notice), class_="warn") for notice in notices]
    panels = [_panel("best so far", sketches.history(study))] if searches else []
    panels.append(_panel("learning curves", sketches.curves(study)))
    panels.append(_panel("", joined(*filter(None, (_executors(study, now), _events(study))))))
    parts.append(tag("div", *filter(None, panels), class_="panels"))
    if told:
        rows = [tag("tr", tag("td", label, class_="dim"), tag("td", text)) for label, text in told]
        parts.append(tag("table", *rows, class_="told"))
    return tag("div", tag("style", Markup(STYLE)), *parts, class_="mg")


def _head(study: Study, elapsed: float, state: str) -> Markup:
    optimizer = (study.settings.get("optimizer") or {}).get("name") or ""
    verb = "maximize" if study.objective.direction == "max" else "minimize"
    what = f"{verb} {_named(study.objective.key)}" + (f" · {_named(optimizer)}" if optimizer else "")
    return tag(
        "div",
        tag("span", title(study), class_="name"),
        tag("span", what, class_="dim"),
        tag("span", class_="grow"),
        tag("span", shortened(plain(state), REASON)),
        tag("span", duration(elapsed), class_="dim"),
        class_="row",
    )


def _named(name: object) -> str:
    return shortened(plain(str(name)), TEXT)


def _shares(study: Study) -> list[tuple[Status, int]]:
    return [(status, study.counts[status]) for status in sketches.COLOURS if study.counts[status]]


def _bar(study: Study) -> Markup:
    """Return the bar: trials by what became of them, and room for those still to come."""
    coming = max(study.remaining, 0) if study.num_trials is not None else 0
    whole = sum(count for _, count in _shares(study)) + coming or 1
    parts = []
    for status, count in _shares(study):
        opacity = "opacity:.45;" if not status.final else ""
        ground = f"{opacity}background:{sketches.COLOURS[status]}"
        parts.append(tag("i", style=f"width:{100 * count / whole:.2f}%;{ground}", title=f"{count:,} {status}"))
    return tag("div", *parts, class_="bar")


def _counts(study: Study, reports_per_s: float) -> Markup:
    words = []
    for status, count in _shares(study):
        opacity = "" if status.final else ";opacity:.45"
        dot = tag("i", class_="dot", style=f"background:{sketches.COLOURS[status]}{opacity}")
        words.append(tag("span", dot, f"{count:,} {status}"))
    total = "" if study.num_trials is None else f" of {study.num_trials:,}"
    words.append(tag("span", f"{study.sampled:,}{total} sampled", class_="dim"))
    if reports_per_s:
        words.append(tag("span", f"{reports_per_s:,.0f} reports/s", class_="dim"))
    return tag("div", *words, class_="row")


def _best(study: Study) -> Markup:
    best = study.best
    if best is None or best.value is None:
        why = why_no_best(study) if study.closed else "no trial has completed yet"
        return tag("div", why, class_="best dim")
    budget = "" if best.budget is None else f", budget {number(best.budget)}"
    params = list(best.params.items())
    chips = [
        tag("span", tag("span", _named(name), class_="dim"), f" {shortened(shown(value), TEXT)}", class_="chip")
        for name, value in params[:PARAMS]
    ]
    chips += [tag("span", f"and {len(params) - PARAMS} more", class_="dim")] if len(params) > PARAMS else []
    front = [tag("span", "best", class_="dim"), tag("b", number(best.value, 6))]
    return tag("div", *front, tag("span", f"trial {best.id}{budget}", class_="dim"), *chips, class_="row best")


def _panel(heading: str, content: Markup | None) -> Markup | None:
    return tag("div", tag("h4", heading) if heading else "", content, class_="panel") if content else None


def _executors(study: Study, now: float) -> Markup | None:
    lanes, busy = sketches.lanes(study, now)
    if not lanes:
        return None
    latest = sorted(lanes, key=lambda lane: (lane.runs is not None, lane.last))[-LANES:]
    names, rows = called(lane.name for lane in lanes), []
    for lane in [lane for lane in lanes if lane in latest]:
        whole = max(now - lane.first, 1e-9)
        doing = "" if lane.runs is None else f"trial {lane.runs}"
        rows.append(
            tag(
                "tr",
                tag("td", _end(names[lane.name]), title=plain(lane.name)),
                tag("td", lane.drawn(), class_="w"),
                tag("td", f"{min(lane.seconds / whole, 1.0):.0%}", class_="n"),
                tag("td", doing, class_="dim"),
            )
        )
    if len(lanes) > len(rows):
        rows.append(tag("tr", tag("td", f"and {len(lanes) - len(rows)} more", class_="dim", colspan=4)))
    heading = tag("h4", f"{amount(len(lanes), 'executor')}, {busy:.0%} busy")
    return joined(heading, tag("table", *rows, class_="lanes"))


def _end(name: str) -> str:
    """Return the end of a name, rather than its beginning, where it is long."""
    return name if len(name) <= NAME else "…" + name[1 - NAME :]


def _events(study: Study) -> Markup | None:
    trials = list(study.trials.values())
    latest = heapq.nlargest(EVENTS, (each for each in trials if each.end is not None), key=lambda each: each.end or 0)
    if not latest:
        return None
    first = min((each.started for each in trials if each.started is not None), default=0.0)
    rows = []
    for trial in latest:
        at = "" if trial.ended is None or not first else duration(trial.ended - first)
        dot = tag("i", class_="dot", style=f"background:{sketches.COLOURS[trial.status]}")
        words = joined(dot, f"{trial.status} {ending(trial)}")
        cells = [tag("td", at, class_="dim n"), tag("td", f"trial {trial.id}"), tag("td", words, class_="w")]
        rows.append(tag("tr", *cells))
    return joined(tag("h4", "last events"), tag("table", *rows))


def ending(trial: Trial) -> str:
    """Return how a trial that has ended came out, in a few words."""
    if trial.status is Status.COMPLETED:
        budget = "" if trial.budget is None else f", budget {number(trial.budget)}"
        return ("" if trial.value is None else number(trial.value, 6)) + budget
    why = trial.stop_reason or last_line(trial.error) or "no reason given"
    return shortened(plain(why), REASON)
