"""F9, F17: an agent finds somebody else at its driver's port, or nobody's word for too long."""

import secrets
import socket
import ssl
import threading
import time

import pytest

from maggy.driver.certificate import server_context
from maggy.executor.line import SILENT_SECONDS, Ticket
from maggy.executor.worker import Agent


@pytest.fixture
def agent():
    """Give a function that makes an agent which is to reach its driver at a port, and ends it."""
    found = []

    def make(port, certificate=None):
        found.append(Agent(Ticket("127.0.0.1", port, "1", secrets.token_bytes(32), certificate), b"", 0))
        return found[0]

    yield make
    found[0]._line._hang_up()
    found[0]._selector.close()


def test_f17_a_connection_that_brings_nothing_is_given_up(agent):
    """F17: the driver beats; where three beats are missing, whoever holds the connection open leads nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        executor = agent(listening.getsockname()[1])
        executor._line._connect()
        assert 0 < executor._line._silent_at - time.monotonic() <= SILENT_SECONDS
        executor._line._silent_at = time.monotonic()
        executor._wait()
    assert executor._line._socket is None
    assert "the driver was silent for 90 s" in executor._left


def test_f09_a_port_that_is_another_drivers_by_now(agent):
    """F9: another certificate there means that the driver is gone, as a refused connection does."""
    context, _ = server_context()
    _, certificate = server_context()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with listening.accept()[0] as plain:
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except (ssl.SSLError, OSError):
                    return  # the agent has refused us, as it should

        thread = threading.Thread(target=answer)
        thread.start()
        executor = agent(listening.getsockname()[1], certificate)
        told = []
        executor._link.failed = lambda why, now, *, refused: told.append(refused)
        executor._line._connect()
        thread.join(10)
    assert told == [True]
