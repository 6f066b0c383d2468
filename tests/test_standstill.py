"""Tests of maggy.driver.standstill."""

import threading

import pytest

from maggy.driver.standstill import LONGEST_TRACE, Standstill


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
