"""Take each guard of `mutants.toml` away, in a copy of the code, and see that a test of it fails.

::

    python tests/mutants.py            # all of them
    python tests/mutants.py fencing    # those whose name contains a word
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("mutants.toml")
SECONDS = 300  # a test without its guard may hang: that is a failure as well


def main(words: list[str]) -> int:
    """Run the chosen mutants and return how many survived."""
    mutants = [
        mutant
        for mutant in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
        if all(word in mutant["name"] for word in words)
    ]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for part in ("maggy", "tests", "examples", "docs", "benchmarks", "notebooks"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in filter(Path.is_file, ROOT.glob("*.*")):
            shutil.copy(file, copy)
        for mutant in mutants:
            began = time.monotonic()
            verdict = judged(copy, mutant)
            survivors += verdict != "killed"
            print(f"{verdict:9} {time.monotonic() - began:5.1f} s  {mutant['name']}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed")
    return survivors


def judged(copy: Path, mutant: dict[str, str]) -> str:
    """Say what became of one mutant: killed, survived, or stale where its text is no longer in the code, once."""
    file = copy / mutant["file"]
    original = file.read_text(encoding="utf-8")
    if original.count(mutant["original"]) != 1:
        return "stale"
    file.write_text(original.replace(mutant["original"], mutant["replacement"]), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *mutant["test"].split()]
        found = subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return {0: "survived", 1: "killed"}.get(found.returncode, "stale")  # 4 and 5: no such test
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        file.write_text(original, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
