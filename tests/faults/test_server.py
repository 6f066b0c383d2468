"""The driver's server ends whenever it is told to, and leaves nothing open."""

import gc
import socket
import threading

import pytest
from served import Served

from maggy.rpc.connection import hello
from maggy.rpc.door import Door


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_is_stopped_while_it_starts_ends(tls):
    """Whoever stops it before its thread has come anywhere does not wait for ever."""
    served, asked = Served(tls=tls), threading.Event()
    loop, tell = served.server._loop, served.server._loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *given: (tell(*given), asked.set())
    loop.call_soon(asked.wait, 20)  # so the thread's first step sees the stop, and comes no further before it
    served.listen()
    stopping = threading.Thread(target=served.close, daemon=True)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive()


@pytest.mark.parametrize("tls", [False, True])
def test_a_handshake_that_has_just_begun_is_ended_too(tls, monkeypatch):
    """Its socket is closed, and not left to the garbage collector, whose warning would be an error here."""
    begin = Door._begin_next

    def hold(door):
        """Tell the server to stop, in the very step in which it lets somebody in."""
        door._house._stopped.set()
        begin(door)

    monkeypatch.setattr(Door, "_begin_next", hold)
    with Served(tls=tls) as served, socket.create_connection(("127.0.0.1", served.port), 20) as caller:
        caller.sendall(b"\x16" if tls else hello(served.server.secret, bytes(32)))
        served.server._thread.join(20)
        assert not served.server._thread.is_alive()
        served.server._thread = None  # nobody is left to be told
    gc.collect()
