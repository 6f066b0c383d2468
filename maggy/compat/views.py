"""A study as plug-ins of Maggy 1.x see it: its trials and its searchspace, with the old names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from random import Random
from typing import Any

from maggy import trial as today
from maggy.searchspace import Searchspace
from maggy.trial import Status

BUDGETS = ("budget", "resource")  # under which of the parameters a budget was found, lately and before that

_numbers = count(1)


class Trial:
    """A trial with Maggy's names.

    `params` (with `budget` among them, where it has one), `status`, `early_stop` (whether it was stopped),
    `final_metric` (the value of the objective), `metric_history` (what was reported, in the order of its steps),
    `start` (seconds since the epoch), `duration` (milliseconds). `trial_id` is the trial's own, also where the same
    parameters are tried twice.
    """

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    ERROR = "ERROR"
    FINALIZED = "FINALIZED"

    def __init__(
        self, params: Mapping[str, Any], trial_type: str = "optimization", info_dict: Mapping[str, Any] | None = None
    ) -> None:
        self.trial_id = f"{next(_numbers):016x}"
        self.trial_type = trial_type
        self.info_dict = dict(info_dict or {})
        self.params = dict(params)
        self.status = self.PENDING
        self.early_stop = False
        self.final_metric: float | None = None
        self.metric_history: list[float] = []
        self.start: float | None = None
        self.duration: float | None = None

    @classmethod
    def of(cls, trial: today.Trial) -> Trial:
        """Return a view of a trial as it is."""
        return cls({**trial.params, **({} if trial.budget is None else {"budget": trial.budget})}).follow(trial)

    def follow(self, trial: today.Trial) -> Trial:
        """Take in what has become of a trial, and return this view of it."""
        words = {Status.QUEUED: self.SCHEDULED, Status.RUNNING: self.RUNNING, Status.FAILED: self.ERROR}
        self.status = words.get(trial.status, self.FINALIZED)
        self.early_stop = trial.stop_reason is not None
        self.metric_history = list(trial.curve.values)
        self.final_metric = trial.curve.last if trial.value is None else trial.value
        self.start = trial.started
        self.duration = None if trial.duration is None else 1000 * trial.duration
        return self

    def get_early_stop(self) -> bool:
        """Return whether the trial was stopped."""
        return self.early_stop


class Space:
    """A searchspace that gives regions, `[low, high]` or the choices, where today's gives domains.

    `rng` draws the random parameters: what depends on nothing else can be repeated.
    """

    DOUBLE = "DOUBLE"
    INTEGER = "INTEGER"
    DISCRETE = "DISCRETE"
    CATEGORICAL = "CATEGORICAL"

    def __init__(self, space: Searchspace, rng: Random) -> None:
        self.rng = rng
        self._space = space
        self._regions = {each["name"]: (each["type"], each["values"]) for each in space}

    def names(self) -> dict[str, str]:
        """Return the type of each parameter."""
        return {name: word for name, (word, _) in self._regions.items()}

    def keys(self) -> list[str]:
        """Return the parameters' names, in order."""
        return list(self._regions)

    def values(self) -> list[tuple[str, list[Any]]]:
        """Return type and region of each parameter, in order."""
        return list(self._regions.values())

    def items(self) -> Iterator[dict[str, Any]]:
        """Iterate over dicts with `name`, `type` and `values`."""
        return iter(self)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the region of `name`, or `default` if there is no such parameter."""
        return self._regions[name][1] if name in self._regions else default

    def to_dict(self) -> dict[str, tuple[str, list[Any]]]:
        """Return type and region of each parameter by its name."""
        return dict(self._regions)

    def get_random_parameter_values(self, num: int) -> list[dict[str, Any]]:
        """Draw `num` configurations."""
        return [self._space.sample(self.rng) for _ in range(num)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._space)

    def __contains__(self, name: object) -> bool:
        return name in self._regions

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("_regions", {}):
            raise AttributeError(f"the searchspace has no parameter {name!r}")
        return self._regions[name][1]
