"""F39: a study in PostgreSQL whose server dies or freezes, or breaks connections; drivers that want the same study."""

import json
import signal
import subprocess
import threading
from contextlib import ExitStack, closing

import pytest
from driving import Driving, python
from served import p99
from test_store_owners import DRIVER
from waiting import until

from maggy import experiment
from maggy.driver import outage
from maggy.errors import StoreUnavailable
from maggy.events import StudyResumed
from maggy.store import open_reader, postgres
from maggy.testing.logcheck import check_log

LEASE = 3.0


@pytest.fixture
def driving(own_postgres, tmp_path):
    """Give a function that makes a driver with its store in a server of its own, and end what it made."""
    with ExitStack() as made:

        def make(**options):
            study = Driving(own_postgres.url(), tmp_path / "progress", lease=LEASE, **options)
            return made.enter_context(closing(study))

        yield make
        if own_postgres.dead:
            own_postgres.start()  # for what is closed now


def test_f39_a_server_that_is_killed_and_comes_back(driving, own_postgres):
    """F39: trials go on, nothing is confirmed that is not durable, and then all is there, once and in order."""
    study = driving(trials=2, steps=400).launch()
    study.until(lambda fold: fold.reports > 50)
    own_postgres.kill()
    with study.lag() as late:
        until(lambda: study.server.trouble is not None)
        before = study.reached()
        threading.Event().wait(LEASE + 1)
        assert "cannot be reached, or does not answer" in study.server.trouble
        assert all(step > before[trial] + 20 for trial, step in study.reached().items())
        own_postgres.start()
        until(lambda: study.server.trouble is None)
    assert p99(late) < LEASE / 2
    assert study.server.closed.wait(60)
    assert study.server.error is None
    study.complete()


def test_f39_a_server_that_says_nothing(driving, own_postgres, monkeypatch):
    """F39: the driver waits for it for a moment, once, and goes on serving executors; an append counts once."""
    monkeypatch.setattr(postgres, "HASTE", 0.5)
    study = driving(trials=2, steps=300).launch()
    study.until(lambda fold: fold.reports > 50)
    with own_postgres.frozen():
        until(lambda: study.server.trouble is not None)
        with study.lag() as late:
            threading.Event().wait(LEASE + 1)
        assert len(study.server.scheduler.executors) == 2
    assert study.server.closed.wait(60)
    assert p99(late) < 0.5  # with those that had to wait until now
    study.complete()


def test_f39_restarts_one_after_the_other(driving, own_postgres):
    """F39: however often an administrator restarts the server."""
    study = driving(trials=3, steps=300).launch()
    for wanted in (50, 150, 250):
        study.until(lambda fold, wanted=wanted: fold.reports > wanted)
        own_postgres.stop()
        own_postgres.start()
    assert study.server.closed.wait(60)
    study.complete()


def test_f39_patience_has_an_end(driving, own_postgres, monkeypatch):
    """F39: a server that does not come back ends the study in a sentence."""
    monkeypatch.setattr(outage, "STORE_PATIENCE", 1.5)
    study = driving().launch()
    study.until(lambda fold: fold.reports > 20)
    own_postgres.kill()
    assert study.server.closed.wait(30)
    assert isinstance(study.server.error, StoreUnavailable)
    assert study.server.unrecorded


# -- drivers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def drive(postgres, tmp_path):
    """Give a function that starts a driver of a study in one store; it ends when there is a file `go`."""
    url, started = postgres.url(), []

    def start(name, **environment):
        (tmp_path / name).mkdir()
        driver = python(DRIVER, url, tmp_path / name, tmp_path / "go", stderr=subprocess.DEVNULL, env=environment)
        started.append(driver)
        assert driver.stdout.readline() == "here we go\n"
        return driver

    start.url = url
    yield start
    for driver in started:
        if driver.poll() is None:
            driver.kill()
        driver.communicate()


def said(driver):
    return json.loads(driver.communicate(timeout=60)[0])


def log(url):
    with closing(open_reader(url)) as reader:
        return list(reader.read("digits"))


def under_way(drive, postgres):
    """Wait until a study has an end recorded, and others run."""
    name = drive.url.rpartition("%3D")[2]
    ended = "SELECT count(*) > 0 FROM events WHERE kind = 'Ended'"
    until(lambda: postgres.run("SELECT to_regclass('best') IS NOT NULL", name) == [(True,)])
    until(lambda: postgres.run(ended, name) == [(True,)])


def test_f38_two_drivers_of_one_study(drive, postgres, tmp_path):
    """F38, F9: the second is told who holds it, where and since when; when that one is killed, the next goes on."""
    first = drive("first")
    under_way(drive, postgres)
    kind, why = said(drive("second"))
    assert kind == "StudyOwned"
    assert f"study 'digits' is held by process {first.pid} on host" in why
    assert "UTC: wait until it ends" in why
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = log(drive.url)
    third = drive("third")
    until(lambda: any(isinstance(event, StudyResumed) for event in log(drive.url)))
    (tmp_path / "go").touch()
    assert said(third) == ["done", ["completed"] * 6]
    assert log(drive.url)[: len(before)] == before
    check_log(log(drive.url))
    assert len(experiment.load("digits", store=drive.url).trials) == 6


def test_f38_a_driver_on_another_host(drive, postgres, tmp_path):
    """F38: of a driver that cannot be seen from here only its signs of life tell; it is refused while they come."""
    first = drive("first", PLACE="another host")
    under_way(drive, postgres)
    kind, why = said(drive("second"))
    assert (kind, str(first.pid) in why) == ("StudyOwned", True)
    (tmp_path / "go").touch()
    assert said(first) == ["done", ["completed"] * 6]
