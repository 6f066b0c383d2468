"""A PostgreSQL server of the tests' own: made in a temporary folder, on a socket there and on the loopback interface.

It belongs to another user where the tests are root's, for PostgreSQL refuses to be root. Without Debian's package (or
another) of the server, or without psycopg, these tests are skipped; with MAGGY_POSTGRES=required, as in `.ci/run`, they
fail instead.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
from waiting import until

PASSWORD = "geheim/@:?%"  # noqa: S105 - which a URL has to quote
QUOTED = "geheim%2F%40%3A%3F%25"
_numbers = count(1)


@cache
def binaries():
    """Return the folder of the server's programs, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb = found[-1] if found else shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def needed():
    """Skip the test, or fail it, where there is no PostgreSQL."""
    missing = "" if binaries() else "there is no PostgreSQL here: apt-get install postgresql"
    if find_spec("psycopg") is None:
        missing = "there is no psycopg: pip install 'maggy[postgres]'"
    if missing and os.environ.get("MAGGY_POSTGRES") == "required":
        pytest.fail(missing)
    elif missing:
        pytest.skip(missing)


class Postgres:
    """A server; `start` and `stop` it as often as you like. Without `durable` it does not wait for its disk."""

    def __init__(self, *, durable=True):
        needed()
        self._settings = [] if durable else ["fsync=off", "full_page_writes=off"]
        self.home = Path(tempfile.mkdtemp(prefix="maggy-pg-"))
        self._as = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres" if "postgres" in {each.pw_name for each in pwd.getpwall()} else "nobody")
            os.chown(self.home, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._data, self._process = self.home / "data", None
        made = ["initdb", "-D", self._data, "-U", "maggy", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._program(*made)
        hba = "local all all trust\nhost all ada 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        (self._data / "pg_hba.conf").write_text(hba)
        self.start()
        self.run(f"CREATE ROLE ada LOGIN PASSWORD '{PASSWORD}'")

    def _program(self, name, *arguments):
        command = [binaries() / name, *map(str, arguments)]
        ran = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False, **self._as)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def start(self):
        """Start the server, and wait until it answers: after a crash it has to wait for what is left of it."""
        said = self.home / "log"
        settings = [
            *self._settings,
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.home}",
        ]
        command = [binaries() / "postgres", "-D", self._data, *(part for each in settings for part in ("-c", each))]

        def answers():
            if self._process is None or self._process.poll() is not None:
                with said.open("a") as log:
                    self._process = subprocess.Popen(command, cwd=self.home, stdout=log, stderr=log, **self._as)
            probe = [binaries() / "pg_isready", "-q", "-h", self.home, "-p", str(self.port)]
            return subprocess.run(probe, check=False).returncode == 0

        until(answers, 60, said.read_text)

    @property
    def pid(self):
        """The process number of the server's first process."""
        return self._process.pid

    @property
    def dead(self):
        """Whether there is no server now."""
        return self._process.poll() is not None

    def kill(self):
        """Kill the server as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self, sign=signal.SIGINT):
        """End the server; by SIGINT connections are broken, and nothing is lost."""
        if self._process.poll() is None:
            self._process.send_signal(sign)
        self._process.wait(60)

    @contextmanager
    def frozen(self):
        """Have the server and all that serves its clients stand still: it takes what it is sent, and says nothing."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        everybody = [self.pid, *map(int, children)]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)

    def close(self):
        """End the server and forget what it has."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.home)

    def run(self, statement, schema="public", user="maggy"):
        """Run a statement; return the rows, if it has any."""
        import psycopg

        options = {"host": str(self.home), "port": self.port, "dbname": "postgres", "user": user}
        with psycopg.connect(**options, options=f"-csearch_path={schema}", autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def schema(self):
        """Make a schema; return its name."""
        name = f"s{next(_numbers)}"
        self.run(f"CREATE SCHEMA {name} AUTHORIZATION maggy")
        return name

    def url(self, schema=None, user="maggy", host="127.0.0.1", port=None):
        """Return the URL of a schema, a new one by default."""
        path = f"options=-csearch_path%3D{schema or self.schema()}"
        return f"postgresql://{user}@{host}:{port or self.port}/postgres?{path}"


@pytest.fixture(scope="session")
def postgres():
    """Give a server that the tests of this process share, each with a schema of its own."""
    server = Postgres(durable=False)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def own_postgres():
    """Give a server that a test may do to as it likes."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()
