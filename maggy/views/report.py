"""A study as one HTML file that needs nothing else: what was found, the trials, and all pictures that there are."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import Trial
from maggy.views.effects import Ablation
from maggy.views.markup import Markup, joined, tag
from maggy.views.plots import effects, params, trials
from maggy.views.plots.base import plotly
from maggy.views.summary import is_ablation, number, plain, shown, table, title

CONFIG = {"displaylogo": False, "responsive": True}
ROWS = 100  # trials in the table, the best ones
SEARCH = (trials.history, params.importance, params.slices, params.parallel, params.contour)
ALL = (trials.curves, trials.rungs, trials.timeline)  # of whatever study

# Nothing is loaded from anywhere; what users wrote is escaped, and would find nobody to talk to if it were not. Plotly
# makes functions of text for what it draws by WebGL (parallel coordinates), which is 'unsafe-eval'.
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
THEME = resources.files("maggy.views.plots") / "theme.js"  # maggy itself may run from a zip
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1f2630; --dim: #5b6673; --line: #d5dae1; --stripe: #f5f7f9 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171c; --ink: #dfe3e8; --dim: #98a2ae; --line: #343a44; --stripe: #1a1e25 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2rem auto;
       max-width: 1100px; padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p.head { color: var(--dim); margin: .2rem 0 }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
td, th { padding: .2rem .7rem; text-align: right; white-space: nowrap }
td.text, th.text { text-align: left } tr:nth-child(even) td { background: var(--stripe) }
th { border-bottom: 1px solid var(--line) }
div.wide { overflow-x: auto; margin: 1rem 0 }
"""


def report(study: Study) -> str:
    """Return the page. Raises `ConfigError` where plotly is not installed."""
    plotly()
    told = table(study)
    parts = [tag("h1", title(study)), tag("p", _headline(study), class_="head")]
    parts += [tag("p", plain(told.why_no_best))] if told.why_no_best else []
    if study.best is not None and not told.effects:
        parts.append(_section("Best", _table(["", ""], [*_best(study, study.best)])))
    parts += [_section("What was left out", _effects(study))] if told.effects else []
    parts += [_section("", picture) for picture in _pictures(study)]
    for heading, groups in (("Stopped", told.stops), ("Failed", told.failures)):
        if groups:
            rows = [[group.what, f"{group.count:,}", f"{group.example}"] for group in groups]
            parts.append(_section(heading, _table(["why", "trials", "the first"], rows)))
    parts.append(_section(*_trials(study)))
    body = joined(*parts, tag("script", Markup(THEME.read_text(encoding="utf-8"))))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{tag("title", title(study))}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>"
    )


def _headline(study: Study) -> str:
    ends = [trial.ended for trial in study.trials.values() if trial.ended is not None]
    starts = [trial.started for trial in study.trials.values() if trial.started is not None]
    return table(study).headline(max(ends) - min(starts) if ends and starts else 0.0)


def _pictures(study: Study) -> Iterator[Markup]:
    from plotly import io

    library: bool = True  # with the first one only
    for draw in ((effects.bars,) if is_ablation(study) else SEARCH) + ALL:
        try:
            found = draw(study)
        except ConfigError:
            continue  # there is nothing of the kind in this study
        yield Markup(io.to_html(found, full_html=False, include_plotlyjs=library, config=CONFIG))
        library = False


def _best(study: Study, best: Trial) -> Iterator[list[str]]:
    yield [study.objective.key, number(best.value or 0.0, 6)]
    yield ["trial", str(best.id)]
    if best.budget is not None:
        yield ["budget", number(best.budget)]
    for name, value in best.params.items():
        yield [name, shown(value)]


def _effects(study: Study) -> Markup:
    heads, *rows = (list(row) for row in Ablation(study).columns())
    return _table(heads, rows)


def _trials(study: Study) -> tuple[str, Markup]:
    ranked = sorted(
        study.trials.values(), key=lambda trial: (-(trial.budget or 0), not trial.usable, study.loss(trial))
    )
    names = study.searchspace.keys()
    budgets = ["budget"] if any(trial.budget is not None for trial in ranked) else []
    heads = ["trial", "status", study.objective.key, *budgets, "seconds", *names]
    rows = [
        [
            str(trial.id),
            str(trial.status),
            "" if trial.value is None else number(trial.value, 6),
            *("" if trial.budget is None else number(trial.budget) for _ in budgets),
            "" if trial.duration is None else number(trial.duration, 3),
            *(shown(trial.params[name]) if name in trial.params else "" for name in names),
        ]
        for trial in ranked[:ROWS]
    ]
    some = f" (the best {ROWS} of {len(ranked):,})" if len(ranked) > ROWS else ""
    return f"Trials{some}", _table(heads, rows)


def _section(heading: str, content: Markup) -> Markup:
    return joined(tag("h2", heading) if heading else "", tag("div", content, class_="wide"))


def _table(heads: list[str], rows: list[list[str]]) -> Markup:
    head = tag("thead", _row("th", heads)) if any(heads) else ""
    return tag("table", head, tag("tbody", *(_row("td", row) for row in rows)))


def _row(kind: str, cells: list[str]) -> Markup:
    return tag("tr", *(tag(kind, plain(cell), class_=None if rank else "text") for rank, cell in enumerate(cells)))
