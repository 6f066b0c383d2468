"""Parameters that a training function names while it runs (`reporter.suggest`): define-by-run.

What the optimizer knows by now it suggests; the rest is drawn here, from random numbers that depend on the study's
seed, the trial's number and the parameter's name alone: an attempt that begins anew draws the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from maggy.errors import ConfigError


class Draws:
    """The parameters of one trial. `seed` is None where the searchspace is not open: nothing is drawn there."""

    def __init__(
        self, params: Mapping[str, Any], trial: int, seed: int | None, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._params = dict(params)
        self._trial = trial
        self._seed = seed
        self._tell = tell
        self._taken: set[str] = set()  # those that the function was called with
        self._asked: dict[str, Any] = {}

    def taken(self, names: Iterable[str]) -> None:
        """Take in that the function is called with these."""
        self._taken.update(names)

    def value(self, name: str, domain: Any) -> Any:
        """Return the trial's value of a parameter; asked for again, the same.

        Raises `ConfigError` for what cannot be a parameter, or may not be a new one, and for one that had a value in
        this trial that it cannot have now.
        """
        from maggy.searchspace import Searchspace  # few functions need it, and every process would load it

        space = Searchspace({name: domain})
        wanted = space[name]
        if name in self._asked:
            if not wanted.contains(self._asked[name]):
                raise ConfigError(
                    f"{name!r} is {self._asked[name]!r} in this trial, which is no value of {wanted!r}: what may have "
                    "other values is another parameter, give it another name"
                )
        elif name in self._params and wanted.contains(self._params[name]):
            self._asked[name] = self._params[name]
        elif self._seed is None:
            raise ConfigError(
                f"the searchspace has no parameter {name!r} with a value of {wanted!r}, and it is not open: add it, or "
                "let trials name parameters themselves with Searchspace({'!open': True})"
            )
        else:
            drawn = wanted.sample(Random(f"maggy {self._seed} {self._trial} {name}"))
            self._asked[name] = self._params[name] = drawn
            self._tell({"params": self._params, "domains": space.to_dict()})
        return copy.deepcopy(self._asked[name])

    def settle(self) -> None:
        """Tell, at the trial's end, that it had no use for some of what was suggested."""
        used = {name: value for name, value in self._params.items() if name in self._asked or name in self._taken}
        if self._asked and self._seed is not None and used != self._params:
            self._tell({"params": used, "domains": {}})
