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
    """The log of one study that this process owns.

    A watcher that raises is shown nothing any more; `trouble` is None, or the sentence that names the first such.
    """

    def __init__(self, store: Store, study: str, owner: Owner, position: int, watchers: Sequence[Watcher] = ()) -> None:
        self._store = store
        self._study = study
        self._owner = owner
        self._position = position
        self._watchers = list(watchers)
        self.trouble: str | None = None

    def commit(self, events: Sequence[Event]) -> None:
        """Make events durable, then show them. Raises `StoreUnavailable` where the same may succeed later."""
        self._position = self._store.append(self._study, self._position, events)
        for watcher in list(self._watchers):
            try:
                watcher.recorded(events)
            except Exception as error:  # noqa: BLE001 - whatever shows a study must not end it
                self._watchers.remove(watcher)
                problem = f"{type(error).__name__}: {error}"
                self.trouble = self.trouble or f"{type(watcher).__name__} raised {problem} and is not used any more"

    def renew(self, now: float) -> list[str]:
        """Say that this driver lives; return what other processes wish of it (`stop`, `pause`, `resume`)."""
        self._store.renew(self._study, self._owner, now)
        return self._store.requests(self._study)

    def release(self) -> None:
        """Let the study go."""
        self._store.release(self._study, self._owner)
