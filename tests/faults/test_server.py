"""The driver's server ends whenever it is told to."""

import threading

import pytest
from served import Served


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
