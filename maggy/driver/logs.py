r"""What trials print: `<directory>/<trial>/output.log`, and on request the terminal.

`\r` means in the file what it means on a terminal: what follows takes the place of the line. So a progress bar is
one line, and the last line of the file says how the trial stands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from maggy.driver.aside import Aside
from maggy.errors import amount
from maggy.events import Ended, Event, Lost
from maggy.rpc.messages import Log

LONGEST_LINE = 8 * 1024  # characters that what follows a `\r` may take the place of
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
        self._begun: dict[int, str] = {}  # by trial: a line whose end has not come yet, for the terminal
        self._drawn: dict[int, str] = {}  # the same for the file, where it stands already
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
        """End the line that a trial's last attempt left without an end."""
        if self._aside is None:
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
                self._append(trial, self._directory / str(trial), text)
            except OSError as error:  # the disk may have room for the next words: each is tried
                self._left_out(text, str(error))
                self._drawn.pop(trial, None)
        if self._verbose:
            *lines, rest = [*(self._begun.pop(trial, "") + text).splitlines(keepends=True), ""]
            if lines and not lines[-1].endswith(("\n", "\r")):
                rest = lines.pop()
            self._begun[trial] = rest
            _show(trial, lines)

    def _finish_line(self, trial: int) -> None:
        if rest := self._begun.pop(trial, ""):
            _show(trial, [rest])
        if "\r" in self._drawn.pop(trial, "") and self._directory is not None:
            with suppress(OSError):
                _write(self._directory / str(trial), 0, "\n")

    def _append(self, trial: int, folder: Path, text: str) -> None:
        begun = self._drawn.get(trial, "")
        whole = begun + text
        end = whole.rfind("\n") + 1
        drawn, before = _drawn(whole), _drawn(begun)
        if drawn.startswith(before):
            _write(folder, 0, drawn[len(before) :])
        else:
            _write(folder, len(before.encode(errors="backslashreplace")), drawn)
        self._drawn[trial] = whole[end:] if len(whole) - end <= LONGEST_LINE else ""

    def _left_out(self, text: str, why: str) -> None:
        self._missing, self._why = self._missing + len(text), why


def _write(folder: Path, back: int, text: str) -> None:
    """Append to a trial's file, in the place of the last `back` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.log").open("ab") as file:
        if back:
            file.truncate(max(0, file.seek(0, os.SEEK_END) - back))
        file.write(text.encode(errors="backslashreplace"))


def _drawn(text: str) -> str:
    r"""Return what a terminal shows: of each line what stands behind the last `\r` that something stands behind."""
    if "\r" not in text:
        return text
    return "\n".join(next(filter(None, reversed(line.split("\r"))), "") for line in text.split("\n"))


def _show(trial: int, lines: Sequence[str]) -> None:
    with suppress(OSError, ValueError):  # a terminal that has gone away
        sys.stderr.writelines(f"[{trial}] {line.rstrip()}\n" for line in lines)
