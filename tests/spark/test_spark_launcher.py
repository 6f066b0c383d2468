"""Tests of the launchers' common part, and of what the Spark launcher makes of a failed job."""

import threading
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark import TaskContext
from waiting import until

import maggy.driver.spark as launching
from maggy.driver.launcher import HOPELESS, NO_DRIVER, Cancelled, Gone, SlotLauncher
from maggy.driver.roll import TAKEN
from maggy.driver.scheduler import REST
from maggy.driver.spark import SparkLauncher, brief, copied, patient
from maggy.errors import LauncherError
from maggy.version import REFUSED

FRAMES = "\n\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.x(PythonRunner.scala:1)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "An error occurred while calling z.\n: org.apache.spark.SparkException: Job aborted due to stage failure: "
            "Task 0 in stage 1.0 failed 1 times, most recent failure: Lost task 0.0 (TID 3): "
            'org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n  File "a.py", line 1\n'
            f"KeyError: 'x'\n{FRAMES}\n\nDriver stacktrace:\n\tat x.y(z)",
            "KeyError: 'x'",
        ),
        (
            "An error occurred\n: org.apache.spark.SparkException: Job aborted: Lost task 0.0: org.apache.spark."
            f"SparkException: Python worker exited unexpectedly (crashed){FRAMES}\nDriver stacktrace:\n\tat x",
            "Job aborted: Lost task 0.0: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)",
        ),
        (
            "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
            '  File "worker.py", line 4174, in invoke_udf\n    check(version)\n'
            "pyspark.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] 3.12 is not 3.11.\nPlease check PYSPARK_PYTHON.",
            "pyspark.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] 3.12 is not 3.11. Please check PYSPARK_PYTHON.",
        ),
        ("Job 3 cancelled part of cancelled job group", "Job 3 cancelled part of cancelled job group"),
    ],
)
def test_a_failed_job_is_told_in_a_line(text, expected):
    """Of the pages of stack traces the line remains that says why."""
    assert brief(text) == expected


class Scripted(SlotLauncher):
    """Executors that end as they are told, one after the other; the last word holds for ever."""

    def __init__(self, *ends):
        super().__init__()
        self._ends = list(ends)
        self.lives = 0
        self.hold = threading.Event()

    def _run(self, task, slot):
        self.lives += 1
        end = self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]
        if isinstance(end, str):
            return end
        if end is None:
            self.hold.wait(60)
            return "the study is over"
        raise end

    def _cancel(self):
        self.hold.set()


def ended(launcher):
    """Wait until the launcher's threads have ended."""
    for thread in launcher._threads:
        thread.join(20)
        assert not thread.is_alive()


def test_f12_a_slot_that_is_cancelled_four_times_is_given_up():
    """F12: three more times it is submitted; then who cancels seems to mean it, and is named as the cause."""
    launcher = Scripted(Cancelled("Job 1 cancelled"))
    launcher.start(iter, 2)
    ended(launcher)
    assert launcher.lives == 8
    assert launcher.failed() == "somebody else has cancelled it 4 times (Job 1 cancelled)"
    assert launcher.gone == ""


def test_f12_one_slot_given_up_is_not_all():
    """F12: while another slot is kept there is hope."""
    launcher = Scripted(*[Cancelled("Job 1 cancelled")] * 4, None)
    launcher.start(iter, 1)
    ended(launcher)
    kept = threading.Thread(target=launcher.hold.wait)
    kept.start()
    launcher._threads.append(kept)
    launcher._short_lives[1] = 0
    assert launcher.failed() is None
    launcher.finish(0)


def test_f12_the_driver_is_told_at_once_and_the_slot_does_not_wait():
    """F12: whoever ran in it is to blame for nothing; and however young executors died before, none is waited for."""
    taken = []
    launcher = Scripted(*[ValueError("no")] * 3, Cancelled("Job 1 cancelled"), None)
    launcher.pauses = []
    launcher._closing = SimpleNamespace(is_set=lambda: False, wait=launcher.pauses.append, set=lambda: None)
    launcher.start(iter, 1, lambda *slot: taken.append(slot))
    until(lambda: launcher.lives == 5)
    assert taken == [(0, "somebody else has cancelled it (Job 1 cancelled)")]
    assert launcher.pauses == [0.1, 0.2, 0.4]
    launcher._closing = threading.Event()
    launcher.finish(0)


def test_f14_a_slot_rests_until_it_is_wanted():
    """F14: its executor was sent home as there was nothing to give it; who rests is no sign of a lost cause."""
    launcher = Scripted(REST, REST, None)
    launcher.start(iter, 1)
    for lives in (1, 2):
        until(lambda lives=lives: launcher.lives == lives and launcher._wanted._waiters)
        assert launcher.failed() is None
        launcher.wanted()
    until(lambda: launcher.lives == 3)
    launcher.finish(0)
    assert launcher.crashes() == []


def test_f14_a_slot_that_rests_holds_nobody_up():
    """F14: at the end of the study its thread ends at once."""
    launcher = Scripted(REST)
    launcher.start(iter, 3)
    until(lambda: launcher.lives == 3 and len(launcher._wanted._waiters) == 3)
    launcher.finish(20)
    assert not any(thread.is_alive() for thread in launcher._threads)


def test_f10_nothing_is_tried_where_everything_is_gone():
    """F10, F46: the slot is not started again, and there is no crash to report."""
    launcher = Scripted(Gone("Spark has ended"))
    launcher.start(iter, 3)
    ended(launcher)
    assert launcher.lives == 3
    assert launcher.failed() == launcher.gone == "Spark has ended"
    assert launcher.crashes() == []


def test_f46_whatever_a_slots_thread_meets_is_a_crash():
    """F46: SystemExit as well as Exception; the slot is started again."""
    launcher = Scripted(SystemExit(3), ValueError("no"), None)
    launcher.start(iter, 1)
    until(lambda: launcher.lives == 3)
    assert launcher.crashes() == ["3", "no"]
    launcher.finish(0)


def test_f46_a_dead_thread_is_no_hope():
    """F46: a slot whose thread has died before it began counts as one that cannot be kept."""

    class Stillborn(Scripted):
        def _thread(self, target):
            return threading.Thread(target=lambda: None)

    launcher = Stillborn(None)
    launcher.start(iter, 2)
    ended(launcher)
    assert launcher.failed() == "nothing keeps them running"


def test_f02_executors_that_reached_the_driver_are_no_sign_of_despair():
    """F2: four short lives are hopeless, unless somebody was heard meanwhile."""
    launcher = Scripted(ValueError("no"))
    launcher.start(iter, 1)
    until(launcher.failed)
    assert launcher.lives >= HOPELESS
    launcher.heard()
    assert launcher.failed() is None
    launcher.finish(5)


@pytest.fixture
def launcher():
    """Give a Spark launcher over a session that is stopped, or is not."""
    process = SimpleNamespace(wait=lambda _: -9)
    return SparkLauncher(SimpleNamespace(_jsc=object(), _gateway=SimpleNamespace(proc=process)), "maggy-test")


def test_f10_a_broken_connection_to_the_jvm_is_its_end(launcher):
    """F10, F46: py4j's errors and refused connections are told as what has ended, not as what failed."""
    for error in (Py4JNetworkError("Answer from Java side is empty"), ConnectionRefusedError(111, "refused")):
        told = launcher._told(error)
        assert isinstance(told, Gone)
        assert str(told) == "Spark's driver process (the JVM) has ended with exit code -9"
    launcher._context._gateway.proc = None  # under spark-submit it is not ours to look at
    assert str(launcher._told(ConnectionRefusedError("refused"))).endswith("cannot be reached: refused")


def test_f11_a_stopped_session_is_told_as_such(launcher):
    """F11: whatever fails first when somebody stops the session."""
    for text in (
        "Job 3 cancelled because SparkContext was shut down",
        "Cannot call methods on a stopped SparkContext.",
    ):
        assert str(launcher._told(ValueError(text))) == "the Spark session was stopped"
    launcher._context._jsc = None
    assert isinstance(launcher._told(AttributeError("no parallelize")), Gone)


def test_other_errors_are_crashes(launcher):
    """What is none of these is started again."""
    told = launcher._told(ValueError("something else"))
    assert type(told) is LauncherError
    assert str(told) == "something else"


@pytest.mark.parametrize(("attempt", "lives"), [(0, 1), (1, 3)])
def test_f13_a_copy_that_cannot_join_does_not_return(monkeypatch, attempt, lives):
    """F13: the first attempt says that there is no driver; a copy tries again, for its word would kill the original."""
    monkeypatch.setattr(launching, "COPY_PAUSE", 0.01)
    monkeypatch.setattr(TaskContext, "get", lambda: SimpleNamespace(attemptNumber=lambda: attempt))
    ends = [f"{NO_DRIVER} at 127.0.0.1:1", f"{NO_DRIVER} at 127.0.0.1:1", "done"]
    tried = []

    def task(slots):
        tried.append(next(iter(slots)))
        yield ends[len(tried) - 1]

    assert list(patient(task)([7])) == [ends[lives - 1]]
    assert tried == [7] * lives


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize("end", [f"{NO_DRIVER} at 127.0.0.1:1", TAKEN])
def test_f13_where_there_are_copies_none_returns_before_its_time(monkeypatch, attempt, end):
    """F13: neither the original nor the copy, which may be at work while the other begins anew and is turned away."""
    monkeypatch.setattr(launching, "COPY_PAUSE", 0.01)
    monkeypatch.setattr(TaskContext, "get", lambda: SimpleNamespace(attemptNumber=lambda: attempt))
    ends = [end, end, "done"]
    assert list(patient(lambda slots: [ends.pop(0)], copied=True)([7])) == ["done"]
    ends = [TAKEN, "done"]
    assert list(patient(lambda slots: [ends.pop(0)])([7])) == [TAKEN]  # Spark has forgotten it


def test_f43_who_is_refused_says_so_at_once(monkeypatch):
    """F43: an original that is of no use has not been at work, so it has no copy either."""
    monkeypatch.setattr(TaskContext, "get", lambda: SimpleNamespace(attemptNumber=lambda: 0))
    assert list(patient(lambda slots: [f"{REFUSED}: no"], copied=True)([7])) == [f"{REFUSED}: no"]


@pytest.mark.parametrize(
    ("settings", "may"),
    [
        ({}, False),
        ({"spark.speculation": "true"}, False),
        ({"spark.speculation.task.duration.threshold": "1s"}, False),
        ({"spark.speculation": "True", "spark.speculation.task.duration.threshold": "1s"}, True),
    ],
)
def test_f13_spark_copies_a_lone_task_only_if_told_twice(settings, may):
    """F13: that there is nothing to compare it with is Spark's rule; a threshold is the exception."""
    assert copied(settings) is may


def test_f13_a_copy_does_not_wait_for_ever(monkeypatch):
    """F13: an attempt that is no copy but comes after a crash holds its slot for a while only."""
    monkeypatch.setattr(launching, "COPY_PAUSE", 0.01)
    monkeypatch.setattr(launching, "COPY_TRIES", 3)
    monkeypatch.setattr(TaskContext, "get", lambda: SimpleNamespace(attemptNumber=lambda: 1))
    tried = []
    assert list(patient(lambda slots: [tried.append(slots) or NO_DRIVER])([7])) == [NO_DRIVER]
    assert len(tried) == 4
