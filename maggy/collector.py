"""Python's garbage collector, kept from looking where there is nothing to collect.

A full collection looks at every object of the process, and everybody waits for it: 0.1 s in a notebook that has trained
something, or that has just ended a study of 5,000 trials. Stops and new trials would wait for it too. While a long log
is read, more and more objects are looked at again and again, a third of the time that the reading takes.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_studies = 0  # that run in this process
_frozen = False
_readings = 0  # that go on in this process
_paused = False


@contextmanager
def short_collections() -> Iterator[None]:
    """Leave out what there is by now of all collections until the last of the studies that overlap has ended.

    A process whose owner has frozen something already is left as it is: what is frozen can only be freed as a whole.
    """
    global _studies, _frozen  # noqa: PLW0603 - the collector is the process's
    with _lock:
        if _studies == 0 and gc.get_freeze_count() == 0:
            gc.freeze()
            _frozen = True
        _studies += 1
    try:
        yield
    finally:
        with _lock:
            _studies -= 1
            if _studies == 0 and _frozen:
                gc.unfreeze()
                _frozen = False


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect nothing until the last of the readings that overlap has ended: what they make is kept, and has no cycles.

    A process whose owner has turned the collector off finds it off.
    """
    global _readings, _paused  # noqa: PLW0603 - as above
    with _lock:
        if _readings == 0 and gc.isenabled():
            gc.disable()
            _paused = True
        _readings += 1
    try:
        yield
    finally:
        with _lock:
            _readings -= 1
            if _readings == 0 and _paused:
                gc.enable()
                _paused = False
