"""Work that must hold nobody up: done in order on a thread of its own, as far as there is room for it to wait."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Aside:
    """Does small pieces of work, each with a weight; at most `limit` of weight waits, what comes then is refused.

    The thread is started with the first of them.
    """

    def __init__(self, name: str, limit: float = math.inf) -> None:
        self.weight = 0  # of what waits
        self._limit = limit
        self._lock = threading.Lock()
        self._work: SimpleQueue[tuple[Callable[[], None], int] | None] = SimpleQueue()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._do, name=name, daemon=True)

    def put(self, work: Callable[[], None], weight: int = 1) -> bool:
        """Have something done; return whether there was room for it."""
        with self._lock:
            if self.weight + weight > self._limit:
                return False
            self.weight += weight
            if self._thread.ident is None:
                self._thread.start()
        self._work.put((work, weight))
        return True

    def close(self, timeout: float) -> bool:
        """Do what waits, but give up after `timeout` seconds; return whether all was done."""
        if self._thread.ident is not None:
            self._work.put(None)
            self._thread.join(timeout)
        self._given_up.set()
        return not self._thread.is_alive()

    def _do(self) -> None:
        while (found := self._work.get()) is not None and not self._given_up.is_set():
            work, weight = found
            work()
            with self._lock:
                self.weight -= weight
