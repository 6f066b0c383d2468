"""Launchers: who starts executors, and starts a slot's executor again when it ends before the study does.

Each slot has a thread of its own that runs one executor at a time, so a slot that ends early disturbs no other. On
Spark that is a one-task job per slot: in one job for all, the first crash on `local[N]`, and the fourth of a partition
on a cluster, would abort everybody's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from maggy.driver.leases import Lease, Pool
from maggy.driver.scheduler import GIVEN_BACK, REST
from maggy.errors import LauncherError
from maggy.version import REFUSED

Task = Callable[[Iterable[int]], Iterable[str]]  # be the executor of these slots until the study is over
Taken = Callable[[int, str], None]  # hear that somebody else has ended a slot's executor, and how

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
SHORT_LIFE = 5.0  # seconds; an executor that lived for less makes the pause before the next one longer
NO_DRIVER = "no driver"  # how an executor begins to say that it could not reach the driver, however long it has tried
HOPELESS = 4  # short lives in a row
RESUBMITS = 3  # times that a slot is started again after somebody else has cancelled it; then they seem to mean it


class Cancelled(LauncherError):  # noqa: N818 - a fact about the slot
    """Somebody else has ended an executor on purpose: no crash, and no reason to wait before the next."""


class Gone(LauncherError):  # noqa: N818 - a fact about the launcher
    """What executors run on has ended: there will never be another."""


class Launcher(Protocol):
    """Starts executors.

    `cause` says why the last one ended that has, `gone` why there can be no other ever; both are empty until it is so.
    """

    cause: str
    gone: str

    def start(self, task: Task, count: int, taken: Taken) -> None:
        """Keep `count` executors running, each as `task([slot])`; one that was sent home to rest, when it is wanted."""

    def wanted(self) -> None:
        """Take in that a trial waits: one slot that rests is started again."""

    @property
    def room(self) -> int:
        """How many executors there may be at this moment: those asked for, or fewer where slots are leased."""

    def failed(self) -> str | None:
        """Return why no slot can be kept running, or None while one can."""

    def heard(self) -> None:
        """Take in that executors reach the driver: those that die young die of their trials."""

    def state(self) -> str:
        """Say in a sentence what is known of executors that do not come, or return nothing."""

    def crashes(self) -> list[str]:
        """Return why executors failed that were started again since."""

    def finish(self, patience: float) -> None:
        """Start no more; give those that run `patience` seconds to return, then cancel them."""


class SlotLauncher:
    """What launchers share: a thread per slot, back-off between two lives of a slot, an orderly end.

    Where studies share slots, an executor runs while its study holds a lease for it.
    """

    def __init__(self, lease: Lease | None = None) -> None:
        self._lease = lease or Pool().lease()
        self._closing = threading.Event()
        self._wanted = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._short_lives: dict[int, int] = {}
        self.cause = ""  # why the last executor ended that has
        self.gone = ""  # why there can be no other
        self._crashes: list[str] = []

    def start(self, task: Task, count: int, taken: Taken = lambda *_: None) -> None:
        """Keep `count` executors running."""
        self._short_lives = dict.fromkeys(range(count), 0)
        self._lease.want(count)
        for slot in range(count):
            thread = self._thread(lambda slot=slot: self._keep(task, slot, taken))  # type: ignore[misc]
            thread.daemon = True
            thread.name = f"maggy-slot-{slot}"
            self._threads.append(thread)
            thread.start()

    def wanted(self) -> None:
        """Take in that a trial waits: one slot that rests is started again."""
        with self._wanted:
            self._wanted.notify()

    @property
    def room(self) -> int:
        """How many executors there may be at this moment."""
        return self._lease.share

    def failed(self) -> str | None:
        """Return the last cause once every slot has died young several times in a row, or is no longer kept."""
        if self.gone:
            return self.gone
        kept = zip(self._threads, self._short_lives.values(), strict=False)
        hopeless = all(short >= HOPELESS or not thread.is_alive() for thread, short in kept)
        return (self.cause or "nothing keeps them running") if self._threads and hopeless else None

    def heard(self) -> None:
        """Take in that executors reach the driver; the next one is started soon even if the last ones died young."""
        for slot, short in self._short_lives.items():
            self._short_lives[slot] = min(short, HOPELESS - 1)

    def state(self) -> str:
        """Return nothing: who starts processes has nobody to wait for."""
        return ""

    def crashes(self) -> list[str]:
        """Return why executors failed that were started again since."""
        return self._crashes

    def finish(self, patience: float) -> None:
        """Start no more; wait, then cancel, then wait once more."""
        self._closing.set()
        with self._wanted:
            self._wanted.notify_all()
        self._lease.wake()
        self._join(patience)
        if any(thread.is_alive() for thread in self._threads):
            self._cancel()
            self._join(5.0)

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target)

    def _keep(self, task: Task, slot: int, taken: Taken) -> None:
        cancelled = 0
        while self._lease.take(self._closing.is_set):
            began = time.monotonic()
            try:
                try:
                    ended = self.cause = self._run(task, slot)
                finally:
                    self._lease.give_back()
            except Gone as error:
                self.cause = self.gone = str(error)
                return
            except BaseException as error:  # noqa: BLE001 - a job may fail in any way; the slot is started again
                ended = self.cause = str(error) or repr(error)
                if self._closing.is_set():
                    return
                self._crashes.append(ended)
                if isinstance(error, Cancelled):
                    taken(slot, f"somebody else has cancelled it ({error})")
                    cancelled += 1
                    if cancelled > RESUBMITS:
                        self.cause = f"somebody else has cancelled it {cancelled} times ({error})"
                        return
                    continue
            if ended == REST:
                self._sleep()
                continue
            if ended == GIVEN_BACK:
                continue
            refused = ended.startswith(REFUSED)
            if time.monotonic() - began < SHORT_LIFE or ended.startswith(NO_DRIVER) or refused:
                self._short_lives[slot] += 2 if refused else 1  # only another machine could be a better one
                if refused and self._short_lives[slot] >= HOPELESS:
                    self._crashes.append(ended)
                    return
                self._closing.wait(min(FIRST_PAUSE * 2 ** min(self._short_lives[slot] - 1, 10), LONGEST_PAUSE))
            else:
                self._short_lives[slot] = 0

    def _sleep(self) -> None:
        self._lease.rest(1)
        with self._wanted:
            if not self._closing.is_set():
                self._wanted.wait()
        self._lease.rest(-1)

    def _run(self, task: Task, slot: int) -> str:
        """Run one executor to its end and return why it ended. Raises what made it fail."""
        raise NotImplementedError

    def _cancel(self) -> None:
        """End what runs, at once."""
        raise NotImplementedError

    def _join(self, patience: float) -> None:
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
