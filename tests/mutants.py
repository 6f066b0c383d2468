"""Take each guard of `mutants.toml` away, in a copy of the code, and see that a test of it fails.

::

    python tests/mutants.py             # all of them, two side by side
    python tests/mutants.py fencing     # those that have a word in their name, file or test
    python tests/mutants.py --without tests/spark --jobs 1

First each test is run as things are, and has to pass: what fails anyway shows nothing. Then a mutant was *killed* if
its test fails or hangs, and it *survived* if that passes; it is *stale* if its text does not stand in the code exactly
once, or if there is no such test. The exit code is 0 if all were killed, else 1.
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
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("mutants.toml")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "maggy_logs"
)
SECONDS = 300  # a test without its guard may hang: that is a failure as well
VERDICTS = {"passes": "survived", "fails": "killed", "is not there": "stale"}

Copies = queue.SimpleQueue[Path]


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
    mutants = [mutant for mutant in listed if chosen(mutant, asked.words, asked.without)]
    tests = list(dict.fromkeys(mutant.test for mutant in mutants))
    passing, left = set(), []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(asked.jobs) as pool:
        copies = Copies()
        for number in range(asked.jobs):
            copies.put(shutil.copytree(ROOT, Path(folder, str(number)), ignore=LEFT_OUT))
        for count, (test, (found, seconds)) in enumerate(
            zip(tests, pool.map(partial(run, copies), tests), strict=True)
        ):
            if found == "passes":
                passing.add(test)
            print(f"{count + 1:4} of {len(tests)}  {found:8} {seconds:5.1f} s  as things are: {test}", flush=True)
        verdicts = pool.map(partial(verdict, copies, passing), mutants)
        for count, (mutant, (found, seconds)) in enumerate(zip(mutants, verdicts, strict=True)):
            if found != "killed":
                left.append(f"{found}: {mutant.name}\n    {mutant.file}: {mutant.test}")
            print(f"{count + 1:4} of {len(mutants)}  {found:8} {seconds:5.1f} s  {mutant.name}", flush=True)
    for each in left:
        print(each)
    print(f"{len(mutants) - len(left)} of {len(mutants)} mutants killed in {time.monotonic() - began:.0f} s")
    return int(bool(left))


def chosen(mutant: Mutant, words: list[str], without: list[str]) -> bool:
    """Tell whether a mutant is asked for."""
    text = f"{mutant.name} {mutant.file} {mutant.test}"
    return all(word in text for word in words) and not any(word in text for word in without)


def verdict(copies: Copies, passing: set[str], mutant: Mutant) -> tuple[str, float]:
    """Say what became of a mutant, and how many seconds it took."""
    if (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.original) != 1:
        return "stale", 0.0
    if mutant.test not in passing:
        return "unclear", 0.0
    found, seconds = run(copies, mutant.test, mutant)
    return VERDICTS[found], seconds


def run(copies: Copies, test: str, mutant: Mutant | None = None) -> tuple[str, float]:
    """Run a test in one of the copies, without a guard if one is given; say how it goes, and for how many seconds."""
    copy, began = copies.get(), time.monotonic()
    try:
        if mutant:
            text = (copy / mutant.file).read_text(encoding="utf-8")
            (copy / mutant.file).write_text(text.replace(mutant.original, mutant.replacement), encoding="utf-8")
        return how_it_goes(copy, test), time.monotonic() - began
    finally:
        if mutant:
            (copy / mutant.file).write_text(text, encoding="utf-8")
        copies.put(copy)


def how_it_goes(copy: Path, test: str) -> str:
    """Say whether a test passes; what runs on after its time is ended."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *test.split()]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    none = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdin=none, stdout=none, stderr=none, start_new_session=True
    )
    with process:
        try:
            ended = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            ended = 1
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return {0: "passes", 1: "fails"}.get(ended, "is not there" if ended > 0 else "fails")


if __name__ == "__main__":
    sys.exit(main())
