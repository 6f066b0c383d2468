"""Python's garbage collector, kept from looking where there is nothing to collect.

A full collection looks at every object of the process, and everybody waits for it: 0.1 s in a notebook that has trained
something, or that has just ended a study of 5,000 trials. Stops and new trials would wait for it too. While a long log
is read, more and more objects are looked at again and again, a sixth of the time that the reading takes.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Together:
    """A change of the whole process, made by the first of those who overlap and undone by the last of them.

    `change` says whether it has changed anything: what its owner has set already is left as it is.
    """

    def __init__(self, change: Callable[[], bool], undo: Callable[[], None]) -> None:
        self._change, self._undo = change, undo
        self._lock = threading.Lock()
        self._inside = 0
        self._changed = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._changed = self._change()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0 and self._changed:
                    self._undo()


def _freeze() -> bool:
    if gc.get_freeze_count():  # what is frozen can only be freed as a whole
        return False
    gc.freeze()
    return True


def _pause() -> bool:
    if not gc.isenabled():
        return False
    gc.disable()
    return True


short_collections = _Together(_freeze, gc.unfreeze)
"""Leave out what there is by now of all collections until the last of the studies that overlap has ended."""
no_collections = _Together(_pause, gc.enable)
"""Collect nothing until the last of the readings that overlap has ended: what they make is kept, and has no cycles."""
