"""Studies as they stand, folded once and then kept up to date: of a log only what is new is read."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar

from maggy.cli.told import compared
from maggy.cli.trials import the_study
from maggy.errors import StoreError, StoreUnavailable
from maggy.store import Reader, StudyEntry
from maggy.study import Study

STUDIES = 4  # that are kept folded; one of 20,000 trials takes some 40 MB
LINES = 1000  # of the list of studies, kept until a study has moved on
PICTURES = 24
LONGEST = 200  # characters of an error
Kept = TypeVar("Kept")

UNLIKE_OURS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What comes of a log that is well-formed and yet not one of ours; which one cannot be known beforehand."""


def unlike_ours(study: str, error: Exception) -> str:
    """Return the sentence for a study of which a page stumbles."""
    found = f"{type(error).__name__}: {error}"
    return (
        f"Study {study!r} cannot be read here: its log has something that maggy does not write ({found[:LONGEST]}). "
        "If maggy has written it, that is a fault of maggy's: the terminal of `maggy ui` has the trace."
    )


class Folds:
    """Reads a store for pages, from one thread at a time: whoever uses what it returns holds its `lock`."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.lock = RLock()
        self._studies: OrderedDict[Any, Study] = OrderedDict()
        self._lines: OrderedDict[Any, dict[str, Any]] = OrderedDict()
        self._pictures: OrderedDict[Any, str] = OrderedDict()

    def entry(self, name: str) -> StudyEntry:
        """Return the study of exactly this name. Raises `ConfigError` where there is none."""
        return the_study(self.reader, name)

    def study(self, entry: StudyEntry) -> Study:
        """Return a study as it is by now; the next call changes it. Raises `StoreError` for a damaged log."""
        key = (entry.name, entry.created)
        study = self._studies.pop(key, None) or Study()  # taken out: where reading fails, it begins anew
        study.take(self.reader.read(entry.name, study.position))
        return _kept(self._studies, key, lambda: study, STUDIES)

    def line(self, entry: StudyEntry) -> dict[str, Any]:
        """Return what the list of studies says of one; of one that cannot be read its name, and a `problem`."""
        now = time.time()
        if entry.held(now):
            return self._line(entry, now)
        key = (entry.name, entry.created, entry.position)
        return _kept(self._lines, key, lambda: self._line(entry, now), LINES)

    def _line(self, entry: StudyEntry, now: float) -> dict[str, Any]:
        try:
            return compared(self.reader, entry, now)
        except StoreUnavailable:
            raise  # all of the store is away
        except StoreError as error:
            return {"study": entry.name, "problem": str(error)}
        except UNLIKE_OURS as error:
            return {"study": entry.name, "problem": unlike_ours(entry.name, error)}

    def picture(self, entry: StudyEntry, which: str, draw: Callable[[Study], str]) -> str:
        """Return a picture of a study as JSON; drawn anew only when the study has moved on."""
        study = self.study(entry)
        key = (entry.name, entry.created, study.position, which)
        return _kept(self._pictures, key, lambda: draw(study), PICTURES)


def _kept(cache: OrderedDict[Any, Kept], key: Any, make: Callable[[], Kept], most: int) -> Kept:
    """Return what is kept under a key, made where there is none; what was used longest ago makes room."""
    found = cache[key] if key in cache else make()
    cache[key] = found
    cache.move_to_end(key)
    while len(cache) > most:
        cache.popitem(last=False)
    return found
