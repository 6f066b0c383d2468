"""Tests of maggy.driver.standstill, and of what becomes of a driver's thread that hangs."""

import secrets
import threading
import time
from contextlib import closing

import pytest

from maggy import Float, Searchspace
from maggy.driver import server as serving
from maggy.driver.asker import InlineAsker
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler, Terms
from maggy.driver.server import Server
from maggy.driver.standstill import LONGEST_TRACE, Standstill
from maggy.errors import StudyMoved
from maggy.events import StudyClosed, StudyOpened
from maggy.optimizers import RandomSearch
from maggy.store import MemoryStore, Owner
from maggy.study import Study


def test_looks_are_counted_until_the_next_beat():
    """Whoever looks at equal intervals knows for how long nothing has been done."""
    standstill = Standstill()
    assert [standstill.look() for _ in range(3)] == [1, 2, 3]
    standstill.beat()
    assert [standstill.look() for _ in range(2)] == [1, 2]


def deep(free, levels):
    return deep(free, levels - 1) if levels else free.wait(60)


@pytest.fixture
def hanging():
    """Give a thread that hangs somewhere deep, and what looks at it."""
    standstill, here, free = Standstill(), threading.Event(), threading.Event()

    def work():
        standstill.beat()
        here.set()
        deep(free, 50)

    thread = threading.Thread(target=work)
    thread.start()
    here.wait(60)
    yield standstill
    free.set()
    thread.join()


def test_the_trace_is_bounded(hanging):
    """It says where the thread is, and not all of how it came there."""
    lines = hanging.trace.splitlines()
    assert lines[0].startswith('  File "')
    assert sum(line.startswith("  File ") for line in lines) <= LONGEST_TRACE


def test_who_has_not_begun_hangs_nowhere():
    """Before the first beat there is no thread to look at."""
    assert (Standstill().name, Standstill().trace) == ("the driver", "")


@pytest.fixture
def served(monkeypatch):
    """Give a driver whose loop hangs in a function of the test's, the event that frees it, and its store."""
    monkeypatch.setattr(serving, "STOP_PATIENCE", 0.1)
    store, owner, now = MemoryStore(), Owner.current(), time.time()
    store.create("s", now)
    store.claim("s", owner, now)
    store.append("s", 0, [StudyOpened(now, {"num_trials": 1, "searchspace": Searchspace(x=Float(0, 1)).to_dict()})])
    server = Server(
        Scheduler(Study.of(store.read("s")), Terms()),
        secret=secrets.token_bytes(32),
        asker=InlineAsker(RandomSearch(), 0),
        journal=Journal(store, "s", owner, 1),
        logs=TrialLogs(None, verbose=False),
        clock=Clock(),
    )
    here, free = threading.Event(), threading.Event()

    def hangs(now):
        here.set()
        free.wait(60)
        return server.scheduler.interrupted("too late", now)

    port = server.start("127.0.0.1")
    server._loop.call_soon_threadsafe(server._put, hangs)
    assert here.wait(60)
    yield server, free, store, port
    free.set()
    server._thread.join(60)
    assert not server._thread.is_alive()


def test_f40_a_thread_that_hangs_is_left_behind_and_writes_nothing_more(served):
    """F40: it is told where it is; when it returns, what it has decided on is not recorded, and it ends."""
    server, free, store, _ = served
    server.stop()
    assert server.left.startswith("served.<locals>.hangs does not return.")
    assert "free.wait(60)" in server.left
    free.set()
    server._thread.join(60)
    assert isinstance(server.error, StudyMoved)
    assert not [event for event in store.read("s") if isinstance(event, StudyClosed)]
    assert server._loop.is_closed()


def test_f40_executors_are_refused_by_a_driver_that_was_left_behind(served):
    """F40: as by one that is gone, which sends them home soon; it would not answer them."""
    server, _, _, port = served
    with closing(serving.socket.create_connection(("127.0.0.1", port), 5)):
        pass
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        serving.socket.create_connection(("127.0.0.1", port), 5)
