"""F18, F19, F20: messages that come twice or too late, and a peer that does not read: a real driver, fake executors."""

import secrets
import socket
import statistics
import time
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
from served import Served, introduction, p99
from waiting import meanwhile, until

from maggy.events import Ended, Reported
from maggy.executor.link import FENCED, Link
from maggy.rpc.messages import Beat, Bye, Finished, Log, Reports, Run, Stop, Welcome
from maggy.rpc.stream import MAX_BACKLOG
from maggy.testing.logcheck import check_log


class Talker:
    """An executor that says what it is told to."""

    def __init__(self, server, port, name, slot, again):
        self.link = Link(replace(introduction(name), slot=slot, again=again), server.secret)
        self._port = port
        self._come = []
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self._port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as executors do
        self.link.connected(secrets.token_bytes(32))
        self.say()

    def say(self, *messages):
        for message in messages:
            self.link.tell(message)
        self.socket.sendall(self.link.outgoing())

    def hear(self, kind):
        """Wait for a message of that kind, or for the end of the connection."""
        while not any(isinstance(message, kind) for message in self._come):
            if not (data := self.socket.recv(65536)):
                return None
            self._come += self.link.received(data)
            self.say()
        message = next(message for message in self._come if isinstance(message, kind))
        self._come.remove(message)
        return message

    def end(self):
        """Wait for the end of the connection."""
        try:
            while data := self.socket.recv(65536):
                self.link.received(data)
                self.say()
        except ConnectionError:
            pass
        self.socket.close()


class Joined(Served):
    """A driver of a study, and whoever talks with it."""

    def __init__(self, trials, **terms):
        super().__init__(trials, **terms)
        self.talkers = []
        self.listen()

    def join(self, name, slot=0, *, again=False):
        self.talkers.append(Talker(self.server, self.port, name, slot, again))
        return self.talkers[-1]

    def check(self):
        """Return the study: its log holds what every log must, and nothing has gone wrong."""
        assert self.server.error is None
        return check_log(self.log)

    def close(self):
        for talker in self.talkers:
            talker.socket.close()
        super().close()


@pytest.fixture
def served():
    with ExitStack() as started:
        yield lambda trials, **terms: started.enter_context(closing(Joined(trials, **terms)))


def finished(run, value, status="completed", attempt=None):
    return Finished(run.trial, attempt or run.attempt, status, value, {"metric": value}, None)


def test_f19_f20_what_is_said_twice_or_after_the_outcome_changes_nothing(served):
    """F19, F20: the first outcome counts; reports, prints and other outcomes after it do not, nor do they harm."""
    study = served(2)
    talker = study.join("a")
    run = talker.hear(Run)
    reports = Reports(run.trial, run.attempt, [[0, {"metric": 0.5}]])
    talker.say(reports, finished(run, 0.5), finished(run, 0.7), reports, Log(run.trial, run.attempt, "late"))
    after = talker.hear(Run)
    assert after.trial == 2
    talker.say(finished(run, 0.9, "failed"), finished(after, 0.1))
    assert talker.hear(Bye).reason == "done"
    fold = study.check()
    assert [(trial.status, trial.value) for trial in fold.trials.values()] == [("completed", 0.5), ("completed", 0.1)]
    assert [sum(isinstance(event, kind) for event in study.log) for kind in (Ended, Reported)] == [2, 1]


def test_f20_what_comes_after_a_trial_was_given_to_another(served):
    """F20: who was taken for dead is fenced; what it says of its trial, or of another's attempt, is nothing."""
    study = served(1, lease=0.3, beat=0.2, reconnect_grace=0.1)
    before = study.join("a")
    run = before.hear(Run)
    before.end()  # it was silent for too long
    other = study.join("b")
    again = other.hear(Run)
    assert (again.trial, again.attempt) == (run.trial, 2)
    before.link.broke("cut", 0.0)
    before.connect()
    before.end()
    assert before.link.left == FENCED
    fresh = study.join("c")
    assert fresh.hear(Welcome)
    for attempt in (1, 2):
        fresh.say(Reports(run.trial, attempt, [[7, {"metric": 7.0}]]), finished(run, 7.0, attempt=attempt))
    other.say(Beat(), finished(again, 0.2))
    assert other.hear(Bye).reason == "done"
    assert fresh.hear(Bye)
    (trial,) = study.check().trials.values()
    assert (trial.value, trial.attempt, len(trial.curve)) == (0.2, 2, 0)


def test_f20_what_comes_after_the_study(served):
    """F20: it changes nothing, and who joins now is sent home."""
    study = served(1)
    talker = study.join("a")
    run = talker.hear(Run)
    talker.say(finished(run, 0.5))
    assert talker.hear(Bye)
    before = study.log
    talker.say(finished(run, 0.6), Reports(run.trial, run.attempt, [[9, {"metric": 9.0}]]), Log(1, 1, "late"), Beat())
    assert study.join("b").hear(Bye).reason == "done"
    assert study.log == before
    study.check()


def test_f08_a_zombie_whose_slot_was_filled_is_sent_home(served):
    """F8: it was given up, and Spark has started another in its slot meanwhile; one whose slot is free is welcome."""
    study = served(3)
    study.join("a", slot=0).hear(Run)
    assert "its slot" in study.join("b", slot=0, again=True).hear(Bye).reason
    assert study.join("c", slot=1, again=True).hear(Welcome)
    assert study.join("d", slot=0).hear(Welcome)
    assert sorted(study.server.scheduler.executors) == ["a", "c", "d"]


def test_f14_who_comes_late_is_given_a_trial_at_once(served):
    """F14: a slot that comes in mid-study is used as soon as it has introduced itself."""
    study = served(10)
    study.join("a").hear(Run)
    began = time.monotonic()
    assert study.join("late").hear(Run)
    print(f"F14: a trial {(took := time.monotonic() - began) * 1000:.1f} ms after connecting")
    assert took < 20


def rounds(study, talker, run, count=1000):
    """Return the seconds that each of so many trials took, from its outcome to the next order; and that order."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        talker.say(finished(run, 0.5))
        run = talker.hear(Run)
        seconds.append(time.perf_counter() - began)
    return seconds, run


def test_f18_one_slow_line_slows_no_other(served):
    """F18: half a megabyte waits for one that reads a kilobyte a second; the others' turns are as short as before."""
    study = served(100_000)
    slow, talker = study.join("slow"), study.join("a")
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.hear(Run)
    _, run = rounds(study, talker, talker.hear(Run))
    before, run = rounds(study, talker, run)
    line, waits = study.server._roll._lives["slow"].line, []

    def fill():
        while line._transport.get_write_buffer_size() < MAX_BACKLOG / 2:
            study.server._roll.send("slow", Stop(99, 1, "x" * 500))
        waits.append(True)

    study.server._loop.call_soon_threadsafe(fill)
    until(lambda: waits)
    with meanwhile(lambda: slow.socket.recv(1000), every=1.0):
        beside, run = rounds(study, talker, run)
    assert line._transport.get_write_buffer_size() > MAX_BACKLOG / 4  # it is slow still
    print(f"F18: a turn {told(before)}; beside a slow line {told(beside)}")
    assert statistics.median(beside) < 3 * statistics.median(before) + 0.002


def told(seconds):
    return f"{statistics.median(seconds) * 1000:.2f} ms, p99 {p99(seconds) * 1000:.2f} ms"


def test_f18_who_does_not_read_is_dropped_and_others_do_not_notice(served):
    """F18: no more than a bound waits for one executor; others are answered as quickly as before."""
    study = served(3)
    deaf, talker = study.join("deaf"), study.join("a")
    deaf.hear(Run)
    run = talker.hear(Run)
    most = []

    def flood():
        life = study.server._roll._lives["deaf"]
        for _ in range(40_000):
            study.server._roll.send("deaf", Stop(99, 1, "x" * 500))
            if life.line is None or life.line._transport.is_closing():
                break
            most.append(life.line._transport.get_write_buffer_size())
        most.append(-1)

    study.server._loop.call_soon_threadsafe(flood)
    talker.say(finished(run, 0.5))
    assert talker.hear(Run)
    deaf.socket.settimeout(20)
    until(lambda: -1 in most)
    assert study.server.error is None
    assert 0 < max(most) <= MAX_BACKLOG + 1000
    assert len(most) < 40_000
