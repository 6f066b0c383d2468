"""What trials print: `<directory>/<trial>/output.log`, and on request the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from maggy.rpc.messages import Log


class TrialLogs:
    """Files of what trials print; a trial that prints nothing has none."""

    def __init__(self, directory: Path | None, *, verbose: bool) -> None:
        self._directory = directory
        self._verbose = verbose

    def write(self, log: Log) -> None:
        """Append to the trial's file, and show it where asked for."""
        text = log.text + (f"\n[{log.dropped:,} characters more were left out]\n" if log.dropped else "")
        if self._directory is not None:
            folder = self._directory / str(log.trial)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "output.log").open("a", encoding="utf-8") as file:
                file.write(text)
        if self._verbose:
            sys.stderr.writelines(f"[{log.trial}] {line}\n" for line in text.splitlines())
