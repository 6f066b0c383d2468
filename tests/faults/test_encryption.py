"""TLS: who is not our driver, or not one of ours, gets nowhere (A4, A5)."""

import socket
import ssl
import threading

import pytest

from maggy import Float, Searchspace, experiment
from maggy.driver.certificate import server_context
from maggy.executor.line import Ticket, client_context, connected

SPACE = Searchspace(x=Float(0, 1))


@pytest.fixture
def answering():
    """Serve one TLS handshake for each of the contexts given, and return the port."""
    threads = []

    def serve(context):
        listening = socket.create_server(("127.0.0.1", 0))

        def answer():
            with listening, listening.accept()[0] as plain:
                try:
                    with context.wrap_socket(plain, server_side=True) as wrapped:
                        wrapped.sendall(b"welcome")
                        wrapped.recv(1)
                except (ssl.SSLError, OSError):
                    return  # the client has refused us, as it should

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return listening.getsockname()[1]

    yield serve
    for thread in threads:
        thread.join(5)


def test_an_executor_accepts_its_drivers_certificate(answering):
    """The pinned certificate is enough; no name has to fit."""
    context, certificate = server_context()
    with connected(Ticket("127.0.0.1", answering(context), "1", b"", certificate)) as found:
        found.settimeout(5)
        assert found.recv(7) == b"welcome"
        assert found.version() == "TLSv1.3"


def test_an_executor_refuses_another_certificate(answering):
    """A4: somebody in between, with a certificate of the same name, is told nothing."""
    (other, _), (_, certificate) = server_context(), server_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        connected(Ticket("127.0.0.1", answering(other), "1", b"", certificate))


def test_an_executor_refuses_an_older_protocol(answering):
    """A4: no downgrade below TLS 1.3."""
    context, certificate = server_context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        connected(Ticket("127.0.0.1", answering(context), "1", b"", certificate))


def test_a_certificate_is_new_for_each_study():
    """Nobody who has taken part in one study can pose as the driver of another."""
    assert server_context()[1] != server_context()[1]


def test_a_client_context_verifies():
    """Verification cannot be off by mistake."""
    assert client_context(server_context()[1]).verify_mode is ssl.CERT_REQUIRED


def talkative(x, reporter):
    for step in range(300):
        reporter.broadcast(x, step=step)
    print("y" * 300_000)
    return x


def test_a_study_runs_encrypted(tmp_path):
    """Reports, logs and outcomes of every size come through."""
    places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "launcher": "local", "num_executors": 2}
    result = experiment.lagom(talkative, SPACE, num_trials=6, tls=True, earlystop=None, quiet=True, **places)
    assert [len(trial.curve) for trial in result.trials] == [300] * 6
    assert (tmp_path / "logs" / "talkative" / "1" / "output.log").stat().st_size == 300_001
