"""The agent: what runs as the Spark task. It owns the socket and the trial's process, and waits for both.

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
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from maggy.errors import ProtocolError
from maggy.executor import devices, leftovers
from maggy.executor.link import FENCED, Link
from maggy.executor.process import Process, Runner, stored
from maggy.executor.session import Hand, Kill, Leave, Order, Session, Signal, Start, Tell, Terminate
from maggy.rpc.connection import HANDSHAKE_SECONDS, NONCE
from maggy.rpc.messages import Join
from maggy.version import VERSION, misfit

CHUNK = 256 * 1024
WEIGH_SECONDS = 0.5  # between two looks at a trial's memory
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
GONE = (ConnectionRefusedError, ssl.SSLCertVerificationError)  # the driver is: nobody, or somebody else, is there
SILENT_SECONDS = 90.0  # in which the driver beats three times; a connection that brings nothing leads nowhere
UNANSWERED_SECONDS = 2.0  # without a word of the driver's kernel that what was sent has come: better try anew
MAX_BACKLOG = 4 * 1024 * 1024  # bytes that the driver has not confirmed before the trial's process has to wait as well


@dataclass(frozen=True)
class Ticket:
    """What an executor needs to join a study. It travels with the task alone; the secret shows in no `repr`."""

    host: str
    port: int
    version: str  # of the driver's maggy
    secret: bytes = field(repr=False)
    certificate: str | None = None  # the driver's, as PEM, where the connection is encrypted
    sys_path: tuple[str, ...] = ()  # where the driver's own modules are; for executors on the driver's machine
    gpus: tuple[str, ...] = ()  # what each slot's trials may see of them, where maggy assigns them and not Spark


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
        self._socket: socket.socket | None = None
        self._backlog = b""
        self._writing = False
        self._paused = False
        self._process: Runner | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._weigh_at = self._silent_at = math.inf
        self._sent_home: str | None = None
        self._scratch = tempfile.mkdtemp(prefix="maggy-")

    @property
    def _left(self) -> str | None:
        """Why there is nothing more to do here."""
        return self._sent_home or self._link.left

    def serve(self) -> str:
        """Join the study and run its trials; return why it ended. A driver that is no longer there is no error."""
        self._adopt(True)
        try:
            while (left := self._left) is None:
                self._write()
                self._wait()
            self._write()
            self._farewell()
        finally:
            self._drop_process()
            self._adopt(False)  # Spark runs other tasks in this process
            self._hang_up()
            self._selector.close()
            if self._stored is not None:
                os.close(self._stored)
            shutil.rmtree(self._scratch, ignore_errors=True)
        return left

    def _hello(self) -> Join:
        host, pid = socket.gethostname(), os.getpid()
        name = f"{host}-{pid}-{secrets.token_hex(4)}"
        return Join(name, host, pid, self._slot, platform.python_version(), VERSION, again=self._again)

    def _wait(self) -> None:
        deadline = min(self._session.deadline(), self._weigh_at, self._silent_at, self._link.retry_at)
        patience = max(0.0, deadline - time.monotonic())
        for key, _ in self._selector.select(min(patience, 60.0)):
            if self._left is None:
                key.data()
        self._weigh()
        self._do(self._session.tick(time.monotonic()))
        if time.monotonic() >= self._silent_at:
            self._broke(TimeoutError(f"the driver was silent for {SILENT_SECONDS:.0f} s"))
        if self._left is None and time.monotonic() >= self._link.retry_at:
            self._connect()

    def _weigh(self) -> None:
        """Look at the memory that a running trial holds, where there is a limit to it."""
        terms, process, now = self._session.terms, self._process, time.monotonic()
        if terms is None or terms.memory_limit is None or process is None or self._session.run is None:
            self._weigh_at = math.inf
        elif now >= self._weigh_at or self._weigh_at == math.inf:
            self._weigh_at = now + WEIGH_SECONDS
            self._do(self._session.measured(leftovers.memory(process.pid)))

    # -- the driver ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Try once to reach the driver; the link knows what to say, and whether another try makes sense."""
        try:
            self._socket = connected(self._ticket, self._link.patience(time.monotonic()))
        except OSError as error:
            why = f"no driver at {self._ticket.host}:{self._ticket.port} ({error})"
            self._link.failed(why, time.monotonic(), refused=isinstance(error, GONE))
            return
        self._link.connected(secrets.token_bytes(NONCE))
        self._silent_at = time.monotonic() + SILENT_SECONDS
        self._selector.register(self._socket, selectors.EVENT_READ, self._from_driver)

    def _broke(self, error: OSError | ProtocolError) -> None:
        self._hang_up()
        why = str(error)
        if self._session.terms is None:  # another maggy's handshake may be so different that no reason can be given
            why = (
                misfit("maggy", VERSION, self._ticket.version, f"it does not understand this one's words: {why}") or why
            )
        closed, stranger = isinstance(error, ConnectionError), isinstance(error, ProtocolError)
        self._link.broke(why, time.monotonic(), closed=closed, stranger=stranger)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        self._backlog = b""
        self._writing = False
        self._silent_at = math.inf

    def _from_driver(self) -> None:
        while self._socket is not None and self._left is None:
            try:
                data = self._socket.recv(CHUNK)
                self._silent_at = time.monotonic() + SILENT_SECONDS
                if not data:
                    raise ConnectionResetError("the driver closed the connection")
                messages = self._link.received(data)
            except WOULD_BLOCK:
                return
            except (OSError, ProtocolError) as error:
                self._broke(error)
                return
            for message in messages:
                self._do(self._session.received(message, time.monotonic()))
            if not isinstance(self._socket, ssl.SSLSocket) or not self._socket.pending():
                return  # what TLS has decrypted already would not wake the selector

    def _write(self) -> None:
        """Send what is due; what the network does not take waits, and while too much waits, so does the trial."""
        data = self._backlog + self._link.outgoing()
        if data and self._socket is not None:
            try:
                sent = self._socket.send(data)
            except WOULD_BLOCK:
                sent = 0
            except OSError as error:
                self._broke(error)
                return
            self._backlog = data[sent:]
            if bool(self._backlog) != self._writing:
                self._writing = bool(self._backlog)
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._writing else 0)
                self._selector.modify(self._socket, events, self._from_driver)
        waiting = max(len(self._backlog), self._link.held)
        if self._paused != (waiting > (MAX_BACKLOG // 2 if self._paused else MAX_BACKLOG)):
            self._paused = not self._paused
            self._listen()

    def _farewell(self) -> None:
        """Give the last words a moment to leave."""
        self._drop_process()
        if self._backlog and self._socket is not None:
            self._socket.settimeout(1.0)
            try:
                self._socket.sendall(self._backlog)
            except OSError:
                return  # nobody listens any more

    # -- the trial's process ---------------------------------------------------------------------------------------

    def _from_process(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            facts = process.told()
            self._take_in(process, facts or ())
        except ProtocolError as error:
            self._bury(f"it wrote what it must not into its pipe to maggy ({error})")
            return
        if facts is None:
            self._bury(None)

    def _take_in(self, process: Runner, facts: Iterable[Any]) -> None:
        now = time.monotonic()
        for kind, body in facts:
            if kind == "report":
                step, metrics = body
                self._do(self._session.reported(step, metrics, now))
            elif kind == "finished":
                self._from_prints()
                self._do(self._session.finished(**body, now=now))
                self._write()  # the driver can decide on the next trial while this one's traces are removed
                self._clean_up(process)
            else:
                self._do(self._session.kept(kind, body, now))

    def _from_end(self) -> None:
        """Take in that the process has ended; what it said before is still in its pipe."""
        before = self._process
        while self._process is not None and self._process is before and self._process.told_something:
            self._from_process()
        if self._process is before:
            self._bury(None)

    def _bury(self, cause: str | None) -> None:
        """Remove a process that is dead or has to be, and tell how it ended."""
        process = self._process
        if process is None:
            return
        self._from_prints()
        self._forget()
        ending = process.wait() if cause is None else process.kill()
        self._kill_leftovers(keep=None)
        leftovers.empty(self._scratch)
        self._do(self._session.died(cause or ending, time.monotonic()))

    def _from_prints(self) -> None:
        """Read what was printed until there is no more for now, so that it comes before the trial's outcome."""
        while self._process is not None and (data := self._process.printed()) != b"":
            if data is None:  # the process has closed its output: nothing will come any more
                if self._process.prints in self._selector.get_map():
                    self._selector.unregister(self._process.prints)
                break
            self._do(self._session.printed(self._decoder.decode(data), time.monotonic()))
            self._write()
            if self._paused:
                break

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
        for end in (process.facts, process.prints, process.end):
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
            self._kill_leftovers(keep=None)
            leftovers.empty(self._scratch)

    def _clean_up(self, process: Runner) -> None:
        """Leave nothing of a trial that has ended: not what it has started nor, if so wished, its process."""
        if self._session.terms is not None and self._session.terms.fresh_process:
            self._drop_process()
        elif self._process is process:
            self._kill_leftovers(keep=process.pid)

    def _new_process(self) -> Runner:
        if self._stored is None:
            self._stored = stored(self._function)
        # Spark's own entries are relative to the directory of the task, which user code may leave.
        path = [str(Path(entry).absolute()) for entry in sys.path]
        beside = [entry for entry in self._ticket.sys_path if entry not in path]
        return Process(self._stored, [*path, *beside], self._environment)

    def _adopt(self, adopt: bool) -> None:
        leftovers.adopt_orphans(adopt)

    def _kill_leftovers(self, keep: int | None) -> None:
        leftovers.kill_all(keep)

    # -- orders ----------------------------------------------------------------------------------------------------

    def _do(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Tell():
                    self._link.tell(order.message)
                case Start():
                    self._start(order)
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

    def _start(self, order: Start) -> None:
        if self._process is not None and not self._process.alive:
            self._drop_process()  # it died between two trials: no fault of the next one's
        if self._process is None:
            self._process = self._new_process()
            self._decoder.reset()
            self._listen()
        run, terms = order.run, self._session.terms
        self._process.order(
            "run",
            {
                "trial": run.trial,
                "attempt": run.attempt,
                "params": run.params,
                "budget": run.budget,
                "parent": run.parent,
                "metric": terms.metric if terms else None,
                "checkpoints": {
                    "root": terms.checkpoints if terms else "",
                    "marker": terms.marker if terms else "",
                    "limit": terms.relay_limit if terms else 0,
                    "scratch": self._scratch,
                    "restore": run.restore,
                },
            },
        )


def connected(ticket: Ticket, patience: float = HANDSHAKE_SECONDS) -> socket.socket:
    """Return a socket to the driver, encrypted if the ticket has a certificate. Raises `OSError`.

    A network that loses everything for a while is found out by the kernel, and a new connection gets through as soon
    as packets do; the old one would be silent for as long again as the network was.
    """
    plain = socket.create_connection((ticket.host, ticket.port), patience)
    try:
        plain.settimeout(HANDSHAKE_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNANSWERED_SECONDS))
        found = plain if ticket.certificate is None else client_context(ticket.certificate).wrap_socket(plain)
    except BaseException:
        plain.close()
        raise
    found.setblocking(False)
    return found


def client_context(certificate: str) -> ssl.SSLContext:
    """Return a context that accepts this very certificate, whoever's address it comes from, over TLS 1.3 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # drivers are reached by many names; there is one certificate
    context.load_verify_locations(cadata=certificate)
    return context


def run_slot(ticket: Ticket, function: Any, slots: Iterable[int]) -> Iterator[str]:
    """Be the executor for each slot of a Spark partition; there is one. `function` may be a Spark broadcast of it."""
    pickled = getattr(function, "value", function)
    for slot in slots:
        ended = Agent(ticket, pickled, slot).serve()
        while ended == FENCED:  # it was taken for dead, and begins anew as another
            ended = Agent(ticket, pickled, slot, again=True).serve()
        yield ended
