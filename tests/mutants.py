"""Take each guard of `mutants.toml` away, in a copy of the code, and see that a test of it fails.

::

    python tests/mutants.py             # all of them, two side by side
    python tests/mutants.py fencing     # those that have a word in their name, file or test
    python tests/mutants.py --without tests/spark --jobs 1

First each test is run as things are, and has to pass: what fails anyway shows nothing, and its mutants are *unclear*.
Then a mutant was *killed* if its test fails or hangs, and it *survived* if that passes; it is *stale* if its text does
not stand in the code exactly once, or if there is no such test. The exit code is 0 if all were killed, else 1.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("mutants.toml")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "maggy_logs"
)
SECONDS = 1200  # that a test may take as things are
LONGER = 5  # times as long, and a minute, it may take without its guard; where it hangs, that is a failure as well
VERDICTS = {"passes": "survived", "fails": "killed", "is not there": "stale"}


class Mutant(NamedTuple):
    """A guard that is taken away: `original` becomes `replacement` in `file`, and `test` should fail."""

    name: str
    file: str
    original: str
    replacement: str
    test: str


def main() -> int:
    """Run the chosen mutants, and return 1 if one was not killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run those that have all of these in their name, file or test")
    parser.add_argument("--without", action="append", default=[], metavar="WORD", help="and do not have this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    asked = parser.parse_args()
    began = time.monotonic()
    listed = [Mutant(**mutant) for mutant in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]]
    by_test: dict[str, list[Mutant]] = {}
    for mutant in listed:
        if chosen(mutant, asked.words, asked.without):
            by_test.setdefault(mutant.test, []).append(mutant)
    of, verdicts = f"of {sum(map(len, by_test.values()))}", list[tuple[Mutant, str]]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(asked.jobs) as pool:
        copies = queue.SimpleQueue[Path]()
        for number in range(asked.jobs):
            copies.put(shutil.copytree(ROOT, Path(folder, str(number)), ignore=LEFT_OUT))
        for found in pool.map(partial(judged, copies, count(1), of), by_test.values()):
            verdicts += found
    left = [(mutant, verdict) for mutant, verdict in verdicts if verdict != "killed"]
    for mutant, verdict in left:
        say(f"{verdict}: {mutant.name}\n    {mutant.file}: {mutant.test}")
    say(f"{len(verdicts) - len(left)} of {len(verdicts)} mutants killed in {time.monotonic() - began:.0f} s")
    return int(bool(left))


def chosen(mutant: Mutant, words: list[str], without: list[str]) -> bool:
    """Tell whether a mutant is asked for."""
    text = f"{mutant.name} {mutant.file} {mutant.test}"
    return all(word in text for word in words) and not any(word in text for word in without)


def say(line: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def judged(
    copies: queue.SimpleQueue[Path], done: count[int], of: str, mutants: list[Mutant]
) -> list[tuple[Mutant, str]]:
    """Run one test as things are, and then without each of the guards that it tests; say what became of those."""
    copy, test = copies.get(), mutants[0].test
    verdicts = []
    try:
        began = time.monotonic()
        before = how_it_goes(copy, test, SECONDS)
        took = time.monotonic() - began
        say(f"            {before:8} {took:5.1f} s  as things are: {test}")
        for mutant in mutants:
            began = time.monotonic()
            file = copy / mutant.file
            original = file.read_text(encoding="utf-8")
            if original.count(mutant.original) != 1:
                verdict = "stale"
            elif before != "passes":
                verdict = "unclear"
            else:
                file.write_text(original.replace(mutant.original, mutant.replacement), encoding="utf-8")
                verdict = VERDICTS[how_it_goes(copy, test, 60 + LONGER * took)]
                file.write_text(original, encoding="utf-8")
            say(f"{next(done):4} {of} {verdict:8} {time.monotonic() - began:5.1f} s  {mutant.name}")
            verdicts.append((mutant, verdict))
    finally:
        copies.put(copy)
    return verdicts


def how_it_goes(copy: Path, test: str, seconds: float) -> str:
    """Say whether a test passes within that time; what runs on afterwards is ended."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *test.split()]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    none = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdin=none, stdout=none, stderr=none, start_new_session=True
    )
    with process:
        try:
            ended = process.wait(seconds)
        except subprocess.TimeoutExpired:
            ended = 1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return {0: "passes", 1: "fails"}.get(ended, "is not there" if ended > 0 else "fails")


if __name__ == "__main__":
    sys.exit(main())
