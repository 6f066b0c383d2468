"""What callbacks share: which metric is meant, and how it is reported."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from maggy.executor.reporter import Reporter

NEAREST = 3


def picked(metrics: Mapping[str, Any], wanted: str | None, hint: str = "") -> Any:
    """Return the metric that is meant: by its name, or by the part behind the name of a data set (`valid-auc`).

    Without a name it is the only one. Raises `ValueError`, with the nearest names, where that is none, or several.
    """
    if wanted is not None and wanted in metrics:
        return metrics[wanted]
    alike = list(metrics) if wanted is None else [name for name in metrics if name.endswith(f"-{wanted}")]
    if len(alike) == 1:
        return metrics[alike[0]]
    has = f"there are {', '.join(map(repr, metrics))}" if metrics else "there is none"
    if alike:
        raise ValueError(f"which metric is to be reported? {has}: name one with metric=…")
    close = difflib.get_close_matches(str(wanted), list(metrics), NEAREST, 0.4)
    guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ValueError(f"there is no metric {wanted!r} to report{guess} ({has}{hint})")


def tell(reporter: Reporter, value: Any, step: int) -> None:
    """Report a value at the library's step; where its steps begin again, as when a model is fitted twice, count on."""
    reporter.broadcast(value, step if reporter.follows(step) else None)
