"""What user code can do to its process, with real processes: one failed trial with its cause, and nothing left behind.

The numbers are those of the table of faults.
"""

import os
import time
from pathlib import Path

import pytest
from waiting import agent, alive, until_gone

from maggy import Categorical, Float, Searchspace, experiment
from maggy.rpc.frames import framed

SPACE = Searchspace(x=Float(0, 1))


@pytest.fixture
def lagom(tmp_path):
    """Give lagom on one local executor; the first trial gets into trouble, the second does not."""

    def run(train_fn, searchspace=SPACE, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "train_args": {"folder": str(tmp_path)}}
        few = {"num_trials": 2, "num_executors": 1, "launcher": "local", "earlystop": None, "quiet": True}
        return experiment.lagom(train_fn, searchspace, **{**few, **places, **options})

    return run


def pids(folder):
    """Return the numbers that trials wrote down."""
    return [int(file.read_text()) for file in Path(folder).glob("pid-*")]


def segfault(x, trial, folder):
    import ctypes

    print("so far, so good")
    if trial == 1:
        ctypes.string_at(0)
    return x


def test_f03_a_segfault_is_one_failed_trial_with_a_trace(lagom):
    """F3: the signal, the last lines and a traceback are in its error; the next trial runs at once."""
    first, second = lagom(segfault).trials
    assert first.status == "failed"
    for part in ("SIGSEGV", "so far, so good", "Segmentation fault", "in segfault"):
        assert part in first.error
    assert second.status == "completed"
    assert second.started - first.ended < 1
    assert first.executor == second.executor


def hang(x, trial, folder):
    while trial == 1:
        pass
    return x


def hog(x, trial, folder):
    import ctypes

    if trial == 1:
        ctypes.PyDLL(None).sleep(60)  # keeps the interpreter's lock meanwhile
    return x


@pytest.mark.parametrize("train_fn", [hang, hog])
def test_f25_a_hang_is_ended_by_trial_timeout(lagom, train_fn):
    """F25: within the time and a few seconds, lock or no lock; the error says where it hung."""
    first, second = lagom(train_fn, trial_timeout=3.0).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert "its trial_timeout" in first.error
    print(f"F25: ended {(late := first.ended - first.started - 3):.2f} s after its trial_timeout of 3 s")
    assert late < 6
    assert train_fn.__name__ in first.error


def test_f25_a_hang_is_ended_whatever_waits_behind_it(lagom):
    """F25: what its process does not read holds up nobody, though no pipe has room for it."""

    def hangs_later(text, trial, folder):
        import time

        time.sleep(0.005)  # meanwhile more come than its pipe holds
        while trial == 30:
            pass
        return len(text)

    texts = Searchspace(text=Categorical([letter * 30_000 for letter in "abcdefgh"]))
    result = lagom(hangs_later, searchspace=texts, num_trials=40, optimizer="random", trial_timeout=1.0, timeout=20)
    assert [trial.id for trial in result.trials if trial.status != "completed"] == [30]
    assert "trial_timeout" in result.trials[29].error


class Slow:
    """Something that takes its time to be unpickled, as a library does to be imported."""

    def __reduce__(self):
        return time.sleep, (3.0,)


def test_f25_no_limit_counts_the_start_of_a_process(lagom, tmp_path):
    """F25: a limit on a trial is one on the function; each of these processes is longer in coming up."""
    places = {"folder": str(tmp_path), "slow": Slow()}
    limits = {"trial_timeout": 2.5, "report_timeout": 2.5, "isolation": "trial"}
    trials = lagom(lambda x, slow, folder: x, train_args=places, **limits).trials
    assert [trial.status for trial in trials] == ["completed"] * 2


def silent(x, trial, reporter, folder):
    import time

    for step in range(1000 if trial == 1 else 3):
        if step < 3:
            reporter.broadcast(x, step=step)
        time.sleep(0.05)
    return x


def test_f25_silence_is_ended_by_report_timeout(lagom):
    """F25: a trial that has ceased to report fails, and keeps what it has reported."""
    first, second = lagom(silent, report_timeout=3.0).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert "it reported nothing for 3 s" in first.error
    assert len(first.curve) == 3


def greedy(x, trial, folder):
    import time

    if trial == 1:
        held = bytearray(400 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(30)
    return x


def test_f24_memory_is_limited(lagom):
    """F24: who holds more than memory_limit has failed; others on the machine do not suffer."""
    first, second = lagom(greedy, memory_limit="200MB").trials
    assert (first.status, second.status) == ("failed", "completed")
    assert "memory_limit is 200 MiB" in first.error


def greedy_behind_its_agents_back(x, trial, reporter, folder):
    import os
    import signal
    import time

    if trial == 1:
        os.kill(agent(), signal.SIGSTOP)
        for step in range(5):
            reporter.broadcast(x, step=step)
        held = bytearray(400 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(1)  # so that the agent's first look, when it is back, is at memory
        os.kill(agent(), signal.SIGCONT)
        time.sleep(30)
    return x


def test_f24_what_it_had_reported_is_kept(lagom):
    """F24, F25: though its agent ends it before it has read that."""
    first, second = lagom(greedy_behind_its_agents_back, memory_limit="200MB").trials
    assert (first.status, second.status) == ("failed", "completed")
    assert len(first.curve) == 5


def litters(x, trial, folder):
    import os
    import subprocess
    import sys
    import time
    from pathlib import Path

    for number, session in enumerate((False, True)):
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=session)
        Path(folder, f"pid-{trial}-{number}").write_text(str(left.pid))
    here, there = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            Path(folder, f"pid-{trial}-daemon").write_text(str(os.getpid()))
            os.write(there, b"here I am")
            time.sleep(600)
        os._exit(0)
    os.waitpid(child, 0)
    os.read(here, 1)
    return os.getpid()


def test_f31_nothing_that_a_trial_started_is_left(lagom, tmp_path):
    """F31: children, those in sessions of their own and daemons are gone; the warm process goes on."""
    first, second = lagom(litters).trials
    assert first.value == second.value  # the same process ran both
    assert len(pids(tmp_path)) == 6
    assert not any(map(alive, pids(tmp_path)))


def prints_sometimes(x, trial, folder):
    import os

    if trial % 3 == 0:
        os.write(1, f"this is {trial}\n".encode())
    return x


def test_f31_what_a_short_trial_prints_is_its_own(lagom):
    """F31: others wait in the same process's queue, and begin as soon as it has ended."""
    result = lagom(prints_sometimes, num_trials=300, optimizer="random")
    for trial in result.trials:
        log = Path(result.log_dir, str(trial.id), "output.log")
        printed = log.read_text() if log.exists() else ""
        assert printed == (f"this is {trial.id}\n" if trial.id % 3 == 0 else ""), trial.id


def leaves_a_thread_that_prints(x, trial, folder):
    import threading

    def prints_on():
        while True:
            print(trial)

    threading.Thread(target=prints_on).start()
    return x


def test_f31_no_thread_prints_for_the_next_trial(lagom):
    """F31: what is no daemon is gone by then, and with it the process."""
    result = lagom(leaves_a_thread_that_prints)
    for trial in result.trials:
        printed = Path(result.log_dir, str(trial.id), "output.log").read_text()
        assert set(printed.splitlines()[:1000]) == {str(trial.id)}


def leaves_one_that_prints(x, trial, folder):
    import subprocess

    if trial % 2:
        subprocess.Popen(["yes", "no"])
    return x


def test_f28_what_prints_without_end_prints_for_its_own_trial(lagom):
    """F28, F31: its agent does not read for ever, and what still came before it was ended is not the next trial's."""
    result = lagom(leaves_one_that_prints, num_trials=20)
    assert [trial.status for trial in result.trials] == ["completed"] * 20
    for trial in result.trials[1::2]:
        log = Path(result.log_dir, str(trial.id), "output.log")
        assert not log.exists() or not log.read_text()


def leaves_a_thread_that_ends_it(x, trial, folder):
    import ctypes
    import os
    import sys
    import threading

    main = threading.main_thread().ident

    class Poll(ctypes.Structure):
        _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("come", ctypes.c_short))

    def waits():
        frame = sys._current_frames()[main]
        if (frame.f_code.co_name, frame.f_back.f_code.co_name) == ("_wait", "next"):
            orders = frame.f_locals["self"]
            return None if orders._come else orders._fd  # what it has read, it has begun
        return None

    def ends_it():
        while (fd := waits()) is None:
            pass
        held = ctypes.PyDLL(None)  # the lock of the interpreter: nobody reads what comes now
        held.poll(ctypes.byref(Poll(fd, 1, 0)), 1, 30_000)
        os._exit(9)

    if trial % 2:
        threading.Thread(target=ends_it, daemon=True).start()
    return x


def test_f31_who_ends_a_process_between_two_trials_fails_neither(lagom):
    """F31: not even if the next one's order is on its way."""
    result = lagom(leaves_a_thread_that_ends_it, num_trials=8)
    assert [(trial.status, trial.attempt) for trial in result.trials] == [("completed", 1)] * len(result.trials)


def leaves_a_process(x, trial, folder):
    import subprocess
    from pathlib import Path

    before = [int(file.read_text()) for file in Path(folder).glob("pid-*")]
    commands = [Path(f"/proc/{pid}/cmdline") for pid in before]
    if trial % 10 == 5:
        left = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(folder, f"pid-{trial}").write_text(str(left.pid))
    return float(sum(command.exists() and bool(command.read_bytes()) for command in commands))


def test_f31_what_a_short_trial_has_started_ends_before_the_next_begins(lagom, tmp_path):
    """F31: though that waits in the same process's queue."""
    result = lagom(leaves_a_process, num_trials=100, optimizer="random")
    assert [trial.value for trial in result.trials] == [0.0] * 100
    assert len(pids(tmp_path)) == 10


def test_a_trial_can_have_a_process_of_its_own(lagom):
    """isolation='trial': nothing that one trial changes is there in the next."""

    def changes(x, folder):
        import sys

        changed = hasattr(sys, "changed")
        sys.changed = True
        return {"metric": x, "changed": changed}

    kept = [trial.metrics["changed"] for trial in lagom(changes).trials]
    fresh = [trial.metrics["changed"] for trial in lagom(changes, isolation="trial").trials]
    assert (kept, fresh) == ([0, 1], [0, 0])


def messes(x, trial, folder):
    import os
    import sys
    from pathlib import Path

    seen = float(os.environ.get("MESS") == "yes" or Path.cwd() == Path("/") or sys.stdout is None or not sys.path)
    os.environ["MESS"] = "yes"
    os.chdir("/")
    sys.stdout = None
    sys.path.clear()
    return seen


def test_f32_what_a_trial_changes_is_put_back(lagom):
    """F32: environment, working directory, module path and streams are the next trial's as they were."""
    assert [trial.value for trial in lagom(messes).trials] == [0.0, 0.0]


def comes_back_as_a_fork(x, trial, folder):
    import os

    if (child := os.fork()) == 0:
        return -1.0
    os.waitpid(child, 0)  # so it comes back first
    return float(trial)


def test_f31_a_fork_that_comes_back_answers_for_nobody(lagom):
    """Only the trial's own process has an outcome."""
    assert [trial.value for trial in lagom(comes_back_as_a_fork, num_trials=4).trials] == [1.0, 2.0, 3.0, 4.0]


def reports_for_ever(x, trial, reporter, folder):
    import threading

    def report():
        while True:
            reporter.broadcast(float(trial))

    threading.Thread(target=report, daemon=True).start()
    sum(range(20_000))
    return x


def test_a_thread_that_outlives_its_trial_reports_for_nobody(lagom):
    """No trial hangs, and no curve holds another's points."""
    for trial in lagom(reports_for_ever, num_trials=60).trials:
        assert set(trial.curve.values) <= {float(trial.id)}


def test_f31_a_slot_whose_agent_is_killed_leaves_nothing(lagom, tmp_path):
    """F1, F31: the trial's process dies with its agent, and the trial runs again."""

    def kills_its_agent(x, folder):
        import os
        import signal
        from pathlib import Path

        first = not list(Path(folder).glob("pid-*"))
        Path(folder, f"pid-{os.getpid()}").write_text(str(os.getpid()))
        if first:
            os.kill(agent(), signal.SIGKILL)
            signal.pause()
        return x

    first, _ = lagom(kills_its_agent).trials
    assert (first.status, first.attempt) == ("completed", 2)
    assert not any(map(alive, pids(tmp_path)))


def test_f31_what_a_trial_has_started_dies_with_its_agent(lagom, tmp_path):
    """F31: no agent is left to end it, so the trial's process does."""

    def starts_and_kills_its_agent(x, folder):
        import os
        import signal
        import subprocess
        from pathlib import Path

        if not list(Path(folder).glob("pid-*")):
            started = subprocess.Popen(["sleep", "600"], start_new_session=True)
            Path(folder, f"pid-{started.pid}").write_text(str(started.pid))
            os.kill(agent(), signal.SIGKILL)
            signal.pause()
        return x

    first, _ = lagom(starts_and_kills_its_agent).trials
    assert (first.status, first.attempt) == ("completed", 2)
    assert len(pids(tmp_path)) == 1
    assert not any(map(alive, pids(tmp_path)))


def litters_and_holds_the_lock(x, trial, folder):
    import ctypes
    import os
    import signal
    from pathlib import Path

    if trial == 1 and not pids(folder):
        litters(x, trial, folder)
        Path(folder, "pid-itself").write_text(str(os.getpid()))
        sleep = ctypes.PyDLL(None).sleep  # which keeps the interpreter's lock
        os.kill(agent(), signal.SIGKILL)
        sleep(60)
    return x


def test_f31_code_in_c_dies_with_its_agent_and_so_do_its_daemons(lagom, tmp_path):
    """F31: no thread of the trial's could run any more, and a daemon is below none of its processes."""
    first, _ = lagom(litters_and_holds_the_lock).trials
    assert (first.status, first.attempt) == ("completed", 2)
    assert len(pids(tmp_path)) == 4
    until_gone(pids(tmp_path), 5)


def has_its_machine_taken_away(x, trial, reporter, folder):
    import os
    import signal
    from pathlib import Path

    count = len(list(Path(folder).glob(f"try-{trial}-*")))
    Path(folder, f"try-{trial}-{count}").touch()
    if trial == 1 and count < 4:
        reporter.broadcast(x, step=count)
        Path(folder, f"pid-{count}").write_text(str(os.getpid()))
        os.kill(agent(), signal.SIGTERM)
        if count % 2:
            os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    return x


def test_f15_a_machine_that_is_taken_away_is_not_its_trials_fault(lagom, tmp_path):
    """F15: SIGTERM for the agent, or for all its processes: its trial runs again, as often as need be, uncounted."""
    first, second = lagom(has_its_machine_taken_away, max_lost=1).trials
    assert (first.status, first.attempt, first.lost) == ("completed", 5, 0)
    assert (second.status, second.attempt) == ("completed", 1)
    assert not any(map(alive, pids(tmp_path)))


def leaves_its_session(x, trial, folder):
    import ctypes
    import os

    if trial == 1:
        os.setsid()
        Path(folder, "pid-itself").write_text(str(os.getpid()))
        ctypes.PyDLL(None).sleep(60)
    return x


def test_f25_who_leaves_its_session_is_ended_all_the_same(lagom, tmp_path):
    """F25: no signal to a process group reaches it; in the end it is below the agent."""
    first, second = lagom(leaves_its_session, trial_timeout=1.0).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert not any(map(alive, pids(tmp_path)))


def test_the_test_itself_sees_living_processes():
    """Otherwise the tests above could not fail."""
    assert alive(os.getpid())


def dies_and_leaves_a_fork(x, trial, folder):
    import ctypes
    import os
    import time

    if trial == 1:
        if os.fork() == 0:
            time.sleep(60)
        ctypes.string_at(0)
    return x


def test_f31_a_death_shows_while_a_fork_lives(lagom):
    """F31: a forked child holds the pipes of its dead parent open; the failure is seen at once all the same."""
    began = time.monotonic()
    first, second = lagom(dies_and_leaves_a_fork).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert "SIGSEGV" in first.error
    assert time.monotonic() - began < 10


def reports_from_threads(x, reporter, folder):
    import contextlib
    from concurrent.futures import ThreadPoolExecutor

    def report(number):
        with contextlib.suppress(ValueError):  # steps have to rise, and threads do not queue up
            reporter.report(step=number, **{f"metric{each}": float(each) for each in range(200)}, metric=x)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(report, range(300)))
    return x


def test_threads_may_report(lagom):
    """Large reports from several threads do not get into one another's way."""
    first, second = lagom(reports_from_threads, metric="metric").trials
    assert (first.status, second.status, first.attempt) == ("completed", "completed", 1)
    assert len(first.curve) > 10


def scribbles(x, trial, folder, text):
    import os

    if trial == 1:
        for descriptor in range(3, 30):
            try:
                os.write(descriptor, text)
            except OSError:
                continue
    return x


@pytest.mark.parametrize("text", [b"\xff" * 100, framed(b'["finished",[]]')])
def test_who_writes_into_maggys_pipes_has_failed(lagom, tmp_path, text):
    """Garbage where facts are expected fails the trial, not the executor."""
    first, second = lagom(scribbles, train_args={"folder": str(tmp_path), "text": text}).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert first.executor == second.executor
