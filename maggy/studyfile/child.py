"""The process in which a study file is evaluated. It reads files that are loaded, and nothing else from outside."""

from __future__ import annotations

import os
import sys

from maggy.studyfile.evaluator import serve


def limit(cpu: int, memory: int) -> None:
    """Bound what this process may use: seconds of CPU, and bytes of memory where the system knows that bound."""
    import resource  # not everywhere

    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # of what is reserved Go's runtime takes gigabytes, of what is used it does not
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def main() -> None:
    """Evaluate what the parent wishes; `sys.argv` has the language and its limits, 0 for none."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    kind, cpu, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if kind == "python":
        from maggy.studyfile.python import PythonFile

        serve(sys.stdin, answers, PythonFile)
    else:
        from maggy.studyfile.starlark import StarlarkFile

        limit(cpu, memory)
        serve(sys.stdin, answers, StarlarkFile)
