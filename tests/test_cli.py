"""The command line: its layouts, its sentences, and a study that runs meanwhile in another process."""

import json
import math
import os
import pty
import re
import select
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from waiting import until

import maggy
from maggy.cli import screens
from maggy.cli.app import app
from maggy.cli.commands import info, watch
from maggy.cli.commands import list as listing
from maggy.cli.ranking import Entrant, ranked, table
from maggy.cli.text import Clock, block, columns, duration, shown, to_seconds
from maggy.cli.trials import finite, outlines, the_study
from maggy.domains import Float, Integer
from maggy.errors import ConfigError
from maggy.events import Ended, Lost, Reported, Requeued, Started, StudyClosed, StudyOpened, StudyResumed, Suggested
from maggy.jsonvalue import loads
from maggy.optimizers import Loco
from maggy.optimizers.rungs import RANDOM
from maggy.searchspace import Searchspace
from maggy.store import Owner, open_reader, open_store
from maggy.study import Study
from maggy.testing.play import play
from maggy.testing.store_contract import elsewhere
from maggy.trial import Objective

ROOT = Path(maggy.__file__).parents[1]
BEGAN = 1_572_051_734.0  # 2019-10-25 18:02:14 in Los Angeles
SPACE = {
    "epochs": {"type": "categorical", "choices": [1, 10, 50, 100]},
    "batch_size": {"type": "categorical", "choices": [32, 64, 128, 256]},
    "learning_rate": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
}


def opened(name, metric="loss", direction="min", files=None, **settings):
    told = {"name": name, "metric": metric, "direction": direction, "searchspace": SPACE, "files": files}
    return StudyOpened(BEGAN, {**told, "optimizer": {"name": "gridsearch"}, "num_trials": 64, **settings})


def begun(trial, at=BEGAN, budget=None, parent=None, **params):
    return [Suggested(at, trial, params, budget, parent, 0), Started(at, trial, 1, f"executor-{trial}")]


def ended(trial, value=0.5, status="completed", at=BEGAN + 60, reason=None, error=None, **metrics):
    return Ended(at, trial, 1, status, value, metrics or {"loss": value}, reason, error)


@contextmanager
def kept(path, name, events, *, held=False):
    """Keep a study in the store at that path; with `held`, this process is its driver."""
    with closing(open_store(path)) as store:
        study, owner = store.create(name, BEGAN), Owner.current()
        store.claim(study, owner, time.time())
        store.append(study, 0, events)
        if not held:
            store.release(study, owner)
        yield store
        owner.retire()


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAGGY_STORE", raising=False)
    return tmp_path / "maggy.db"


@pytest.fixture
def _pacific(monkeypatch):
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run(*arguments, code=0, **more):
    """Run a command in this process; return what it prints, or the sentence with which it ends."""
    ran = CliRunner().invoke(app, list(map(str, arguments)), **more)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert ran.exit_code == code, ran.output
    return ran.stdout if code == 0 else ran.output


def asked(*arguments):
    """Run a query for JSON; return the values."""
    return loads(run(*arguments, "--json"))


def lines(text):
    return textwrap.dedent(text).strip("\n").splitlines()


MNIST = [
    opened("mnist"),
    *begun(9, batch_size=32, epochs=50, learning_rate=0.001),
    *begun(10, at=BEGAN + 390, batch_size=64, epochs=50, learning_rate=0.01),
    Suggested(BEGAN + 405, 11, {"batch_size": 128, "epochs": 50, "learning_rate": 0.01}, None, None, 0),
    Reported(BEGAN + 200, 9, 1, 1, {"loss": 0.2996}),
    Reported(BEGAN + 300, 9, 1, 2, {"loss": 0.1848, "acc": 0.9}),
    Reported(BEGAN + 400, 9, 1, 3, {"loss": 0.0398}),
]


# -- golden layouts ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_pacific")
def test_d19_d20_list_of_what_runs(path, tmp_path):
    """`list -runs -state pending -s` has a run's last line of output as its status, progress bars included."""
    log = tmp_path / "logs" / "9" / "output.log"
    log.parent.mkdir(parents=True)
    log.write_text("loading\nTrain Epoch: 15\rTrain Epoch: 16 [45120/60000 (75%)] \x1b[31mLoss: 0.171844\n\n")
    events = [opened("mnist", files=str(tmp_path / "logs")), *MNIST[1:]]
    with kept(path, "mnist", events, held=True), closing(open_reader(path)) as reader:
        now = BEGAN + 719.9
        found = outlines(reader, the_study(reader, "mnist"), now, unfinished=True)
        told = listing.statuses(reader, the_study(reader, "mnist"), found)
    assert listing.lines(found, now, told, None) == lines("""
        mnist:9  6:02PM 11m59s pending running: Train Epoch: 16 [45120/60000 (75%)] Loss: 0.171844
        mnist:10 6:08PM 5m29s  pending running:
        mnist:11 6:08PM 0s     pending queued
    """)


@pytest.mark.parametrize(
    ("log", "status"),
    [
        ("+ for i in 1 2\n+ echo epoch 1\nepoch 1\n++ date\n+ sleep 60\n", "epoch 1"),
        ("+ sleep 60\n", "+ sleep 60"),
        ("", "maggy: started run (try 1) at noon"),
    ],
)
def test_d20_a_programs_words_go_before_bashs_trace(path, tmp_path, log, status):
    """A script that waits between its lines would else say `+ sleep 60` all the time."""
    (tmp_path / "logs" / "1").mkdir(parents=True)
    (tmp_path / "logs" / "1" / "output.log").write_text(f"maggy: started run (try 1) at noon\n{log}")
    with kept(path, "a", [opened("a", files=str(tmp_path / "logs")), *begun(1)], held=True):
        assert asked("list", "-runs", "a")[0]["detail"] == f"running: {status}"


@pytest.mark.usefixtures("_pacific")
def test_d19_info_of_a_run(path):
    """`info` of a run has Diviner's keys in Diviner's order, and the last value of each metric."""
    with kept(path, "mnist", MNIST, held=True), closing(open_reader(path)) as reader:
        told = info.trial_told(reader, the_study(reader, "mnist"), 9, BEGAN + 809.972611)
    expected = """
        run mnist:9:
            state:     pending
            created:   2019-10-25 18:02:14 -0700 PDT
            runtime:   13m29.972611s
            restarts:  0
            replicate: 0
            values:
                batch_size:    32
                epochs:        50
                learning_rate: 0.001
            metrics:
                acc:  0.9
                loss: 0.0398
    """
    assert info.trial_lines(told, verbose=False) == lines(expected)


def test_d4_every_report(path):
    """`info -v` has every record in order, and `metrics` is a table with NA for what one lacks."""
    with kept(path, "mnist", MNIST):
        shown = run("info", "-v", "mnist:9")
        assert run("metrics", "mnist:9") == "acc\tloss\nNA\t0.2996\n0.9\t0.1848\nNA\t0.0398\n"
        assert run("metrics", "-metrics", "^l", "mnist:9") == "loss\n0.2996\n0.1848\n0.0398\n"
        assert asked("metrics", "mnist:9")[1]["metrics"] == {"acc": 0.9, "loss": 0.1848}
    wanted = ["    metrics[0]:", "        loss: 0.2996", "    metrics[1]:", "        acc:  0.9", "        loss: 0.1848"]
    assert shown.splitlines()[-7:-2] == wanted


def test_d19_leaderboard(path):
    """The leaderboard has the best first, and the columns of the README."""
    events = [opened("mnist")]
    ends = [
        (9, 0.027, 32, 50, 0.001),
        (21, 0.02549, 32, 10, 0.01),
        (22, 0.4, 32, 10, 0.1),
        (28, 0.0265, 256, 50, 0.01),
    ]
    for trial, value, batch_size, epochs, rate in ends:
        events += begun(trial, batch_size=batch_size, epochs=epochs, learning_rate=rate)
        events.append(ended(trial, value, acc=1 - value))
    events += [*begun(30, batch_size=1), ended(30, 0.0, "stopped"), *begun(31, batch_size=1)]
    with kept(path, "mnist", events):
        assert run("leaderboard", "-n", 3, "mnist").splitlines() == lines("""
            study    replicates loss   batch_size epochs learning_rate
            mnist:21 0          0.0255 32         10     0.01
            mnist:28 0          0.0265 256        50     0.01
            mnist:9  0          0.027  32         50     0.001
        """)
        found = asked("leaderboard", "-n", 0, "-objective", "-acc", "mnist")
        assert [row["trials"] for row in found] == [[22], [9], [28], [21]]
        assert found[0]["objective"] == "minimize(acc)"


def test_d22_columns_that_say_something(path):
    """Parameters that all rows share are left out, others and metrics come on request; texts have quotes."""
    events = [opened("a")]
    for trial, name in ((1, "adam"), (2, "sgd")):
        events += [
            *begun(trial, optimizer=name, lr=0.1, layers=[1, 2]),
            ended(trial, trial / 10, loss=trial / 10, acc=0.5),
        ]
    with kept(path, "a", events):
        assert run("leaderboard", "-metrics", "acc", "a").splitlines() == lines("""
            study replicates loss acc optimizer
            a:1   0          0.1  0.5 "adam"
            a:2   0          0.2  0.5 "sgd"
        """)
        only = lines("""
            study replicates loss layers lr  optimizer
            a:1   0          0.1  [1,2]  0.1 "adam"
        """)
        assert run("leaderboard", "-n", 1, "a").splitlines() == only
        assert "lr" not in run("leaderboard", "-n", 1, "-values", "opt,lay", "a")


def test_parameters_have_six_digits_in_tables(path):
    """No more than tell rows apart; `best`, `info` and JSON have all."""
    exact = 0.5081546536987748
    with kept(path, "a", [opened("a"), *begun(1, lr=exact, big=1234567.25), ended(1, 0.25)]):
        assert run("leaderboard", "a").splitlines()[1].split()[3:] == ["1234567", "0.508155"]
        assert run("list", "-runs", "-values", ".").split()[-2:] == ["big:1234567", "lr:0.508155"]
        assert str(exact) in run("best", "a")
        assert str(exact) in run("info", "a:1")
        assert asked("leaderboard", "a")[0]["params"]["lr"] == exact


def test_a_repetition_is_explained(path):
    """By whose values it has; no optimizer has suggested it."""
    repeats = Suggested(BEGAN, 2, {}, None, None, 2, None, "again: 1")
    with kept(path, "a", [opened("a"), *begun(1), repeats]):
        told = run("explain", "a:2").splitlines()
    assert told[1] == "    suggested: repeats a:1, when 0 trials had ended (position 2 of the log)"
    assert not any("why:" in line for line in told)


def test_what_was_returned_without_a_report_is_shown(path):
    """A function that only returns has its metrics in `metrics` and `info -v`, too."""
    with kept(path, "a", [opened("a"), *begun(1), ended(1, 0.25, loss=0.25, acc=0.5)]):
        assert run("metrics", "a:1") == "acc\tloss\n0.5\t0.25\n"
        [told] = asked("metrics", "a:1")
        assert (told["step"], told["metrics"]) == (None, {"acc": 0.5, "loss": 0.25})
        assert run("info", "-v", "a:1").splitlines()[-3:] == ["    metrics:", "        acc:  0.5", "        loss: 0.25"]


def test_d22_studies_that_disagree(path):
    """Studies with different objectives are ranked only by a metric that was named."""
    with (
        kept(path, "a", [opened("a"), *begun(1), ended(1, 0.25, acc=0.5)]),
        kept(path, "b", [opened("b", "acc", "max"), *begun(1), ended(1, 0.75, acc=0.75)]),
    ):
        said = run("leaderboard", ".*", code=2)
        assert "study 'a' has the objective minimize(loss), study 'b' maximize(acc)" in said
        assert "-objective" in said
        assert [row["study"] for row in asked("leaderboard", "-objective", "+acc", ".*")] == ["b", "a"]


def test_the_leaderboard_puts_large_budgets_first(path):
    """A value at a low budget is not better than one at a large budget; budgets are a column."""
    events = [opened("a")]
    for trial, (budget, value) in enumerate([(1, 0.1), (9, 0.3), (9, 0.2), (3, 0.01)], 1):
        events += [*begun(trial, budget=float(budget), x=trial), ended(trial, value)]
    with kept(path, "a", events):
        assert run("leaderboard", "-n", 3, "a").splitlines() == lines("""
            study replicates loss budget x
            a:3   0          0.2  9      3
            a:2   0          0.3  9      2
            a:4   0          0.01 3      4
        """)
        assert asked("best", "a")["trial"] == Study.of(events).best.id == 3


def test_the_leaderboard_of_an_ablation_has_its_effects(path):
    """Ranked trials would show the luckiest; who asks for them by a metric has them."""
    log = []
    space = Searchspace(a=[True, False], b=[True, False], seed=[0, 1, 2])
    play(Loco(), lambda each: 5.0 * each.params["a"], searchspace=space, log=log)
    log[0] = StudyOpened(log[0].at, {**log[0].settings, "optimizer": {"name": "loco"}})
    with kept(path, "a", log):
        assert run("leaderboard", "a").splitlines() == lines("""
                       n  value  effect  95 % interval
            reference  3      5
            without a  3      0      -5       -5 to -5   needed
            without b  3      5       0         0 to 0  unclear
        """)
        assert [each["label"] for each in asked("leaderboard", "a")] == ["reference", "without a", "without b"]
        assert run("leaderboard", "-expand", "a").startswith("study")


REPLICATED = [Entrant("s", number, float(number % 3), None, number % 3, number // 3) for number in range(9)]


def test_d11_replicates():
    """Replicates are one row with their mean and range; -expand has a row for each."""
    rows = ranked(REPLICATED, Objective("m", "min"))
    cells = table(rows, "m", None, ".")
    assert cells[1] == ["s:0,1,2", "0,1,2", "1 [0-2]"]
    assert len(cells) == 4
    assert len(table(ranked(REPLICATED, Objective("m", "min"), expand=True), "m", None, ".")) == 10


FAMILY = [opened("f", replicates=2)]
for _number, (_value, _acc) in enumerate([(1.0, 0.5), (4.0, math.inf), (1.5, 0.5), (2.5, -math.inf)], 1):
    _group, _replicate = (_number + 1) // 2 * 2 - 1, (_number - 1) % 2
    FAMILY += [
        Suggested(BEGAN, _number, {"x": _group}, None, None, 0, group=_group, replicate=_replicate),
        Started(BEGAN, _number, 1, "e"),
        ended(_number, _value, acc=_acc, loss=_value),
    ]


def test_d11_replicates_count_together_everywhere(path):
    """The best is that of the leaderboard: the replicates with the best mean, not the one lucky run."""
    with kept(path, "f", FAMILY):
        assert run("best", "f").splitlines()[:3] == [
            "f:3,4:",
            "    objective: minimize(loss)",
            "    value:     2 [1.5-2.5]",
        ]
        assert (asked("best", "f")["value"], asked("best", "f")["trials"]) == (2.0, [3, 4])
        assert asked("compare", "f")[0]["best"] == 2.0
        assert [row["metrics"]["loss"] for row in asked("leaderboard", "f")] == [2.0, 2.5]
        assert " inf [0.5-inf] " in run("leaderboard", "-metrics", "acc", "f")
        assert "    replicate: 1 of the configuration of f:3" in run("explain", "f:4").splitlines()
        assert "    rank:      2, the mean of 2 replicates, 1 of 2" in run("explain", "f:4").splitlines()
        assert "    rank:      2.5, the mean of 2 replicates, 2 of 2" in run("explain", "f:1").splitlines()
        assert "best 2 [1.5-2.5] by trials 3, 4: x=3" in watch.screen(Study.of(FAMILY), 1, BEGAN, held=True, width=99)
        assert [line.split(",")[10:12] for line in run("export", "--csv", "f").splitlines()[3:]] == [
            ["3", "0"],
            ["3", "1"],
        ]


def test_metrics_of_replicates_that_have_no_mean(path):
    """Infinities of both signs have no mean; the leaderboard says so."""
    events = [opened("f", replicates=2)]
    for number, acc in ((1, math.inf), (2, -math.inf)):
        events += [
            Suggested(BEGAN, number, {}, None, None, 0, group=1, replicate=number - 1),
            Started(BEGAN, number, 1, "e"),
        ]
        events.append(ended(number, 1.0, acc=acc, loss=1.0))
    with kept(path, "f", events):
        assert "nan [-inf-inf]" in run("leaderboard", "-metrics", "acc", "f")


def test_d12_a_trial_that_is_queued_again(path):
    """It waits, for no time as yet, and is no failure; `explain` tells how it failed before."""
    again = [opened("a"), *begun(1), ended(1, None, "failed", error="Traceback\nboom"), Requeued(BEGAN + 90, 1)]
    with kept(path, "a", again, held=True) as store:
        (waiting,) = asked("list", "-runs", "-state", "queued")
        assert (waiting["detail"], waiting["runtime"], waiting["started"]) == ("queued again, failed 1 time", 0.0, None)
        assert "    runtime:   0s" in run("info", "a:1").splitlines()
        store.append("a", len(again), [Started(BEGAN + 91, 1, 2, "executor-2")])
        assert "    restarts:  0" in run("info", "a:1").splitlines()  # as Diviner counts: nothing was lost
        assert "    attempt:   1 on executor-1, failed, and asked for again: boom" in run("explain", "a:1").splitlines()


def test_d12_the_latest_run_of_a_replicate_counts():
    """A replicate that was run again stands in the leaderboard with its last run."""
    again = [*REPLICATED[:3], Entrant("s", 9, 7.0, None, 1, 0)]
    (row,) = ranked(again, Objective("m", "min"))
    assert (row.name, row.value) == ("s:0,9,2", 3.0)


def test_d14_what_a_dead_driver_left_is_a_failure(path):
    """A pending run whose study nobody runs reads as a failure, without a word in the store."""
    before = len(MNIST)
    with kept(path, "mnist", MNIST, held=True):
        assert run("list", "-runs", "-state", "failure") == ""
        assert len(run("list", "-runs", "-state", "pending").splitlines()) == 3
    assert run("list", "-runs", "-state", "pending") == ""
    found = run("list", "-runs", "-state", "failure", "-s").splitlines()
    assert [line.split()[0] for line in found] == ["mnist:9", "mnist:10", "mnist:11"]
    assert "its driver is gone" in found[0]
    assert "    state:     failure" in run("info", "mnist:9").splitlines()
    with closing(open_reader(path)) as reader:
        assert the_study(reader, "mnist").position == before


def test_info_of_a_study(path):
    """`info` of a study has its objective, what it searches and how, who runs it, and how its trials stand."""
    with kept(path, "mnist", [*MNIST, ended(9), Lost(BEGAN, 10, 1, "gone")], held=True):
        found = dict(line.strip().split(":", 1) for line in run("info", "mnist").splitlines()[1:])
    assert found["objective"].strip() == "minimize(loss)"
    assert found["batch_size"].strip() == "discrete(32, 64, 128, 256)"
    assert found["learning_rate"].strip() == "range(0.001, 1, log=true)"
    assert found["oracle"].strip() == "gridsearch"
    assert found["driver"].strip().startswith(f"process {os.getpid()} on ")
    assert found["trials"].strip() == "3 trials: 2 queued, 1 completed"


def test_info_of_a_failure(path):
    """`info` of a trial that failed has its error, of one that was stopped the reason, of a promoted one its parent."""
    error = 'Traceback:\n  File "x.py", line 7\n\x1b[31mValueError: bad'
    events = [opened("a"), *begun(1, lr=0.1), ended(1, None, "failed", error=error)]
    events += [*begun(2, budget=3.0, parent=1), ended(2, math.nan, "stopped", reason="median rule: worse")]
    with kept(path, "a", events):
        failed, stopped = run("info", "a:1"), run("info", "a:2")
        assert math.isnan(asked("info", "a:2")[0]["value"])
    assert failed.splitlines()[-3:] == [
        "        Traceback:",
        '          File "x.py", line 7',
        "        ValueError: bad",
    ]
    for line in ("budget:    3", "value:     nan", "parent:    a:1", "reason:    median rule: worse"):
        assert f"    {line}" in stopped.splitlines()


# -- lists ---------------------------------------------------------------------------------------------------------


def test_list_of_studies(path):
    """Studies are listed by name, those that match a whole regular expression."""
    with kept(path, "digits", []), kept(path, "digits", []), kept(path, "a", [], held=True):
        assert run("list") == "a\ndigits\ndigits-2\n"
        assert run("list", "digits.*", "a") == "a\ndigits\ndigits-2\n"
        assert run("list", "digits") == "digits\n"
        assert run("list", "-since", "1h") == "a\n"
        assert [each["running"] for each in asked("list")] == [True, False, False]


@pytest.mark.parametrize(
    ("state", "trials"),
    [
        ("pending", [4, 5]),
        ("queued", [5]),
        ("running", [4]),
        ("success", [1]),
        ("completed", [1]),
        ("failure", [2]),
        ("failed", [2]),
        ("stopped", [3]),
        ("success,failure", [1, 2]),
        (None, [1, 2, 3, 4, 5]),
    ],
)
def test_list_by_state(path, state, trials):
    """`-state` takes Diviner's words and ours."""
    events = [
        opened("a"),
        *begun(1),
        ended(1),
        *begun(2),
        ended(2, None, "failed"),
        *begun(3),
        ended(3, 0.1, "stopped"),
    ]
    with kept(path, "a", [*events, *begun(4), *begun(5), Lost(BEGAN, 5, 1, "gone")], held=True):
        found = asked("list", "-runs", *(["-state", state] if state else []))
    assert [each["trial"] for each in found] == trials


def test_list_with_values_and_outcomes(path):
    """`-values` shows parameters, `-s` how a trial ended, `-since` what has happened lately."""
    now = time.time()
    events = [opened("a"), *begun(1, lr=0.1, kind="x"), ended(1, at=BEGAN + 7), *begun(2, at=now - 60, lr=1.0)]
    events += [ended(2, None, "failed", at=now - 50, error="Traceback\nValueError: \x1b[2Jno")]
    with kept(path, "a", events):
        assert run("list", "-runs", "-values", "^l").splitlines()[0].endswith(" success lr:0.1")
        assert run("list", "-runs", "-since", "10m", "-s").split()[3:] == ["failure", "ValueError:", "no"]


def test_colours_are_for_terminals(path):
    """A state has its colour on a terminal and nowhere else."""
    with kept(path, "a", [opened("a"), *begun(1), ended(1)]):
        assert "\x1b" not in run("list", "-runs", color=True)
    assert listing.painted("a:1 6:02PM 1s success x", "success") == "a:1 6:02PM 1s \x1b[32msuccess\x1b[0m x"


def test_outlines_are_what_the_fold_is(path):
    """What a list says of each trial, at any moment, is what the fold of its log says; so is the best."""
    study = Study()
    with kept(path, "digits", [], held=True) as store, closing(open_reader(path)) as reader:
        for position, event in enumerate(DIGITS):
            store.append("digits", position, [event])
            study.apply(event)
            found = outlines(reader, the_study(reader, "digits"), BEGAN)
            pending = outlines(reader, the_study(reader, "digits"), BEGAN, unfinished=True)
            fields = [(each.id, each.status, each.budget, each.ended, each.value) for each in found]
            trials = study.trials.values()
            assert fields == [(each.id, each.status, each.budget, each.ended, each.value) for each in trials]
            assert [each.id for each in pending] == [each.id for each in trials if not each.status.final]
            best = ranked(finite(reader, "digits")[0], study.objective, 1)
            assert [row.first.trial for row in best] == ([study.best.id] if study.best else [])


AHEAD = [
    opened("a"),
    *[Suggested(BEGAN, trial, {"x": trial}, None, None, 0) for trial in range(1, 6)],
    *[Started(BEGAN + 1, trial, 1, "e") for trial in (1, 2, 3, 5)],
    Lost(BEGAN + 2, 5, 1, "taken back", counts=False),
    Lost(BEGAN + 2, 3, 1, "taken back", counts=False),
    Started(BEGAN + 2, 4, 1, "f"),
    Started(BEGAN + 2, 3, 2, "e"),
    ended(1, at=BEGAN + 3),
    Suggested(BEGAN + 4, 6, {"x": 6}, None, None, 0),
    Started(BEGAN + 4, 6, 1, "f"),
    ended(4, at=BEGAN + 5),
    ended(2, at=BEGAN + 6),
    Started(BEGAN + 6, 5, 2, "e"),
    ended(3, 0.5, "failed", at=BEGAN + 7),
    Lost(BEGAN + 8, 5, 2, "gone"),
    Requeued(BEGAN + 9, 3),
    ended(6, at=BEGAN + 10),
]


def test_a_trial_given_ahead_starts_when_the_one_before_it_ends(path):
    """In lists, in lists of what runs, of which the beginning of the log is not read, and in `info`, as in the fold."""
    study = Study()
    with kept(path, "a", [], held=True) as store, closing(open_reader(path)) as reader:
        for position, event in enumerate(AHEAD):
            store.append("a", position, [event])
            study.apply(event)
            entry, expected = the_study(reader, "a"), {each.id: each.started for each in study.trials.values()}
            assert {each.id: each.started for each in outlines(reader, entry, BEGAN)} == expected
            pending = {each.id: each.started for each in outlines(reader, entry, BEGAN, unfinished=True)}
            assert pending == {each.id: each.started for each in study.trials.values() if not each.status.final}
            told = {trial: info.trial_told(reader, entry, trial, BEGAN)["started"] for trial in expected}
            assert told == expected
        assert expected == {1: BEGAN + 1, 2: BEGAN + 3, 3: None, 4: BEGAN + 2, 5: None, 6: BEGAN + 5}
        assert asked("info", "a:2")[0]["runtime"] == 3


FILE = """
local = localsystem("l", 2)
def run(p):
    return run_config(system=local, script="echo METRICS: loss=1")
for name in ["one", "two"]:
    study(name, {"x": discrete(1, 2), "y": range(0, 9)}, minimize("loss"), run, replicates=2, description="a " + name)
"""


def test_what_a_study_file_defines(path):
    """`-l` shows the studies of a file, of which nothing need have run; no store is made."""
    pytest.importorskip("starlark_go")
    Path("file.dv").write_text(FILE)
    assert run("list", "-l", "file.dv") == "one\ntwo\n"
    assert asked("list", "-l", "file.dv", "t.*") == [{"study": "two"}]
    assert run("info", "-l", "file.dv", "two").splitlines() == lines("""
        study two:
            objective:   minimize(loss)
            x:           discrete(1, 2)
            y:           range(0, 9)
            oracle:      gridsearch
            replicates:  2
            description: a two
    """)
    assert asked("info", "-l", "file.dv", "o.*")[0]["description"] == "a one"
    assert "-l lists the studies of a file" in run("list", "-runs", "-l", "file.dv", code=2)
    assert "no study of" in run("info", "-l", "file.dv", "three", code=2)
    assert "there is no study file 'nope.dv'" in run("list", "-l", "nope.dv", code=2)
    assert not path.exists()


def test_a_status_without_output_is_the_last_report(path):
    """A running trial that prints nothing has its last report as status; a lost one says how often it was."""
    events = [opened("a"), *begun(1), Reported(BEGAN, 1, 1, 3, {"loss": 0.5}), *begun(2), Lost(BEGAN, 2, 1, "gone")]
    with kept(path, "a", events, held=True):
        found = asked("list", "-runs")
    assert [each["detail"] for each in found] == ["running: step 3, loss 0.5", "queued again, lost 1 time"]


def test_json_is_strict(path):
    """Numbers that are not finite are marked as they are in the store: any parser reads what is printed."""
    events = [opened("a"), *begun(1), Reported(BEGAN, 1, 1, 0, {"loss": math.nan}), ended(1, math.inf, "failed")]

    def refuse(literal):
        raise ValueError(literal)

    with kept(path, "a", events):
        for command in (
            ["list"],
            ["list", "-runs"],
            ["info", "a:1"],
            ["info", "a"],
            ["metrics", "a:1"],
            ["explain", "a:1"],
        ):
            json.loads(run(*command, "--json"), parse_constant=refuse)
        json.loads(run("export", "a"), parse_constant=refuse)
        assert '"value":{"$f":"inf"}' in run("list", "-runs", "--json")


def test_the_keys_of_json_are_as_documented(path):
    """docs/cli.md names the keys of each query, in the order in which they come."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("## JSON")[2]
    documented = dict(re.findall(r"^\| `([a-z -]*(?:TRIAL|STUDY)?)` \| ([a-z_, ]+) \|$", page, re.MULTILINE))
    with kept(path, "digits", [*DIGITS[:-1], Reported(BEGAN, 4, 1, 1, {"acc": 0.5}), DIGITS[-1]]):
        for query, keys in documented.items():
            command = query.replace("TRIAL", "digits:4").replace("STUDY", "digits").split()
            needs = {"metrics": "digits:4", "explain": "digits:4"}.get(query, "digits")
            command += [needs] if len(command) == 1 and query not in ("list", "doctor") else []
            found = asked(*command)
            assert list(found[0] if isinstance(found, list) else found) == keys.split(", "), query
    assert len(documented) == 11


# -- what a command does not do ------------------------------------------------------------------------------------

QUERIES = [["list"], ["list", "-runs"], ["info", "a"], ["metrics", "a:1"], ["leaderboard", "a"], ["logs", "a:1"]]
QUERIES += [["best", "a"], ["compare", "a"], ["export", "a"], ["watch", "a"], ["explain", "a:1"], ["resume", "a"]]
QUERIES += [["stop", "a"], ["pause", "a"], ["delete", "--yes", "a"]]


@pytest.mark.parametrize("command", QUERIES, ids=" ".join)
def test_a_store_that_is_missing(path, command):
    """Where there is no store a command says so in a sentence, exit code 2, and makes none."""
    said = run(*command, code=2)
    assert said.startswith("maggy: there is no store at ")
    assert len(said.splitlines()) == 1
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("command", QUERIES, ids=" ".join)
def test_a_store_that_is_none(path, command):
    """A file that is no store is left as it is, with a sentence."""
    path.write_text("a,b\n1,2\n" * 100)
    assert "is not an SQLite file; it was left as it is" in run(*command, code=2)
    assert path.read_text() == "a,b\n1,2\n" * 100


@pytest.mark.parametrize("command", [each for each in QUERIES if each[-1] in ("a", "a:1")], ids=" ".join)
def test_a_study_that_is_unknown(path, command):
    """A study that is not there is named with the one that is most like it."""
    with kept(path, "aa", []):
        said = run(*command, code=2)
    assert said.endswith("; did you mean 'aa'?\n")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["list", "("], "'(' is no regular expression"),
        (["leaderboard", "-values", "[", "a"], "'[' is no regular expression"),
        (["leaderboard", "-objective", "-", "a"], "-objective '-' names no metric"),
        (["leaderboard", "-n", "-1", "a"], "-1 is not in the range x>=0"),
        (["list", "-runs", "-state", "done"], "-state 'done' is no state of a trial, which are: completed,"),
        (["list", "-since", "soon"], "'soon' is no duration (90s, 1h30m, 7d) and no date"),
        (["info", "a:7"], "there is no trial 'a:7': study 'a' has only trial 1"),
        (["info", "a:x"], "'a:x' names no trial: write STUDY:NUMBER"),
        (["logs", "a"], "'a' names no trial"),
        (["logs", "a:1"], "study 'a' keeps no logs: it was run with log_dir=None"),
        (["best", "a"], "no trial of study 'a' has completed with a finite value"),
        (["stop", "a"], "nobody runs study 'a', so there is nobody to tell"),
        (["-db", "postgresql+asyncpg://u:geheim@h/d", "list"], "maggy uses psycopg; write postgresql://"),
        (["-db", "dynamodb,t", "list"], "maggy keeps no studies in DynamoDB"),
        (["-db", "memory:", "list"], "a store in memory is seen by its own process alone"),
        (["-C", "nowhere", "list"], "Directory 'nowhere' does not exist"),
        (["lst"], "There is no command 'lst'; did you mean 'list'?"),
        (["list", "-run"], "There is no option -run; did you mean '-runs'?"),
        (["leaderboard", "--value=x", "a"], "There is no option --value; did you mean '--values'?"),
        (["list", "-runs", "-x"], "There is no option -x"),
        (["export", "--parquet", "a"], "pip install 'maggy[parquet]'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_sentences(path, command, said, monkeypatch):
    """What cannot be done is said in a sentence, exit code 2."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with kept(path, "a", [opened("a"), *begun(1)]):
        output = run(*command, code=2)
    assert said in output
    assert "geheim" not in output


ODD = ["../x", "a; DROP TABLE studies", "a\nb", "x" * 300, "' OR 1=1 --", "\x1b[2J", "a\x00", "\udc80"]
OF_STUDIES = ["list", "info", "leaderboard", "best", "compare", "export", "watch", "report", "stop", "pause", "resume"]
OF_TRIALS = ["info", "metrics", "logs", "explain"]
OF_FILES = ["run", "script"]
OF_NOBODY = {"create-table", "doctor", "ui"}  # they take no name


def with_name(name, file):
    """Yield every command that takes a name, with that one; `file` is a study file."""
    yield from ([command, name] for command in OF_STUDIES)
    yield from ([command, f"{name}:1"] for command in OF_TRIALS)
    yield from ([command, file, name] for command in OF_FILES)
    yield ["delete", "--yes", name]


def refuse_odd_name(name, folder, *store):
    """Give every command a name that no study has; each says so in a line, and changes nothing."""
    file = folder / "toy.dv"
    file.write_text("study(name='a', params={'x': discrete(1)}, objective=minimize('loss'), run=lambda params: None)\n")
    before = {path.name for path in folder.iterdir()}
    for command in with_name(name, file):
        said = run(*store, *command, code=2)
        assert len(said.splitlines()) == 1, (command, said)
        assert "\x1b" not in said
    assert run(*store, "list") == "a\n"
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a14_a15_odd_names(path, tmp_path, name):
    """Names from the command line are values: they find nothing, change nothing, and drive no terminal."""
    with kept(path, "a", [opened("a"), *begun(1)]):
        refuse_odd_name(name, tmp_path)


def test_no_command_is_left_out():
    """Whoever adds a command that takes a name has odd ones tried on it."""
    tried = {command[0] for command in with_name("a", "toy.dv")}
    assert tried | OF_NOBODY == set(app.list_commands(None))


def test_a14_what_users_wrote_drives_no_terminal(path):
    """Parameters, errors and reasons have no control characters in any output, and CSV executes nothing."""
    events = [opened("a"), *begun(1, kind="\x1b[2J=cmd()", form="=1+1")]
    events += [ended(1, 0.5, "stopped", reason="\x1b]0;x\x07rule: x", error="\x1b[2Jx")]
    with kept(path, "a", events):
        for command in (["list", "-runs", "-s", "-values", "."], ["info", "-v", "a:1"], ["explain", "a:1"]):
            assert "\x1b" not in run(*command, color=True)  # which click would take out where there is no terminal
        assert "\n1,stopped,0.5" in (exported := run("export", "--csv", "a"))
        assert "'=1+1" in exported


# -- stores that are damaged, or a stranger's ----------------------------------------------------------------------

RUNS = ["list", "-runs", "-s", "-values", "."]


@contextmanager
def changed(path, position, column, value):
    """Keep a study of one trial in which one field of one event is another, as no maggy would write it."""
    with kept(path, "a", [opened("a"), *begun(1, lr=0.5), ended(1)]) as store:
        pass
    with closing(sqlite3.connect(path)) as file:
        update = f"UPDATE events SET {column} = ?, crc = NULL WHERE position = ?"  # noqa: S608 - the test's own
        file.execute(update, (value, position))
        file.commit()
    yield store


@pytest.mark.parametrize(
    ("position", "column", "value", "command", "words"),
    [
        (1, "body", '{"settings":{"files":{}}}', ["info", "a"], "the setting 'files' is {}"),
        (1, "body", '{"settings":{"files":[1]}}', ["logs", "a:1"], "the setting 'files' is [1]"),
        (1, "body", '{"settings":{"description":3}}', ["info", "a"], "the setting 'description' is 3"),
        (1, "body", '{"settings":{"optimizer":{"resource_max":{}}}}', ["explain", "a:1"], "'resource_max' is {}"),
        (1, "body", '{"settings":{"optimizer":{"name":{"a":1}}}}', ["info", "a"], "the optimizer's name is {'a': 1}"),
        (1, "body", '{"settings":{"optimizer":{"resource_min":0}}}', ["explain", "a:1"], "'resource_min' is 0"),
        (1, "body", "{", ["leaderboard", "a"], "position 1 of study 'a' is no StudyOpened event: "),
        (1, "body", "{}", ["best", "a"], "position 1 of study 'a' is no StudyOpened event: "),
        (2, "body", '{"epochs":1}', RUNS, "position 2 of study 'a' is no Suggested event: "),
        (2, "body", '"word"', RUNS, "position 2 of study 'a' is no Suggested event: "),
        (4, "body", '{"status":"failed","attempt":1,"error":[{}]}', RUNS, "is no Ended event: error is [{}]"),
        (
            4,
            "body",
            '{"status":"completed","attempt":1,"metrics":5,"value":1}',
            ["leaderboard", "-metrics", ".", "a"],
            "",
        ),
        (4, "at", "yesterday", ["list", "-runs"], "position 4 of study 'a' is no Ended event: its trial or time"),
        (3, "trial", "first", ["compare", "a"], "position 3 of study 'a' is no Started event: its trial or time"),
        (2, "kind", "Reborn", ["info", "a:1"], "nothing suggested trial 1"),
    ],
)
def test_a_damaged_event_is_a_sentence(path, position, column, value, command, words):
    """It says where, and what stands there; others can still be listed."""
    with changed(path, position, column, value):
        said = run(*command, code=2)
        assert words in said
        assert len(said.splitlines()) == 1
        assert run("list") == "a\n"


@pytest.mark.parametrize(("column", "value"), [("name", b"\xff\xfe"), ("created", "once"), ("position", 0.5)])
def test_a_damaged_row_of_a_study_is_a_sentence(path, column, value):
    """SQLite keeps whatever it is given."""
    with kept(path, "a", [opened("a")]), closing(sqlite3.connect(path)) as file:
        file.execute(f"UPDATE studies SET {column} = ?", (value,))  # noqa: S608 - the test's own
        file.commit()
    for command in (["list"], ["info", "a"], ["leaderboard", ".*"]):
        assert re.search(rf"^maggy: .*the store has {column}=.*: go back to a copy of it$", run(*command, code=2))


def test_a_strangers_folder_keeps_logs_from_nobody(path, tmp_path):
    """What is no file is not opened, and no name is too long; the sentence is short."""
    (tmp_path / "1").mkdir()
    os.mkfifo(tmp_path / "1" / "output.log")
    for name, files, words in [
        ("pipe", str(tmp_path), "has printed nothing"),
        ("nul", "a\0b", "which is not here"),
        ("long", "x" * 100_000, "which is not here"),
    ]:
        with kept(path, name, [opened(name, files=files), *begun(1), ended(1)]):
            said = run("logs", f"{name}:1", code=2)
        assert words in said
        assert len(said) < 300


def test_what_a_strangers_searchspace_holds_is_a_short_sentence(path):
    """Whatever stands there instead of a domain; and trials that have other values than it lists are not drawn."""
    with kept(path, "huge", [opened("huge", searchspace={"x": "word " * 50_000})]):
        for command in (["info", "huge"], ["export", "huge"]):
            assert len(run(*command, code=2)) < 1100
    listed = {"x": {"type": "categorical", "choices": [1, {"a": 1}]}, "y": {"type": "float", "low": 0, "high": 1}}
    trials = [event for n in range(1, 13) for event in (*begun(n, x=1 if n > 1 else 10, y=n / 20), ended(n, n / 10))]
    with kept(path, "other", [opened("other", searchspace=listed), *trials]):
        pytest.importorskip("plotly", reason="plotly is not installed")
        assert "has trials that do not fit its searchspace (" in run(
            "report", "-o", path.with_name("r.html"), "other", code=2
        )


def test_times_that_no_calendar_has_are_not_shown(path):
    """They are told apart from others as NA."""
    with changed(path, 2, "at", 1e300):
        assert re.search(r"^a:1 NA +\S+ success$", run("list", "-runs"))
        assert "created: NA" in re.sub(" +", " ", run("info", "a:1"))
    assert to_seconds(math.nan) == to_seconds(math.inf) == "0s"
    assert Clock(BEGAN)(-math.inf) == "NA"


# -- the rest ------------------------------------------------------------------------------------------------------

DIGITS = [
    opened("digits", "acc", "max", optimizer={"name": "asha", "reduction_factor": 3.0, "resource_max": 9.0}),
    *begun(1, budget=1.0, lr=0.1),
    ended(1, 0.5),
    *begun(2, budget=1.0, lr=0.2),
    Lost(BEGAN, 2, 1, "executor silent for 10 s", counts=False),
    Started(BEGAN, 2, 2, "executor-9"),
    ended(2, 0.7),
    *begun(3, budget=1.0, lr=0.3),
    ended(3, 0.6),
    Suggested(BEGAN, 4, {"lr": 0.2}, 3.0, 2, 12, None, "rung 1: rank 1 of 3"),
    Started(BEGAN, 4, 1, "executor-1"),
    ended(4, 0.4, "stopped", reason="median rule: best value 0.4 by step 2 is worse than the median 0.6 of 10"),
]


def test_explain(path):
    """`explain` tells of a promotion who stood where, of attempts what they were lost by, of a stop by which rule."""
    with kept(path, "digits", DIGITS):
        assert run("explain", "digits:4").splitlines() == lines("""
            digits:4:
                suggested: continues digits:2, which had budget 1, when 3 trials had ended (position 12 of the log)
                why:       rung 1: rank 1 of 3
                budget:    3
                attempt:   1 on executor-1
                stopped:   median rule: best value 0.4 by step 2 is worse than the median 0.6 of 10
                outcome:   stopped with 0.4
        """)
        expected = """
            digits:2:
                suggested: by asha, when 0 trials had ended (position 0 of the log)
                budget:    1
                attempt:   1 on executor-2, lost: executor silent for 10 s, which does not count against it
                attempt:   2 on executor-9
                outcome:   completed with 0.7
                rank:      1 of 3 with budget 1; the best 1 go on, cut-off 0.7
                continued: by digits:4
        """
        assert run("explain", "digits:2").splitlines() == lines(expected)


def test_explain_of_random_configurations_beside_a_models(path):
    """They have places of their own, of which `explain` tells too."""
    asha = {"name": "asha", "reduction_factor": 3.0, "resource_max": 9.0, "searcher": {"name": "tpe"}}
    events = [opened("a", "acc", "max", optimizer=asha)]
    for trial, value in enumerate((0.6, 0.9, 0.7, 0.1, 0.8, 0.2), 1):
        why = RANDOM if trial > 3 else None
        events += [
            Suggested(BEGAN, trial, {"lr": 0.1}, 1.0, None, 0, None, why),
            Started(BEGAN, trial, 1, "executor-1"),
        ]
        events.append(ended(trial, value))
    with kept(path, "a", events):
        said = run("explain", "a:4").splitlines()
    assert f"    why:       {RANDOM}" in said
    assert (
        "    rank:      6 of 6 with budget 1; the best 1 go on, cut-off 0.9; of the 3 random ones the best 1 do" in said
    )


def test_explain_at_rungs_that_stop(path):
    """Where rungs stop trials, `explain` tells where a trial stood at each that it has reached."""
    asha = {"name": "asha", "mode": "stopping", "reduction_factor": 2.0, "resource_min": 1.0, "resource_max": 4.0}
    events = [opened("a", "acc", "max", optimizer=asha)]
    for trial, value in enumerate((0.9, 0.5, 0.7), 1):
        events += [*begun(trial, budget=4.0), Reported(BEGAN, trial, 1, 1, {"acc": value})]
    with kept(path, "a", [*events, ended(1), ended(2, 0.5, "stopped", reason="rung 1: no")]):
        assert (
            "    rung:      0.5, 3 of 3 with budget 1; the best 2 go on, cut-off 0.7"
            in run("explain", "a:2").splitlines()
        )


@pytest.mark.parametrize(
    ("suggested", "said"),
    [
        (Suggested(BEGAN, 1, {}, None, None, 1, "known before"), "given with its value; it was not run"),
        (
            Suggested(BEGAN, 1, {}, None, None, 1, "it raised"),
            "a random configuration in the optimizer's place: it raised",
        ),
    ],
)
def test_explain_what_no_optimizer_has_suggested(path, suggested, said):
    """A configuration that was known, or drawn because the optimizer failed, is called so."""
    with kept(path, "a", [opened("a"), suggested]):
        assert run("explain", "a:1").splitlines()[1] == f"    suggested: {said}"


def test_compare(path):
    """Studies stand side by side; where they optimize different things that is said."""
    with kept(path, "a", DIGITS), kept(path, "b", [opened("b")]):
        first, second = asked("compare", "a"), asked("compare", "b")
        said = CliRunner().invoke(app, ["compare", ".*"]).stderr
    assert {key: first[0][key] for key in ("completed", "stopped", "best", "best_trial")} == {
        "completed": 3,
        "stopped": 1,
        "best": 0.7,
        "best_trial": 2,
    }
    assert second[0]["best"] is None
    assert "optimize different things" in said


def test_compare_counts_the_time_in_which_there_was_a_driver(path):
    """Not the hours between two of them, although a trial of the first is run again by the second."""
    events = [
        opened("a"),
        *begun(1),
        ended(1, None, "failed", at=BEGAN + 60, error="x"),
        StudyClosed(BEGAN + 61, "done"),
    ]
    events += [StudyResumed(BEGAN + 9000, {}), Requeued(BEGAN + 9000, 1), Started(BEGAN + 9000, 1, 2, "e")]
    with kept(path, "a", [*events, Ended(BEGAN + 9030, 1, 2, "completed", 0.5, {})]):
        assert asked("compare", "a")[0]["seconds"] == 91.0


@pytest.mark.parametrize(
    ("domain", "told"),
    [
        (Integer(0, 29), "range(0, 30)"),
        (Float(0.0, math.nextafter(2.0, 0.0)), "range(0, 2)"),
        (Float(0.1, 0.7), "range(0.1, 0.7)"),
        (Integer(1, 8, log=True), "range(1, 9, log=true)"),
    ],
    ids=str,
)
def test_ranges_are_told_as_study_files_write_them(domain, told):
    """Without their ends."""
    assert info._domain(domain) == told


def test_export(path):
    """CSV has a line for each trial, JSON all that was reported of the objective."""
    with kept(path, "digits", DIGITS):
        head, first, *_ = run("export", "--csv", "digits").splitlines()
        told = loads(run("export", "digits"))
        run("export", "--csv", "-o", "out.csv", "digits")
    own = "trial,status,value,budget,parent,attempt,started,ended,reason,error,group,replicate"
    assert head == f"{own},metric_loss,param_lr"
    assert first == f"1,completed,0.5,1.0,,1,{BEGAN},{BEGAN + 60},,,,,0.5,0.1"
    assert [trial["status"] for trial in told["trials"]] == ["completed"] * 3 + ["stopped"]
    assert Path("out.csv").read_text().splitlines()[1] == first


def test_a_report_from_the_store(path):
    """The file is named after the study, or as is said; nothing is escaped by chance."""
    pytest.importorskip("plotly", reason="plotly is not installed")
    with kept(path, "digits", DIGITS):
        assert run("report", "digits") == "study 'digits' is told in digits.html\n"
        run("report", "-o", "else.html", "digits")
    page = Path("digits.html").read_text()
    assert "<title>digits</title>" in page
    assert "Plotly.newPlot" in page
    assert Path("else.html").read_text()[:15] == page[:15] == "<!doctype html>"


def test_a_report_that_cannot_be_written(path):
    """It is a sentence, not a traceback."""
    pytest.importorskip("plotly", reason="plotly is not installed")
    with kept(path, "digits", DIGITS):
        said = run("report", "-o", "no/such/place.html", "digits", code=2)
    assert "the report cannot be written" in said


def test_export_to_parquet(path):
    """Parquet has a column for each parameter and metric, of whatever types."""
    parquet = pytest.importorskip("pyarrow.parquet")
    events = [opened("a"), *begun(1, lr=1, kind=[1]), ended(1), *begun(2, lr=0.5, kind="x"), ended(2)]
    with kept(path, "a", events):
        run("export", "--parquet", "-o", "a.parquet", "a")
    found = parquet.read_table("a.parquet").to_pydict()
    assert (found["param_lr"], found["param_kind"]) == ([1.0, 0.5], ["[1]", '"x"'])


def test_what_a_resume_takes(path):
    """Of a study that nobody runs `resume` prints the line that goes on with it, with what has to be passed again."""
    custom = {"optimizer": {"custom": "a.B"}, "earlystop": [{"custom": "a.C"}]}
    with kept(path, "a", [opened("a", **custom)]), kept(path, "b", [opened("b"), StudyResumed(BEGAN, {})]):
        assert run("resume", "b") == "experiment.resume('b', train_fn)\n"
        assert run("resume", "a") == "experiment.resume('a', train_fn, optimizer=optimizer, earlystop=earlystop)\n"
    with kept(path, "c", [opened("c", command={})]), kept(path, "d", [opened("d", studyfile="/a b/d.dv")]):
        assert run("resume", "c") == "experiment.resume('c')\n"
        assert run("resume", "d") == "maggy run -stream '/a b/d.dv' d\n"
    moved = path.rename(path.with_name("other.db"))
    assert run("-db", moved, "resume", "d") == f"maggy run -db {moved} -stream '/a b/d.dv' d\n"
    assert run("-db", moved, "resume", "b") == f"experiment.resume('b', train_fn, store={str(moved)!r})\n"


def test_wishes_reach_the_driver(path):
    """`stop`, `pause` and `resume` leave a wish for a driver that lives, and say whose that is."""
    with kept(path, "a", [opened("a")], held=True) as store:
        for wish in ("pause", "resume", "stop"):
            assert f"study 'a': process {os.getpid()} on " in run(wish, "a")
        assert store.requests("a") == ["pause", "resume", "stop"]


def test_no_wish_is_left_where_one_study_is_idle(path):
    """Of several studies all are looked at before the first is told."""
    with kept(path, "a", [], held=True) as store, kept(path, "b", []):
        run("stop", "a", "b", code=2)
        assert store.requests("a") == []


def test_delete(path):
    """A study is deleted when it is confirmed, and not while its driver lives."""
    with kept(path, "a", [opened("a")]), kept(path, "b", [opened("b")], held=True):
        assert "is held by process" in run("delete", "--yes", "a", "b", code=2)
        assert run("list") == "a\nb\n"
        run("delete", "a", input="n\n", code=1)
        assert run("list") == "a\nb\n"
        assert run("delete", "a", input="y\n") == "study 'a' is deleted\n"
        assert run("list") == "b\n"


def test_f34_another_hosts_clock_deletes_nothing(path, monkeypatch):
    """F34: a driver elsewhere, whose clock is an hour behind, is alive where it gives a sign of life."""
    late = time.time() - 3600
    with closing(open_store(path)) as store:
        store.create("a", late)
        store.claim("a", elsewhere(), late)
        monkeypatch.setattr("maggy.opening.time.sleep", lambda _: store.renew("a", elsewhere(), late + 1))
        assert "is held by process 1 on host elsewhere" in run("delete", "--yes", "a", code=2)
        assert run("list") == "a\n"


def test_logs(path, tmp_path):
    """`logs` prints what a trial has printed; `-since` nothing where it has printed nothing since."""
    files = tmp_path / "logs"
    with kept(path, "a", [opened("a", files=str(files)), *begun(1), ended(1)]):
        assert "which is not here" in run("logs", "a:1", code=2)
        (files / "1").mkdir(parents=True)
        assert "has printed nothing" in run("logs", "a:1", code=2)
        (files / "1" / "output.log").write_bytes("zeile é\n\x1b[31mred\n".encode() + b"\xff end")
        assert run("logs", "a:1") == "zeile é\n\x1b[31mred\n\ufffd end"
        assert run("logs", "-f", "a:1") == run("logs", "a:1")
        os.utime(files / "1" / "output.log", (BEGAN, BEGAN))
        assert run("logs", "-since", "1h", "a:1") == ""


def test_doctor(path):
    """`doctor` names what it has looked at, makes no store, and fails where something is missing."""
    found = {each["what"]: each for each in asked("doctor")}
    assert set(found) == {"Python", "Java", "Spark", "packages", "ports", "store", "folder"}
    assert (found["store"]["ok"], found["Python"]["ok"]) == (None, True)
    path.write_text("no store")
    assert "NO store:" in run("doctor", code=1)


def test_create_table(path):
    """`create-table` makes the store where there is none, and leaves one that is there."""
    for _ in range(2):
        assert run("-db", "local,x.db", "create-table").endswith("x.db is ready\n")
    assert run("-db", "x.db", "list") == run("list", "--store", "x.db") == ""


def test_help_fits_a_screen():
    """The help of each command fits a screen of 80 columns and 24 lines, and has an example; that of all is longer."""
    found = screens.screens()
    assert {"maggy", "maggy list", "maggy create-table", "maggy run"} <= found.keys()
    for name, text in found.items():
        assert len(text.splitlines()) <= (40 if name == "maggy" else 23), name  # and the line where one types
        assert max(map(len, text.splitlines())) <= 80, name
        assert name == "maggy" or re.search(rf"^ *(Example: )?maggy .*{name.split()[1]}\b", text, re.MULTILINE), name


def test_the_documentation_has_the_help_screens():
    """As they are; `python -m maggy.cli.screens docs/cli.md` brings them up to date."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert screens.written(page) == page


def test_help_is_light():
    """`maggy --help` loads no database, no Spark, no numbers and no rich."""
    code = "import sys; from maggy.cli.app import main; sys.argv = ['maggy', '--help']\n"
    code += "try: main()\nexcept SystemExit: pass"
    heavy = "sqlalchemy", "pyspark", "numpy", "rich", "scipy", "sklearn"
    code += f"\nprint(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr == "[]\n"


def test_the_shell_completes_studies(path):
    """A shell is told the studies that begin with what was typed."""
    with kept(path, "digits", []), kept(path, "faces", []):
        typed = {"COMP_WORDS": "maggy best dig", "COMP_CWORD": "2", "_MAGGY_COMPLETE": "bash_complete"}
        ran = CliRunner().invoke(app, prog_name="maggy", env=typed)
    assert ran.stdout.split() == ["plain,digits"]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("maggy info dig", ["plain,digits"]),
        ("maggy logs fa", ["plain,faces"]),
        ("maggy run x.dv dig", ["plain,digits"]),
        ("maggy lead", ["plain,leaderboard"]),
        ("maggy list -ru", ["plain,-runs"]),
        ("maggy run f", ["file,f"]),
        ("maggy -db d", ["file,d"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_what_is_typed(path, typed, answer, shell):
    """Commands, flags, files, and studies wherever one is wanted."""
    word, count = typed.rpartition(" ")[2], str(len(typed.split()) - 1)
    at = {"COMP_CWORD": word if shell == "fish" else count}
    with kept(path, "digits", []), kept(path, "faces", []):
        ran = CliRunner().invoke(
            app, prog_name="maggy", env={"COMP_WORDS": typed, **at, "_MAGGY_COMPLETE": f"{shell}_complete"}
        )
    kind, value = answer[0].split(",")
    assert kind in ran.stdout
    assert value in re.split(r"[\s,]", ran.stdout)


@pytest.fixture
def shell(path):
    """Give what starts a shell that knows this `maggy`, and a study `digits` in its directory."""
    program = path.parent / "maggy"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m maggy "$@"\n')
    program.chmod(0o755)
    known = {"PYTHONPATH": str(ROOT), "PATH": f"{path.parent}:{os.environ['PATH']}", "TERM": "dumb"}

    def start(name, *arguments, **how):
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name}")
        return subprocess.Popen([name, *arguments], cwd=path.parent, env={**os.environ, **known}, **how)

    with kept(path, "digits", []):
        yield start


BASH = """eval "$(_MAGGY_COMPLETE=bash_source maggy)"
COMP_WORDS=(maggy best dig) COMP_CWORD=2; _maggy_completion maggy dig best; echo "${COMPREPLY[@]}" """
FISH = """eval "$(_MAGGY_COMPLETE=fish_source maggy)"
complete -C "maggy best dig" """


@pytest.mark.parametrize(("name", "typed"), [("bash", BASH), ("fish", FISH)])
def test_shells_complete_by_what_they_were_told(shell, name, typed):
    """In a shell, by the functions that `maggy` has printed."""
    with shell(name, "-c", typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        assert asked.communicate(timeout=60) == ("digits\n", "")


def test_zsh_completes_on_a_terminal(shell):
    """Where alone it does."""
    terminal, other = pty.openpty()
    typing = shell("zsh", "-f", "-i", stdin=other, stdout=other, stderr=other, start_new_session=True)
    os.close(other)

    def shows(what):
        shown = b""
        while what not in shown:
            assert select.select([terminal], [], [], 60)[0], shown
            shown += os.read(terminal, 65536)

    try:
        os.write(terminal, b"autoload -Uz compinit; compinit -u -D\n")
        os.write(terminal, b"""eval "$(_MAGGY_COMPLETE=zsh_source maggy)"; echo 'rea''dy'\n""")
        shows(b"ready\r\n")
        os.write(terminal, b"maggy best dig\t")
        shows(b"best digits ")
    finally:
        typing.kill()
        typing.wait()
        os.close(terminal)


def test_watching_is_ended_quietly(path):
    """On a terminal by Ctrl-C, which is no error; what was shown stays."""
    with live(path) as driver:
        terminal, other = pty.openpty()
        watching = subprocess.Popen(
            [sys.executable, "-m", "maggy", "watch", "live"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            stdin=other,
            stdout=other,
            stderr=other,
        )
        os.close(other)
        shown = b""
        while b"0/4 done" not in shown or b"running" not in shown:
            shown += os.read(terminal, 65536)
        watching.send_signal(signal.SIGINT)
        with suppress(OSError):  # that is how a terminal ends
            while more := os.read(terminal, 65536):
                shown += more
        assert watching.wait(30) == 0
        assert b"Abort" not in shown
        assert driver.poll() is None
        os.close(terminal)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.00015, "150µs"),
        (0.0125, "12.5ms"),
        (1, "1s"),
        (59.5, "59.5s"),
        (314, "5m14s"),
        (809.972611, "13m29.972611s"),
        (3605, "1h0m5s"),
        (90000, "25h0m0s"),
        (-1, "0s"),
    ],
)
def test_durations(seconds, text):
    """Durations read as Go writes them; lists leave out what is below a second."""
    assert duration(seconds) == text
    assert to_seconds(59.99) == "59s"


@pytest.mark.usefixtures("_pacific")
def test_when_something_was():
    """Lists have the time of day, with the day when it is over a day ago, and the date when it is over a week."""
    clock = Clock(BEGAN)
    assert clock(BEGAN) == "6:02PM"
    assert clock(BEGAN - 17 * 3600) == "1:02AM"
    assert clock(BEGAN - 2 * 86400) == "Wed6:02PM"
    assert clock(BEGAN - 30 * 86400) == "25Sep19"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.001, "0.001"), (True, "true"), (None, "null"), ("a", '"a"'), ([1, "x"], '[1,"x"]'), (7, "7")],
)
def test_values(value, text):
    """Values read as they would be written."""
    assert shown(value) == text


def test_columns():
    """Columns are as wide as their widest cell; rows may be of different lengths."""
    assert columns([["a", "bb"], ["ccc", "d", "e"]]) == ["a   bb", "ccc d  e"]


def test_columns_of_a_terminal():
    """A Chinese character is as wide as two others, and an accent that stands alone takes no room."""
    rows = [["名", "x", "1"], ["e\u0301", "yy", "22"], ["abcd", "z"]]
    assert columns(rows) == ["名   x  1", "e\u0301    yy 22", "abcd z"]
    assert block([("名前", "1"), ("ab", "2")]) == ["    名前: 1", "    ab:   2"]


def test_what_watching_shows():
    """The screen of `watch` has the trials that run, those that ended badly, and the best."""
    study = Study.of([*DIGITS, *begun(5, at=BEGAN + 60, budget=9.0), Reported(BEGAN, 5, 1, 2, {"acc": 0.25})])
    screen = watch.screen(study, 100.0, BEGAN + 90, held=True, width=100)
    assert "5     9      2    0.25  30s" in screen
    assert any(line.startswith("trial 4 stopped: median rule") for line in screen)
    assert "best 0.7 by trial 2: lr=0.2" in screen
    study.apply(StudyClosed(BEGAN, "done"))
    ended = watch.screen(study, 100.0, BEGAN + 90, held=False, width=100)
    assert ended[-1] == "ended: done"
    assert not any(a == b == "" for a, b in pairwise(ended))


def test_what_watching_shows_fits_the_terminal():
    """In lines and columns, Chinese characters counted as two, with room for the `^C` that a terminal shows."""
    many = [event for number in range(5, 30) for event in begun(number, at=BEGAN + 60, budget=9.0, 名="値" * 40)]
    study = Study.of([*DIGITS, *many, ended(5, 0.9)])
    screen = watch.screen(study, 100.0, BEGAN + 90, held=True, width=40, height=12)
    assert len(screen) < 12
    assert max(map(cell_len, screen)) <= 37
    assert "and 21 more" in screen
    assert screen[-1].startswith('best 0.9 by trial 5: 名="値値値')


# -- a study that runs ---------------------------------------------------------------------------------------------

RUNNING = """
import time
from pathlib import Path
from maggy import Float, Searchspace, experiment

def train_fn(x, reporter):
    print("waiting at", x, flush=True)
    reporter.broadcast(x, step=0)
    while not Path("go").exists():
        time.sleep(0.02)
    return x

if __name__ == "__main__":
    result = experiment.lagom(train_fn, Searchspace(x=Float(0, 1)), num_trials=4, name="live", launcher="local",
                              num_executors=1, optimizer="randomsearch", quiet=True, hb_interval=0.2)
    print("ended", result.study.closed, flush=True)
"""


@contextmanager
def live(path):
    """Run a study of four trials, which wait for a file `go`, in another process."""
    script = path.parent / "study.py"
    script.write_text(RUNNING)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [sys.executable, str(script)], cwd=path.parent, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        until(lambda: path.exists() and path.stat().st_size and "pending" in states(), show=states)
        yield driver
    finally:
        driver.kill()
        driver.communicate()


def states():
    try:
        return [each["state"] for each in asked("list", "-runs")]
    except AssertionError:  # there is no store yet
        return []


def test_d18_a_study_is_led_from_another_process(path):
    """A running study is listed, watched, paused, resumed, not deleted, and stopped, by other processes."""
    with live(path) as driver:
        until(lambda: "running: waiting at" in run("list", "-runs", "-state", "pending", "-s"))
        assert "is held by process" in run("delete", "--yes", "live", code=2)
        watching = subprocess.Popen(
            [sys.executable, "-m", "maggy", "watch", "live"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        run("pause", "live")
        with closing(open_store(path)) as store:
            until(lambda: not wishes(store))
        Path("go").touch()
        until(lambda: "pending" not in states(), show=states)
        assert states() == ["success"]  # no other was begun
        run("resume", "live")
        until(lambda: len(states()) > 1, show=states)
        assert driver.communicate(timeout=60)[0] == "ended done\n"
        assert states() == ["success"] * 4
        assert "4/4 done" in watching.communicate(timeout=60)[0]
        assert watching.returncode == 0
        assert asked("best", "live")["value"] == max(each["value"] for each in asked("list", "-runs"))


def wishes(store):
    """Return whether wishes wait, without taking them."""
    with store._reading() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM requests").scalar_one()


def test_a_study_is_stopped_from_another_process(path):
    """`maggy stop` ends a study within seconds; what ran is not failed, and `resume` says how it goes on."""
    with live(path) as driver:
        run("stop", "live")
        assert driver.communicate(timeout=60)[0] == "ended stopped by another process\n"
        assert states() == ["failure"]
        assert run("resume", "live") == "experiment.resume('live', train_fn)\n"


def test_d14_f09_a_killed_driver(path):
    """When a driver is killed, what it ran is a failure at once in lists, and the study can be deleted."""
    with live(path) as driver:
        os.kill(driver.pid, signal.SIGKILL)
        until(lambda: states() == ["failure"], show=states)
        assert run("list", "-runs", "-state", "pending") == ""
        run("delete", "--yes", "live")
        assert run("list") == ""


def test_d21_a_log_is_followed(path):
    """`logs -f` prints what comes while a trial runs, and ends when it does."""
    with live(path):
        following = subprocess.Popen(
            [sys.executable, "-m", "maggy", "logs", "-f", "live:1"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout.readline().startswith("waiting at")
        Path("go").touch()
        assert following.communicate(timeout=60)[0] == ""
        assert following.returncode == 0


def test_unknown_regex_is_a_config_error():
    """An expression is checked before anything is read."""
    from maggy.cli.options import patterns

    with pytest.raises(ConfigError, match="is no regular expression"):
        patterns("a,(")
