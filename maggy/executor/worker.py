"""The agent: what runs as the Spark task. It owns the line to the driver and the trial's process, and waits for both.

What it decides stands in `session.py`; here bytes are moved. One thread, one selector, standard library only. User code
never runs in here, so it can never fail the task.
"""

from __future__ import annotations

import codecs
import math
import os
import platform
import secrets
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from maggy.errors import ProtocolError
from maggy.executor import devices, leftovers
from maggy.executor.line import Line, Ticket
from maggy.executor.link import FENCED, Link
from maggy.executor.orders import Hand, Kill, Leave, Order, Signal, Start, Tell, Terminate
from maggy.executor.process import Process, Runner, stored
from maggy.executor.session import FLUSH_SECONDS, Session
from maggy.executor.sigterm import heeded
from maggy.rpc.messages import Join, Message, Run
from maggy.version import VERSION

WEIGH_SECONDS = 0.5  # between two looks at a trial's memory
NO_FACT = (ProtocolError, TypeError, ValueError, KeyError)  # what comes of user code that writes into maggy's pipe
SCRIBBLED = "it wrote what it must not into its pipe to maggy ({})"
MAX_BACKLOG = 4 * 1024 * 1024  # bytes that the driver has not confirmed before the trial's process has to wait as well


class Agent:
    """One executor, from joining to going home."""

    def __init__(self, ticket: Ticket, function: Any, slot: int, *, again: bool = False) -> None:
        self._ticket = ticket
        self._slot = slot
        self._again = again
        self._environment = devices.environment(ticket.gpus, slot)
        self._function = function
        self._stored: int | None = None  # where its bytes are for the trial's process
        self._session = Session(time.monotonic())
        self._selector = selectors.DefaultSelector()
        self._link = Link(self._hello(), ticket.secret)
        self._line = Line(ticket, self._link, self._selector, self._heard)
        self._written = -math.inf
        self._write_at = math.inf
        self._paused = False
        self._process: Runner | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._weigh_at = math.inf
        self._sent_home: str | None = None
        self._scratch = tempfile.mkdtemp(prefix="maggy-")

    @property
    def _left(self) -> str | None:
        """Why there is nothing more to do here."""
        return self._sent_home or self._link.left

    @property
    def _fresh(self) -> bool:
        """Whether each trial has a process of its own."""
        return self._session.terms is not None and self._session.terms.fresh_process

    def serve(self) -> str:
        """Join the study and run its trials; return why it ended. A driver that is no longer there is no error."""
        self._adopt(True)
        try:
            with heeded(self._selector, self._told_to_end, self._to_leave):
                while (left := self._left) is None:
                    self._write()
                    self._wait()
            self._write()
            self._drop_process()
            self._line.close(patience=1.0)
        finally:
            self._drop_process()
            self._adopt(False)  # Spark runs other tasks in this process
            self._line.close(patience=0.0)
            self._selector.close()
            if self._stored is not None:
                os.close(self._stored)
            leftovers.remove(self._scratch)
        return left

    def _told_to_end(self) -> None:
        self._session.leaving = True  # if the trial's process is ended as well, that says nothing of the trial

    def _to_leave(self) -> None:
        self._do(self._session.leave(time.monotonic()))

    def _hello(self) -> Join:
        host, pid = socket.gethostname(), os.getpid()
        name = f"{host}-{pid}-{secrets.token_hex(4)}"
        return Join(name, host, pid, self._slot, platform.python_version(), VERSION, again=self._again)

    def _wait(self) -> None:
        self._flush()
        now = time.monotonic()
        together = self._write_at if self._session.stocked else self._session.gathering
        if now < together < math.inf:
            time.sleep(together - now)  # the trials need nobody, and what they tell comes together
            now = together
        deadline = min(self._session.deadline(), self._weigh_at, self._line.deadline(), self._write_at)
        for key, _ in self._selector.select(min(max(0.0, deadline - now), 60.0)):
            if self._left is None:
                key.data()
        self._weigh()
        if self._paused:
            self._session.waiting(time.monotonic())
        self._do(self._session.tick(time.monotonic()))
        if self._left is None:
            self._line.tick(time.monotonic())

    def _weigh(self) -> None:
        """Look at the memory that a running trial holds, where there is a limit to it."""
        terms, process, now = self._session.terms, self._process, time.monotonic()
        limited = terms is not None and terms.memory_limit is not None and self._session.run is not None
        if process is None or not process.pid or not limited:
            self._weigh_at = math.inf
        elif now >= self._weigh_at or self._weigh_at == math.inf:
            self._weigh_at = now + WEIGH_SECONDS
            self._do(self._session.measured(leftovers.memory(process.pid)))

    def _heard(self, message: Message) -> None:
        if self._left is None:
            self._do(self._session.received(message, time.monotonic()))

    def _write(self) -> None:
        """Send what is due, together if the next trial does not wait for it; where too much waits, so do trials."""
        now = time.monotonic()
        if self._session.stocked and now < self._written + FLUSH_SECONDS:
            self._write_at = self._written + FLUSH_SECONDS
            return
        self._written, self._write_at = now, math.inf
        self._line.write()
        if self._paused != (self._line.waiting > (MAX_BACKLOG // 2 if self._paused else MAX_BACKLOG)):
            self._paused = not self._paused
            self._listen()

    # -- the trial's process ---------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send the process its orders; those that it is too busy to read, when it reads."""
        process = self._process
        if process is None:
            return
        full = not process.flush()
        if full != (process.orders in self._selector.get_map()):
            if full:
                self._selector.register(process.orders, selectors.EVENT_WRITE, self._flush)
            else:
                self._selector.unregister(process.orders)

    def _from_process(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            facts = process.told()
            self._take_in(process, facts or ())
        except NO_FACT as error:
            self._bury(SCRIBBLED.format(error))
            return
        if facts is None:
            self._bury(None)

    def _take_in(self, process: Runner, facts: Iterable[Any]) -> None:
        now = time.monotonic()
        for kind, body in facts:
            if self._process is not process:
                return  # it has been replaced, and is nobody's any more
            if kind == "here":
                process.pid = int(body)
            elif kind == "began":
                self._do(self._session.began(now))
            elif kind == "report":
                step, metrics = body
                self._do(self._session.reported(step, metrics, now))
            elif kind == "finished":
                outcome, clear = body
                clear = clear and not self._fresh
                if not clear:
                    self._drain_prints()
                self._do(self._session.finished(**outcome, now=now))
                if clear:
                    self._do(self._session.cleared(now))
                else:
                    self._write()  # the driver can decide on the next trial while this one's traces are removed
                    self._clean_up(process)
            elif kind == "ready":
                self._do(self._session.cleared(now))
            else:
                self._do(self._session.kept(kind, body, now))

    def _from_end(self) -> None:
        """Take in that the process has ended."""
        if self._process is not None and not self._process.alive:  # else it was another's end, noticed by now
            self._bury(None)

    def _bury(self, cause: str | None) -> None:
        """Remove a process that is dead or has to be, and tell how it ended.

        What its pipe of facts had taken counts, and only then can be said which trial was running.
        """
        process = self._process
        if process is None:
            return
        ending = process.wait() if cause is None else process.kill()
        self._kill_leftovers()
        try:
            for _ in range(process.unread[0]):
                if self._process is process:
                    self._take_in(process, process.told() or ())
        except NO_FACT as error:
            cause = SCRIBBLED.format(error)
        if self._process is not process:
            return
        self._drain_prints()
        begun = cause is not None or not process.idle
        self._forget()
        process.close()
        leftovers.empty(self._scratch)
        self._do(self._session.died(cause or ending, time.monotonic(), begun=begun))
        self._do(self._session.cleared(time.monotonic()))

    def _from_prints(self) -> None:
        """Read what was printed, by the trial that has begun last.

        A process does not begin the next trial while something waits to be read. So what waits is of the trial that it
        runs, or has just ended; and which one that is, it has told before.
        """
        self._from_process()
        if self._process is not None and self._process.printed_something:
            self._read_prints()

    def _drain_prints(self) -> None:
        """Read what has been printed by now, so that it comes before the trial's outcome, and is no other's.

        It has an end however fast more is printed; and for what a pipe holds there is always room.
        """
        for _ in range(self._process.unread[1] if self._process is not None else 0):
            self._read_prints()

    def _read_prints(self) -> bool:
        """Read what was printed, once; False where that is nothing."""
        data = self._process.printed() if self._process is not None else None
        if data:
            self._do(self._session.printed(self._decoder.decode(data), time.monotonic()))
            self._write()
        elif data is None and self._process is not None and self._process.prints in self._selector.get_map():
            self._selector.unregister(self._process.prints)  # it has closed its output: nothing will come any more
        return bool(data)

    def _listen(self) -> None:
        """Listen to the process, or stop while the driver cannot follow: then its pipes fill, and it waits."""
        if self._process is None:
            return
        if self._paused:
            self._ignore(self._process)
        else:
            self._selector.register(self._process.facts, selectors.EVENT_READ, self._from_process)
            self._selector.register(self._process.prints, selectors.EVENT_READ, self._from_prints)
            if self._process.end is not None:
                self._selector.register(self._process.end, selectors.EVENT_READ, self._from_end)

    def _ignore(self, process: Runner) -> None:
        for end in (process.orders, process.facts, process.prints, process.end):
            if end is not None and end in self._selector.get_map():
                self._selector.unregister(end)

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._ignore(process)

    def _drop_process(self) -> None:
        process = self._process
        self._forget()
        if process is not None:
            process.kill()
            process.close()
            self._kill_leftovers()
            leftovers.empty(self._scratch)

    def _clean_up(self, process: Runner) -> None:
        """Leave nothing of a trial that has ended: not what it has started nor, if so wished, its process."""
        if self._fresh:
            self._drop_process()
            self._do(self._session.cleared(time.monotonic()))
        elif self._process is process:
            self._kill_leftovers(keep=process.own)
            self._drain_prints()  # while nothing that comes can be the next trial's: that waits for our word
            process.order("cleared")

    def _new_process(self) -> Runner:
        if self._stored is None:
            self._stored = stored(self._function)
        # Spark's own entries are relative to the directory of the task, which user code may leave.
        path = [str(Path(entry).absolute()) for entry in sys.path]
        beside = [entry for entry in self._ticket.sys_path if entry not in path]
        return Process(self._stored, [*path, *beside], self._scratch, self._environment)

    def _adopt(self, adopt: bool) -> None:
        leftovers.adopt_orphans(adopt)

    def _kill_leftovers(self, keep: Collection[int] = ()) -> None:
        leftovers.kill_all(keep)

    # -- orders ----------------------------------------------------------------------------------------------------

    def _do(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Tell():
                    self._link.tell(order.message)
                case Start():
                    self._start(order.run)
                case Signal():
                    if self._process is not None:
                        stop = order.stop
                        self._process.order(
                            "stop", {"trial": stop.trial, "attempt": stop.attempt, "reason": stop.reason}
                        )
                case Hand():
                    if self._process is not None:
                        self._process.order("piece", asdict(order.piece))
                case Terminate():
                    if self._process is not None:
                        self._process.terminate()
                case Kill():
                    self._bury("it was killed")
                case Leave():
                    self._sent_home = order.reason

    def _start(self, run: Run) -> None:
        new = run is self._session.run
        if new and self._process is not None and not self._process.alive:
            self._drop_process()  # it died between two trials: no fault of the next one's
        if self._process is None:
            try:
                self._process = self._new_process()
            except OSError as error:
                self._do(self._session.died(f"it could not be started: {error}", time.monotonic()))
                self._do(self._session.cleared(time.monotonic()))
                return
            self._decoder.reset()
            self._listen()
            self._session.starting(time.monotonic())
            self._introduce(self._process)
        self._process.order(
            "run",
            {
                "trial": run.trial,
                "attempt": run.attempt,
                "params": run.params,
                "budget": run.budget,
                "parent": run.parent,
                "work": run.work,
                "restore": run.restore,
            },
        )

    def _introduce(self, process: Runner) -> None:
        """Tell a new process what holds for all its trials."""
        terms = self._session.terms
        process.order(
            "terms",
            {
                "metric": terms.metric if terms else None,
                "draws": terms.draws if terms else None,
                "checkpoints": {
                    "root": terms.checkpoints if terms else "",
                    "marker": terms.marker if terms else "",
                    "limit": terms.relay_limit if terms else 0,
                    "scratch": self._scratch,
                },
            },
        )


def run_slot(ticket: Ticket, function: Any, slots: Iterable[int]) -> Iterator[str]:
    """Be the executor for each slot of a Spark partition; there is one. `function` may be a Spark broadcast of it."""
    pickled = getattr(function, "value", function)
    for slot in slots:
        ended = Agent(ticket, pickled, slot).serve()
        while ended == FENCED:  # it was taken for dead, and begins anew as another
            ended = Agent(ticket, pickled, slot, again=True).serve()
        yield ended
