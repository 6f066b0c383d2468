"""The slots of a system, which studies of one process lease: an executor runs while its study holds a lease.

Rules:

1. A study in play has a slot of its own, always: there are never more of them in play than there are slots.
2. All others are shared evenly among those that want them, the first study first. A slot that rests is not wanted.
3. Who holds more than its share, since another wants more than before, gives it back as soon as a trial has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

PLENTY = 1 << 30  # slots, where nobody counts them


class Pool:
    """The slots of a system."""

    def __init__(self, slots: int = PLENTY) -> None:
        self.slots = slots
        self.changed = threading.Condition()
        self._places = threading.Semaphore(slots)
        self.leases: list[Lease] = []  # of the studies in play

    @contextmanager
    def play(self) -> Iterator[Lease]:
        """Wait for a slot that a study can have for itself, and let it play."""
        with self._places:
            lease = self.lease()
            try:
                yield lease
            finally:
                with self.changed:
                    self.leases.remove(lease)
                    self.changed.notify_all()

    def lease(self) -> Lease:
        """Let a study play for which there is room."""
        with self.changed:
            self.leases.append(Lease(self))
            return self.leases[-1]


class Lease:
    """What one study holds of a pool, and wants of it. Any thread may call."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.held = 0
        self.wanted = 0

    def want(self, slots: int) -> None:
        """Take in how many slots the study could use, those that it holds included."""
        with self._pool.changed:
            self.wanted = slots
            self._pool.changed.notify_all()

    def rest(self, slots: int) -> None:
        """Take in that it can use so many fewer than before; more, if that is negative."""
        with self._pool.changed:
            self.want(max(0, self.wanted - slots))

    @property
    def share(self) -> int:
        """How many slots the study may have."""
        with self._pool.changed:
            leases = self._pool.leases
            return shares(self._pool.slots, [each.wanted for each in leases])[leases.index(self)]

    def take(self, given_up: Callable[[], bool]) -> bool:
        """Wait for a slot, and hold it; return whether there is one: not where it is `given_up` before."""
        with self._pool.changed:
            self._pool.changed.wait_for(lambda: given_up() or self._free())
            if given_up():
                return False
            self.held += 1
            return True

    def give_back(self) -> None:
        """Hold one slot fewer."""
        with self._pool.changed:
            self.held -= 1
            self._pool.changed.notify_all()

    def wake(self) -> None:
        """Let those that wait for a slot look again whether they still do."""
        with self._pool.changed:
            self._pool.changed.notify_all()

    def _free(self) -> bool:
        leases = self._pool.leases
        kept = sum(not each.held for each in leases if each is not self)  # each one's own
        left = self._pool.slots - sum(each.held for each in leases) - kept
        return left > 0 and (not self.held or self.held < self.share)


def shares(slots: int, wanted: Sequence[int]) -> list[int]:
    """Return how many slots each may have: one at least, the rest evenly, and none that is not wanted.

    There are no fewer slots than there are who want some.
    """
    if sum(max(1, each) for each in wanted) <= slots:
        return [max(1, each) for each in wanted]
    found = [1] * len(wanted)
    for _ in range(slots - len(wanted)):
        poorest = min(share for share, most in zip(found, wanted, strict=True) if share < most)
        found[next(at for at, share in enumerate(found) if share == poorest < wanted[at])] += 1
    return found
