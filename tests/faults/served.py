"""A driver on real sockets without a launcher, and executors that are played by hand."""

import contextlib
import os
import platform
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from maggy import Float, Searchspace
from maggy.driver.asker import InlineAsker
from maggy.driver.certificate import server_context
from maggy.driver.clock import Clock
from maggy.driver.journal import Journal
from maggy.driver.launcher import FIRST_PAUSE
from maggy.driver.logs import TrialLogs
from maggy.driver.scheduler import Scheduler, Terms
from maggy.driver.server import Server
from maggy.events import StudyOpened
from maggy.executor.line import client_context
from maggy.optimizers import RandomSearch
from maggy.rpc.connection import HELLO, Connection
from maggy.rpc.messages import Finished, Join, Run, Welcome
from maggy.store import MemoryStore, Owner
from maggy.study import Study
from maggy.version import VERSION


def introduction(name):
    """Return the first message of an executor that fits this driver."""
    return Join(name, "host", 1, 0, platform.python_version(), VERSION, "token of " + name)


class Served:
    """A study of random search with its server; use it in a `with`."""

    def __init__(self, trials=4, *, tls=False, limit=100, logs=None, depot=None, **terms):
        self.store = MemoryStore()
        owner = Owner.current()
        now = time.time()
        self.store.create("s", now)
        self.store.claim("s", owner, now)
        settings = {"name": "s", "num_trials": trials, "searchspace": Searchspace(x=Float(0, 1)).to_dict()}
        self.store.append("s", 0, [StudyOpened(now, settings)])
        self.server = Server(
            Scheduler(Study.of(self.store.read("s")), Terms(**terms)),
            secret=secrets.token_bytes(32),
            asker=InlineAsker(RandomSearch(), 0),
            journal=Journal(self.store, "s", owner, 1),
            logs=TrialLogs(logs, verbose=False),
            clock=Clock(),
            limit=limit,
            depot=depot,
        )
        context, self.certificate = server_context() if tls else (None, None)
        self.port = self.server.start("127.0.0.1", tls=context)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()

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

    def until(self, condition, seconds=20):
        """Wait for what comes about on the server's thread."""
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, (self.strangers, self.log[-3:])
            threading.Event().wait(0.01)

    def cpu(self):
        """Return the seconds of CPU that the driver's thread has used."""
        return time.clock_gettime(time.pthread_getcpuclockid(self.server._thread.ident))

    @contextlib.contextmanager
    def lag(self):
        """Give a list that fills with how late the driver's loop did what it was to do, in seconds."""
        found, ended = [], threading.Event()

        def measure():
            while not ended.wait(0.01):
                asked = time.perf_counter()
                self.server._loop.call_soon_threadsafe(lambda asked=asked: found.append(time.perf_counter() - asked))

        thread = threading.Thread(target=measure)
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            thread.join()


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
def crowd(served, kind, count, seconds):
    """Let strangers come for a while, in a process of their own; give a function that waits for their end."""
    arguments = [kind, str(served.port), str(count), str(seconds), *(["tls"] if served.certificate else [])]
    program = [sys.executable, str(Path(__file__).parent / "strangers.py"), *arguments]
    environment = {**os.environ, "RECORDED": served.recorded().hex() if kind in ("replay", "half") else ""}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout.readline() == "there\n"
            yield lambda: int(process.stdout.readline())
        finally:
            process.kill()


def resident():
    """Return how much memory this process holds, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
