"""Where the secret is not, and what a sniffer hears (A5, A13)."""

import contextlib
import inspect
import json
import logging
import os
import secrets
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cloudpickle
import pytest
from network import Proxy
from secretly import files_with, forms, found_in, processes_with
from served import Served
from waiting import meanwhile, until

from maggy import Float, Searchspace, experiment, run
from maggy.errors import MaggyError
from maggy.executor.line import Ticket
from maggy.executor.worker import Agent
from maggy.rpc.messages import Join, Rejoin

MARKER = b"MARKER\xfe\x00\x7f" + secrets.token_bytes(23)  # another one in each process: tests run side by side
SPACE = Searchspace(x=Float(0, 1))

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")


def troubled(x, reporter):
    """Fail in most ways there are."""
    import os
    import signal
    from pathlib import Path

    print("hello", x)
    reporter.broadcast(x, step=0)
    if x < 0.2:
        raise ValueError(x)
    if x < 0.4:
        os.kill(os.getpid(), signal.SIGKILL)
    if x < 0.5:
        guard = Path(f"/proc/{os.getppid()}/stat").read_text()  # whose parent is the agent
        os.kill(int(guard.rpartition(")")[2].split()[1]), signal.SIGKILL)
    return x


def test_the_search_finds_what_is_there(tmp_path):
    """A13: each form of a secret is found, wherever in a file it stands."""
    assert len(MARKER) == 32
    for number, form in enumerate(forms(MARKER)):
        (tmp_path / str(number)).write_bytes(b"x" * number + form + b"y")
        assert found_in(b"x" * number + form + b"y", MARKER)
    assert len(files_with(tmp_path, MARKER)) == len(forms(MARKER))
    environment = {**os.environ, "SECRET": MARKER.hex()}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        try:
            until(lambda: processes_with(MARKER) == [f"{process.pid}/environ"], 20)
        finally:
            process.kill()


@contextlib.contextmanager
def watched():
    """Look at all processes again and again meanwhile; give the hits."""
    hits = []
    with meanwhile(lambda: hits.extend(processes_with(MARKER)), every=0.02):
        yield hits


@pytest.fixture
def marked(monkeypatch):
    """Let every study have a secret that we know."""
    known = SimpleNamespace(token_bytes=lambda count: MARKER, token_hex=secrets.token_hex)
    monkeypatch.setattr(run, "secrets", known)  # of this module alone: nonces stay new
    return MARKER


def test_a13_a_local_study_tells_nobody(marked, tmp_path, monkeypatch, capfd, caplog):
    """A13: with failures, crashes and lost executors the secret stands in no file, process, log, error or repr."""
    monkeypatch.chdir(tmp_path)
    seen = []
    kept = run.Run.go
    monkeypatch.setattr(run.Run, "go", lambda self, *arguments: seen.append(self) or kept(self, *arguments))
    options = {"num_trials": 14, "seed": 3, "launcher": "local", "num_executors": 2, "tls": True, "verbose": True}
    with caplog.at_level(logging.DEBUG), watched() as hits:
        result = experiment.lagom(troubled, SPACE, name="s", max_lost=2, earlystop=None, **options)
    assert {trial.status.value for trial in result.trials} == {"completed", "failed"}
    assert any("lost" in (trial.error or "") for trial in result.trials)
    assert hits == []
    assert files_with(tmp_path, marked) == []
    shown = "".join(capfd.readouterr()) + caplog.text + str(seen[0]._platform.launcher.crashes())
    server = seen[0]._server
    assert server.secret == marked
    inside = {name: value for name, value in vars(server).items() if name != "secret"}
    for thing in (seen[0], server, inside, vars(server._roll), vars(server.scheduler), result, result.trials):
        shown += repr(thing) + str(thing)
    for thing in (seen[0]._config, seen[0]._platform, seen[0]._opened):
        shown += repr(thing)
    assert found_in(shown, marked) == []


def test_a13_errors_tell_nobody(marked, tmp_path, monkeypatch):
    """A13: neither a study that cannot start nor one that fails has the secret in its error."""
    monkeypatch.chdir(tmp_path)

    def failing(self, task, slot):
        raise OSError(f"it did not start: {task!r}")

    monkeypatch.setattr("maggy.driver.local.LocalLauncher._run", failing)
    with pytest.raises(MaggyError) as caught:
        experiment.lagom(troubled, SPACE, num_trials=1, launcher="local", num_executors=1, tls=True, quiet=True)
    assert "Ticket" in str(caught.value)  # the task does stand in there, without its secret
    assert found_in(str(caught.value) + repr(caught.value), marked) == []


def test_a13_what_holds_the_secret_does_not_show_it(marked):
    """A13: tickets, connections, agents and messages, printed by whatever means."""
    ticket = Ticket("127.0.0.1", 1, "1", marked, "certificate")
    agent = Agent(ticket, b"", 0)
    try:
        with Served(tls=True) as served:
            things = [ticket, agent, agent._link, [ticket], served.server, Join("e", "h", 1, 0, "", "", marked.hex())]
            things += [Rejoin("e", 0, marked.hex()), served.server._roll]
            shown = "".join(repr(thing) + str(thing) + f"{thing}" for thing in things)
            assert found_in(shown, marked) == []
            assert found_in(cloudpickle.dumps(ticket), marked)  # it does travel with the task, where Spark carries it
    finally:
        agent._selector.close()


def telling(parameter_named_xyzzy, reporter):
    reporter.report(step=0, metric_named_plugh=parameter_named_xyzzy)
    print("a line with frobozz")
    return {"metric_named_plugh": parameter_named_xyzzy}


def test_a05_a_sniffer_hears_nothing(marked, tmp_path, monkeypatch):
    """A5: what passes on the network in an encrypted study has no name, value, line, executor or secret in it."""
    proxies = []
    kept = run.Run._listen

    def listen(self, tls):
        proxies.append(Proxy(("127.0.0.1", kept(self, tls))))
        return proxies[0].port

    monkeypatch.setattr(run.Run, "_listen", listen)
    heard = {}
    for tls in (False, True):
        try:
            result = experiment.lagom(
                telling,
                {"parameter_named_xyzzy": Float(0, 1)},
                num_trials=5,
                metric="metric_named_plugh",
                launcher="local",
                num_executors=2,
                tls=tls,
                quiet=True,
                earlystop=None,
                store="memory:",
                log_dir=tmp_path,
            )
        finally:
            proxies[0].close()
        data = b"".join(data for _, data in proxies.pop().passed)
        values = [repr(trial.value).encode() for trial in result.trials]
        executors = [trial.executor.encode() for trial in result.trials]
        words = [b"xyzzy", b"plugh", b"frobozz", b"Join", b"Finished", b"maggy", *values, *executors]
        heard[tls] = [word for word in words if word in data]
        assert len(data) > 2000
        assert found_in(data, marked) == []
    assert len(heard[False]) == 16  # so it is these words that a sniffer would look for
    assert heard[True] == []


# -- Spark -------------------------------------------------------------------------------------------------------------

STUDY = """
import json, os, secrets, sys, threading, time, urllib.request
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, {here!r})
from secretly import files_with, found_in, processes_with

from pyspark.sql import SparkSession

from maggy import Float, Searchspace, experiment, run

MARKER = sys.stdin.buffer.read()  # as an argument or in this file, it would be found
run.secrets = SimpleNamespace(token_bytes=lambda count: MARKER, token_hex=secrets.token_hex)
base = Path.cwd()
(base / "events").mkdir()
(base / "spark").mkdir()
spark = (
    SparkSession.builder.master({master!r})
    .config("spark.eventLog.enabled", "true")
    .config("spark.eventLog.dir", f"file://{{base}}/events")
    .config("spark.eventLog.compress", "false")
    .config("spark.local.dir", str(base / "spark"))
    .config("spark.ui.enabled", "true")
    .config("spark.ui.port", "0")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.worker.cleanup.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("INFO")

{troubled}
hits, rest, looked, ended = [], [], set(), threading.Event()
address = "http://127.0.0.1:" + spark.sparkContext.uiWebUrl.rpartition(":")[2]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))

def fetch(path):
    with opener.open(address + path, timeout=60) as answer:
        return answer.read()

def look():
    while not (looked and ended.wait(0.5)):
        hits.extend(processes_with(MARKER))
        application = json.loads(fetch("/api/v1/applications"))[0]["id"]
        paths = [f"/api/v1/applications/{{application}}{{rest}}" for rest in (
            "", "/jobs", "/stages?details=true&withSummaries=true", "/executors", "/allexecutors", "/environment",
            "/storage/rdd", "/allmiscellaneousprocess")]
        paths += ["/jobs/", "/stages/", "/storage/", "/environment/", "/executors/"]
        for path in paths:
            try:
                data = fetch(path)
            except OSError:
                continue
            looked.add(path.rpartition(application)[2])
            if found_in(data, MARKER):
                rest.append(path)

thread = threading.Thread(target=look)
thread.start()
result = experiment.lagom(troubled, Searchspace(x=Float(0, 1)), num_trials=6, seed=3, name="s", num_executors=2,
                          max_lost=2, earlystop=None, verbose=True)
ended.set()
thread.join()
conf = str(spark.sparkContext.getConf().getAll()) + str(dict(os.environ))
spark.stop()
print(json.dumps({{
    "statuses": sorted({{trial.status.value for trial in result.trials}}),
    "processes": hits,
    "rest": rest,
    "looked": sorted(looked),
    "conf": [str(form) for form in found_in(conf, MARKER)],
    "files": [str(path.relative_to(base)) for path in files_with(base, MARKER)],
    "events": sum(path.stat().st_size for path in (base / "events").rglob("*") if path.is_file()),
}}))
"""


@pytest.mark.spark
@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize("master", ["local[2]", "local-cluster[2,1,1024]"])
def test_a13_a_study_on_spark_tells_nobody(master, tmp_path):
    """A13: neither Spark's conf, UI, REST, event log, executor logs and files nor any process shows the secret."""
    here = str(Path(__file__).parent)
    code = STUDY.format(here=here, master=master, troubled=inspect.getsource(troubled))
    (tmp_path / "study.py").write_text(code)
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(_home(tmp_path))}
    with (tmp_path / "output").open("wb") as output:
        ran = subprocess.run(
            [sys.executable, "study.py"],
            cwd=tmp_path,
            env=environment,
            input=MARKER,
            stdout=output,
            stderr=output,
            timeout=170,
            check=False,
        )
    *said, last = (tmp_path / "output").read_text(errors="replace").splitlines()
    assert ran.returncode == 0, said[-20:]
    found = json.loads(last)
    assert found["statuses"] == ["completed", "failed"]
    assert found["events"] > 10_000
    assert "/environment" in found["looked"]
    assert "/jobs" in found["looked"]
    assert (found["processes"], found["rest"], found["conf"], found["files"]) == ([], [], [], [])
    assert found_in("\n".join(said), MARKER) == []
    assert len(said) > 20  # Spark's own log is in there


def _home(folder):
    """Return a SPARK_HOME whose `work` folder, where executors log, is ours."""
    import pyspark

    home = folder / "home"
    home.mkdir()
    for each in Path(pyspark.__file__).parent.iterdir():
        (home / each.name).symlink_to(each)
    return home
