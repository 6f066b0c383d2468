"""Optimizers of other libraries, by way of ask and tell.

Such an object remembers; a study is the only memory here. So it is made anew from the log: asked and told in the order
in which that happened, which a trial's `seen` and `end` tell. As long as the log only grows, the same object goes on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from maggy.errors import ConfigError, nearest
from maggy.optimizers.foreign.axes import Axis, Coded
from maggy.optimizers.model import Model
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import Trial

FORBIDDEN = 100  # answers in a row that may lie outside of the searchspace
LISTED = 20  # names of a library that are listed where another was met
LIBRARIES = ("optuna", "nevergrad", "skopt")


def refuse_objects(given: object) -> None:
    """Raise `ConfigError` for an object of another library's, which was made for its own kind of searchspace."""
    if (library := type(given).__module__.partition(".")[0]) in LIBRARIES:
        raise ConfigError(
            f"optimizer= is an object of {library}'s, made for another kind of searchspace: write "
            f"'{library}:{type(given).__name__}', or Foreign('{library}:{type(given).__name__}', {{…}}) with settings"
        )


class AskTell(Protocol):
    """What an object of another library has to do. Losses are minimized; None stands for a trial without a value."""

    def ask(self) -> Mapping[str, Any]:
        """Return a configuration to try next; not every one that was returned before has been told of."""

    def tell(self, params: Mapping[str, Any], loss: float | None) -> None:
        """Take in what a configuration is worth, in the order in which trials end."""


Make = Callable[[Searchspace, int], AskTell]
"""Makes an object for a searchspace, with a seed."""


class Replay:
    """An index of a study: what has to be asked and told, in which order, and the objects that were."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._last = 0  # the number of the last trial that was taken in
        self._asked: list[Trial] = []  # those that an optimizer was asked for
        self._ended: list[tuple[int, int]] = []  # (position, trial), positions rising
        self._live: dict[str, _Live] = {}
        self._broken: dict[str, tuple[int, Exception]] = {}  # what raised though new; for which trial it is asked again

    def update(self, trial: Trial) -> None:
        """Take in a trial; the same one comes again and again."""
        if trial.id > self._last:
            self._last = trial.id
            if trial.parent is None and trial.origin is None:
                self._asked.append(trial)
        if trial.end is not None:
            place = bisect_left(self._ended, (trial.end, trial.id))  # the last, but for an index that is made late
            if self._ended[place : place + 1] != [(trial.end, trial.id)]:
                self._ended.insert(place, (trial.end, trial.id))

    def proposed(self, key: str, make: Make) -> Mapping[str, Any]:
        """Return what the object that `make` makes proposes for the study's next trial.

        One that raises is made anew for the next trial. If that one raises as well, it will as a rule do so for ever,
        and each time all of the log would be replayed for nothing: so its exception is raised again, without asking,
        until there are a tenth more trials.
        """
        again, raised = self._broken.get(key, (0, None))
        if raised is not None and self._study.next_id < again:
            raise raised.with_traceback(None)
        live = self._live.pop(key, None)  # one that raises is not put back: it knows what the log does not say
        anew = live is None or (live.out is not None and live.out[:2] != self._due(live.settled))
        try:
            if live is None or anew:
                live = _Live(make(self._study.searchspace, int(self._study.settings.get("seed", 0))))
            proposal = self._replayed(live)
        except Exception as error:
            if anew:
                self._broken[key] = self._study.next_id + max(1, self._study.next_id // 10), error
            raise
        self._live[key] = live
        return proposal

    def _replayed(self, live: _Live) -> Mapping[str, Any]:
        """Ask and tell what the object has not heard, then ask for what is due."""
        while live.settled < len(self._asked):
            self._ask(live)
            asked = self._asked[live.settled]
            live.settle(asked.params if asked.suggested is None else asked.suggested)
        return self._ask(live)

    def _due(self, settled: int) -> tuple[int, int]:
        """Return which trial is asked for next by who was asked for so many, and at which position of the log."""
        if settled < len(self._asked):
            return self._asked[settled].id, self._asked[settled].seen
        return self._study.next_id, self._study.position

    def _ask(self, live: _Live) -> Mapping[str, Any]:
        """Ask for the trial that is due, unless that was done, after telling what had ended by then."""
        if live.out is None:
            number, position = self._due(live.settled)
            while live.told < len(self._ended) and self._ended[live.told][0] <= position:
                trial = self._study.trials[self._ended[live.told][1]]
                live.object.tell(_tried(trial), self._study.loss(trial) if trial.usable else None)
                live.told += 1
            live.out = number, position, live.asked(self._study.searchspace)
        return live.out[2]


def _tried(trial: Trial) -> Mapping[str, Any]:
    """Return a trial's configuration as it was asked for, if all that it has used was."""
    suggested = trial.suggested
    return suggested if suggested is not None and trial.params.items() <= suggested.items() else trial.params


@dataclass
class _Live:
    """One object, and how far in the log it is."""

    object: AskTell
    settled: int = 0  # trials that it was asked for, and that the log has
    told: int = 0
    out: tuple[int, int, dict[str, Any]] | None = None  # what it was asked for last: trial, position, its answer

    def asked(self, searchspace: Searchspace) -> dict[str, Any]:
        """Ask; what is forbidden is told to have failed, and asked for again."""
        for _ in range(FORBIDDEN):
            params = dict(self.object.ask())
            if searchspace.contains(params):
                return params
            self.object.tell(params, None)
        searchspace.check(params)
        return params

    def settle(self, params: Mapping[str, Any]) -> None:
        """Take in what is tried; an answer that is not, since the user wanted another, will have no value."""
        if self.out is not None and self.out[2] != params:
            self.object.tell(self.out[2], None)
        self.settled, self.out = self.settled + 1, None


@dataclass(frozen=True)
class Foreign(Model):
    """An optimizer of another library.

    Arguments:
        optimizer: `"optuna:TPESampler"`, `"nevergrad:NGOpt"`, `"skopt:GP"`: a library and what it calls its optimizer.
        settings: keyword arguments for it; JSON values.

    """

    optimizer: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        library, colon, name = self.optimizer.partition(":")
        if library not in LIBRARIES or not colon or not name:
            raise ConfigError(
                f"there is no optimizer {self.optimizer!r}{nearest(library, LIBRARIES)}; write the library and its "
                "optimizer, such as 'optuna:TPESampler', 'nevergrad:NGOpt' or 'skopt:GP'"
            )

    def check(self, searchspace: Searchspace) -> None:
        """Raise `ConfigError` where the library is missing, or knows no such optimizer, or cannot search the space."""
        made = self._make(searchspace, 0)
        try:
            made.ask()
        except Exception as error:
            raise ConfigError(f"optimizer={self.optimizer!r} cannot search this searchspace: {error}") from error

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:  # noqa: ARG002 - it has random numbers of its own
        """Return what the other library's optimizer would try next."""
        return study.index(Replay).proposed(repr(self), self._make)

    def _make(self, searchspace: Searchspace, seed: int) -> AskTell:
        library, _, name = self.optimizer.partition(":")
        module: Any
        try:
            if library == "optuna":
                from maggy.optimizers.foreign import optunas as module
            elif library == "nevergrad":
                from maggy.optimizers.foreign import nevergrads as module
            else:
                from maggy.optimizers.foreign import skopts as module
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"optimizer={self.optimizer!r} needs {error.name}, which is missing: pip install 'maggy[{library}]'"
            ) from None
        if name not in module.NAMES:
            some = f" (it has {', '.join(module.NAMES)})" if len(module.NAMES) <= LISTED else ""
            raise ConfigError(f"{library} has no optimizer {name!r}{nearest(name, module.NAMES)}{some}")
        axes = [Axis.of(name, domain) for name, domain in searchspace.items()]
        try:
            return Coded(module.Optimizer(name, axes, seed, self.settings), searchspace, axes)
        except Exception as error:
            raise ConfigError(f"optimizer={self.optimizer!r} cannot be made: {error}") from error


@dataclass(frozen=True)
class Wrapped(Model):
    """Any object with `ask` and `tell` as an optimizer; `make(searchspace, seed)` makes one. Passed again on resume."""

    make: Make

    @classmethod
    def copies(cls, given: AskTell) -> Wrapped:
        """Return the optimizer that goes on from such an object as it is now, and leaves the object alone.

        Raises `ConfigError` for one that cannot be copied.
        """
        try:
            kept = deepcopy(given)
        except Exception as error:
            raise ConfigError(
                f"the optimizer, of type {type(given).__name__}, has ask() and tell(), but no copy of it can be made "
                f"({error}), and it has to be asked anew when a study is resumed: pass Wrapped(make), from "
                "maggy.optimizers, with a function make(searchspace, seed) that returns such an object"
            ) from error
        return cls(lambda _, __: deepcopy(kept))

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:  # noqa: ARG002 - it has random numbers of its own
        """Return what the object would try next."""
        return study.index(Replay).proposed(f"{id(self.make)}", self.make)
