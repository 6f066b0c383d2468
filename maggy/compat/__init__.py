"""Code written for Maggy 0.5 and 1.x: its modules, its configs, its optimizers' arguments, its plug-ins.

Everything here says in today's words what the old ones meant; nothing is done here. The modules at the old paths
(`maggy.optimizer`, `maggy.experiment_config`, …) only name what stands here, and `experiment.lagom` has `calls` read
what was not written for it.
"""

from __future__ import annotations

import sys
import warnings

GUIDE = "docs/from-maggy.md"

_told: set[str] = set()


def tell(what: str) -> None:
    """Warn, once in a process, that code is written for Maggy 0.5 or 1.x, and where today's words are."""
    if not _told:
        _told.add(what)
        warn(f"{what} is of Maggy 0.5 and 1.x; it works on, and how it is written today is in {GUIDE}")


def warn(sentence: str) -> None:
    """Warn, at the line of the user's that brought us here."""
    frame = sys._getframe()  # noqa: SLF001 - warnings' stacklevel is a number, which differs from path to path
    while frame.f_back is not None and _is_ours(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
    names = frame.f_globals
    warnings.warn_explicit(
        sentence,
        FutureWarning,  # for those who run a program, who would not see a DeprecationWarning
        frame.f_code.co_filename,
        frame.f_lineno,
        module=str(names.get("__name__")),
        registry=names.setdefault("__warningregistry__", {}),
    )


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("maggy", "importlib")
