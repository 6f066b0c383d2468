"""A study as one HTML file that needs nothing else: what was found, the trials, and all pictures that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Trial
from maggy.views.effects import HEADS, Ablation
from maggy.views.plots import effects, params, trials
from maggy.views.plots.base import plotly
from maggy.views.summary import is_ablation, number, plain, shown, table, title

ROWS = 100  # trials in the table, the best ones
PICTURES: tuple[Callable[[Study], Any], ...] = (
    trials.history,
    params.importance,
    params.slices,
    params.parallel,
    params.contour,
    trials.curves,
    trials.rungs,
    trials.timeline,
)

# Nothing is loaded from anywhere; what users wrote is escaped, and would find nobody to talk to if it were not.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #223; margin: 2rem auto; max-width: 1100px; padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p.head { color: #567; margin: .2rem 0 }
table { border-collapse: collapse; font-size: 13px }
td, th { padding: .2rem .7rem; text-align: right; white-space: nowrap }
td.text, th.text { text-align: left } tr:nth-child(even) td { background: #f4f6f9 } th { border-bottom: 1px solid #9ab }
div.wide { overflow-x: auto }
"""


def report(study: Study) -> str:
    """Return the page. Raises `ConfigError` where plotly is not installed."""
    plotly()
    told = table(study)
    parts = [f"<h1>{escape(title(study))}</h1>", f'<p class="head">{escape(_headline(study))}</p>']
    parts += [f"<p>{escape(plain(told.why_no_best))}</p>"] if told.why_no_best else []
    if study.best is not None and not told.effects:
        parts.append(_section("Best", _table(["", ""], [*_best(study, study.best)])))
    parts += [_section("What was left out", _effects(study))] if told.effects else []
    parts += [_section("", picture) for picture in _pictures(study)]
    for heading, groups in (("Stopped", told.stops), ("Failed", told.failures)):
        if groups:
            rows = [[group.what, f"{group.count:,}", f"{group.example}"] for group in groups]
            parts.append(_section(heading, _table(["why", "trials", "the first"], rows)))
    parts.append(_section(*_trials(study)))
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title(study))}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>"
    )


def _headline(study: Study) -> str:
    ends = [trial.ended for trial in study.trials.values() if trial.ended is not None]
    starts = [trial.started for trial in study.trials.values() if trial.started is not None]
    return table(study).headline(max(ends) - min(starts) if ends and starts else 0.0)


def _pictures(study: Study) -> Iterator[str]:
    from plotly import io

    library: bool = True  # with the first one only
    for draw in ((effects.bars,) if is_ablation(study) else ()) + PICTURES:
        try:
            found = draw(study)
        except ConfigError:
            continue  # there is nothing of the kind in this study
        yield io.to_html(found, full_html=False, include_plotlyjs=library, config={"displaylogo": False})
        library = False


def _best(study: Study, best: Trial) -> Iterator[list[str]]:
    yield [study.objective.key, number(best.value or 0.0, 6)]
    yield ["trial", str(best.id)]
    if best.budget is not None:
        yield ["budget", number(best.budget)]
    for name, value in best.params.items():
        yield [name, shown(value)]


def _effects(study: Study) -> str:
    return _table(list(HEADS), [list(row) for row in Ablation(study).rows()])


def _trials(study: Study) -> tuple[str, str]:
    ranked = sorted(
        study.trials.values(), key=lambda trial: (-(trial.budget or 0), not trial.usable, study.loss(trial))
    )
    names = study.searchspace.keys()
    heads = ["trial", "status", study.objective.key, "budget", "seconds", *names]
    rows = [
        [
            str(trial.id),
            str(trial.status),
            "" if trial.value is None else number(trial.value, 6),
            "" if trial.budget is None else number(trial.budget),
            "" if trial.duration is None else number(trial.duration, 3),
            *(shown(trial.params[name]) if name in trial.params else "" for name in names),
        ]
        for trial in ranked[:ROWS]
    ]
    some = f" (the best {ROWS} of {len(ranked):,})" if len(ranked) > ROWS else ""
    return f"Trials{some}", _table(heads, rows)


def _section(heading: str, content: str) -> str:
    return (f"<h2>{escape(heading)}</h2>" if heading else "") + f'<div class="wide">{content}</div>'


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(_cell("th", rank, cell) for rank, cell in enumerate(heads))
    body = "".join(f"<tr>{''.join(_cell('td', rank, cell) for rank, cell in enumerate(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(tag: str, rank: int, text: str) -> str:
    return f"<{tag}{' class=text' if rank == 0 else ''}>{escape(plain(text))}</{tag}>"
