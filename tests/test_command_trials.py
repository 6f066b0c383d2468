"""Trials that are programs, end to end, with executors that are processes of this machine."""

import re
import sys
from contextlib import closing
from pathlib import Path

import pytest
from waiting import until_gone

from maggy import Asha, Categorical, Command, Float, Searchspace, Threshold, experiment
from maggy.errors import ConfigError
from maggy.events import Lost, Started
from maggy.store import open_store

SPACE = Searchspace(x=Float(0, 1))
REPORT = "echo METRICS: loss=%(x)f"


@pytest.fixture
def lagom(tmp_path):
    """Run a study of one trial, quietly."""

    def run(script, searchspace=SPACE, *, files=(), env=None, preamble="set -ex\n", keepalive=None, **options):
        command = Command(script, files=files, env=env or {}, preamble=preamble, keepalive=keepalive)
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "metric": "loss", "direction": "min"}
        how = {"launcher": "local", "num_executors": 1, "num_trials": 1, "seed": 1, "quiet": True, "earlystop": None}
        return experiment.lagom(command, searchspace, **places | how | options)

    return run


def log(result, trial=1):
    return Path(result.log_dir, str(trial), "output.log").read_text()


def events(tmp_path, kind):
    with closing(open_store(tmp_path / "maggy.db", existing=True)) as store:
        return [event for event in store.read(store.studies()[0].name) if isinstance(event, kind)]


def test_d3_metrics_lines_are_reports(lagom):
    """In order, and the last value of each is the trial's; a line that is no report fails nothing."""
    result = lagom("for i in 3 2 1; do echo METRICS: loss=$i,i=$i; done\necho METRICS: bad\necho METRICS: extra=7")
    [trial] = result.trials
    assert (trial.status, trial.value) == ("completed", 1.0)
    assert trial.metrics == {"loss": 1.0, "i": 1.0, "extra": 7.0}
    assert trial.curve.points() == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert "METRICS: bad\nmaggy: the line above is no report" in log(result)
    assert "\nMETRICS: loss" not in log(result)


def test_d21_the_log_has_everything_else(lagom):
    """Who ran it when and where, the shell's trace, and both of the program's streams in order."""
    result = lagom(f"echo out; echo err >&2; echo again; printf '1%%%%\\r2%%%%\\r'; {REPORT}; printf end")
    lines = log(result).splitlines()
    assert re.fullmatch(r"maggy: started run \(try 1\) at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} on \S+", lines[0])
    assert [line for line in lines[1:] if not line.startswith("+")] == ["out", "err", "again", "end"]
    assert "+ echo out" in lines


def test_a_program_prints_line_by_line(lagom):
    """It has a terminal, so what it prints does not wait for a full buffer: here for its own death by force."""
    result = lagom(
        f"{sys.executable} -c \"import os; print('METRICS: loss=1'); print('seen'); os.kill(os.getpid(), 9)\""
    )
    [trial] = result.trials
    assert trial.status == "failed"
    assert trial.curve.points() == [(0, 1.0)]
    assert "the program failed: it was ended by SIGKILL" in trial.error
    assert "seen" in trial.error


def test_d13_an_exit_code_fails_the_trial_with_its_last_lines(lagom):
    """It is not run again."""
    result = lagom(f"{REPORT}; echo the reason; exit 3")
    [trial] = result.trials
    assert (trial.status, trial.attempt) == ("failed", 1)
    assert trial.error.splitlines()[0] == "RuntimeError: The last that the program printed:"
    assert trial.error.splitlines()[-1] == "the program failed: it exited with code 3 (the reason)"
    assert "Traceback" not in trial.error


def test_a_program_without_metrics_has_failed(lagom):
    """The error says what was missing."""
    [trial] = lagom("echo nothing to say; : %(x)f").trials
    assert trial.status == "failed"
    assert "the program printed no line METRICS: loss=…" in trial.error


def test_d16_the_workspace_is_fresh_and_has_the_files(lagom, tmp_path):
    """They come by their last names; what a trial leaves there the next does not see, nor does anybody."""
    tool = tmp_path / "somewhere" / "tool"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\nls | tr '\\n' ' '; pwd; touch left; {REPORT.replace('%(x)f', '1')}\n")
    tool.chmod(0o755)
    data = tmp_path / "data.txt"
    data.write_text("what is shipped\n")
    result = lagom(": %(x)f; cat data.txt; ./tool", files=[tool, data], num_trials=2)
    assert [trial.status for trial in result.trials] == ["completed"] * 2
    for trial in (1, 2):
        text = log(result, trial)
        assert "what is shipped\n" in text
        [folder] = re.findall(r"^data.txt tool (/.*)$", text, re.MULTILINE)
        assert not Path(folder).exists()


def test_the_environment_tells_what_a_program_may_want_to_know(lagom):
    """Values as JSON, who it is, and where it may keep things; the user's own variables win."""
    result = lagom(f"{REPORT}; env; touch $MAGGY_CHECKPOINT_DIR/kept", env={"MINE": "a b", "TERM": "xterm"})
    told = dict(line.split("=", 1) for line in log(result).splitlines() if re.match(r"\w+=", line))
    wanted = {"MAGGY_TRIAL": "1", "MAGGY_ATTEMPT": "1", "DIVINER": "1", "MINE": "a b", "TERM": "xterm"}
    assert wanted.items() <= told.items()
    assert told["MAGGY_PARAMS"] == f'{{"x":{result.trials[0].params["x"]!r}}}'
    assert "MAGGY_BUDGET" not in told
    assert Path(told["MAGGY_CHECKPOINT_DIR"], "kept").exists()


def test_text_that_is_quoted_stays_one_word(lagom, tmp_path):
    """Whatever is in it."""
    nasty = f"a b'c\"; touch {tmp_path}/harm; $(touch {tmp_path}/harm)\n%%"
    space = Searchspace(name=Categorical([nasty]))
    result = lagom("printf '<%%s>\\n' %(name!q)s; echo METRICS: loss=1", space, preamble="set -e\n")
    assert f"<{nasty}>\n" in log(result)
    assert not (tmp_path / "harm").exists()


def test_d13_a_program_that_does_not_keep_itself_alive_is_started_again(lagom, tmp_path):
    """Five times, each with its own header; then the trial has failed."""
    result = lagom(f"{REPORT}; echo 'DIVINER: keepalive=1ms'; sleep 60")
    [trial] = result.trials
    assert (trial.status, trial.attempt) == ("failed", 6)
    assert "no sign of life for 0.001 s, its keepalive, and this was try 6" in trial.error
    assert re.findall(r"^maggy: started run \(try (\d)\)", log(result), re.MULTILINE) == list("123456")
    lost = events(tmp_path, Lost)
    assert [(event.attempt, event.counts) for event in lost] == [(attempt, False) for attempt in range(1, 6)]
    assert "keepalive" in lost[0].cause
    assert len(trial.curve) == 1


def test_d13_a_program_that_does_is_not(lagom):
    """Each directive sets the time anew; a report is a sign of life as well."""
    script = "for i in 1 2 3 4; do echo MAGGY: keepalive=2s; sleep 0.7; done; " + REPORT
    [trial] = lagom(script, keepalive=30).trials
    assert (trial.status, trial.attempt) == ("completed", 1)


def test_keepalive_counts_from_the_start(lagom):
    """Where the command has one; 0 turns it off."""
    assert lagom(f"sleep 60; {REPORT}", keepalive=0.05).trials[0].attempt == 6
    [trial] = lagom(f"echo MAGGY: keepalive=0; sleep 1; {REPORT}", keepalive=0.9, name="off").trials
    assert (trial.status, trial.attempt) == ("completed", 1)


STUBBORN = """
trap 'echo heard it; echo METRICS: loss=5' TERM
echo METRICS: loss=1
for i in $(seq 600); do sleep 0.1; done
echo : %(x)f
"""


def test_a_stop_is_a_sigterm_that_may_be_heeded(lagom):
    """The rule's stop reaches the program, whose last words are in the log and count no more."""
    result = lagom(
        "trap 'echo bye; exit 0' TERM\n: %(x)f; echo METRICS: loss=1; while :; do sleep 0.05; done",
        earlystop=Threshold(upper=0.5),
    )
    [trial] = result.trials
    assert trial.status == "stopped"
    assert "bye" in log(result)
    assert trial.duration < 4


def test_a_program_that_ignores_it_is_killed(lagom):
    """After a while, with all that it has started."""
    result = lagom(STUBBORN, earlystop=Threshold(upper=0.5), preamble="")
    [trial] = result.trials
    assert trial.status == "stopped"
    assert "heard it" in log(result)
    assert 3 < trial.duration < 15


def test_a_program_that_reports_nothing_hears_of_the_end(lagom):
    """Here of the study's timeout."""
    result = lagom("trap 'echo bye; exit 0' TERM\n: %(x)f; while :; do sleep 0.05; done", timeout=1.0)
    [trial] = result.trials
    assert (trial.status, trial.stop_reason) == ("stopped", "timeout")
    assert "bye" in log(result)


def test_limits_hold_for_programs(lagom):
    """A trial that takes too long is asked to end, and its error says why."""
    result = lagom("trap 'echo bye; exit 0' TERM\n: %(x)f; while :; do sleep 0.05; done", trial_timeout=0.7)
    [trial] = result.trials
    assert trial.status == "failed"
    assert "it ran for 0.7 s, its trial_timeout" in trial.error
    assert "bye" in trial.error.splitlines()


def test_memory_is_that_of_the_program(lagom):
    """And of all that it has started."""
    hog = f"{sys.executable} -c 'import time; held = bytearray(300_000_000); time.sleep(60)'"
    [trial] = lagom(f": %(x)f; {hog}", memory_limit="200MB").trials
    assert trial.status == "failed"
    assert "memory_limit is 200 MiB" in trial.error


def test_f31_nothing_that_a_program_started_outlives_it(lagom):
    """In its process group or out of it."""
    script = f"sleep 600 & echo pid $!; setsid sleep 600 & echo pid $!; {REPORT}"
    result = lagom(script)
    assert result.trials[0].status == "completed"
    until_gone(map(int, re.findall(r"^pid (\d+)", log(result), re.MULTILINE)))


def test_asha_gives_programs_budgets(lagom):
    """Promoted trials train for more, and find what their parents have kept."""
    script = (
        "parent=$MAGGY_PARENT_CHECKPOINT_DIR; from=1\n"
        'if [ -n "$parent" ]; then from=$(($(cat $parent/done) + 1)); fi\n'
        "for i in $(seq $from %(budget)d); do echo METRICS: epoch=$i,loss=%(x)f; done\n"
        "echo %(budget)d > $MAGGY_CHECKPOINT_DIR/done"
    )
    asha = Asha(reduction_factor=2, resource_min=1, resource_max=4)
    result = lagom(script, optimizer=asha, num_trials=6, num_executors=2)
    assert {trial.status for trial in result.trials} == {"completed"}
    promoted = [trial for trial in result.trials if trial.parent is not None]
    assert {trial.budget for trial in promoted} == {2, 4}
    for trial in promoted:
        parent = next(each for each in result.trials if each.id == trial.parent)
        steps = [step for step, _ in trial.curve.points()]
        assert steps == list(range(int(parent.budget) + 1, int(trial.budget) + 1))


def test_a_study_of_commands_is_resumed_from_its_log(lagom, tmp_path):
    """Nobody has to pass the command again."""
    first = lagom(REPORT, num_trials=2)
    result = experiment.resume(
        first.name, store=tmp_path / "maggy.db", launcher="local", num_executors=1, num_trials=4, quiet=True
    )
    assert [trial.status for trial in result.trials] == ["completed"] * 4
    assert [trial.value for trial in result.trials] == [round(trial.params["x"], 6) for trial in result.trials]


def test_a_study_of_functions_is_not(tmp_path):
    """A function has to be passed again."""
    how = {"launcher": "local", "num_executors": 1, "quiet": True, "log_dir": None}
    first = experiment.lagom(lambda x: x, SPACE, num_trials=1, name="f", store=tmp_path / "maggy.db", **how)
    with pytest.raises(ConfigError, match="run a function"):
        experiment.resume(first.name, store=tmp_path / "maggy.db", **how)


def test_a_command_is_checked_before_anything_is_opened(lagom, tmp_path):
    """There is no store afterwards, and no folder."""
    for script, options in (
        (f"{REPORT} %(y)f", {}),
        (REPORT, {"train_args": {"a": 1}}),
        (REPORT, {"files": ["nothing"]}),
    ):
        with pytest.raises(ConfigError):
            lagom(script, **options)
    assert list(tmp_path.iterdir()) == []


def test_programs_run_inline_as_well(lagom):
    """For debugging; a stop reaches them."""
    options = {"isolation": "inline"}
    assert lagom(REPORT, **options).trials[0].status == "completed"
    looping = "trap 'exit 0' TERM; : %(x)f; echo METRICS: loss=1; while :; do sleep 0.05; done"
    assert lagom(looping, name="stops", earlystop=Threshold(upper=0.5), **options).trials[0].status == "stopped"


def test_f01_a_program_dies_with_its_agent(lagom, tmp_path):
    """The agent is killed by the program itself; its trial runs again, with another workspace."""
    parent = "$(ps -o ppid= -p $1 | tr -d ' ')"
    script = (
        f"up() {{ echo {parent}; }}\n"
        "if [ $MAGGY_ATTEMPT = 1 ]; then echo $$ > " + str(tmp_path / "pid") + "; "
        "kill -9 $(up $(up $(up $$))); sleep 600; fi; " + REPORT
    )
    result = lagom(script)
    [trial] = result.trials
    assert (trial.status, trial.attempt, trial.lost) == ("completed", 2, 1)
    until_gone([int((tmp_path / "pid").read_text())])
    assert len(events(tmp_path, Started)) == 2
