"""An executor as the driver sees it: what it has been given, and when it was last heard.

Where trials are short, the time from a trial's end to the word of the next one is what an executor loses. So where no
suggestion depends on a result, executors are given trials *ahead*: they begin the next one at once. It is little work,
`AHEAD` seconds as the last trials went, and it is taken back from who turns out to be busy for longer.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from maggy.trial import Trial

AHEAD = 0.1  # seconds of work that an executor is given ahead of need
MOST_AHEAD = 8  # trials
SURPRISE = 2 * AHEAD  # seconds that a trial runs before what lies behind it is given to others
LEAVING = "its executor was asked to end (SIGTERM), as where a machine is taken away"
AHEAD_OF_A_LONG_ONE = "it waited behind a trial that takes longer than those before"


@dataclass(frozen=True, slots=True)
class Given:
    """An attempt of a trial that an executor was told to run; `restore` names the checkpoints that it may have."""

    trial: Trial
    attempt: int
    restore: list[str]


@dataclass(slots=True)
class Worker:
    """An executor. Of what it was `given` it runs the first."""

    name: str
    slot: int
    heard: float
    given: deque[Given] = field(default_factory=deque)
    since: float = 0.0  # when it was given, or began, the first
    pace: float = math.inf  # seconds that its last trials took, the longer ones weighing more; one that fails, for ever
    gone: str | None = None  # why its connection is broken, while it may still come back
    gone_for_good: float = math.inf  # when that ends

    @property
    def trial(self) -> Trial | None:
        """What it runs."""
        return self.given[0].trial if self.given else None

    @property
    def attempt(self) -> int:
        """The attempt at which it does."""
        return self.given[0].attempt if self.given else 0

    @property
    def room(self) -> int:
        """How many more trials it may have ahead: none behind one that was lost before, and may be its end."""
        if not self.given or self.gone is not None or self.attempt > 1:
            return 0
        return max(0, 1 + int(AHEAD / max(self.pace, AHEAD / MOST_AHEAD)) - len(self.given))

    @property
    def hungry(self) -> bool:
        """Whether it has worked off half of that, so that the next ones are given together."""
        return self.room >= len(self.given) > 0

    def give(self, given: Given, now: float) -> None:
        """Take in that it is told to run this, after what it has."""
        if not self.given:
            self.since = now
        self.given.append(given)

    def ended(self, now: float, *, failed: bool) -> None:
        """Take in that what it ran has ended."""
        took = math.inf if failed else now - self.since
        self.pace = took if self.pace == math.inf else max(took, (took + self.pace) / 2)
        self.since = now
        self.given.popleft()

    def deadline(self, silence: float) -> float:
        """Return when it is to be looked at: it may be dead by then, or be busy for longer than was thought."""
        due = min(self.heard + silence, self.gone_for_good)
        return min(due, self.since + SURPRISE) if len(self.given) > 1 else due
