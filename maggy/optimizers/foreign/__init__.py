"""Optimizers of other libraries, by way of ask and tell.

Such an object remembers; a study is the only memory here. So it is made anew from the log: asked and told in the order
in which that happened, which a trial's `seen` and `end` tell. As long as the log only grows, the same object goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from maggy.errors import ConfigError, nearest
from maggy.optimizers.model import Model
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import Trial

FORBIDDEN = 100  # answers in a row that may lie outside of the searchspace
LIBRARIES = ("optuna", "nevergrad", "skopt")


class AskTell(Protocol):
    """What an object of another library has to do. Losses are minimized; None stands for a trial without a value."""

    def ask(self) -> Mapping[str, Any]:
        """Return a configuration to try next; not every one that was returned before has been told of."""

    def tell(self, params: Mapping[str, Any], loss: float | None) -> None:
        """Take in what a configuration is worth, in the order in which trials end."""


Make = Callable[[Searchspace, int], AskTell]
"""Makes an object for a searchspace, with a seed."""


class Replay:
    """An object that has been asked and told what the log says, kept as long as that only goes on."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._live: dict[str, _Live] = {}

    def update(self, trial: Trial) -> None:
        """All is looked up when it is needed."""

    def proposed(self, key: str, make: Make) -> dict[str, Any]:
        """Return what the object that `make` makes proposes for the study's next trial."""
        live = self._live.get(key)
        if live is None or not live.can_go_on(self._study):
            live = self._live[key] = _Live(make(self._study.searchspace, int(self._study.settings.get("seed", 0))))
        return live.proposal(self._study)


@dataclass
class _Live:
    """One object, and how far in the log it is."""

    object: AskTell
    answers: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)  # by trial: position, params
    position: int = 0  # up to which it has been told
    told: set[int] = field(default_factory=set)

    def can_go_on(self, study: Study) -> bool:
        """Whether what it was asked and told so far is what the study's log says."""
        asked = {number: position for number, (position, _) in self.answers.items()}
        for number, position in asked.items():
            if number > study.next_id or position != (
                study.position if number == study.next_id else study.trials[number].seen
            ):
                return False
        return self.position <= study.position

    def proposal(self, study: Study) -> dict[str, Any]:
        """Catch up with the study, and ask for its next trial."""
        ended = sorted((trial for trial in study.trials.values() if trial.end and trial.id not in self.told), key=_end)
        for trial in list(study.trials.values()):
            if trial.id not in self.answers and trial.parent is None and trial.origin is None:
                self._tell(study, ended, trial.seen)
                self.answers[trial.id] = trial.seen, self._asked(study.searchspace)
        if study.next_id not in self.answers:
            self._tell(study, ended, study.position)
            self.answers[study.next_id] = study.position, self._asked(study.searchspace)
        return self.answers[study.next_id][1]

    def _asked(self, searchspace: Searchspace) -> dict[str, Any]:
        """Ask; what is forbidden is told to have failed, and asked for again."""
        for _ in range(FORBIDDEN):
            params = dict(self.object.ask())
            if searchspace.contains(params):
                return params
            self.object.tell(params, None)
        searchspace.check(params)
        return params

    def _tell(self, study: Study, ended: list[Trial], position: int) -> None:
        while ended and _end(ended[0]) <= position:
            trial = ended.pop(0)
            self.object.tell(trial.params, study.loss(trial) if trial.usable else None)
            self.told.add(trial.id)
        self.position = max(self.position, position)


def _end(trial: Trial) -> int:
    return trial.end or 0


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
        self._make(searchspace, 0)

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
        made: AskTell = module.make(name, searchspace, seed, **self.settings)
        return made


@dataclass(frozen=True)
class Wrapped(Model):
    """Any object with `ask` and `tell` as an optimizer; `make(searchspace, seed)` makes one. Passed again on resume."""

    make: Make

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:  # noqa: ARG002 - it has random numbers of its own
        """Return what the object would try next."""
        return study.index(Replay).proposed(f"{id(self.make)}", self.make)
