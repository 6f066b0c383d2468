"""What trials leave running is looked for where there can be something, and found."""

import subprocess
import sys

import pytest

from maggy.executor import leftovers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def sweeper():
    sweeper = leftovers.Sweeper()
    yield sweeper
    sweeper.close()


@pytest.fixture
def looks(monkeypatch):
    """Count the looks, each of which finds nothing."""
    looks = []
    monkeypatch.setattr(leftovers, "kill_all", looks.append)
    return looks


def test_nothing_new_is_not_looked_for(sweeper, looks, monkeypatch):
    """Only a process that has been started since the last look can be left."""
    youngest = iter([b"7", b"7", b"7", b"8", b"8"])
    monkeypatch.setattr(sweeper, "_now", lambda: next(youngest))
    for _ in range(5):
        sweeper.kill_all(keep=[1])
    assert len(looks) == 2


@pytest.mark.parametrize("told", ["0.00 0.00 0.00 0/0 0\n", None])
def test_a_system_that_does_not_tell_is_looked_through(sweeper, looks, monkeypatch, told):
    """Some kernels always say 0, others have no such file: then each look is taken."""
    if told is None:
        sweeper.close()
    else:
        monkeypatch.setattr(leftovers.os, "pread", lambda *_: told.encode())
    for _ in range(3):
        sweeper.kill_all(keep=[1])
    assert len(looks) == 3


def test_where_nothing_is_to_be_kept_there_is_something_to_kill(sweeper, looks, monkeypatch):
    """What was started before the last look, and was kept then."""
    monkeypatch.setattr(sweeper, "_now", lambda: b"7")
    for keep in ([1], [1], [], []):
        sweeper.kill_all(keep)
    assert looks == [[1], [], []]


def test_what_is_started_between_two_looks_is_found(sweeper):
    """A real process, after a look that found none; the one that is kept lives."""
    script = """if True:
        import pathlib, subprocess, sys
        from maggy.executor.leftovers import Sweeper
        sweeper = Sweeper()
        sweeper.kill_all()
        kept, left = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)]
        sweeper.kill_all(keep=[kept.pid])
        print(kept.poll(), pathlib.Path(f"/proc/{left.pid}").exists())
        sweeper.kill_all()
        kept.kill()
        """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "None False\n"
