"""The driver's clock."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch that never go back: the wall is looked at once, then only the monotonic clock.

    Where a log says that it was later already than the wall says now, the log is believed.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._offset = max(time.time(), after) - time.monotonic()

    def now(self) -> float:
        """Return the time."""
        return self._offset + time.monotonic()
