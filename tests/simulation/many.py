"""Simulate studies by the thousand: `python tests/simulation/many.py FIRST LAST` takes these seeds for each kind.

A line of JSON says how many studies there were, what befell them, and the kinds and seeds that broke an invariant or
did not end; each can be run again with `simulate(**drawn(kind, seed))`. The exit code is 1 where there is one.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter

from conftest import KINDS, drawn

from maggy.testing.simulation import simulate

AT_ONCE = 50  # seeds in a piece of work


def studies(piece: tuple[str, int, int]) -> tuple[Counter[str], list[str]]:
    """Simulate the seeds of a piece; return what befell the studies, and those that were broken."""
    kind, first, last = piece
    counts: Counter[str] = Counter()
    broken = []
    for seed in range(first, last):
        counts["studies"] += 1
        try:
            done = simulate(**drawn(kind, seed))
        except Exception:  # noqa: BLE001 - whatever a study raises is what we look for
            broken.append(f"{kind} {seed}: {traceback.format_exc(limit=-3)}")
        else:
            counts.update(type(event).__name__ for event in done.log)
    return counts, broken


def main(first: int, last: int) -> int:
    """Simulate all; return the exit code."""
    pieces = [(kind, start, min(start + AT_ONCE, last)) for start in range(first, last, AT_ONCE) for kind in KINDS]
    began, total, broken = time.monotonic(), Counter[str](), list[str]()
    with multiprocessing.Pool(int(os.environ.get("PROCESSES", os.cpu_count() or 1))) as pool:
        for counts, found in pool.imap_unordered(studies, pieces):
            total += counts
            broken += found
            for line in found:
                sys.stderr.write(f"\n{line}\n")
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{total['studies']:,} studies, {len(broken)} broken ")
    seconds = time.monotonic() - began
    sys.stdout.write(json.dumps({**total, "broken": broken, "seconds": round(seconds)}) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
