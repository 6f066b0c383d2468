"""What a training function has in its hands: report metrics, learn that it should stop, keep checkpoints, log."""

from __future__ import annotations

import operator
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from maggy.errors import ConfigError, StopTrial
from maggy.executor.checkpoints import Checkpoints
from maggy.executor.draws import Draws
from maggy.trial import Objective

LAST_STEP = 2**63 - 2  # one less than the largest: units are steps plus one where steps count from 0
CURRENT: ContextVar[Reporter | None] = ContextVar("CURRENT", default=None)  # whose trial runs in this thread
MAX_METRICS = 16 * 1024  # characters, which JSON may make six times as many: what is reported fits a message


class Reporter:
    """The line from one running trial to its study."""

    def __init__(
        self,
        trial: int,
        attempt: int,
        *,
        budget: float | None,
        parent: int | None,
        objective: Objective,
        checkpoints: Checkpoints,
        send: Callable[[int, dict[str, float]], None],
        stop: Callable[[], str | None],
        work: Mapping[str, Any] | None = None,
        draws: Draws | None = None,
    ) -> None:
        self.trial = trial
        self.attempt = attempt
        self.budget = budget
        self.work = work
        self._draws = draws
        self._parent = parent
        self.objective = objective
        self._checkpoints = checkpoints
        self._send = send
        self._stop = stop
        self._stopped: str | None = None
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._step: int | None = None
        self.last: dict[str, float] = {}  # the metrics of the last report

    def broadcast(self, metric: float, step: int | None = None) -> None:
        """Report the metric that is optimized, as a number (NumPy's and PyTorch's scalars are numbers too).

        `step` is what has been done, as an epoch or batch counter that rises from report to report; the last one plus 1
        where it is not given, from 0. Raises `StopTrial` if the driver wants the trial to stop, `TypeError` or
        `ValueError` for what is no number or a step that does not rise.
        """
        self._report({self.objective.key: as_number(metric, self.objective.key)}, step)

    def report(self, step: int | None = None, **metrics: float) -> None:
        """Report several metrics of one step; otherwise as `broadcast`."""
        if not metrics:
            raise ValueError("report() was called without a metric; write report(step=…, accuracy=…)")
        numbers = {key: as_number(value, key) for key, value in metrics.items()}
        if self.objective.metric is None:
            single_out(numbers, self.objective)
        self._report(numbers, step)

    def check(self) -> None:
        """Raise `StopTrial` if the driver wants the trial to stop, without a report: for long work between two."""
        with self._lock:
            self._stopped = self._stopped or self._stop()
            if self._stopped is not None:
                raise StopTrial(self._stopped)

    def suggest(self, name: str, domain: Any) -> Any:
        """Return the trial's value of a parameter that the searchspace need not know: it has to be open for that.

        It is the optimizer's, where that knows the parameter by now and its value is one of the domain's; else it is
        drawn. `domain` is whatever a `Searchspace` takes. Raises `ConfigError` for a name or domain that cannot be, and
        for one that is new where the searchspace is not open.
        """
        self._own("name parameters")
        if self._draws is None:
            raise ConfigError("a function that is called without a study has no parameters to suggest")
        with self._lock:
            return self._draws.value(name, domain)

    def follows(self, step: int) -> bool:
        """Whether a report may have this step, after those that there were."""
        return 0 <= step <= LAST_STEP and (self._step is None or step > self._step)

    def workspace(self) -> str:
        """Return a new directory of this attempt's own, which is removed when the trial ends."""
        return self._checkpoints.workspace()

    def log(self, message: object, jupyter: bool = False) -> None:  # noqa: ARG002 - Maggy's second argument
        """Write a line to the trial's log."""
        sys.stdout.write(f"{message}\n")
        sys.stdout.flush()

    def close(self) -> None:
        """End the line: a thread of the function's that outlives it cannot report in the name of the next trial."""
        with self._lock:
            self._stopped = self._stopped or "the trial has ended"
        self._checkpoints.end()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Keep a copy of a file or directory as the trial's checkpoint; a later one takes its place.

        When the trial runs again, since its executor was lost, or another trial continues it, `restore` returns it,
        wherever that runs. Links are followed. Returns when the copy is complete. Raises `FileNotFoundError`, or
        `CheckpointError` with the reason why it cannot be kept.
        """
        self._own("save")
        self._checkpoints.save(path)

    def restore(self) -> str | None:
        """Return the path of a copy of the checkpoint to go on from, or None: there is none, so start from scratch.

        It is the last one that an earlier attempt of this trial has saved, else that of the trial that it continues; it
        has the name under which it was saved. The copy is removed when the trial ends. A checkpoint that is missing
        or damaged is passed over for the one before it, and the trial's log says so.
        """
        self._own("restore")
        return self._checkpoints.restore()

    @property
    def checkpoint_dir(self) -> str:
        """A directory of this trial's own, which the user looks after; it is made when first asked for.

        Where executors share the study's directory for checkpoints it stays; elsewhere it ends with the trial.
        """
        return str(self._checkpoints.directory())

    @property
    def parent_checkpoint_dir(self) -> str | None:
        """The directory of the trial that this one continues; None where there is none, or none that can be seen."""
        if self._parent is None:
            return None
        found = self._checkpoints.directory_of(self._parent)
        return None if found is None else str(found)

    def _report(self, metrics: dict[str, float], step: int | None) -> None:
        bounded(metrics)
        self._own("report")
        with self._lock:  # the function may report from several threads
            if self._stopped is None:
                self._step = self._next(step)
                self._send(self._step, metrics)
                self.last = metrics
                self._stopped = self._stop()
            if self._stopped is not None:  # now, or before: somebody has caught the first one, or outlives the trial
                raise StopTrial(self._stopped)

    def _own(self, what: str) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(f"this process was forked by the trial's; only the trial's own process may {what}")

    def _next(self, step: int | None) -> int:
        if step is None:
            return 0 if self._step is None else self._step + 1
        try:
            number = operator.index(step)
        except TypeError:
            raise TypeError(f"a step is a whole number, not {step!r}") from None
        if not 0 <= number <= LAST_STEP:
            raise ValueError(f"step {_brief(number)} is not from 0 to {LAST_STEP}; steps count up from 0 or 1")
        if self._step is not None and number <= self._step:
            raise ValueError(f"step {number} does not come after step {self._step}; steps must rise")
        return number


def as_number(value: Any, key: str) -> float:
    """Return `value` as a float, whatever library it comes from. Raises `TypeError`, naming `key`, for what is none."""
    if type(value) is float:
        return value
    try:
        # An array or tensor of one element knows what it holds; float() would take text and drop imaginary parts.
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, (str, bytes, bytearray)):
            return float(number)
    except Exception:  # noqa: BLE001, S110 - several elements, an integer beyond every float, whatever a library raises
        pass
    raise TypeError(f"metric {key!r} must be a number, but is {_brief(value)} of type {type(value).__name__}")


def single_out(metrics: dict[str, float], objective: Objective) -> float:
    """Return the objective among `metrics`. Raises `ValueError` where it is missing or cannot be told."""
    value = objective.pick(metrics)
    if value is None:
        named = ", ".join(map(repr, metrics)) or "nothing"
        if objective.metric is None:
            raise ValueError(
                f"which of {named} is optimized? Name it: lagom(…, metric={next(iter(metrics), 'loss')!r})"
            )
        raise ValueError(f"the metric that is optimized, {objective.metric!r}, is not among {named}")
    return value


def bounded(metrics: dict[str, float]) -> dict[str, float]:
    """Return `metrics`. Raises `ValueError` where they are more than a message holds."""
    if sum(map(len, metrics)) + 24 * len(metrics) > MAX_METRICS:  # 24 characters are the longest float
        raise ValueError(
            f"{len(metrics):,} metrics at once are too much to report; keep large results in reporter.checkpoint_dir"
        )
    return metrics


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an integer of over 4,300 digits, or somebody's own repr
        text = "something"
    return text if len(text) <= 40 else text[:37] + "…"  # noqa: PLR2004 - what fits a line
