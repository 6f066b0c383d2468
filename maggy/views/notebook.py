"""A notebook: one picture in the cell's output while a study runs, and what is left there at its end.

Rules of this file:

1. One output, however long the study: it has an id, and is replaced at most once a second, and not more often than
   drawing it takes a twentieth of the time.
2. What is sent is HTML and plain text side by side: front ends without HTML have the line of a terminal, and at the end
   its table.
3. A view never fails its study: where the front end cannot be reached, or a picture not be drawn, plain lines go to
   stderr as they do elsewhere.

No widgets: a display with an id is what Jupyter, VS Code, Colab and Databricks (since runtime 11.3) have in common,
needs no package beside the kernel, and stands in the saved notebook as it was last seen. Earlier runtimes of Databricks
only have `displayHTML`, which shows and cannot replace: these get the last picture alone. Its later ones have a kernel,
but whether a cell follows each update could not be seen here: there the last picture is an output of its own, so that
nobody is left with the first.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, repeat
from typing import Any

from maggy.study import Study
from maggy.trial import Trial
from maggy.views import summary
from maggy.views.console import Console, laid_out, rows
from maggy.views.live import picture
from maggy.views.markup import tag

REDRAW = 1.0  # seconds between two pictures, at least
STILL = 5.0  # seconds after which one is drawn although nothing has happened: the clock goes on
SHARE = 20  # of the time that one picture takes, so many parts are left to others
BROKEN_OFF = "broken off: resume=True goes on with it"
NOTICES = 6  # the last ones that are shown

Show = Callable[[str, str], None]
"""Shows HTML, or the text where that cannot be shown."""


def console(*, quiet: bool = False, live: bool = True) -> Console:
    """Return what shows a study here: in a notebook a picture, elsewhere the terminal's line."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    html = getattr(sys.modules.get("__main__"), "displayHTML", None)
    databricks = "DATABRICKS_RUNTIME_VERSION" in os.environ
    if quiet or not live:
        return Console(quiet=quiet, live=live)
    if getattr(shell, "kernel", None) is not None:
        show = _cell()
        return Notebook(show, leave=partial(_anew, show) if databricks else None)
    if callable(html) and databricks:
        return Notebook(lambda told, _: html(told), replaces=False)
    return Console()


class Notebook(Console):
    """Shows a study in the output of a notebook's cell.

    Arguments:
        show: shows a picture in the place of the one before.
        replaces: whether it does; else only the last is shown, and notices are lines, as elsewhere.
        leave: shows the last one, where that is not simply its replacement.
        clock: seconds, rising.
        now: seconds since the epoch.

    """

    def __init__(
        self,
        show: Show,
        *,
        replaces: bool = True,
        leave: Show | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(live=False, clock=clock)
        self._replaces = replaces
        self._leave = leave
        self._show_it: Show | None = show
        self._now = now
        self._notices: list[str] = []
        self._shown = (-1, 0)  # the position of the log, and how many notices there were, at the last picture
        self._at = -STILL  # when that was
        self._begun = False
        self._study: Study | None = None  # as it was shown last

    def begin(self, doing: str = "") -> None:
        """Start the clock, and say what is being done until there is a study to show."""
        super().begin(doing)
        if doing:
            told = summary.plain(doing)
            self._send(lambda: (tag("em", f"{told} …"), told))

    def update(self, study: Study, executors: int) -> None:
        """Draw the picture anew if it is time to; cheap if it is not."""
        now, seen = self._clock(), (study.position, len(self._notices))
        if (
            self._closed
            or self._show_it is None
            or now < self._next
            or (seen == self._shown and now < self._at + STILL)
        ):
            return
        rate = self._rate(now, study.reports)
        state = "running" if executors else "waiting for executors"
        self._study = study
        self._draw_study(study, now - self._began, state, rate, executors)
        after = self._clock()
        self._shown, self._at, self._next = seen, after, after + max(REDRAW, SHARE * (after - now))

    def end(
        self,
        study: Study,
        seconds: float,
        executors: int | None = None,
        *,
        places: Mapping[str, str] | None = None,
        resume: str | None = None,
        default: Trial | None = None,
    ) -> None:
        """Leave the last picture, with all that the closing table of a terminal says."""
        self._closed = True
        table = summary.table(study, default)
        told = rows(table, places or {}, resume)
        text = f"{table.name}  {table.headline(seconds, executors)}\n\n{laid_out(told).plain}"
        below = [(label, shown) for label, shown, _ in told[_beyond_best(table) :] if label or shown]

        def drawn() -> str:
            return picture(
                study,
                elapsed=seconds,
                now=max((each.ended or 0.0 for each in study.trials.values()), default=0.0),
                state="done" if study.closed == summary.DONE else summary.plain(study.closed or "interrupted"),
                notices=self._notices[-NOTICES:],
                told=below,
            )

        self._send(lambda: (drawn(), text), last=True)
        if self._show_it is None:  # nothing can be shown here: say it as elsewhere
            super().end(study, seconds, executors, places=places, resume=resume, default=default)

    def close(self) -> None:
        """Draw nothing any more; what was to be noticed stays, and a study that has no end says so."""
        if not self._closed and self._study is not None:  # a second interrupt, or an error
            self._draw_study(self._study, self._clock() - self._began, BROKEN_OFF, 0.0, 0)
        elif not self._closed and self._begun:
            self._send(self._noticed)
        self._closed = True

    def _draw_study(self, study: Study, elapsed: float, state: str, rate: float, executors: int) -> None:
        def drawn() -> str:
            notices = self._notices[-NOTICES:]
            return picture(study, elapsed=elapsed, now=self._now(), state=state, reports_per_s=rate, notices=notices)

        self._send(lambda: (drawn(), summary.progress(study, elapsed, rate, executors)))

    def _notice(self, message: str, style: str) -> None:
        told = [summary.plain(line) for line in message.splitlines()]
        if self._closed or self._show_it is None or not self._replaces:
            super()._notice(message, style)
            return
        self._notices += told
        if not self._begun:
            self._send(self._noticed)

    def _noticed(self) -> tuple[str, str]:
        return tag("div", *(tag("div", notice) for notice in self._notices)), "\n".join(self._notices)

    def _send(self, make: Callable[[], tuple[str, str]], *, last: bool = False) -> None:
        """Show HTML and the text beside it."""
        if self._show_it is None or not (self._replaces or last):
            return
        show = self._leave if last and self._leave is not None else self._show_it
        try:
            show(*make())
            self._begun = True
        except Exception as error:  # noqa: BLE001 - whatever a kernel raises whose front end has gone, and F41
            self._show_it = None
            super()._notice(f"the notebook shows nothing more ({type(error).__name__}: {error})", "")


def _beyond_best(table: summary.Table) -> int:
    """Return how many rows of the closing table the picture says already: the best, and its parameters."""
    if table.cut_short or table.effects or table.best is None or table.best.value is None:
        return 0
    return 1 + len(table.best.params)


def _cell() -> Show:
    """Return what shows one output in a cell, and replaces it."""
    from IPython.display import display, update_display

    which = f"maggy-{secrets.token_hex(8)}"
    send: Iterator[Any] = chain([display], repeat(update_display))

    def show(html: str, text: str) -> None:
        next(send)({"text/html": html, "text/plain": text}, raw=True, display_id=which)

    return show


def _anew(show: Show, html: str, text: str) -> None:
    """Show an output of its own, and leave nothing in the place of the one that was replaced."""
    show("", "")
    _cell()(html, text)
