"""What trials print: `<directory>/<trial>/output.log`, and on request the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from maggy.driver.aside import Aside
from maggy.errors import amount
from maggy.events import Ended, Event, Lost
from maggy.rpc.messages import Log

MAX_WAITING = 16 * 1024 * 1024  # characters that wait for a disk or a terminal, before others are left out


class TrialLogs:
    """Files of what trials print; a trial that prints nothing has none.

    Like every view it never delays its study and never fails it: `trouble` is None, or the sentence that says what is
    missing in the files, and why.
    """

    def __init__(self, directory: Path | None, *, verbose: bool) -> None:
        self._directory = directory
        self._verbose = verbose
        self._missing = 0  # characters
        self._why = ""
        self._begun: dict[int, str] = {}  # by trial: a line whose end has not come yet
        self._aside = Aside("maggy-logs", MAX_WAITING) if directory is not None or verbose else None

    @property
    def trouble(self) -> str | None:
        """What is missing, and why."""
        if not self._missing:
            return None
        return (
            amount(self._missing, "character that trials have printed is", "characters that trials have printed are")
            + f" not in their files: {self._why}"
        )

    def write(self, log: Log) -> None:
        """Append to the trial's file, and show it where asked for: soon, on a thread."""
        text = log.text + (
            f"\n[{amount(log.dropped, 'character more was', 'characters more were')} left out]\n" if log.dropped else ""
        )
        if self._aside is not None and not self._aside.put(partial(self._write, log.trial, text), len(text)):
            self._left_out(text, "they came faster than they could be written")

    def recorded(self, events: Sequence[Event]) -> None:
        """Show the line that a trial's last attempt left without an end."""
        if self._aside is None or not self._verbose:
            return
        for event in events:
            if isinstance(event, (Ended, Lost)):
                self._aside.put(partial(self._finish_line, event.trial), 0)

    def close(self, timeout: float) -> None:
        """Write what waits, but give up after `timeout` seconds."""
        if self._aside is not None and not self._aside.close(timeout):
            self._missing += max(self._aside.weight, 1)
            self._why = f"they were not written within {timeout:g} s of the end"

    # -- on the thread ---------------------------------------------------------------------------------------------

    def _write(self, trial: int, text: str) -> None:
        if self._directory is not None:
            try:
                _append(self._directory / str(trial), text)
            except OSError as error:  # the disk may have room for the next words: each is tried
                self._left_out(text, str(error))
        if self._verbose:
            *lines, rest = [*(self._begun.pop(trial, "") + text).splitlines(keepends=True), ""]
            if lines and not lines[-1].endswith(("\n", "\r")):
                rest = lines.pop()
            self._begun[trial] = rest
            _show(trial, lines)

    def _finish_line(self, trial: int) -> None:
        if rest := self._begun.pop(trial, ""):
            _show(trial, [rest])

    def _left_out(self, text: str, why: str) -> None:
        self._missing, self._why = self._missing + len(text), why


def _append(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.log").open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def _show(trial: int, lines: Sequence[str]) -> None:
    with suppress(OSError, ValueError):  # a terminal that has gone away
        sys.stderr.writelines(f"[{trial}] {line.rstrip()}\n" for line in lines)
