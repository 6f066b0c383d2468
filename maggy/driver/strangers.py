"""Who was turned away at the driver's door: how many and why, how soon the next may try, and a line for the log.

Nobody is locked out by address: all may come from one, ours included. What is limited is how many handshakes are begun
in a second while handshakes fail; each has its turn within two seconds, and then ours passes and the others do not. It
reads no clock: `now` is seconds on one that does not go back.
"""

from __future__ import annotations

import math
from collections import Counter

RATE = 100.0  # handshakes a second, while many fail
BURST = 256.0  # handshakes that may be begun at once before that: a cluster's executors come together
ENOUGH = 1 - 1e-6  # of one: a wait that is over must not leave another of no length behind
SILENCE = 60.0  # seconds between two lines of log
GUESS = "another secret"
OTHER = "other"
KINDS = {  # by a word of the reason: the reasons are too many to count, and the strangers' to choose
    "secret": GUESS,
    "frame": "not our protocol",
    "protocol": "not our protocol",
    "TLS": "no TLS",
    "in time": "too slow",
    "too many": "too many at once",
    "descriptors": "no file descriptors left",
    "closed": "nothing said",
}


class Strangers:
    """Counts who was turned away in `counts`, and holds back those who come next."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._credit = BURST
        self._at = -math.inf
        self._untold: Counter[str] = Counter()
        self._tell_at = -math.inf

    def wait(self, now: float) -> float:
        """Return how many seconds the next handshake has to wait, 0 if it may begin."""
        self._earn(now)
        return 0.0 if self._credit >= ENOUGH else (1 - self._credit) / RATE

    def begun(self, now: float) -> None:
        """Take in that a handshake has begun."""
        self._earn(now)
        self._credit -= 1

    def passed(self) -> None:
        """Take in that it was one of ours: that costs nothing."""
        self._credit = min(BURST, self._credit + 1)

    def turned_away(self, why: str, now: float) -> tuple[str, bool] | None:
        """Count a stranger; return a line for the log where one is due, and whether it tells of guesses."""
        kind = next((kind for word, kind in KINDS.items() if word in why), OTHER)
        self.counts[kind] += 1
        self._untold[kind] += 1
        if now < self._tell_at:
            return None
        self._tell_at = now + SILENCE
        told, self._untold = self._untold, Counter()
        several = ", ".join(f"{count:,} ({kind})" for kind, count in told.most_common())
        return f"connections turned away at the driver's port: {several}", GUESS in told

    def _earn(self, now: float) -> None:
        if self._at > -math.inf:
            self._credit = min(BURST, self._credit + RATE * max(0.0, now - self._at))
        self._at = now
