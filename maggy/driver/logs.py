"""What trials print: `<directory>/<trial>/output.log`, and on request the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from maggy.events import Ended, Event, Lost
from maggy.rpc.messages import Log


class TrialLogs:
    """Files of what trials print; a trial that prints nothing has none.

    Like every view it never fails its study: `trouble` is None, or the sentence that says why the files end early.
    """

    def __init__(self, directory: Path | None, *, verbose: bool) -> None:
        self.trouble: str | None = None
        self._directory = directory
        self._verbose = verbose
        self._begun: dict[int, str] = {}  # by trial: a line whose end has not come yet

    def write(self, log: Log) -> None:
        """Append to the trial's file, and show it where asked for."""
        text = log.text + (f"\n[{log.dropped:,} characters more were left out]\n" if log.dropped else "")
        if self._directory is not None and self.trouble is None:
            try:
                _append(self._directory / str(log.trial), text)
            except OSError as error:
                self.trouble = f"what trials print is no longer written: {error}"
        if self._verbose:
            *lines, rest = [*(self._begun.pop(log.trial, "") + text).splitlines(keepends=True), ""]
            if lines and not lines[-1].endswith(("\n", "\r")):
                rest = lines.pop()
            self._begun[log.trial] = rest
            _show(log.trial, lines)

    def recorded(self, events: Sequence[Event]) -> None:
        """Show the line that a trial's last attempt left without an end."""
        for event in events:
            if isinstance(event, (Ended, Lost)) and (rest := self._begun.pop(event.trial, "")):
                _show(event.trial, [rest])


def _append(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.log").open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def _show(trial: int, lines: Sequence[str]) -> None:
    with suppress(OSError, ValueError):  # a terminal that has gone away
        sys.stderr.writelines(f"[{trial}] {line.rstrip()}\n" for line in lines)
