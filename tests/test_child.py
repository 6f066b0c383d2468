"""The trial's process: how it judges and tells, and the real one, over real pipes."""

import contextlib
import ctypes
import math
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from waiting import until

from maggy.errors import StopTrial
from maggy.executor.child import Orders, judged, told
from maggy.executor.process import Process, ending, stored
from maggy.jsonvalue import dumps
from maggy.trial import Objective

NOWHERE = {"root": "/nowhere", "marker": "", "limit": 0, "scratch": "/nowhere"}
PATIENCE = 30  # seconds that no test should need


# -- judging and telling ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "metric", "last", "value", "metrics"),
    [
        (0.5, None, {}, 0.5, {"metric": 0.5}),
        (0, "acc", {}, 0.0, {"acc": 0.0}),
        (np.float32(0.5), "acc", {}, 0.5, {"acc": 0.5}),
        (math.inf, None, {}, math.inf, {"metric": math.inf}),
        (0.5, None, {"acc": 0.25}, 0.5, {"acc": 0.5}),  # the only one that was reported is the one
        (0.5, None, {"metric": 0.25, "loss": 2.0}, 0.5, {"metric": 0.5, "loss": 2.0}),
        (0.5, "acc", {"loss": 2.0}, 0.5, {"loss": 2.0, "acc": 0.5}),
        (None, "acc", {}, None, {}),
        (None, "acc", {"acc": 0.25}, None, {"acc": 0.25}),
        ({"acc": 0.5}, None, {"loss": 2.0}, 0.5, {"acc": 0.5}),
        ({"loss": 2, "acc": 0.0}, "acc", {}, 0.0, {"loss": 2.0, "acc": 0.0}),
        ({"loss": 2, "metric": 0.5}, None, {}, 0.5, {"loss": 2.0, "metric": 0.5}),
        ({1: 0.5}, "1", {}, 0.5, {"1": 0.5}),
    ],
)
def test_what_is_returned_is_judged(returned, metric, last, value, metrics):
    """A number joins the metrics reported last, a dict is kept whole, None leaves it to the reports."""
    assert judged(returned, Objective(metric), last) == (value, metrics)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        ("high", TypeError, "metric 'acc' must be a number, but is 'high' of type str"),
        ([0.5], TypeError, "metric 'acc' must be a number, but is \\[0.5\\] of type list"),
        ((each for each in [1]), TypeError, "metric 'acc' must be a number, but is .* of type generator"),
        ({"acc": 0.5, "name": "x"}, TypeError, "metric 'name' must be a number, but is 'x' of type str"),
        ({"loss": 0.5}, ValueError, "the metric that is optimized, 'acc', is not among 'loss'"),
        ({}, ValueError, "'acc', is not among nothing"),
        ({str(key): 0 for key in range(5000)} | {"acc": 1}, ValueError, "5,001 metrics at once are too much"),
    ],
)
def test_what_is_no_result_is_refused(returned, error, message):
    """The error names the key and shows what was returned."""
    with pytest.raises(error, match=message):
        judged(returned, Objective("acc"), {})


def test_a_traceback_begins_with_the_users_code():
    """Frames of the child's own are cut from the top; the error and its cause stay."""

    def train():
        try:
            {}["lr"]
        except KeyError as cause:
            raise ValueError("no rate") from cause

    with pytest.raises(ValueError, match="no rate") as caught:
        train()
    text = told(caught.value)
    assert "KeyError: 'lr'" in text
    assert "The above exception was the direct cause" in text
    assert text.endswith("ValueError: no rate\n")


@pytest.mark.parametrize("code", [0, 3, "no data", None])
def test_an_exit_is_told_as_one(code):
    """A training function that exits is told so, with what it gave."""
    assert told(SystemExit(code)).startswith(f"train_fn called sys.exit({code!r})\n")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "it exited with code 0"),
        (137, "it exited with code 137"),
        (-signal.SIGKILL, "it was ended by SIGKILL"),
        (-signal.SIGSEGV, "it was ended by SIGSEGV"),
        (-(signal.SIGRTMIN + 1), "it was ended by signal 35"),
    ],
)
def test_an_exit_code_in_words(code, text):
    """Signals have their names."""
    assert ending(code) == text


# -- orders ----------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def framed(order):
    payload = dumps(order).encode()
    return len(payload).to_bytes(4, "big") + payload


def test_orders_come_in_pieces(pipe):
    """An order is whole wherever the pipe cuts it; who asks for stops leaves the next trial where it is."""
    orders = Orders(pipe[0])
    run, stop = {"trial": 2, "attempt": 1}, {"trial": 1, "attempt": 1}
    data = framed(["run", run]) + framed(["stop", stop])
    for cut in range(1, len(data)):
        os.write(pipe[1], data[:cut])
        first = orders.stops()
        os.write(pipe[1], data[cut:])
        assert [*first, *orders.stops()] == [stop]
        assert orders.next() == ("run", run)


def test_what_has_not_begun_is_withdrawn(pipe):
    """It is answered in its turn, so that the agent knows which trial is which; another attempt is another trial."""
    orders = Orders(pipe[0])
    runs = [{"trial": trial, "attempt": 2} for trial in (1, 2, 3)]
    for run in runs:
        os.write(pipe[1], framed(["run", run]))
    for stop in ({"trial": 2, "attempt": 2}, {"trial": 3, "attempt": 1}):
        os.write(pipe[1], framed(["stop", stop]))
    assert orders.stops() == [{"trial": 3, "attempt": 1}]
    assert [orders.next() for _ in runs] == [("run", runs[0]), ("withdrawn", None), ("run", runs[2])]


def test_what_is_withdrawn_later_is_not_begun(pipe):
    """Its order has been read with those before it, and no report of theirs has looked at the pipe since."""
    orders = Orders(pipe[0])
    runs = [{"trial": trial, "attempt": 1} for trial in (1, 2)]
    os.write(pipe[1], framed(["run", runs[0]]) + framed(["run", runs[1]]))
    assert orders.next() == ("run", runs[0])
    os.write(pipe[1], framed(["stop", runs[1]]))
    assert orders.next() == ("withdrawn", None)


def test_an_order_that_another_thread_has_read_is_found(pipe):
    """It reads between a look at what has come and the wait for more, and the pipe tells nobody of it any more."""

    class Raced(Orders):
        def _wait(self, milliseconds):
            if come:
                os.write(pipe[1], come.pop())
            self.stops()
            return super()._wait(milliseconds)

    come = [framed(["run", {}])]
    orders = Raced(pipe[0])
    end = threading.Timer(30.0, os.close, pipe[1:])
    end.start()
    assert orders.next() == ("run", {})
    end.cancel()


def test_nothing_waits_in_an_empty_pipe(pipe):
    """Looking for orders does not wait for any."""
    assert Orders(pipe[0]).stops() == []


def test_the_end_of_the_orders(pipe):
    """Orders that came before the pipe was closed are still taken, then there are none."""
    orders = Orders(pipe[0])
    os.write(pipe[1], framed(["run", {}]) * 2 + b"\x00\x00")
    os.close(pipe[1])
    assert orders.next() == ("run", {})
    assert orders.next() == ("run", {})
    assert orders.next() is None


# -- the real process ------------------------------------------------------------------------------


class Child:
    """A trial's process as its agent has it."""

    def __init__(self, pickled, path):
        self.function = stored(pickled)
        self.process = Process(self.function, path, "/nowhere")
        self.prints = b""
        self.began = self.ready = 0

    def run(self, trial=1, attempt=1, metric=None, **params):
        self.process.order("terms", {"metric": metric, "checkpoints": NOWHERE})
        body = {"trial": trial, "attempt": attempt, "params": params, "budget": 3, "parent": None, "restore": []}
        self.process.order("run", body)
        self.process.flush()

    def stop(self, trial=1, attempt=1):
        self.process.order("stop", {"trial": trial, "attempt": attempt, "reason": "below the median"})
        self.process.flush()

    def facts(self):
        """Yield what the process says until it closes its end; collect what it prints meanwhile."""
        poll = select.poll()
        poll.register(self.process.facts, select.POLLIN)
        poll.register(self.process.prints, select.POLLIN)
        while True:
            poll.register(self.process.orders, 0 if self.process.flush() else select.POLLOUT)
            ready = dict(poll.poll(PATIENCE * 1000))
            assert ready, "the process says nothing"
            if self.process.prints in ready and not self.read_prints():
                poll.unregister(self.process.prints)
            if self.process.facts in ready:
                facts = self.process.told()
                if facts is None:
                    return
                for kind, body in facts:
                    if kind == "here":
                        self.process.pid = body
                    elif kind == "began":
                        self.began += 1
                    elif kind == "ready":
                        self.ready += 1
                    elif kind == "finished":
                        outcome, clear = body
                        if not clear:
                            self.read_prints()
                            self.process.order("cleared")
                            self.process.flush()
                        yield [kind, outcome]
                    else:
                        yield [kind, body]

    def read_prints(self):
        while data := self.process.printed():
            self.prints += data
        return data is not None

    def outcome(self, **run):
        """Run a trial; return its reports and its outcome."""
        self.run(**run)
        reports = []
        for kind, body in self.facts():
            if kind == "finished":
                return reports, body
            reports.append(body)
        pytest.fail("the process has died: " + self.prints.decode())

    def error(self, **run):
        _, outcome = self.outcome(**run)
        assert (outcome["status"], outcome["value"], outcome["metrics"]) == ("failed", None, {})
        return outcome["error"]

    def death(self, **run):
        """Run a trial that kills its process; return what is said of it."""
        self.run(**run)
        for kind, _ in self.facts():
            assert kind != "finished"
        return self.process.wait()

    def close(self):
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(OSError):
            self.process.close()
        os.close(self.function)


@pytest.fixture
def start():
    """Return a function that starts a process for a training function."""
    children = []

    def start(train_fn, path=sys.path, pickled=None, **constants):
        children.append(Child(pickled or cloudpickle.dumps((train_fn, constants)), list(path)))
        return children[-1]

    yield start
    for child in children:
        child.close()


def test_a_trial_runs_and_reports(start):
    """Parameters, budget, number and constants come in; reports in order and the outcome go out."""

    def train(lr, budget, trial, data, reporter):
        for step in range(budget):
            reporter.broadcast(lr * step)
        return {"acc": lr, "trial": trial, "data": data}

    reports, outcome = start(train, data=5).outcome(trial=7, metric="acc", lr=0.5)
    assert reports == [[0, {"acc": 0.0}], [1, {"acc": 0.5}], [2, {"acc": 1.0}]]
    assert outcome == {
        "status": "completed",
        "value": 0.5,
        "metrics": {"acc": 0.5, "trial": 7.0, "data": 5.0},
        "error": None,
    }


def test_one_process_runs_trial_after_trial(start):
    """The process is warm: a second trial, even after a failure, runs where the first did."""

    def train(lr):
        return {"metric": 1 / lr, "pid": os.getpid()}

    child = start(train)
    assert child.outcome(lr=1)[1]["metrics"]["pid"] == child.process.pid
    assert "ZeroDivisionError" in child.error(lr=0)
    assert child.outcome(trial=2, lr=2)[1]["metrics"] == {"metric": 0.5, "pid": child.process.pid}
    assert child.began == 1  # a warm process begins at once


def test_f31_a_process_in_which_a_thread_goes_on_is_not_used_again(start):
    """F31: no thread can be ended but by itself, and the next trial should be alone; daemons may be a library's."""

    def train(daemon):
        threading.Thread(target=threading.Event().wait, name="busy", daemon=daemon).start()
        return 1

    child = start(train)
    assert child.outcome(daemon=True)[1]["status"] == "completed"
    assert child.outcome(daemon=False)[1]["status"] == "completed"
    assert list(child.facts()) == []  # it has ended
    assert child.prints == b"[maggy: it left a thread running (busy), so its process is not used again]\n"


def test_f31_threads_of_a_pool_that_wait_for_work_are_no_reason(start):
    """F31: a library that keeps a pool of threads would cost a process for each trial."""

    def train(busy):
        from concurrent.futures import ThreadPoolExecutor

        globals()["pool"] = pool = ThreadPoolExecutor(1)
        pool.submit(threading.Event().wait if busy else int)
        return 1

    child = start(train)
    assert child.outcome(busy=False)[1]["status"] == "completed"
    assert child.outcome(trial=2, busy=True)[1]["status"] == "completed"
    assert list(child.facts()) == []
    assert child.prints.startswith(b"[maggy: it left a thread running (ThreadPoolExecutor-1_0), so")


def test_f31_a_thread_that_ends_with_its_trial_is_no_reason(start):
    """F31: it has a moment for that."""

    def train():
        trial = threading.main_thread()
        inside = lambda frame: frame and (frame.f_code.co_name == "train" or inside(frame.f_back))  # noqa: E731

        def ends_soon():
            while inside(sys._current_frames()[trial.ident]):
                pass

        threading.Thread(target=ends_soon).start()
        return os.getpid()

    child = start(train)
    assert child.outcome()[1]["value"] == child.outcome(trial=2)[1]["value"]


def test_a_process_says_when_it_is_through_with_a_trial(start):
    """It waits for its agent's word where something is left; what ends it until then is nobody's fault."""
    child = start(lambda: subprocess.Popen(["sleep", "60"]) and None)  # a print may be gone by the time that it looks
    for trial in (1, 2):
        child.outcome(trial=trial)
    child.process.close()
    assert child.ready == 1


def test_f25_orders_wait_with_whom_gives_them(start):
    """F25: an agent that waited for a process that reads nothing would mind nobody's limits."""
    child = start(len)
    os.kill(child.process._popen.pid, signal.SIGSTOP)
    child.process.order("run", {"params": {"x": "x" * 2**20}})
    assert not child.process.flush()
    assert not child.process.flush()


def test_whether_a_process_was_idle_when_it_ended(start):
    """It was if it had not read the order for the next trial; in the midst of a trial it was not, nor at its start."""
    child = start(lambda waits: print("begun") or (waits and threading.Event().wait()))
    child.run(waits=False)
    assert not child.process.idle
    next(child.facts())
    assert not child.process.idle
    os.kill(child.process.pid, signal.SIGSTOP)
    child.run(trial=2, waits=True)
    assert child.process.idle
    os.kill(child.process.pid, signal.SIGCONT)
    until(lambda: child.read_prints() and child.prints.count(b"begun") == 2)
    child.run(trial=3, waits=True)
    assert not child.process.idle


def test_numbers_that_are_not_finite_travel(start):
    """NaN and infinities are reported and returned as they are."""

    def train(reporter):
        reporter.broadcast(math.nan)
        return -math.inf

    reports, outcome = start(train).outcome()
    assert repr(reports) == "[[0, {'metric': nan}]]"
    assert outcome["value"] == -math.inf


def test_a_stop_is_raised_at_the_next_report(start):
    """A trial that is asked to stop does so when it reports, through its own `except Exception`."""

    def train(reporter):
        while True:
            with contextlib.suppress(Exception):
                reporter.broadcast(0.5)

    child = start(train)
    child.run()
    facts = child.facts()
    assert next(facts)[0] == "report"
    child.stop()
    assert next(body for kind, body in facts if kind == "finished")["status"] == "stopped"


def test_a_stop_that_comes_before_the_trial_begins_is_answered(start):
    """The process is still coming up, or waits for its agent, and the driver for an outcome."""
    child = start(waiting())
    child.run()
    child.stop()
    assert next(child.facts())[1]["status"] == "stopped"


def test_a_stop_of_another_attempt_is_ignored(start):
    """What was meant for another trial, or for a lost attempt, stops nobody."""

    def train(reporter):
        for _ in range(3):
            reporter.broadcast(0.5)

    child = start(train)
    child.stop(trial=1, attempt=1)  # too late for what ran before
    child.run(attempt=2)
    child.stop(trial=1, attempt=1)
    child.stop(trial=2, attempt=2)
    assert next(body for kind, body in child.facts() if kind == "finished")["status"] == "completed"


def test_a_function_may_stop_itself(start):
    """Raising StopTrial ends a trial as stopped."""

    def train():
        raise StopTrial("enough")

    assert start(train).outcome()[1] == {"status": "stopped", "value": None, "metrics": {}, "error": None}


def test_what_was_reported_last_stays(start):
    """A trial that is stopped, or fails, keeps the metrics of its last report."""

    def train(error, reporter):
        reporter.report(step=1, loss=2, acc=0.25)
        reporter.report(step=2, loss=1, acc=0.5)
        raise StopTrial if error is None else RuntimeError(error)

    child = start(train)
    for error in (None, "no data"):
        outcome = child.outcome(metric="acc", error=error)[1]
        assert (outcome["value"], outcome["metrics"]) == (None, {"loss": 1.0, "acc": 0.5})


def test_whatever_is_raised_fails_the_trial_only(start):
    """Errors, exits, interrupts and every BaseException are one trial's end, and the process goes on."""

    class Private(BaseException):
        pass

    raised = [
        ValueError("no data"),
        MemoryError(),
        KeyboardInterrupt(),
        GeneratorExit(),
        SystemExit(0),
        SystemExit("x"),
        Private("mine"),
        ValueError("no file '\udcff'"),
    ]

    def train(which):
        raise raised[which]

    child = start(train)
    for which, error in enumerate(raised):
        text = child.error(which=which)
        assert type(error).__name__ in text
        assert "raise raised[which]" in text or "test_child.py" in text
        assert str(error) in text


def test_a_traceback_shows_the_users_line_and_none_of_ours(start):
    """What is told begins in the user's function."""

    def train(lr):
        return 1 / lr

    text = start(train).error(lr=0)
    assert "in train" in text
    assert "maggy" not in text.replace(os.fspath(__file__), "")


def test_a_bad_result_is_named(start):
    """What is returned and is no number fails the trial with a sentence."""

    def train():
        return "high"

    assert "TypeError: metric 'acc' must be a number, but is 'high' of type str" in start(train).error(metric="acc")


def test_prints_come_out(start):
    """Everything printed comes to the agent before the outcome: print, stderr, and what C code would write."""

    def train():
        print("to stdout", end="")
        print("to stderr", file=sys.stderr)
        os.write(1, b"to the descriptor \xff\n")
        subprocess.run(["echo", "from a child"], check=True)
        print("half a pair: \udcff", end="")

    child = start(train)
    child.outcome()
    for text in (b"to stdout", b"to stderr\n", b"to the descriptor \xff\n", b"from a child\n", b"half a pair: "):
        assert text in child.prints


def test_a_function_that_closes_stdout_has_its_result(start):
    """What user code does to the standard streams does not lose its outcome."""

    def train(how):
        if how == "close":
            sys.stdout.close()
        else:
            sys.stdout = sys.stderr = None
        return 0.5

    child = start(train)
    assert child.outcome(how="close")[1]["value"] == 0.5
    assert child.outcome(how="replace")[1]["value"] == 0.5


def test_a_missing_module_is_named(start, monkeypatch):
    """A function whose module is not here fails each of its trials with the remedy."""
    module = types.ModuleType("only_on_the_driver")
    exec("def train(): return 1.0", module.__dict__)  # noqa: S102 - a module that is no file
    monkeypatch.setitem(sys.modules, "only_on_the_driver", module)
    pickled = pickle.dumps((module.train, {}))
    child = start(None, pickled=pickled)
    for _ in range(2):
        assert (
            "the training function needs the module 'only_on_the_driver', which this executor cannot import: "
            "install it there, or ship your own modules with sc.addPyFile(…)"
        ) in child.error()
    assert child.began == 0


def test_modules_are_found_where_the_agent_finds_them(start, tmp_path):
    """The process searches the path that it is given, and no other."""
    (tmp_path / "beside.py").write_text("def train():\n    return 0.25\n")
    pickled = b"(cbeside\ntrain\n(dt."  # what pickle makes of a function: its module and name
    assert start(None, [*sys.path, str(tmp_path)], pickled).outcome()[1]["value"] == 0.25
    assert "the module 'beside'" in start(None, sys.path, pickled).error()


def test_large_orders_and_reports_pass_the_pipes(start):
    """What is larger than a pipe's buffer arrives whole, both ways."""

    def train(text, reporter):
        for step in range(2000):
            reporter.report(step=step, **{"x" * 200: len(text)})

    reports, outcome = start(train).outcome(text="ü" * 200_000)
    assert len(reports) == 2000
    assert reports[-1] == [1999, {"x" * 200: 200_000.0}]
    assert outcome["status"] == "completed"


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("exit", "it exited with code 3"),
        ("kill", "it was ended by SIGKILL"),
        ("segfault", "it was ended by SIGSEGV"),
        ("abort", "it was ended by SIGABRT"),
    ],
)
def test_a_crash_is_seen_and_told(start, how, text):
    """A process that dies closes its pipe; how it ended is told in words, and a crash in C leaves its trace."""

    def train(how, reporter):
        reporter.broadcast(0.5)
        match how:
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                ctypes.string_at(0)
            case "abort":
                os.abort()

    child = start(train)
    assert child.death(how=how) == text
    if how in ("segfault", "abort"):
        assert b"Fatal Python error" in child.prints


def waiting():
    """Return a function that trains for ever; by value, so that the process need not import this module."""

    def train(reporter):
        reporter.broadcast(0.5)
        while True:
            signal.pause()

    return train


def test_the_process_dies_with_its_agent(start):
    """When the agent's end of the pipe closes, whatever the trial is doing, the process goes."""
    child = start(waiting())
    child.run()
    assert next(child.facts())[0] == "report"
    os.close(child.process._life)
    assert child.process._popen.wait(PATIENCE) == -signal.SIGKILL  # with all of its process group
    child.process._life = os.open(os.devnull, os.O_RDONLY)


def test_an_idle_process_goes_when_there_are_no_more_orders(start):
    """A process whose orders end exits in peace."""
    child = start(waiting())
    os.close(child.process.orders)
    assert child.process._popen.wait(PATIENCE) == 0
    child.process.orders = os.open(os.devnull, os.O_RDONLY)


def test_killing_takes_the_whole_group(start):
    """What the trial has started goes with it, and the ending says by what."""

    def train(reporter):
        with subprocess.Popen(["sleep", "600"]) as sleeper:
            reporter.broadcast(sleeper.pid)

    child = start(train)
    child.run()
    _, metrics = next(child.facts())[1]
    sleeper = os.pidfd_open(int(metrics["metric"]))
    assert child.process.kill() == "it was ended by SIGKILL"
    assert select.select([sleeper], [], [], PATIENCE)[0]
    os.close(sleeper)


def test_an_order_to_a_dead_process_is_no_error(start):
    """The agent may not know yet; it will see the closed pipe."""

    def train():
        os._exit(0)

    child = start(train)
    child.run()
    child.process._popen.wait(PATIENCE)
    child.stop()
    assert list(child.facts()) == []


def test_the_process_holds_no_descriptor_of_its_agent(start, tmp_path):
    """A socket of the agent's would stay open in there and hide the agent's death."""
    marker = (tmp_path / "marker").open("w")
    os.set_inheritable(marker.fileno(), True)

    def train(marker):
        return marker in [os.path.realpath(end) for end in Path("/proc/self/fd").iterdir()]

    assert start(train).outcome(marker=marker.name)[1]["value"] == 0.0
    marker.close()
