"""Whether the driver's thread still does anything, seen from another; and what it hangs in where it does not.

Stop rules, and optimizers that call themselves quick, are called by the driver itself: one that does not return holds
everything up, and the driver cannot find out.
"""

from __future__ import annotations

import sys
import threading
import traceback
from itertools import dropwhile
from types import FrameType

LONGEST_TRACE = 20  # calls
OURS = ("maggy.driver.", "maggy.study")  # what calls others' code


class Standstill:
    """The standstill of the thread that calls `beat` every second; another one looks at it, at equal intervals."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._beats = 0
        self._seen = 0
        self._looks = 0

    def beat(self) -> None:
        """Show that this thread is at work."""
        self._thread = threading.get_ident()
        self._beats += 1

    def look(self) -> int:
        """Return how many looks in a row, this one included, have found it at the same beat.

        Looks are counted, not seconds: when the whole process is stopped for a while, nothing hangs.
        """
        self._looks = self._looks + 1 if self._seen == self._beats else 1
        self._seen = self._beats
        return self._looks

    @property
    def name(self) -> str:
        """What the thread has called and is waiting for."""
        calls = self._calls()
        return calls[0][0].f_code.co_qualname if calls else "the driver"

    @property
    def why(self) -> str:
        """A sentence for the user."""
        return (
            f"{self.name} does not return. The driver itself calls stop rules, and optimizers with quick = True, and "
            "does nothing else meanwhile."
        )

    @property
    def trace(self) -> str:
        """Where it is, from that call on, as in a traceback."""
        return "".join(traceback.StackSummary.extract(iter(self._calls()), limit=LONGEST_TRACE).format()).rstrip()

    def _calls(self) -> list[tuple[FrameType, int]]:
        frame = sys._current_frames().get(self._thread or 0)  # noqa: SLF001 - documented, and made for this
        calls = list(traceback.walk_stack(frame))[::-1] if frame else []
        while any(_module(call).startswith("asyncio.") for call in calls):  # the loop, and what runs it
            del calls[0]
        return list(dropwhile(lambda call: _module(call).startswith(OURS), calls)) or calls


def _module(call: tuple[FrameType, int]) -> str:
    return str(call[0].f_globals.get("__name__", ""))
