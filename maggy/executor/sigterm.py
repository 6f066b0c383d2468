"""SIGTERM, as the agent gets it when its machine is taken away: a word with the driver first, then it ends."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def heeded(selector: selectors.BaseSelector, at_once: Callable[[], None], soon: Callable[[], None]) -> Iterator[None]:
    """Call `at_once` when SIGTERM comes, whatever is being done, and `soon` when the selector is looked at next.

    Threads other than the main one get no signals: for them nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    rung, bell = os.pipe()

    def ring(*_: object) -> None:
        at_once()
        os.write(bell, b".")

    selector.register(rung, selectors.EVENT_READ, soon)
    before = signal.signal(signal.SIGTERM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        selector.unregister(rung)
        os.close(rung)
        os.close(bell)
