"""Many executors at one driver: a line of JSON. The driver is real, in a process of its own; the executors only talk.

joined_s         seconds until all were welcome and had a trial
round_ms_*       from an outcome's leaving an executor to the next trial's arrival: everything in between is durable
stop_ms_*        from a bad report's leaving an executor to the stop's arrival, likewise; one report in fifty is bad
rss_mb, cpu      of the driver: memory at the end, share of one processor
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from maggy import Float, Searchspace, Threshold
from maggy.driver.asker import InlineAsker
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler
from maggy.driver.server import Server
from maggy.driver.terms import Terms
from maggy.events import StudyOpened
from maggy.executor.link import Link
from maggy.optimizers import RandomSearch
from maggy.rpc.messages import Beat, Bye, Finished, Join, Message, Reports, Run, Stop, Welcome
from maggy.store import Owner, open_store
from maggy.study import Study
from maggy.version import VERSION

AT_ONCE = 32  # that come at a time: this process is slower to answer than as many executors, and would pass for a crowd
BAD = 0.02  # share of reports that are a reason to stop
PAGE = os.sysconf("SC_PAGE_SIZE")


def serve(folder: str) -> None:
    """Be the driver until standard input is closed."""
    store = open_store(Path(folder, "maggy.db"))
    owner, now = Owner.current(), time.time()
    name = store.create("agents", now)
    store.claim(name, owner, now)
    settings = {"name": name, "num_trials": None, "searchspace": Searchspace(x=Float(0, 1)).to_dict()}
    store.append(name, 0, [StudyOpened(now, settings)])
    server = Server(
        Scheduler(Study.of(store.read(name)), Terms(rules=(Threshold(lower=0),))),
        secret=secrets.token_bytes(32),
        asker=InlineAsker(RandomSearch(), 0),
        journal=Journal(store, name, owner, 1),
        logs=TrialLogs(None, verbose=False),
        clock=Clock(),
    )
    print(server.start("127.0.0.1"), server.secret.hex(), flush=True)
    sys.stdin.read()
    server.interrupt("that is enough")
    server.closed.wait(10)
    print(json.dumps({"error": repr(server.error), "trials": len(server.scheduler.study.trials)}), flush=True)
    server.stop()
    store.close()


class Executor:
    """One of them: it reports, and says how its trials end."""

    def __init__(self, crowd: Crowd, number: int, link: Link, writer: asyncio.StreamWriter) -> None:
        self._crowd = crowd
        self._chance = random.Random(number)
        self._link = link
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._told: float | None = None  # when the last outcome left
        self._bad: float | None = None  # when the trial's bad report did
        self._spoke = 0.0
        self._due: list[asyncio.TimerHandle] = []
        self._beat = self._loop.call_later(self._chance.random(), self.beat)

    def run(self, run: Run) -> None:
        """Begin a trial."""
        if self._told and self._crowd.warm:
            self._crowd.rounds.append(time.monotonic() - self._told)
        lasts = self._chance.uniform(0.5, 1.5) * self._crowd.seconds
        first = self._chance.uniform(0, self._crowd.interval)
        self._due = [self._loop.call_later(lasts, self.finish, run), self._loop.call_later(first, self.report, run)]

    def stop(self, stop: Stop) -> None:
        """Heed a stop."""
        if self._bad is not None and self._crowd.warm:
            self._crowd.stops.append(time.monotonic() - self._bad)
        self.finish(stop, "stopped")

    def finish(self, trial: Run | Stop, status: str = "completed") -> None:
        """End a trial."""
        for each in self._due:
            each.cancel()
        self._bad = None
        self._told = time.monotonic()
        self.say(Finished(trial.trial, trial.attempt, status, 0.5, {"metric": 0.5}, None))

    def report(self, run: Run, step: int = 0) -> None:
        """Report, and again after the interval."""
        value = -1.0 if self._bad is None and self._chance.random() < BAD else 0.5
        if value < 0:
            self._bad = time.monotonic()
        self.say(Reports(run.trial, run.attempt, [[step, {"metric": value}]]))
        self._due[1] = self._loop.call_later(self._crowd.interval, self.report, run, step + 1)

    def beat(self) -> None:
        """Give a sign of life, unless something has just been said."""
        if time.monotonic() >= self._spoke + 1.0:
            self.say(Beat())
        self._beat = self._loop.call_later(self._spoke + 1.0 - time.monotonic(), self.beat)

    def say(self, message: Message) -> None:
        """Send a message."""
        self._spoke = time.monotonic()
        self._link.tell(message)
        self._writer.write(self._link.outgoing())

    def leave(self) -> None:
        """Go home."""
        for each in (self._beat, *self._due):
            each.cancel()
        self._writer.close()


class Crowd:
    """Executors that take a few seconds for each trial."""

    def __init__(self, port: int, secret: bytes, seconds: float, interval: float) -> None:
        self.rounds: list[float] = []
        self.stops: list[float] = []
        self.busy: set[int] = set()
        self.warm = False
        self.broken = 0
        self.seconds = seconds
        self.interval = interval
        self._port = port
        self._secret = secret

    async def executor(self, number: int) -> None:
        """Be one of them."""
        await self._coming.acquire()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        link = Link(Join(f"agent-{number}", "here", 1, number, platform.python_version(), VERSION), self._secret)
        link.connected(secrets.token_bytes(32))
        writer.write(link.outgoing())
        executor = Executor(self, number, link, writer)
        while data := await reader.read(65536):
            for message in link.received(data):
                if isinstance(message, Welcome):
                    self._coming.release()
                elif isinstance(message, Run):
                    self.busy.add(number)
                    executor.run(message)
                elif isinstance(message, Stop):
                    executor.stop(message)
                elif isinstance(message, Bye):
                    executor.leave()
                    return
            writer.write(link.outgoing())
        self.broken += 1

    async def run(self, agents: int, seconds: float, over: subprocess.Popen[str]) -> tuple[float, float]:
        """Let them join and work for a while; return how long joining took, and the driver's share of a processor."""
        self._coming = asyncio.Semaphore(AT_ONCE)
        began = time.monotonic()
        tasks = [asyncio.create_task(self.executor(number)) for number in range(agents)]
        while len(self.busy) < agents:
            await asyncio.sleep(0.01)
            if any(task.done() for task in tasks):
                raise RuntimeError("an executor has left before all had come")
        joined = time.monotonic() - began
        await asyncio.sleep(3)
        self.warm = True
        before = processor_seconds(over.pid)
        await asyncio.sleep(seconds)
        share = (processor_seconds(over.pid) - before) / seconds
        self.warm = False
        self.rss = resident(over.pid)
        if over.stdin is not None:
            over.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
        return joined, share


def processor_seconds(pid: int) -> float:
    """Return what a process has used of processors."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE


def measure(agents: int, seconds: float, trial: float, interval: float = 1.0) -> dict[str, float | int | str]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        driver = subprocess.Popen(
            [sys.executable, __file__, "--serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with driver:
            assert driver.stdout is not None
            port, secret = driver.stdout.readline().split()
            crowd = Crowd(int(port), bytes.fromhex(secret), trial, interval)
            joined, share = asyncio.run(crowd.run(agents, seconds, driver))
            said = json.loads(driver.stdout.readline())
    cuts = statistics.quantiles([1000 * each for each in crowd.rounds], n=100)
    stop = statistics.quantiles([1000 * each for each in crowd.stops], n=100)
    return {
        "agents": agents,
        "joined_s": round(joined, 2),
        "round_ms_p50": round(cuts[49], 2),
        "round_ms_p99": round(cuts[98], 2),
        "rounds": len(crowd.rounds),
        "stop_ms_p50": round(stop[49], 2),
        "stop_ms_p99": round(stop[98], 2),
        "stops": len(crowd.stops),
        "rss_mb": round(crowd.rss / 2**20, 1),
        "cpu": round(share, 2),
        "broken": crowd.broken,
        **said,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure")
    parser.add_argument("--trial", type=float, default=4, help="seconds that a trial takes")
    parser.add_argument("--interval", type=float, default=1, help="seconds between two reports of an executor")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
    else:
        print(json.dumps(measure(arguments.agents, arguments.seconds, arguments.trial, arguments.interval)))


if __name__ == "__main__":
    main()
