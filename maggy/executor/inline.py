"""Trials in the driver's own process, for debugging: the agent is a thread there, and so is the function.

The same agent talks with the same server and, over the same pipes, with whoever runs the trials. What differs is that
nothing is pickled, nothing that is printed is caught, nothing is put back after a trial, and nothing can be ended by
force. Above all nothing is killed: the processes below this one are the caller's.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from maggy.errors import StopTrial
from maggy.executor.child import Orders, TrialProcess
from maggy.executor.line import Ticket
from maggy.executor.link import FENCED
from maggy.executor.process import Runner
from maggy.executor.worker import Agent
from maggy.trainfn import TrainFn

Loaded = tuple[TrainFn, Mapping[str, Any]]


class InlineTrials(TrialProcess):
    """Runs trials as they are ordered, in the thread that calls."""

    def __init__(self, orders: int, facts: int, loaded: Loaded) -> None:
        super().__init__(Orders(orders), facts, b"")
        self._loaded = loaded

    def _left_nothing(self) -> bool:
        """Whether the agent has nothing to see to: it catches no prints here, and ends no processes."""
        return True

    def _outlived(self) -> bool:
        """Whether this thread has to end: it need not, since the process is the caller's."""
        return False

    def _put_back(self) -> None:
        """Leave everything as the trial has left it: it is the caller's as much as the trial's."""

    def _tell(self, kind: str, body: Any) -> None:
        try:
            super()._tell(kind, body)
        except BrokenPipeError:  # the agent has turned away
            raise StopTrial("the trial was given up") from None


class InlineProcess(Runner):
    """A thread in the place of a trial's process. It ends with its next report once its pipes are closed."""

    pid = 0  # no process of its own
    end = None

    def __init__(self, loaded: Loaded) -> None:
        orders, facts, self._silence = self._open()  # nobody writes to the pipe for prints, and it stays open
        self._thread = threading.Thread(target=_serve, args=(orders, facts, loaded), name="maggy-trial", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def terminate(self) -> None:
        """Do nothing: a thread cannot be asked to end but by a stop, and that it has had."""

    def kill(self) -> str:
        """Do no more than `close`, which turns away from the thread."""
        return "its thread was given up"

    def wait(self) -> str:
        """Wait for a thread that has closed its pipe of facts, and return how it ended."""
        self._thread.join(1.0)
        return "its thread has ended"

    def close(self) -> None:
        """Free the pipes: the thread hears of it when it tells something."""
        self._close(self._silence)


class InlineAgent(Agent):
    """An executor in a thread of the driver's process."""

    def _new_process(self) -> InlineProcess:
        return InlineProcess(self._function)

    def _adopt(self, adopt: bool) -> None:
        """Leave orphans to whomever they belong."""

    def _kill_leftovers(self, keep: Collection[int] = ()) -> None:
        """Leave alone what runs below this process: most of it is not the trial's."""


def run_inline(ticket: Ticket, loaded: Loaded, slots: Iterable[int]) -> Iterator[str]:
    """Be the executor for each slot, in this thread; `loaded` is the function itself with its constant arguments."""
    for slot in slots:
        while (ended := InlineAgent(ticket, loaded, slot).serve()) == FENCED:
            pass
        yield ended


def _serve(orders: int, facts: int, loaded: Loaded) -> None:
    try:
        with contextlib.suppress(StopTrial):
            InlineTrials(orders, facts, loaded).serve()
    finally:
        os.close(orders)
        os.close(facts)
