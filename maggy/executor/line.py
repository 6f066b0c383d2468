"""The socket to the driver: it is opened, read and written here; what it means is the link's business."""

from __future__ import annotations

import contextlib
import math
import secrets
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from maggy.errors import ProtocolError
from maggy.executor.link import Link
from maggy.rpc.connection import HANDSHAKE_SECONDS, NONCE
from maggy.rpc.messages import Message
from maggy.version import VERSION, misfit

CHUNK = 64 * 1024  # for each read Python makes a buffer; from 128 KiB on by a call to the system
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
GONE = (ConnectionRefusedError, ssl.SSLCertVerificationError)  # the driver is: nobody, or somebody else, is there
SILENT_SECONDS = 90.0  # in which the driver beats three times; a connection that brings nothing leads nowhere
UNANSWERED_SECONDS = 2.0  # without a word of the driver's kernel that what was sent has come: better try anew


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


class Line:
    """A link's sockets, one after the other. `heard` is called with each message that is for the executor."""

    def __init__(
        self, ticket: Ticket, link: Link, selector: selectors.BaseSelector, heard: Callable[[Message], None]
    ) -> None:
        self._ticket = ticket
        self._link = link
        self._selector = selector
        self._heard = heard
        self._socket: socket.socket | None = None
        self._backlog = b""
        self._writing = False
        self._silent_at = math.inf
        self._welcomed = False

    @property
    def waiting(self) -> int:
        """Bytes that the driver has not taken, or not confirmed."""
        return max(len(self._backlog), self._link.held)

    def deadline(self) -> float:
        """Return when `tick` is to be called next."""
        return min(self._silent_at, self._link.retry_at)

    def tick(self, now: float) -> None:
        """Take in that time has passed: a silent connection leads nowhere, a broken one is followed by another."""
        if now >= self._silent_at:
            self._broke(TimeoutError(f"the driver was silent for {SILENT_SECONDS:.0f} s"))
        if self._link.left is None and now >= self._link.retry_at:
            self._connect()

    def write(self) -> None:
        """Send what is due; what the network does not take waits."""
        data = self._backlog + self._link.outgoing()
        if not data or self._socket is None:
            return
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
            self._selector.modify(self._socket, events, self._read)

    def close(self, patience: float) -> None:
        """Give the last words a moment to leave, and hang up."""
        self.write()
        if self._backlog and self._socket is not None and patience:
            self._socket.settimeout(patience)
            with contextlib.suppress(OSError):  # nobody listens any more
                self._socket.sendall(self._backlog)
        self._hang_up()

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
        self._selector.register(self._socket, selectors.EVENT_READ, self._read)

    def _broke(self, error: OSError | ProtocolError) -> None:
        self._hang_up()
        why = str(error)
        if not self._welcomed:  # another maggy's handshake may be so different that no reason can be given
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

    def _read(self) -> None:
        while self._socket is not None and self._link.left is None:
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
                self._welcomed = True
                self._heard(message)
            if not isinstance(self._socket, ssl.SSLSocket) or not self._socket.pending():
                return  # what TLS has decrypted already would not wake the selector


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
