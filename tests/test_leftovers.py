"""What trials leave running is looked for where there can be something, and found."""

import os
import subprocess
import sys

import pytest

from maggy.executor import leftovers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def traces():
    """Return what looks for traces of a trial: this process is its own guard here, and nothing is below it."""
    prints, end = os.pipe()
    traces = leftovers.Traces(end, os.getpid())
    traces.read = prints
    yield traces
    os.close(prints)
    os.close(end)


@pytest.fixture
def looks(monkeypatch, traces):
    """Count the looks, each of which finds nothing but what other tests have left."""
    looks = []
    before = leftovers.living(os.getpid())
    monkeypatch.setattr(traces, "_before", before)
    monkeypatch.setattr(leftovers, "living", lambda pid: looks.append(pid) or before)
    return looks


def test_nothing_new_is_not_looked_for(traces, looks, monkeypatch):
    """Only a process that has been started since the last look can be left."""
    youngest = iter([b"7", b"7", b"7", b"8", b"8"])
    monkeypatch.setattr(traces, "_now", lambda: next(youngest))
    assert [traces.any() for _ in range(5)] == [False] * 5
    assert len(looks) == 2


def test_a_system_that_counts_no_processes_is_looked_through(traces, looks, monkeypatch):
    """Some kernels always say 0."""
    monkeypatch.setattr(leftovers.os, "pread", lambda *_: b"0.00 0.00 0.00 0/0 0\n")
    assert [traces.any() for _ in range(3)] == [False] * 3
    assert len(looks) == 3


def test_where_nobody_can_tell_the_agent_has_to_look(looks, monkeypatch):
    """Elsewhere than on Linux."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert leftovers.Traces(1, os.getpid()).any()


def test_what_is_printed_is_a_trace_until_it_is_read(traces, looks):
    """Whoever has printed it."""
    assert not traces.any()
    subprocess.run(["echo", "hello"], stdout=traces._prints, check=True)
    assert traces.any()
    assert os.read(traces.read, 100) == b"hello\n"
    assert not traces.any()


def run(script):
    """Run it in a process that has no other below it; return what it prints."""
    script = "import os, subprocess, sys\nfrom maggy.executor import leftovers\n" + script
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_a_process_is_a_trace_until_it_has_ended():
    """A real one, after a look that found none; whether its parent has noticed its end does not matter."""
    printed = run("""if True:
        traces = leftovers.Traces(os.pipe()[1], os.getpid())
        found = [traces.any()]
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        found += [traces.any(), traces.any()]
        left.stdin.close()
        os.waitid(os.P_PID, left.pid, os.WEXITED | os.WNOWAIT)
        print(*found, traces.any())
        """)
    assert printed == "False True True False\n"


def test_who_has_no_file_descriptors_left_cannot_tell():
    """However few are missing: what was started is then looked for by the agent, which has some."""
    printed = run("""if True:
        if os.fork():
            sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
        traces = leftovers.Traces(os.pipe()[1], os.getppid())
        left = subprocess.Popen(["sleep", "600"])
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        found = []
        for end in held[:6]:
            found.append(traces.any())
            os.close(end)
        left.kill()
        print(*found)
        """)
    assert printed.split() == ["True"] * 6


def test_what_has_ended_is_not_killed_over_and_over():
    """A function may start processes and never ask how they ended; its own process stays."""
    printed = run("""if True:
        forks = "import os; os.fork() or os._exit(0); print(flush=True); input()"
        kept = subprocess.Popen([sys.executable, "-c", forks], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        kept.stdout.readline()
        while leftovers.living(kept.pid):
            pass
        looks, look = [], leftovers.descendants
        leftovers.descendants = lambda pid: looks.append(pid) or look(pid)
        leftovers.kill_all([kept.pid])
        print(looks.count(os.getpid()), kept.poll())
        kept.communicate()
        """)
    assert printed == "1 None\n"
