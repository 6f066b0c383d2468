"""Strangers at the driver's port: guesses, crowds, noise and slow ones (A1-A4, A6, A9-A11, A22, F44)."""

import contextlib
import errno
import logging
import os
import pickle
import resource
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from served import Served, Speaker, admitted, crowd, introduction, p99, resident

from maggy.driver.strangers import BURST
from maggy.rpc import door
from maggy.rpc.connection import HELLO, hello
from maggy.rpc.messages import Run, Welcome

MANY = {"trials": 100_000, "max_lost": 100_000}  # executors that only join and leave cost no study


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def served(request):
    """Give a study's driver, with and without TLS."""
    with Served(tls=request.param, **MANY) as found:
        yield found


@pytest.fixture
def hurried(monkeypatch):
    """Let strangers have little time."""
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 1.0)
    monkeypatch.setattr(door, "LOOK", 0.1)


def reached(served, source=None):
    """Connect without saying anything."""
    return socket.create_connection(("127.0.0.1", served.port), 10, source_address=source)


def closed(plain):
    """Wait until the driver has closed the connection; return what it said before."""
    said = b""
    try:
        while data := plain.recv(4096):
            said += data
    except ConnectionError:
        pass
    return said


# -- who is let in -----------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["MAGGY_TEST_EVIL"],)


def test_a01_a_pickle_at_the_door_is_not_read(served, tmp_path, monkeypatch):
    """A1: whoever sends a pickle, bare or framed, is told nothing, and nothing is unpickled."""
    monkeypatch.setenv("MAGGY_TEST_EVIL", str(tmp_path / "evil"))
    bomb = pickle.dumps(Evil())
    monkeypatch.setattr(pickle, "loads", None)
    for data in (bomb, len(bomb).to_bytes(4, "big") + bomb, hello(b"guess", bytes(32)) + bomb):
        with reached(served) as plain:
            plain.sendall(data)
            assert closed(plain) == b""
    assert not (tmp_path / "evil").exists()
    assert sum(served.strangers.values()) == 3


def test_a01_a_study_runs_where_nothing_can_be_unpickled(tmp_path):
    """A1: a whole study, with a driver in which every way to unpickle raises."""
    code = """
import _pickle, pickle

def never(*_, **__):
    raise SystemExit("the driver unpickles")

from maggy import Float, Searchspace, experiment
for module in (pickle, _pickle):
    module.loads = module.load = module.Unpickler = never
pickle._loads = pickle._load = pickle._Unpickler = never

def train_fn(x, reporter):
    reporter.broadcast(x, step=0)
    print(x)
    if x > 0.9:
        raise ValueError(x)
    return x

result = experiment.lagom(train_fn, Searchspace(x=Float(0, 1)), num_trials=20, seed=1, launcher="local",
                          num_executors=2, tls=True)
print(len(result.trials), {trial.status.value for trial in result.trials} <= {"completed", "failed"})
"""
    (tmp_path / "study.py").write_text(code)
    ran = subprocess.run(
        [sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.stdout.splitlines()[-1:] == ["20 True"], ran.stderr


@pytest.mark.parametrize("kind", ["guess", "replay"])
def test_a02_guesses_keep_nobody_out(served, kind):
    """A2: a hundred at once guess as fast as they can: executors are in soon, guessing is slow and costs little."""
    began, spent = time.monotonic(), served.cpu()
    with crowd(served, kind, 100, 5) as ended:
        waits = [admitted(served, f"executor-{number}") for number in range(5)]
        tried = ended()
    seconds = time.monotonic() - began
    print(f"A2: executors in within {max(waits):.2f} s, CPU {(served.cpu() - spent) / seconds:.0%}")
    assert max(waits) < 10  # 2 at most where the machine has nothing else to do
    assert tried < 100 + (256 + 100 * seconds if served.certificate else 100 * (seconds + 1))
    assert (served.cpu() - spent) / seconds < 0.5
    assert served.strangers["another secret"] > 20  # some 500 on an idle machine


def test_a02_guesses_are_told_once_a_minute(caplog):
    """A2: hundreds of guesses are one line of log."""
    with Served() as served, caplog.at_level(logging.DEBUG), crowd(served, "guess", 100, 60):
        served.until(lambda _: served.strangers.get("another secret", 0) >= 100)
    assert [record.levelname for record in caplog.records if record.name == "maggy"] == ["WARNING"]
    assert "connections turned away at the driver's port" in caplog.text


def test_a02_proofs_are_compared_in_constant_time(monkeypatch):
    """A2: every comparison with what the secret makes goes through `hmac.compare_digest`."""
    import hmac

    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append(len(one)) or real(one, other))
    with Served() as served, served.executor() as executor:
        assert executor.hear(Welcome)
        assert compared[0] == compared[1] == HELLO  # at the door, and by the connection
        assert compared[2:] == [32, 32]  # the driver's proof, and the executor's


def test_a03_a_recorded_hello_is_good_for_nothing():
    """A3: what opened a door once does not open it again, while the one who said it is let in."""
    with Served(**MANY) as served, served.executor() as executor:
        assert executor.hear(Welcome)
        with reached(served) as plain:
            plain.sendall(executor.sent)
            assert closed(plain) == b""
        assert served.strangers == {"another secret": 1}
        assert executor.hear(Run)


def test_a03_a_recorded_conversation_is_refused_by_another_driver():
    """A3: neither what an executor has said nor what its driver has said convinces anybody else."""
    with Served(**MANY) as served, served.executor() as executor, Served(**MANY) as other:
        assert executor.hear(Welcome)
        with reached(other) as plain:
            plain.sendall(executor.sent)
            assert closed(plain) == b""
        other.until(lambda _: other.strangers == {"another secret": 1})


def test_a03_a_recorded_session_of_tls_is_refused():
    """A3: the very bytes of an encrypted conversation, sent again, are no conversation."""
    from network import Proxy

    with Served(tls=True, **MANY) as served:
        proxy = Proxy(("127.0.0.1", served.port))
        try:
            through = type("Through", (), {**vars(served), "port": proxy.port})
            with Speaker(through) as executor:
                executor.say(introduction("executor-1"))
                assert executor.hear(Welcome)
                recorded = b"".join(data for end, data in proxy.passed if end == "there")
        finally:
            proxy.close()
        with reached(served) as plain:
            plain.sendall(recorded)
            closed(plain)
        served.until(lambda _: sum(served.strangers.values()) == 1)
        assert served.server.most == 1


def test_a04_plain_tcp_to_a_port_with_tls_is_refused():
    """A4: an executor without the certificate is told nothing, though it knows the secret."""
    with Served(tls=True, **MANY) as served, Speaker(served, plain=True) as executor:
        executor.say(introduction("executor-1"))
        assert executor.dropped()
        assert executor.came == b""
        assert served.strangers == {"no TLS": 1}
        assert served.server._strangers._credit == BURST  # no handshake was begun for that


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_a22_another_user_of_the_machine_is_refused(served):
    """A22: who reaches the loopback interface but has not the secret gets nowhere, whoever it is."""
    code = f"""
import os, socket, encodings.idna
os.setgid(65534); os.setuid(65534)
reached = socket.create_connection(("127.0.0.1", {served.port}), 10)
reached.sendall(b"\\x00\\x00\\x00\\x40maggy/1\\n" + bytes(56))
try:
    print(os.getuid(), reached.recv(100))
except ConnectionResetError:
    print(os.getuid(), b"")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert ran.stdout.strip() == "65534 b''", ran.stderr
    assert sum(served.strangers.values()) == 1
    assert served.server.most == 0


# -- lengths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 65, 2**31, 2**32 - 1])
def test_a06_a_strangers_frame_is_refused_from_its_header(length):
    """A6: four bytes are enough to be turned away; nothing is allocated for what they promise."""
    with Served() as served, reached(served) as plain:
        plain.sendall(length.to_bytes(4, "big"))
        served.until(lambda _: served.strangers == {"not our protocol": 1})
        assert closed(plain) == b""


@pytest.mark.parametrize("length", [0, 256 * 1024 + 1, 2**32 - 1])
def test_a06_an_executors_frame_is_refused_from_its_header(served, length):
    """A6: the same from one that knows the secret; its connection is cut at once."""
    grown = []
    for number in range(3):  # what a first connection loads is no part of it, nor what others take meanwhile
        with served.executor(f"executor-{number}") as executor:
            assert executor.hear(Run)
            before = resident()
            executor.socket.sendall(length.to_bytes(4, "big"))
            assert executor.dropped()
            grown.append(resident() - before)
    assert min(grown) < 1
    served.until(lambda _: not served.server.scheduler.executors)


# -- slow ones ---------------------------------------------------------------------------------------------------------


def test_a09_whoever_says_nothing_is_turned_away(served, hurried):
    """A9: a connection that is silent, and one that says half of what it should, are closed in time."""
    with reached(served) as silent, reached(served) as half:
        half.sendall(b"\x16" if served.certificate else hello(served.server.secret, bytes(32))[:-1])
        assert (closed(silent), closed(half)) == (b"", b"")
    served.until(lambda _: served.strangers == {"too slow": 2})


def test_a09_bytes_that_trickle_win_no_time(served, hurried):
    """A9: one byte now and then does not set the clock back, neither before nor in the handshake."""
    greeting = hello(served.server.secret, secrets.token_bytes(32))
    if served.certificate:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
        greeting = outgoing.read()
    began = time.monotonic()
    with reached(served) as trickling:
        with pytest.raises(OSError, match=r"."):  # noqa: PT012 - it ends when the driver has had enough
            for byte in greeting * 10:
                trickling.sendall(bytes([byte]))
                trickling.settimeout(0.05)
                try:
                    if not trickling.recv(100):
                        raise ConnectionResetError("closed")
                except TimeoutError:
                    continue
        assert 0.5 < time.monotonic() - began < 10
    served.until(lambda _: sum(served.strangers.values()) == 1)


def test_a09_whoever_stops_halfway_through_the_handshake_is_turned_away(hurried):
    """A9: a right hello, and then nothing."""
    with Served() as served, reached(served) as plain:
        plain.sendall(hello(served.server.secret, bytes(32)))
        assert len(closed(plain)) == 68  # the driver's nonce and proof
        served.until(lambda _: served.strangers == {"too slow": 1})


def test_a09_whoever_never_introduces_itself_is_turned_away(served, hurried):
    """A9: to know the secret is not enough to stay."""
    with Speaker(served) as idle:
        idle.flush()
        while not idle.connection.authenticated:
            assert idle.read()
        assert idle.dropped()
    assert served.server.most == 0


# -- crowds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["silent", "half", "http"])
def test_a10_a_crowd_keeps_nobody_out(served, kind):
    """A10: six hundred connections that come back when they are closed: 256 are there at a time, executors get in."""
    before = resident()
    with served.executor("busy") as busy:
        assert busy.work()
        with served.lag() as lag, crowd(served, kind, 600, 5) as ended:
            waits = [admitted(served, f"executor-{number}") for number in range(3)]
            for _ in range(20):
                assert busy.work()  # who is in already notices nothing
            ended()
    grown = resident() - before
    print(f"A10: in within {max(waits):.2f} s, the loop late by {p99(lag) * 1000:.0f} ms (p99), {grown:+.0f} MiB")
    assert max(waits) < 10  # 2 at most where the machine has nothing else to do
    assert p99(lag) < 3  # 0.1 there
    assert grown < (100 if served.certificate else 50)
    assert sum(served.strangers.values()) > 300


def test_a10_there_are_only_so_many_strangers(served, monkeypatch):
    """A10: of silent connections the oldest is closed for the newest."""
    monkeypatch.setattr(door, "MOST", 8)
    monkeypatch.setattr(door, "JUST_COME", 0.0)
    there = [reached(served) for _ in range(20)]
    try:
        served.until(lambda _: served.strangers == {"too many at once": 12})
        assert [closed(plain) for plain in there[:12]] == [b""] * 12
        assert admitted(served, "executor-1") < 10
        there[-1].settimeout(0.2)
        with pytest.raises(TimeoutError):
            there[-1].recv(1)
    finally:
        for plain in there:
            plain.close()


def test_a10_a_crowd_from_one_address_holds_up_nobody_from_another(monkeypatch):
    """A10: those who speak TLS as executors do have their turn one after another, but the addresses take turns."""
    monkeypatch.setattr(door, "MOST_BEGUN", 1)
    with Served(tls=True, **MANY) as served, contextlib.ExitStack() as there:
        for _ in range(20):  # each takes the one place for UNDISTURBED
            there.enter_context(reached(served, ("127.0.0.2", 0))).sendall(door.TLS_RECORD)
        waited = admitted(served, "executor-1")
    assert waited < 5 * door.UNDISTURBED  # 20 times as long behind all of them


def test_f45_our_own_crowd_is_let_in(served, monkeypatch):
    """F45, A10: many more executors than there may be strangers, all at once: none is turned away."""
    monkeypatch.setattr(door, "MOST", 16)
    monkeypatch.setattr(door, "MOST_BEGUN", 4)
    for seconds in ("JUST_COME", "UNDISTURBED", "HANDSHAKE_SECONDS"):
        monkeypatch.setattr(door, seconds, 60.0)  # on a busy machine, too, it is not time that turns them away
    found = []

    def join(number):
        with Speaker(served, patience=60) as caller:
            caller.say(introduction(f"executor-{number}"))
            found.append(caller.hear(Welcome))

    threads = [threading.Thread(target=join, args=(number,)) for number in range(90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 90
    assert all(found)


# -- noise -------------------------------------------------------------------------------------------------------------

NOISE = [
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160),  # a ClientHello that is none
    b"\x16\x03\x01\xff\xff" + b"\xff" * 1000,
    b"\x80\x2e\x01\x00\x02\x00\x15",  # SSL 2
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\xff" * 100_000,
    b"\x00",
]


@pytest.mark.parametrize("tls", [False, True])
def test_a11_noise_is_dropped_quietly(tls, caplog, capfd):
    """A11: scans, browsers, other protocols, and noise behind a right beginning: no traceback, no warning, no word."""
    with caplog.at_level(logging.DEBUG), Served(tls=tls, **MANY) as served:
        beginning = hello(served.server.secret, secrets.token_bytes(32))
        for data in (*NOISE, beginning + b"\xff" * 100, beginning[:20]):
            for abrupt in (False, True):
                with reached(served) as plain:
                    plain.sendall(data)
                    if abrupt:
                        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    else:
                        plain.shutdown(socket.SHUT_WR)
                        closed(plain)
        unwilling = ssl.create_default_context()  # does not trust our certificate
        with reached(served) as plain, pytest.raises(OSError, match=r"."):
            unwilling.wrap_socket(plain, server_hostname="localhost")
        with served.executor() as executor:
            assert executor.hear(Welcome)
            executor.socket.sendall(b"\xff" * 1000)
            assert executor.dropped()
        served.until(lambda _: sum(served.strangers.values()) >= 2 * len(NOISE))
    told = [record for record in caplog.records if record.name != "asyncio" or record.levelno > logging.DEBUG]
    assert [record.levelname for record in told if record.name != "maggy"] == []
    assert len(told) <= 1
    assert "Traceback" not in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a11_a_handshake_that_fails_frees_its_place_at_once():
    """A11: what only begins like TLS is counted when it fails, not when its time is over."""
    with Served(tls=True, **MANY) as served:
        for number in range(1, 4):
            with reached(served) as plain:
                plain.sendall(NOISE[3])
                served.until(lambda _, number=number: served.strangers == {"no TLS": number}, seconds=4)
                closed(plain)


# -- no file descriptors left ------------------------------------------------------------------------------------------


def test_f44_without_descriptors_the_driver_neither_spins_nor_ends(served):
    """F44: with all descriptors taken, connections wait; when there are some again, they are let in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with served.executor("busy") as busy:
        assert busy.hear(Run)
        caller = socket.socket()
        caller.settimeout(10)
        taken = os.open(os.devnull, os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 1, hard))
        try:
            caller.connect(("127.0.0.1", served.port))
            served.until(lambda _: served.strangers.get("no file descriptors left", 0) >= 2)
            spent, count = served.cpu(), served.strangers["no file descriptors left"]
            threading.Event().wait(1)
            assert served.strangers["no file descriptors left"] <= count + 10
            assert served.cpu() - spent < 0.3
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(taken)
            caller.close()
        assert admitted(served, "executor-1") < 10


def test_f44_every_reason_to_run_out_is_known():
    """F44: too many files of the process or the system, no memory for another."""
    assert {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM} == door.EXHAUSTED
