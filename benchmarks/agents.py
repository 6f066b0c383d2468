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
from maggy.rpc.messages import Beat, Bye, Finished, Join, Reports, Run, Stop, Welcome
from maggy.store import Owner, open_store
from maggy.study import Study
from maggy.version import VERSION

AT_ONCE = 64  # that come at a time: this process is slower to answer than as many executors, and would pass for a crowd
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


class Crowd:
    """Executors that take a few seconds for each trial."""

    def __init__(self, port: int, secret: bytes, seconds: float, interval: float) -> None:
        self.rounds: list[float] = []
        self.stops: list[float] = []
        self.busy: set[int] = set()
        self.warm = False
        self.broken = 0
        self._port = port
        self._secret = secret
        self._seconds = seconds
        self._interval = interval

    async def executor(self, number: int) -> None:
        """Be one of them."""
        chance = random.Random(number)
        await self._coming.acquire()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        link = Link(Join(f"agent-{number}", "here", 1, number, platform.python_version(), VERSION), self._secret)
        link.connected(secrets.token_bytes(32))
        writer.write(link.outgoing())
        told: list[float] = []
        bad: list[float] = []
        spoke = [0.0]
        due: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()

        def finish(run: Run | Stop, status: str = "completed") -> None:
            for each in due:
                each.cancel()
            due.clear()
            bad.clear()
            link.tell(Finished(run.trial, run.attempt, status, 0.5, {"metric": 0.5}, None))
            told.append(time.monotonic())
            writer.write(link.outgoing())

        def report(run: Run, step: int = 0) -> None:
            value = -1.0 if not bad and chance.random() < BAD else 0.5
            if value < 0:
                bad.append(time.monotonic())
            spoke[0] = time.monotonic()
            link.tell(Reports(run.trial, run.attempt, [[step, {"metric": value}]]))
            writer.write(link.outgoing())
            due[:] = [due[0], loop.call_later(self._interval, report, run, step + 1)]

        def beat() -> None:
            if time.monotonic() >= spoke[0] + 1.0:  # an executor that has just said something need not
                spoke[0] = time.monotonic()
                link.tell(Beat())
                writer.write(link.outgoing())
            self._beats[number] = loop.call_at(loop.time() + spoke[0] + 1.0 - time.monotonic(), beat)

        self._beats[number] = loop.call_later(chance.random(), beat)
        while data := await reader.read(65536):
            for message in link.received(data):
                if isinstance(message, Welcome):
                    self._coming.release()
                elif isinstance(message, Run):
                    self.busy.add(number)
                    if told and self.warm:
                        self.rounds.append(time.monotonic() - told[-1])
                    lasts = chance.uniform(0.5, 1.5) * self._seconds
                    first = chance.uniform(0, self._interval)
                    due[:] = [loop.call_later(lasts, finish, message), loop.call_later(first, report, message)]
                elif isinstance(message, Stop):
                    if self.warm:
                        self.stops.append(time.monotonic() - bad[-1])
                    finish(message, "stopped")
                elif isinstance(message, Bye):
                    self._beats.pop(number).cancel()
                    writer.close()
                    return
            writer.write(link.outgoing())
        self.broken += 1

    async def run(self, agents: int, seconds: float, over: subprocess.Popen[str]) -> tuple[float, float]:
        """Let them join and work for a while; return how long joining took, and the driver's share of a processor."""
        self._beats: dict[int, asyncio.TimerHandle] = {}
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
            await asyncio.wait_for(asyncio.gather(*tasks), 20)
        return joined, share


def processor_seconds(pid: int) -> float:
    """Return what a process has used of processors."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE


def measure(agents: int, seconds: float, trial: float, interval: float) -> dict[str, float | int | str]:
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
