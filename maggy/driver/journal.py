"""The driver's hold on its study: what is appended goes through here, and is shown once it is durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from maggy.events import Event
from maggy.store.base import Owner, Store


class Watcher(Protocol):
    """Whoever shows a study somewhere: it is handed each batch of events once they are durable, and must not block."""

    def recorded(self, events: Sequence[Event]) -> None:
        """Take in the events that follow those before."""


class Journal:
    """The log of one study that this process owns."""

    def __init__(self, store: Store, study: str, owner: Owner, position: int, watchers: Sequence[Watcher] = ()) -> None:
        self._store = store
        self._study = study
        self._owner = owner
        self._position = position
        self._watchers = watchers

    def commit(self, events: Sequence[Event]) -> None:
        """Make events durable, then show them."""
        self._position = self._store.append(self._study, self._position, events)
        for watcher in self._watchers:
            watcher.recorded(events)

    def renew(self, now: float) -> list[str]:
        """Say that this driver lives; return what other processes wish of it (`stop`, `pause`)."""
        self._store.renew(self._study, self._owner, now)
        return self._store.requests(self._study)

    def release(self) -> None:
        """Let the study go."""
        self._store.release(self._study, self._owner)
