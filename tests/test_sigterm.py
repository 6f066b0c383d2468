"""SIGTERM is heard by the agent while it serves, and by nobody else."""

import os
import selectors
import signal
import threading

from maggy.executor.sigterm import heeded


def test_f15_it_is_heard_at_once_and_then_in_its_turn():
    """F15: in the midst of whatever is being done nothing else is; f47: afterwards the process is as it was."""
    heard, before = [], signal.getsignal(signal.SIGTERM)
    with selectors.DefaultSelector() as selector:
        with heeded(selector, lambda: heard.append("at once"), lambda: heard.append("soon")):
            assert selector.select(0) == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == ["at once"]
            for key, _ in selector.select(10):
                key.data()
        assert heard == ["at once", "soon"]
        assert not selector.get_map()
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_leave_it_alone():
    """Those of isolation="inline": it is their caller's process."""
    seen, before = [], signal.getsignal(signal.SIGTERM)

    def serves():
        with selectors.DefaultSelector() as selector, heeded(selector, print, print):
            seen.extend([signal.getsignal(signal.SIGTERM), len(selector.get_map())])

    thread = threading.Thread(target=serves)
    thread.start()
    thread.join()
    assert seen == [before, 0]
