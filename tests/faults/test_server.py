"""The driver's server ends whenever it is told to and leaves nothing open, unless its thread hangs."""

import gc
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from namespaces import why_not
from served import Served, p99
from waiting import until

from maggy.driver.asker import ThreadAsker
from maggy.errors import StudyMoved
from maggy.events import StudyClosed
from maggy.rpc.connection import hello
from maggy.rpc.door import Door
from maggy.rpc.messages import Welcome
from maggy.testing.logcheck import check_log
from maggy.trial import DONE

THINKS = 5  # seconds; with 60 as quiet


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


def same(x):
    return x


@pytest.mark.parametrize("tls", [False, True])
def test_f44_a_driver_with_an_address_of_ipv6(tls):
    """F44: it listens there, and executors reach it."""
    with closing(Served(tls=tls)) as served:
        served.listen("::1").launch(same, {}, 1)
        assert served.server.closed.wait(60)
        assert [trial.status for trial in check_log(served.log).trials.values()] == ["completed"] * 4


ALONE = """
from maggy import experiment
found = experiment.lagom(lambda x: x, {"x": (0.0, 1.0)}, num_trials=2, launcher="local", num_executors=1, quiet=True,
                         store="memory:", log_dir=None)
print([trial.status.value for trial in found.trials])
"""


def test_f44_a_machine_that_has_ipv6_alone():
    """F44: where the loopback interface has no address of IPv4, the other serves."""
    script = 'ip link set lo up && ip address delete 127.0.0.1/8 dev lo && exec "$0" -c "$1"'
    command = ["unshare", "--net", "sh", "-c", script, sys.executable, ALONE]
    if why := why_not():
        pytest.skip(why)
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "['completed', 'completed']\n", done.stderr


class Thinks:
    """An optimizer that computes for a while."""

    def __init__(self):
        self.asked, self.ends = threading.Event(), time.monotonic() + THINKS

    def ask(self, study, rng):
        self.asked.set()
        while time.monotonic() < self.ends:
            sum(range(1000))
        return DONE


def test_f40_an_optimizer_that_computes_for_long_holds_nobody_up():
    """F40: on its own thread; the driver's loop goes on meanwhile, as far as Python lets it."""
    thinks = Thinks()
    with closing(Served()) as served:
        served.server._asker = ThreadAsker(thinks, 0, served.store.read("s"))
        served.listen()
        with served.executor() as executor, served.lag() as lags:
            assert executor.hear(Welcome)
            until(thinks.asked.is_set)
            assert served.server.closed.wait(THINKS + 60)
    print(f"F40: the loop late by {p99(lags) * 1000:.0f} ms (p99) during an ask of {THINKS} s")
    assert p99(lags) < 2.5


@pytest.fixture
def hanging(monkeypatch):
    """Give a driver whose loop hangs in a function of the test's, and the event that frees it."""
    monkeypatch.setattr("maggy.driver.server.STOP_PATIENCE", 0.1)
    here, free = threading.Event(), threading.Event()

    def hangs(now):
        here.set()
        free.wait(60)
        return served.server.scheduler.interrupted("too late", now)

    served = Served().listen()
    served.server._loop.call_soon_threadsafe(served.server._put, hangs)
    assert here.wait(60)
    yield served, free
    free.set()
    served.server._thread.join(60)
    assert not served.server._thread.is_alive()


def test_f40_a_thread_that_hangs_is_left_behind_and_writes_nothing_more(hanging):
    """F40: it is told where it is; when it returns, what it has decided on is not recorded, and it ends."""
    served, free = hanging
    server = served.server
    server.stop()
    assert server.left.startswith("hanging.<locals>.hangs does not return.")
    assert "free.wait(60)" in server.left
    free.set()
    server._thread.join(60)
    assert isinstance(server.error, StudyMoved)
    assert not [event for event in served.log if isinstance(event, StudyClosed)]
    assert server._loop.is_closed()


def test_f40_executors_are_refused_by_a_driver_that_was_left_behind(hanging):
    """F40: as by one that is gone, which sends them home soon; it would not answer them."""
    served, _ = hanging
    with socket.create_connection(("127.0.0.1", served.port), 5):
        pass
    served.server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port), 5)


def test_an_answer_after_the_end_is_nobodys():
    """An optimizer's thread, or Spark's, may still have something to say when the driver's loop is closed."""
    served = Served()
    served.close()
    served.server._answered(1, DONE, 1)
    served.server.dismissed(0, "somebody else has cancelled it")
    served.server.interrupt("interrupted")
