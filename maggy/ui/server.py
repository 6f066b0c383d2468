"""Serving the pages on the loopback interface, until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from threading import Thread

import uvicorn

from maggy.errors import ConfigError
from maggy.store import Reader
from maggy.ui.app import application
from maggy.ui.guard import TICKET, Guard

HOST = "127.0.0.1"
AT_ONCE = 64  # connections
PATIENCE = 5.0  # seconds for the thread to come to its end


def serve(reader: Reader, port: int | None, say: Callable[[str], None], usual: int) -> None:
    """Serve the pages over a store.

    Arguments:
        reader: the store.
        port: where, 0 for any that is free; None for the usual one, or any where that is taken.
        say: called with a line that has the address, each time that it has become another.
        usual: the port that is tried first.

    Raises:
        ConfigError: where the port is taken, or may not be had.

    """
    with _made(reader, port, say, usual) as (server, listener):
        server.run(sockets=[listener])


@contextmanager
def serving(reader: Reader, port: int, say: Callable[[str], None]) -> Iterator[None]:
    """Serve the pages on a thread of its own meanwhile; else as `serve`."""
    with _made(reader, port, say, port) as (server, listener):
        thread = Thread(target=server.run, args=([listener],), name="maggy-pages", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@contextmanager
def _made(
    reader: Reader, port: int | None, say: Callable[[str], None], usual: int
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    with _listening(port, usual) as listener:
        at = listener.getsockname()[1]
        words = chain(["Open"], repeat("For another browser"))

        def announce(ticket: str) -> None:
            say(f"{next(words)}: http://{HOST}:{at}/?{TICKET}={ticket}")

        guard = Guard(application(reader), at, announce)
        config = uvicorn.Config(
            guard,
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=AT_ONCE,
            timeout_graceful_shutdown=1,
        )
        yield uvicorn.Server(config), listener


def _listening(port: int | None, usual: int) -> socket.socket:
    try:
        return socket.create_server((HOST, usual if port is None else port))
    except OSError as error:
        if port is None:
            return socket.create_server((HOST, 0))
        raise ConfigError(f"port {port} cannot be had: {error.strerror}; -port 0 takes one that is free") from None
