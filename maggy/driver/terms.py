"""What the scheduler is told of how to run a study, and what it tells executors of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from maggy.earlystop.base import StopRule
from maggy.rpc.messages import Welcome


@dataclass(frozen=True, slots=True)
class Terms:
    """How a study is run; times in seconds (the defaults stand in `maggy.configuration`).

    `independent`: no suggestion depends on a result, so that trials can be given out ahead of need.
    """

    rules: Sequence[StopRule] = ()
    lookahead: int = 0
    independent: bool = False
    timeout: float | None = None
    beat: float = 1.0
    lease: float = 10.0
    grace: float = 5.0
    reconnect_grace: float = 0.8
    max_lost: int = 3
    max_failures: int | None = None
    checkpoints: str = ""
    trial_timeout: float | None = None
    report_timeout: float | None = None
    memory_limit: int | None = None
    fresh_process: bool = False
    marker: str = ""
    relay_limit: int = 0
    draws: int | None = None

    @property
    def silence(self) -> float:
        """Seconds without a word that mean death: a beat may have been due before, and coming back takes a moment."""
        return self.lease + self.beat + self.reconnect_grace

    def welcome(self, metric: str | None) -> Welcome:
        """Return what an executor is told of it."""
        shared = {field.name: getattr(self, field.name) for field in fields(Welcome) if field.name != "metric"}
        return Welcome(metric=metric, **shared)
