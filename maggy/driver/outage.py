"""What the driver knows of a store that fails for a while: since when, how soon to try again, and what to say of it.

A disk fills up and is cleared, another process holds the file and lets go: that must not cost a study. So the driver
keeps the turn that the store did not take, decides on nothing else meanwhile, and tries again. Executors train on; what
they report waits, first here, then with them, for nothing is confirmed to them that is not durable.
"""

from __future__ import annotations

from maggy.errors import StoreUnavailable

STORE_PATIENCE = 600.0  # seconds after which a store that still fails ends the study
FIRST_RETRY = 0.1  # seconds until the first new attempt; each further one waits twice as long
LAST_RETRY = 1.0  # but not longer than this
WORTH_SAYING = 1.0  # seconds from which on the user is told


class Outage:
    """One store's times of failure; `trouble` is None, or the sentence for the user on the one that lasts."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self._since: float | None = None
        self._delay = FIRST_RETRY

    def failed(self, error: StoreUnavailable, now: float) -> float | None:
        """Take in a failure; return the seconds until the next attempt, None where patience is at its end."""
        if self._since is None:
            self._since, self._delay = now, FIRST_RETRY
        lasted = now - self._since
        if lasted >= STORE_PATIENCE:
            return None
        if lasted >= WORTH_SAYING and self.trouble is None:
            self.trouble = (
                f"{error}. Running trials go on and nothing is lost, but no new ones are given out until this is over; "
                f"after {STORE_PATIENCE:.0f} s the study is given up, and can be resumed"
            )
        delay, self._delay = self._delay, min(2 * self._delay, LAST_RETRY)
        return delay

    def over(self) -> None:
        """Take in that the store works."""
        self.trouble = self._since = None
