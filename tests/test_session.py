"""Dialogues with an executor's session: say this, expect exactly these orders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maggy.errors import ProtocolError
from maggy.executor.orders import Hand, Kill, Leave, Signal, Start, Tell, Terminate
from maggy.executor.session import (
    ERROR_LIMIT,
    FLUSH_SECONDS,
    KILL_SECONDS,
    LOG_LIMIT,
    ORPHAN_SECONDS,
    START_SECONDS,
    Session,
)
from maggy.rpc.messages import (
    MAX_FRAME,
    Beat,
    Bye,
    Chunk,
    Fetch,
    Finished,
    Log,
    Notice,
    Piece,
    Reports,
    Run,
    Saved,
    Stop,
    Welcome,
    encode,
)

WELCOME = Welcome(beat=1.0, lease=10.0, grace=5.0, metric=None, checkpoints="")
RUN = Run(1, 1, {"x": 1}, None, None)


def welcomed() -> Session:
    """Return a session that has joined at second 0."""
    session = Session(0.0)
    assert session.received(WELCOME, 0.0) == []
    return session


def running() -> Session:
    """Return a session that runs trial 1 at attempt 1 since second 0."""
    session = welcomed()
    assert session.received(RUN, 0.0) == [Start(RUN)]
    assert session.began(0.0) == []
    return session


def reports(*points: tuple[int, float]) -> Tell:
    return Tell(Reports(1, 1, [[step, {"metric": value}] for step, value in points]))


# -- reports -----------------------------------------------------------------------------------------------------------


def test_the_first_report_goes_at_once():
    """Nothing is waited for while nothing has just been sent."""
    assert running().reported(0, {"metric": 0.5}, 1.0) == [reports((0, 0.5))]


def test_reports_that_follow_at_once_travel_together():
    """They wait for FLUSH_SECONDS after the last message, and keep their order."""
    session = running()
    session.reported(0, {"metric": 0.0}, 1.0)
    assert session.reported(1, {"metric": 1.0}, 1.0) == []
    assert session.reported(2, {"metric": 2.0}, 1.0 + FLUSH_SECONDS / 2) == []
    assert session.deadline() == 1.0 + FLUSH_SECONDS
    assert session.tick(1.0 + FLUSH_SECONDS) == [reports((1, 1.0), (2, 2.0))]


def test_slow_reports_do_not_wait():
    """A report that comes FLUSH_SECONDS after the last one goes at once."""
    session = running()
    session.reported(0, {"metric": 0.0}, 1.0)
    assert session.reported(1, {"metric": 1.0}, 1.0 + FLUSH_SECONDS) == [reports((1, 1.0))]


def test_the_outcome_comes_behind_all_reports():
    """What still waited is told before the trial's end."""
    session = running()
    session.reported(0, {"metric": 0.0}, 1.0)
    session.reported(1, {"metric": 1.0}, 1.0)
    assert session.finished("completed", 1.0, {"metric": 1.0}, None, 1.0) == [
        reports((1, 1.0)),
        Tell(Finished(1, 1, "completed", 1.0, {"metric": 1.0}, None)),
    ]


@pytest.mark.parametrize("name", ["loss", "x" * 500, "\0" * 500])
@pytest.mark.parametrize("count", [1, 7, 50])
def test_a_burst_of_reports_fits_into_frames(name, count):
    """However much comes within FLUSH_SECONDS, no message is too large, and none is missing."""
    session = running()
    metrics = {f"{name}{number}": -1.2345678901234567e-300 for number in range(count)}
    told = [order for step in range(1000) for order in session.reported(step, metrics, 1.0)]
    told += session.tick(1.0 + FLUSH_SECONDS)
    assert [step for order in told for step, _ in order.message.points] == list(range(1000))
    assert max(len(encode(order.message)) for order in told) <= MAX_FRAME
    assert len(told) < 1000 or len(name) * count > 10_000, "they travel together"


def test_what_an_ended_trial_reports_is_nobodys():
    """A thread that outlives its trial neither speaks for the next one nor keeps the agent awake."""
    session = running()
    session.finished("completed", 1.0, {}, None, 1.0)
    assert session.reported(9, {"metric": 9.0}, 1.0) == []
    assert session.deadline() > 1.0 + FLUSH_SECONDS
    session.received(Run(2, 1, {}, None, None), 1.5)
    assert session.tick(1.5) == []


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_a_stop_is_passed_on():
    """The trial's process is told; what it makes of it is its outcome."""
    session = running()
    stop = Stop(1, 1, "too slow")
    assert session.received(stop, 1.0) == [Signal(stop)]
    assert session.finished("stopped", None, {}, None, 2.0) == [Tell(Finished(1, 1, "stopped", None, {}, None))]


def test_who_ignores_a_stop_is_ended_by_force_when_grace_ends():
    """Not before; first asked by SIGTERM, then killed; and it was stopped, not at fault."""
    session = running()
    session.received(Stop(1, 1, "too slow"), 1.0)
    assert Terminate() not in session.tick(5.9)
    assert session.tick(6.0) == [Terminate()]
    assert Kill() not in session.tick(6.0 + KILL_SECONDS - 0.1)
    assert Kill() in session.tick(6.0 + KILL_SECONDS)
    assert session.died("it was ended by SIGKILL", 8.1) == [Tell(Finished(1, 1, "stopped", None, {}, None))]


def limited(**limits) -> Session:
    """Return a session whose trial 1 runs under these limits since second 0."""
    session = Session(0.0)
    session.received(replace(WELCOME, **limits), 0.0)
    session.received(RUN, 0.0)
    session.began(0.0)
    return session


def test_a_trial_that_runs_too_long_fails():
    """Reports do not save it, and the cause is named."""
    session = limited(trial_timeout=30.0)
    session.reported(0, {"metric": 0.5}, 29.0)
    assert Terminate() not in session.tick(29.9)
    assert Terminate() in session.tick(30.0)
    (finished,) = session.died("it was ended by SIGTERM", 30.1)
    assert finished.message.status == "failed"
    assert "it ran for 30 s, its trial_timeout" in finished.message.error


def test_a_trial_that_reports_nothing_for_too_long_fails():
    """Each report gives it the same time again."""
    session = limited(report_timeout=10.0)
    session.reported(0, {"metric": 0.5}, 9.0)
    assert Terminate() not in session.tick(18.9)
    assert Terminate() in session.tick(19.0)
    (finished,) = session.died("it was ended by SIGTERM", 19.1)
    assert "it reported nothing for 10 s" in finished.message.error


@pytest.mark.parametrize("limits", [{"trial_timeout": 5.0}, {"report_timeout": 5.0}])
def test_f25_a_limit_counts_from_the_functions_first_line(limits):
    """However long its process takes to start, and to import what it needs."""
    session = Session(0.0)
    session.received(replace(WELCOME, **limits), 0.0)
    session.received(RUN, 0.0)
    assert Terminate() not in session.tick(100.0)
    session.began(100.0)
    assert Terminate() not in session.tick(104.9)
    assert Terminate() in session.tick(105.0)


def test_f25_a_process_that_has_to_be_started_anew_has_all_its_time():
    """For a warm one a trial would begin with the order; the agent finds it dead."""
    session = limited(trial_timeout=5.0)
    session.finished("completed", 0.5, {}, None, 1.0)
    session.cleared(1.0)
    session.received(replace(RUN, trial=2), 2.0)
    session.starting(2.0)
    assert Terminate() not in session.tick(100.0)
    session.began(100.0)
    assert Terminate() in session.tick(105.0)


@pytest.mark.parametrize("limits", [{}, {"trial_timeout": 9999.0}])
def test_f25_a_trial_that_never_begins_fails(limits):
    """With a limit of its own, and a word for it; what the trial prints meanwhile is no beginning."""
    session = Session(0.0)
    session.received(replace(WELCOME, **limits), 0.0)
    session.received(RUN, 1.0)
    session.printed("importing", 2.0)
    assert Terminate() not in session.tick(START_SECONDS + 0.9)
    assert Terminate() in session.tick(START_SECONDS + 1)
    (finished,) = session.died("it was ended by SIGTERM", START_SECONDS + 2)
    assert finished.message.status == "failed"
    assert f"its process did not begin it within {START_SECONDS:g} s" in finished.message.error


def test_a_trial_that_holds_too_much_memory_is_killed_at_once():
    """The limit itself is allowed; the error has both figures."""
    session = limited(memory_limit=2**20)
    assert session.measured(2**20) == []
    assert session.measured(3 * 2**20) == [Kill()]
    (finished,) = session.died("it was ended by SIGKILL", 1.0)
    assert "it held 3 MiB of memory, and memory_limit is 1 MiB" in finished.message.error


def test_limits_are_each_trials_own():
    """The next trial starts with its full time."""
    session = limited(trial_timeout=30.0)
    session.finished("completed", 0.5, {}, None, 20.0)
    session.cleared(20.0)
    session.received(replace(RUN, trial=2), 20.0)
    assert Terminate() not in session.tick(49.9)
    assert Terminate() in session.tick(50.0)


def test_grace_wakes_the_agent():
    """The end of grace is a deadline."""
    session = running()
    session.received(Stop(1, 1, "too slow"), 1.0)
    for second in range(1, 6):
        session.reported(second, {"metric": 0.0}, second + 0.9)
    assert session.deadline() == 6.0


@pytest.mark.parametrize("stale", [Stop(1, 2, "late"), Stop(2, 1, "late")])
def test_a_stale_stop_is_ignored(stale):
    """A stop for another trial or attempt has come too late."""
    session = running()
    assert session.received(stale, 1.0) == []
    assert Kill() not in session.tick(99.0)


def test_a_stop_does_not_outlive_its_trial():
    """The next trial has a clean slate: its process may die as a failure, and it is not killed."""
    session = running()
    session.received(Stop(1, 1, "too slow"), 1.0)
    session.finished("stopped", None, {}, None, 2.0)
    session.cleared(2.0)
    session.received(Run(2, 1, {}, None, None), 3.0)
    assert Kill() not in session.tick(9.0)
    (told,) = session.died("it was ended by SIGSEGV", 9.0)
    assert told.message.status == "failed"


# -- deaths ------------------------------------------------------------------------------------------------------------


def test_a_death_is_a_failure_with_cause_and_last_lines():
    """The error says how the process ended and what it printed last, of this trial only."""
    session = welcomed()
    session.printed("of the trial before\n", 0.0)
    session.received(RUN, 0.0)
    session.printed("first\n", 1.0)
    session.printed("".join(f"line {number}\n" for number in range(60)), 1.0)
    (told,) = session.died("it was ended by SIGSEGV", 2.0)
    lines = told.message.error.splitlines()
    assert lines[:3] == ["the trial's process died: it was ended by SIGSEGV", "The last that it printed:", "line 10"]
    assert lines[-1] == "line 59"
    assert told.message.status == "failed"


def test_a_death_within_grace_is_a_failure():
    """Dying of a stop is not heeding it."""
    session = running()
    session.received(Stop(1, 1, "too slow"), 1.0)
    (told,) = session.died("it exited with code 1", 2.0)
    assert told.message.error == "the trial's process died: it exited with code 1"


def test_a_process_that_dies_between_trials_is_nobodys_failure():
    """There is no trial to tell of."""
    session = running()
    session.finished("completed", 1.0, {}, None, 1.0)
    assert session.died("it exited with code 0", 2.0) == []


def test_a_long_traceback_keeps_its_head_and_tail():
    """The cause stands at the end, the place at the beginning."""
    (told,) = running().finished("failed", None, {}, "head" + "x" * 10 * ERROR_LIMIT + "tail", 1.0)
    error = told.message.error
    assert error.startswith("head")
    assert error.endswith("tail")
    assert len(error) < ERROR_LIMIT + 10


# -- going home --------------------------------------------------------------------------------------------------------


def test_bye_ends_what_runs():
    """The process is killed, and its end is nobody's business any more."""
    session = running()
    assert session.received(Bye("done"), 1.0) == [Kill(), Leave("done")]
    assert session.died("it was ended by SIGKILL", 1.0) == []


def test_an_idle_executor_just_leaves():
    """There is nothing to kill."""
    assert welcomed().received(Bye("done"), 1.0) == [Leave("done")]


def test_a_silent_driver_is_left():
    """Whatever TCP thinks, after so long it is gone."""
    session = Session(0.0)
    session.received(Beat(), 1.0)
    assert session.tick(ORPHAN_SECONDS) == []
    assert session.tick(ORPHAN_SECONDS + 1) == [Leave("the driver is silent")]


# -- output and beats --------------------------------------------------------------------------------------------------


def test_output_is_passed_on_up_to_a_limit():
    """Beyond it characters are counted, and the count comes before the outcome."""
    session = running()
    assert session.printed("hello\n", 1.0) == [Tell(Log(1, 1, "hello\n"))]
    session.printed("x" * LOG_LIMIT, 1.0)
    assert session.printed("too much", 1.0) == []
    assert session.finished("completed", 1.0, {}, None, 2.0) == [
        Tell(Log(1, 1, "", 8)),
        Tell(Finished(1, 1, "completed", 1.0, {}, None)),
    ]


@pytest.mark.parametrize("character", ["\0", "\x1b", "\U0001f600", "x"])
def test_output_fits_into_frames(character):
    """Even if every character has to be escaped, what a pipe holds makes no message that is too large."""
    text = character * 64 * 1024
    told = running().printed(text, 1.0)
    assert "".join(order.message.text for order in told) == text
    assert max(len(encode(order.message)) for order in told) <= MAX_FRAME


def test_a_beat_fills_silence_only():
    """Whoever has just said something need not say that it lives."""
    session = running()
    assert session.deadline() == 1.0
    session.reported(0, {"metric": 0.5}, 0.9)
    assert session.tick(1.0) == []
    assert session.tick(1.9) == [Tell(Beat())]
    assert session.deadline() == 2.9


def test_nobody_beats_before_being_welcomed():
    """An executor that has not been let in has no terms to keep."""
    assert Session(0.0).tick(30.0) == []


# -- checkpoints -------------------------------------------------------------------------------------------------------

NAME = "1/1-1.tar"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("Saved", {"checkpoint": NAME, "bytes": 3}, Saved(1, 1, NAME, 3)),
        ("Chunk", {"checkpoint": NAME, "offset": 0, "data": "AAAA"}, Chunk(1, 1, NAME, 0, "AAAA")),
        ("Fetch", {"checkpoint": "7/2-3.tar", "offset": 4}, Fetch(1, 1, "7/2-3.tar", 4)),
        ("Notice", {"text": "the disk is full"}, Notice(1, 1, "the disk is full")),
    ],
)
def test_what_a_trial_says_of_its_checkpoints_is_passed_on(kind, body, message):
    """In its name and at its attempt, and behind all that it has reported."""
    session = running()
    session.reported(0, {"metric": 0.0}, 1.0)
    session.reported(1, {"metric": 1.0}, 1.0)
    assert session.kept(kind, body, 1.0) == [reports((1, 1.0)), Tell(message)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Finished", {"status": "completed", "value": 1.0, "metrics": {}, "error": None}),
        ("Saved", {"checkpoint": "2/1-1.tar", "bytes": 3}),
        ("Saved", ["checkpoint"]),
        ("Chunk", {"checkpoint": NAME, "offset": 0, "data": "A" * MAX_FRAME}),
        ("Nonsense", {}),
        (["Saved"], {}),
    ],
)
def test_a_trial_says_nothing_else(kind, body):
    """User code may write into the pipe what it likes: it is no message of the executor's."""
    with pytest.raises(ProtocolError):
        running().kept(kind, body, 1.0)


def test_an_ended_trial_has_no_checkpoints():
    """What a process says between two trials is nobody's, and no reason to end it."""
    assert welcomed().kept("Nonsense", {}, 1.0) == []


def test_saving_is_a_sign_of_life():
    """A trial that sends a large checkpoint has not fallen silent."""
    session = limited(report_timeout=5.0)
    session.kept("Saved", {"checkpoint": NAME, "bytes": 3}, 4.0)
    assert Terminate() not in session.tick(8.0)
    assert Terminate() in session.tick(9.0)


def test_who_waits_for_the_driver_has_not_fallen_silent():
    """A trial that restores, or whose pipe is full, has nothing to say until the driver answers, however long."""
    session = limited(report_timeout=5.0, trial_timeout=100.0)
    session.kept("Fetch", {"checkpoint": NAME, "offset": 0}, 1.0)
    for now in (5.0, 9.0, 13.0):
        assert Terminate() not in session.tick(now)
    session.received(Piece(1, 1, NAME, 0, "AAAA", True), 14.0)
    assert Terminate() not in session.tick(18.0)
    session.waiting(18.5)  # its pipe is full
    assert Terminate() not in session.tick(23.0)
    assert Terminate() in session.tick(24.0)
    assert Terminate() in limited(trial_timeout=10.0).tick(10.0)


def test_a_piece_is_handed_to_the_trial_that_asked():
    """And to no other attempt."""
    session = running()
    piece = Piece(1, 1, NAME, 0, "AAAA", True)
    assert session.received(piece, 1.0) == [Hand(piece)]
    assert session.received(replace(piece, attempt=2), 1.0) == []
    assert welcomed().received(piece, 1.0) == []
