"""A driver on real sockets, in parts: a test can look at each; and executors that are played by hand."""

import contextlib
import os
import platform
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import cloudpickle
from waiting import meanwhile, until

from maggy import Float, Searchspace
from maggy.driver.asker import InlineAsker
from maggy.driver.certificate import server_context
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.launcher import FIRST_PAUSE
from maggy.driver.local import LocalLauncher
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler
from maggy.driver.server import Server
from maggy.driver.terms import Terms
from maggy.events import Reported, StudyOpened
from maggy.executor.line import Ticket, client_context
from maggy.executor.worker import run_slot
from maggy.optimizers import RandomSearch
from maggy.rpc.connection import HELLO, Connection
from maggy.rpc.messages import Finished, Join, Run, Welcome
from maggy.store import MemoryStore, Owner
from maggy.study import Study
from maggy.testing.logcheck import check_log
from maggy.version import VERSION


def introduction(name):
    """Return the first message of an executor that fits this driver."""
    return Join(name, "host", 1, 0, platform.python_version(), VERSION, "token of " + name)


class Served:
    """A study `s` of random search with its server, which listens in a `with`; `launch` starts real executors."""

    def __init__(
        self, trials=4, *, store=None, tls=False, limit=100, logs=None, watchers=(), clock=None, depot=None, **terms
    ):
        self.store = store or MemoryStore()
        owner, now = Owner.current(), time.time()
        self.store.create("s", now)
        self.store.claim("s", owner, now)
        settings = {"name": "s", "num_trials": trials, "searchspace": Searchspace(x=Float(0, 1)).to_dict()}
        self.store.append("s", 0, [StudyOpened(now, settings)])
        self.clock = clock or Clock()
        self.logs = logs or TrialLogs(None, verbose=False)
        self.journal = Journal(self.store, "s", owner, 1, [self.logs, *watchers])
        self.server = Server(
            Scheduler(Study.of(self.store.read("s")), Terms(**terms)),
            secret=secrets.token_bytes(32),
            asker=InlineAsker(RandomSearch(), 0),
            journal=self.journal,
            logs=self.logs,
            clock=self.clock,
            limit=limit,
            depot=depot,
        )
        self._context, self.certificate = server_context() if tls else (None, None)
        self.launcher = LocalLauncher()

    def __enter__(self):
        return self.listen()

    def __exit__(self, *_):
        self.close()

    def listen(self, host="127.0.0.1"):
        self.host, self.port = host, self.server.start(host, tls=self._context)
        return self

    def launch(self, function, arguments, count=2, port=None):
        """Start so many executors, which reach the driver at another port if one is given."""
        ticket = Ticket(self.host, port or self.port, "1", self.server.secret, self.certificate)
        self.launcher.start(partial(run_slot, ticket, cloudpickle.dumps((function, arguments))), count)

    def close(self):
        self.launcher.finish(2.0)
        self.server.stop()
        self.logs.close(2.0)
        self.store.close()

    def until(self, condition, seconds=60):
        """Wait for what the driver brings about; `condition` is given its fold. Return how many seconds it took."""
        return until(partial(condition, self.server.scheduler.study), seconds, lambda: (self.strangers, self.log[-5:]))

    def lost(self, count):
        """Wait until so many attempts are lost; return how many seconds it took."""
        return self.until(lambda fold: sum(trial.lost for trial in fold.trials.values()) == count)

    def complete(self, steps):
        """Check the log: every trial completed at its first attempt, and reported each step once, in order."""
        study = check_log(self.log)
        for trial in study.trials.values():
            found = [event.step for event in self.log if isinstance(event, Reported) and event.trial == trial.id]
            assert found == list(range(steps))
            assert (trial.status, trial.attempt) == ("completed", 1)
        assert study.closed == "done"
        return study

    @property
    def log(self):
        return list(self.store.read("s"))

    @property
    def strangers(self):
        return dict(self.server.strangers)

    def executor(self, name="executor-1", **options):
        """Return an executor that has joined."""
        found = Speaker(self, **options)
        found.say(introduction(name))
        return found

    def recorded(self):
        """Return the first bytes of an executor that has joined."""
        with self.executor("recorded") as executor:
            executor.hear(Welcome)
            return executor.sent[:HELLO]

    def cpu(self):
        """Return the seconds of CPU that the driver's thread has used."""
        return time.clock_gettime(time.pthread_getcpuclockid(self.server._thread.ident))

    @contextlib.contextmanager
    def lag(self):
        """Give a list that fills with how late the driver's loop did what it was to do, in seconds."""
        found = []

        def measure():
            asked = time.perf_counter()
            self.server._loop.call_soon_threadsafe(lambda: found.append(time.perf_counter() - asked))

        with meanwhile(measure, every=0.01):
            yield found


def p99(figures):
    return statistics.quantiles(figures, n=100)[98]


class Speaker:
    """A client that speaks the protocol by hand, with the right secret unless told otherwise."""

    def __init__(self, served, secret=None, plain=False, patience=10):
        self.socket = socket.create_connection(("127.0.0.1", served.port), patience)
        if served.certificate and not plain:
            self.socket = client_context(served.certificate).wrap_socket(self.socket)
        self.connection = Connection("executor", secret or served.server.secret, secrets.token_bytes(32))
        self.heard = []
        self.sent = self.came = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, *messages):
        for message in messages:
            self.connection.send(message)
        self.flush()

    def flush(self):
        data = self.connection.outgoing()
        self.sent += data
        self.socket.sendall(data)

    def read(self):
        """Take in what comes next; False where the driver has closed the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.came += data
        self.heard += self.connection.receive(data)
        self.flush()
        return bool(data)

    def hear(self, kind):
        """Return the next message of a kind, or None where the driver closes the connection before."""
        while True:
            while self.heard:
                if isinstance(message := self.heard.pop(0), kind):
                    return message
            if not self.read():
                return None

    def dropped(self):
        """Read until the driver closes the connection."""
        while self.read():
            pass
        return True

    def work(self):
        """Run one trial; return its order."""
        run = self.hear(Run)
        self.say(Finished(run.trial, run.attempt, "completed", 0.5, {"metric": 0.5}, None))
        return run


def admitted(served, name, **options):
    """Join, and return how many seconds it took to be welcome; who is turned away comes again, as its slot would."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < 20:
        with contextlib.suppress(ConnectionError), served.executor(name, **options) as executor:
            if executor.hear(Welcome):
                return time.monotonic() - began
        threading.Event().wait(FIRST_PAUSE)
    return waited


@contextlib.contextmanager
def crowd(served, kind, count, seconds, source="127.0.0.1"):
    """Let strangers come for a while, in a process of their own; give a function that waits for their end."""
    arguments = [kind, str(served.port), str(count), str(seconds), *(["tls"] if served.certificate else [])]
    program = [sys.executable, str(Path(__file__).parent / "strangers.py"), *arguments]
    recorded = served.recorded().hex() if kind in ("replay", "half") else ""
    environment = {**os.environ, "RECORDED": recorded, "SOURCE": source}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout.readline() == "there\n"
            yield lambda: int(process.stdout.readline())
        finally:
            process.kill()


def resident():
    """Return how much memory this process holds, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
