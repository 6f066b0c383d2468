"""Virtual time, and a network in it: bytes that take a while, are held up, and get lost with their connection."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


class Timeline:
    """Virtual time: callbacks in the order of their times, those of the same time in the order of their making."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.busy = 0  # callbacks to come that are more than housekeeping (beats, alarms, bytes under way)
        self.moved = 0.0  # when the last of these was called
        self._heap: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._made = 0

    def at(self, when: float, what: Callable[[], None], *, idle: bool = False) -> None:
        """Call `what` at a time; `idle` marks housekeeping."""
        self._made += 1
        self.busy += not idle
        heapq.heappush(self._heap, (max(when, self.now), self._made, idle, what))

    def after(self, seconds: float, what: Callable[[], None], *, idle: bool = False) -> None:
        """Call `what` so many seconds from now."""
        self.at(self.now + seconds, what, idle=idle)

    def step(self) -> bool:
        """Call what is next; False when there is nothing."""
        if not self._heap:
            return False
        self.now, _, idle, what = heapq.heappop(self._heap)
        self.steps += 1
        if not idle:
            self.busy -= 1
            self.moved = self.now
        what()
        return True


class Alarm:
    """Calls `ring` at `deadline()`, looked up anew each time that it is `set`."""

    def __init__(self, timeline: Timeline, deadline: Callable[[], float], ring: Callable[[], None]) -> None:
        self._timeline = timeline
        self._deadline = deadline
        self._ring = ring
        self._due = math.inf

    def set(self) -> None:
        """Look up the deadline; an alarm that is set too early only looks it up again."""
        due = max(self._deadline(), self._timeline.now)
        if due < self._due:
            self._due = due
            self._timeline.at(due, lambda: self._fire(due), idle=True)

    def _fire(self, due: float) -> None:
        if due == self._due:
            self._due = math.inf
            if self._deadline() <= self._timeline.now:
                self._ring()
            self.set()


class Pipe:
    """Carries bytes one way, in order, with latency; b"" is its end."""

    def __init__(self, timeline: Timeline, latency: float, receive: Callable[[bytes], None]) -> None:
        self._timeline = timeline
        self._latency = latency
        self._receive = receive
        self._under_way: deque[bytes] = deque()
        self._closed = False
        self._held_until = -math.inf

    def send(self, data: bytes) -> None:
        """Send bytes; once it is closed, into the void."""
        if data and not self._closed:
            self._carry(data)

    def close(self) -> None:
        """Let the other end know, behind all that is under way."""
        if not self._closed:
            self._closed = True
            self._carry(b"")

    def lose(self) -> None:
        """Lose what is under way, but for the news that the connection has ended."""
        ended = b"" in self._under_way
        self._under_way.clear()
        if ended:
            self._under_way.append(b"")

    def hold(self, until: float) -> None:
        """Hold back all that is under way, and what follows, until then."""
        self._held_until = until

    def _carry(self, data: bytes) -> None:
        self._under_way.append(data)
        self._timeline.after(self._latency, self._deliver, idle=True)

    def _deliver(self) -> None:
        if self._timeline.now < self._held_until:
            self._timeline.at(self._held_until, self._deliver, idle=True)
        elif self._under_way:
            self._receive(self._under_way.popleft())


@dataclass(slots=True)
class Wire:
    """One connection: a pipe each way."""

    to_driver: Pipe
    to_executor: Pipe

    def hold(self, until: float) -> None:
        """Hold everything back until then."""
        self.to_driver.hold(until)
        self.to_executor.hold(until)

    def cut(self, *, noticed: bool) -> None:
        """Break it for the executor; the driver notices now, or only when what was under way has come."""
        self.to_executor.lose()
        self.to_executor.close()
        if noticed:
            self.to_driver.lose()
        self.to_driver.close()
