"""A store that forgets everything with its process: for tests, simulations, and studies that nobody will want again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from maggy.events import Event
from maggy.store.base import Owner, StudyEntry, check_name, no_study, numbered


@dataclass(slots=True)
class _Study:
    """One study's entry, its events (position 1 first), and the requests that wait."""

    entry: StudyEntry
    events: list[Event] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class MemoryStore:
    """A `Store` in this process's memory. It keeps the events as they are: hand in values that nobody changes."""

    def __init__(self) -> None:
        self._studies: dict[str, _Study] = {}
        self._lock = Lock()
        self._tokens: dict[str, str] = {}  # of the owners that claimed through this store

    def __str__(self) -> str:
        return "memory:"

    def create(self, base: str, now: float) -> str:
        """Create a study under the first free name of that base."""
        check_name(base)
        with self._lock:
            number, name = next(pair for pair in numbered(base) if pair[1] not in self._studies)
            self._studies[name] = _Study(StudyEntry(name, base, number, now))
        return name

    def latest(self, base: str) -> str | None:
        """Return the study with the highest number of that base, else the one of that very name, else None."""
        with self._lock:
            entries = [study.entry for study in self._studies.values()]
        found = [entry for entry in entries if entry.base == base] or [entry for entry in entries if entry.name == base]
        return max(found, key=lambda entry: entry.number).name if found else None

    def studies(self) -> list[StudyEntry]:
        """Return all studies, the oldest first."""
        with self._lock:
            return [replace(study.entry, position=len(study.events)) for study in self._studies.values()]

    def claim(self, study: str, owner: Owner, now: float) -> None:
        """Make `owner` the study's owner. Raises `StudyOwned` where another lives."""
        with self._lock:
            found = self._study(study)
            found.entry.check_free(owner, now)
            found.entry = replace(found.entry, owner=owner, since=now, renewed=now)
            self._tokens[study] = owner.token

    def renew(self, study: str, owner: Owner, now: float) -> None:
        """Say that `owner` lives. Raises `StudyMoved` where it is not the owner any more."""
        with self._lock:
            found = self._study(study)
            self._check_owner(found, owner.token)
            found.entry = replace(found.entry, renewed=now)

    def release(self, study: str, owner: Owner) -> None:
        """Let the study go, where `owner` still holds it."""
        with self._lock:
            found = self._study(study)
            if found.entry.owner is not None and found.entry.owner.token == owner.token:
                found.entry = replace(found.entry, owner=None, since=0.0, renewed=0.0)

    def append(self, study: str, after: int, events: Sequence[Event]) -> int:
        """Keep the events. Raises `StudyMoved` where the study has another last position or another owner."""
        with self._lock:
            found = self._study(study)
            self._check_owner(found, self._tokens.get(study), after)
            found.events.extend(events)
            return len(found.events)

    def read(self, study: str, after: int = 0) -> Iterator[Event | None]:
        """Yield the events behind position `after`."""
        with self._lock:
            return iter(self._study(study).events[after:])

    def request(self, study: str, what: str) -> None:
        """Leave a wish for the study's driver."""
        with self._lock:
            self._study(study).requests.append(what)

    def requests(self, study: str) -> list[str]:
        """Take the wishes that were left."""
        with self._lock:
            found = self._study(study)
            taken, found.requests = found.requests, []
            return taken

    def delete(self, study: str, now: float) -> None:
        """Forget a study and its log. Raises `StudyOwned` where a living owner holds it."""
        with self._lock:
            self._study(study).entry.check_free(None, now)
            del self._studies[study]
            self._tokens.pop(study, None)

    def close(self) -> None:
        """Do nothing: what the store holds goes with the last reference to it."""

    def _study(self, name: str) -> _Study:
        if name not in self._studies:
            raise no_study(name, self._studies)
        return self._studies[name]

    @staticmethod
    def _check_owner(found: _Study, token: str | None, after: int | None = None) -> None:
        """Raise `StudyMoved` unless that token holds the study and, where it matters, `after` is its last position."""
        owner, position = found.entry.owner, len(found.events)
        if owner is None or owner.token != token or (after is not None and after != position):
            raise replace(found.entry, position=position).moved(token, after)
