"""The driver's clock."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch that never go back: the wall is looked at once, then only the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time."""
        return self._offset + time.monotonic()
