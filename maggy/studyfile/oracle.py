"""An oracle that is a function of the study file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from maggy.errors import ConfigError
from maggy.study import Study
from maggy.trial import DONE, Answer, Status, Suggestion


@dataclass(frozen=True)
class OwnOracle:
    """Asks a function of the file: `next(previous, params, objective, n)` returns at most `n` dicts of values.

    `previous` are dicts of `values`, `metrics` and `pending`; a trial that has failed has no metrics. `n` is always 1,
    and where nothing is returned the study has come to its end.
    """

    name: str
    params: Mapping[str, Any]
    objective: Mapping[str, Any]
    call: Callable[..., Any] = field(repr=False, compare=False)

    lookahead = 0
    quick = False
    continues = False

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:  # noqa: ARG002 - the file's function has none
        """Return what the function wants to be tried next. Raises `ConfigError` where that is no list of dicts."""
        if not study.remaining:
            return DONE
        previous = [
            {
                "values": dict(trial.params),
                "metrics": trial.metrics | ({} if trial.value is None else {self.objective["metric"]: trial.value}),
                "pending": not trial.status.final,
            }
            for trial in study.trials.values()
            if trial.status is not Status.STOPPED
        ]
        found = self.call(previous, dict(self.params), dict(self.objective), 1)
        if not isinstance(found, list) or len(found) > 1 or not all(isinstance(each, Mapping) for each in found):
            raise ConfigError(f"the oracle {self.name} returned {found!r} for n=1; it must return [] or [values]")
        if not found:
            return DONE
        try:
            study.searchspace.check(found[0])
        except ConfigError as error:
            raise ConfigError(f"the oracle {self.name} returned what cannot be: {error}") from None
        return Suggestion(found[0])
