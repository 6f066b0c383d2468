"""The terminal: one quiet live line while a study runs, a small table at its end.

Rules of this file:

1. The live line and notices go to stderr, the closing table to stdout, so `python study.py > result.txt` keeps what is
   worth keeping.
2. Only a terminal gets a live line and colours. Pipes and files get plain lines, ASCII but for what users wrote
   themselves; for notebooks there is `views.notebook`. `isatty` decides, not rich, which believes variables that
   continuous integration sets.
3. A view never fails its study: a terminal that has gone away is written to no more.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from rich.cells import cell_len
from rich.console import Console as Terminal
from rich.live import Live
from rich.text import Text

from maggy.effects import Effect
from maggy.errors import amount
from maggy.study import Study
from maggy.trial import Trial
from maggy.views import summary
from maggy.views.effects import cells
from maggy.views.summary import Group, Table

REDRAW = 0.2  # seconds between two redraws, on average
RATE_OVER = 3.0  # seconds over which reports/s are averaged
EFFECTS = 8  # changes of an ablation that the table shows, the most harmful, and as many of the others
LABEL_WIDTH = 32  # columns beyond which a long parameter name pushes its value aside
GROUPS = 3  # kinds of stops and of failures that the table names

Row = tuple[str, str, str]
"""Label, text, rich style of the text; an empty label continues the row above, three empty strings are a gap."""
GAP: Row = ("", "", "")

_ORNAMENTS = str.maketrans("·…", "|.")

# Terminals have one last line: of studies side by side, the first gets it.
_last_line = threading.Lock()


class Console:
    """Shows a study to the person who started it.

    Arguments:
        quiet: show nothing at all.
        live: whether there may be a live line.
        out: where the closing table goes; stdout by default.
        err: where the live line and notices go; stderr by default.
        clock: seconds, rising.

    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        live: bool = True,
        out: IO[str] | None = None,
        err: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet = quiet
        self._may_live = live
        self._out = out
        self._err = err
        self._clock = clock
        self._began = clock()
        self._next = self._began
        self._live: Live | None = None
        self._closed = False
        self._line = ""
        self._seen: deque[tuple[float, int]] = deque()  # when there were how many reports

    def begin(self, doing: str = "") -> None:
        """Start the clock, and say in the live line what is being done until there is a study to show."""
        self._began = self._next = self._clock()
        if doing:
            self._draw(summary.plain(doing))

    def update(self, study: Study, executors: int) -> None:
        """Redraw the live line if it is time to; cheap if it is not, and where there is none."""
        now = self._clock()
        if self._quiet or self._closed or now < self._next:
            return
        # Counted from when it was due, so that a caller who comes every 0.2 s and a bit is not heard every other time.
        self._next = max(self._next + REDRAW, now + REDRAW / 2)
        if live := self._lit():
            rate = self._rate(now, study.reports)
            # One column stays free: in the last one, many terminals wrap.
            self._draw(summary.progress(study, now - self._began, rate, executors, live.console.width - 1))

    def say(self, message: str) -> None:
        """Tell something in passing, above the live line."""
        self._notice(message, "")

    def warn(self, message: str) -> None:
        """Tell something that the user should not miss."""
        self._notice(f"Warning: {message}", "bold yellow")

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
        """Take the live line away and show the closing table.

        Arguments:
            study: as it ended.
            seconds: that this call took.
            executors: that took part, if known.
            places: where things are: label and path or command.
            resume: the line that goes on with the study, where there is something to go on with.
            default: the trial of the default configuration, to compare the best with.

        """
        self.close()
        if not self._quiet:
            told = summary.table(study, default)
            self._show(told.name, told.headline(seconds, executors), rows(told, places or {}, resume))

    def close(self) -> None:
        """Take the live line away; nothing is drawn after this, notices still are."""
        self._closed = True
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except (OSError, ValueError):
                pass  # the terminal has gone
            finally:
                _last_line.release()

    # -- the live line ---------------------------------------------------------------------------------------------

    def _lit(self) -> Live | None:
        """Return the live line, lit if it was not; None where there is none to be had."""
        if self._live is None and self._may_live and not self._quiet and not self._closed:
            terminal = _terminal(self._err or sys.stderr)
            if terminal is not None and _last_line.acquire(blocking=False):
                # What others print meanwhile appears above the line, unless it goes to a file.
                self._live = Live(
                    console=terminal,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=_is_terminal(sys.stdout),
                    redirect_stderr=_is_terminal(sys.stderr),
                )
        return self._live

    def _draw(self, line: str) -> None:
        live = self._lit()
        if live is None or line == self._line:
            return
        self._line = line
        try:
            live.start()  # does nothing the second time
            live.update(_fit_for(_styled(line), live.console.file), refresh=True)
        except (OSError, ValueError):
            self.close()

    def _rate(self, now: float, reports: int) -> float:
        self._seen.append((now, reports))
        while now - self._seen[0][0] > RATE_OVER and len(self._seen) > 2:  # noqa: PLR2004 - a rate needs two points
            self._seen.popleft()
        then, before = self._seen[0]
        return (reports - before) / (now - then) if now > then else 0.0

    # -- notices and the table -------------------------------------------------------------------------------------

    def _notice(self, message: str, style: str) -> None:
        if self._quiet:
            return
        stream, live = self._err or sys.stderr, self._live
        text = "\n".join(map(summary.plain, message.splitlines()))
        terminal = live.console if live else _terminal(stream)
        try:
            if terminal is None:
                print(_ascii(text, stream), file=stream, flush=True)
            else:
                terminal.print(_fit_for(Text(text, style=style), stream), soft_wrap=True)
        except (OSError, ValueError):
            self.close()

    def _show(self, name: str, headline: str, told: list[Row]) -> None:
        stream = self._out or sys.stdout
        terminal = _terminal(stream)
        head, body = Text.assemble((name, "bold"), "  ", headline), laid_out(told)
        try:
            if terminal is None:
                print(_ascii(f"\n{head.plain}\n\n{body.plain}", stream), file=stream, flush=True)
            else:
                terminal.print("", _fit_for(head, stream), "", sep="\n")
                # Rows are left to the terminal to wrap: so a path or a command can be copied in one piece.
                terminal.print(_fit_for(body, stream), soft_wrap=True)
        except (OSError, ValueError):
            pass  # the result is in the store


# -- what the table says -------------------------------------------------------------------------------------------


def rows(told: Table, places: Mapping[str, str], resume: str | None = None) -> list[Row]:
    """Return the closing table's rows; sections are parted by a gap."""
    sections = [
        [("ended early", told.cut_short, "yellow")] if told.cut_short else [],
        _best(told),
        [
            *([("rungs", told.rungs, "")] if told.rungs else []),
            *_groups("stopped", "", told, told.stops),
            *_groups("failed", "red", told, told.failures),
        ],
        [
            *((summary.plain(label), summary.plain(place), "") for label, place in places.items()),
            *([("go on with", summary.plain(resume), "")] if resume else []),
        ],
    ]
    told_rows: list[Row] = []
    for section in filter(None, sections):
        told_rows += [GAP, *section] if told_rows else section
    return told_rows


def _best(told: Table) -> list[Row]:
    best = told.best
    if best is None or best.value is None:
        return [("no best", told.why_no_best, "yellow")]
    if told.effects:
        return _effects(told.effects)
    budget = "" if best.budget is None else f", budget {summary.number(best.budget)}"
    label = f"best {told.metric}" if told.metric else "best"
    found: list[Row] = [(label, f"{summary.number(best.value, 6)}  (trial {best.id}{budget})", "bold green")]
    found += [("  " + summary.plain(name), summary.shown(value), "") for name, value in best.params.items()]
    if told.default is not None:
        default = told.default
        text = str(default.status) if default.value is None else summary.number(default.value, 6)
        found.append(("by default", f"{text}  (trial {default.id})", ""))
    return found


def _effects(told: Sequence[Effect]) -> list[Row]:
    """Return what was left out and what that did, the most harmful first."""
    left_out = len(told) - 2 * EFFECTS
    if left_out <= 1:
        return list(map(_effect, told))
    between: Row = ("", f"… {left_out:,} more: print(result.ablation)", "dim")
    return [*map(_effect, told[:EFFECTS]), between, *map(_effect, told[-EFFECTS:])]


def _effect(each: Effect) -> Row:
    label, _, value, effect, interval, _, verdict = cells(each)
    details = f"  ({interval})" if interval else ""
    return (label, f"{effect}{details}  {verdict}".rstrip() if each.change else value, "")


def _groups(label: str, style: str, told: Table, groups: tuple[Group, ...]) -> list[Row]:
    if len(groups) == 1 and groups[0].what in told.why_no_best:
        return []  # it has been said
    named = groups if len(groups) <= GROUPS + 1 else groups[:GROUPS]
    texts = [f"{group.what}  ({_who(group)})" for group in named]
    if others := groups[len(named) :]:
        texts.append(f"{amount(sum(group.count for group in others), 'trial')} for {len(others):,} other reasons")
    return [("" if index else label, text, style) for index, text in enumerate(texts)]


def _who(group: Group) -> str:
    return f"trial {group.example}" if group.count == 1 else f"{group.count:,} trials, the first is {group.example}"


# -- how it looks --------------------------------------------------------------------------------------------------


def laid_out(told: list[Row]) -> Text:
    """Return the rows as lines, the texts below each other."""
    width = min(LABEL_WIDTH, max((cell_len(label) for label, _, _ in told), default=0))
    text = Text()
    for label, value, style in told:
        if label or value:
            text.append(label + " " * max(2, width - cell_len(label) + 3), "dim").append(value, style)
        text.append("\n")
    return text


def _styled(line: str) -> Text:
    """Colour the live line: it never wraps, whatever happens to the window meanwhile."""
    text = Text(line, no_wrap=True, overflow="ellipsis")
    text.highlight_regex(r"^.*?(?=  )", "bold")
    text.highlight_regex(r" · ", "dim")
    text.highlight_regex(r"(?<= · best )\S+", "green")
    text.highlight_regex(r"\S+ failed", "red")
    text.highlight_regex(r"waiting for executors", "yellow")
    return text


def _terminal(stream: IO[str]) -> Terminal | None:
    """Return what draws on the stream, None where it is not a terminal."""
    if not _is_terminal(stream):
        return None
    return Terminal(file=stream, force_terminal=True, force_jupyter=False, highlight=False, markup=False, emoji=False)


def _is_terminal(stream: IO[str] | None) -> bool:
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # not quite a file, or a closed one
        return False


def _ascii(text: str, stream: IO[str]) -> str:
    """Write our own ornaments in ASCII; what users wrote stays, as far as the stream can take it."""
    return _encodable(text.translate(_ORNAMENTS), stream)


def _encodable(text: str, stream: IO[str]) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ORNAMENTS).encode(encoding, "replace").decode(encoding)
    return text


def _fit_for(text: Text, stream: IO[str]) -> Text:
    text.plain = _encodable(text.plain, stream)  # a character for a character, so styles stay where they are
    return text
