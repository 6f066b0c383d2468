"""End-to-end tests of `experiment.lagom` with executors that are processes of this machine.

Where a test needs an accident at a certain moment, the training function causes it: it kills its agent, or the driver.
"""

import asyncio
import ctypes
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import pytest
from waiting import agent, until, until_gone

from maggy import (
    DONE,
    Asha,
    Categorical,
    Float,
    Integer,
    Searchspace,
    Status,
    StopTrial,
    Suggestion,
    Threshold,
    experiment,
)
from maggy.errors import ConfigError, LauncherError, StoreError, StudyFailed
from maggy.events import Ended, Started
from maggy.store import open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
SPACE = Searchspace(x=Float(0, 1))


def children() -> set[int]:
    """Return the child processes of this one."""
    listed = (path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    return {int(pid) for text in listed for pid in text.split()}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    """No test leaves a thread of maggy's, an executor, a trial's process or an open store."""
    before = children()
    yield
    files = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert [path for path in files if path.name.startswith("maggy.db")] == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("maggy-slot")] == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "maggy-driver"] == []
    assert children() - before == set()


@pytest.fixture
def lagom(tmp_path):
    """Run a study with two local executors, quietly, in a store and folder of the test's own."""

    def run(train_fn, searchspace=SPACE, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
        how = {"launcher": "local", "num_executors": 2, "seed": 1, "quiet": True}
        return experiment.lagom(train_fn, searchspace, **places | how | options)

    return run


# -- what comes back -----------------------------------------------------------------------------------------------


def test_an_inactive_parameter_is_not_passed(lagom):
    """A conditional grid is run once through; what is absent has the function's own default."""

    def train(kernel, degree=-1):
        return float(degree)

    space = Searchspace(kernel=["linear", "poly"], degree=Integer(2, 4, when={"kernel": "poly"}))
    space.forbid(degree=3)
    result = lagom(train, space, optimizer="gridsearch")
    assert [(trial.params, trial.value) for trial in result.trials] == [
        ({"kernel": "linear"}, -1.0),
        ({"kernel": "poly", "degree": 2}, 2.0),
        ({"kernel": "poly", "degree": 4}, 4.0),
    ]


def test_a_function_takes_what_it_names_and_the_result_tells_all(lagom, tmp_path):
    """Parameters by name, reports, a dict returned: best, trials and Maggy's mapping fit together."""

    def train(lr, units, act, reporter, trial):
        for epoch in range(3):
            reporter.report(step=epoch, accuracy=lr * epoch, loss=units)
        return {"accuracy": lr * 2, "pid": os.getpid(), "trial": trial, "relu": act == "relu"}

    space = Searchspace(lr=Float(1e-4, 1e-1, log=True), units=Integer(16, 512), act=Categorical(["relu", "tanh"]))
    result = lagom(train, space, metric="accuracy", num_trials=8)

    assert [trial.id for trial in result.trials] == [*range(1, 9)]
    best = max(result.trials, key=lambda trial: trial.value)
    assert result.best_trial is best
    assert (result.best_params, result.best_value) == (best.params, best.params["lr"] * 2)
    for trial in result.trials:
        lr, units, act = (trial.params[name] for name in ("lr", "units", "act"))
        assert (trial.status, trial.attempt, trial.budget, trial.parent) == (Status.COMPLETED, 1, None, None)
        assert (trial.error, trial.stop_reason) == (None, None)
        assert trial.curve.points() == [(0, 0.0), (1, lr), (2, lr * 2)]
        assert trial.metrics == {
            "accuracy": lr * 2,
            "pid": trial.metrics["pid"],
            "trial": trial.id,
            "relu": act == "relu",
        }
        assert trial.started <= trial.ended
        assert 16 <= units <= 512
    assert len({trial.executor for trial in result.trials}) <= 2
    assert not result.interrupted
    assert (result.name, result["num_trials"], result["early_stopped"]) == ("train", 8, 0)
    assert (result["best_id"], result["best_val"], result["best_config"]) == (best.id, best.value, best.params)
    worst = min(result.trials, key=lambda trial: trial.value)
    assert (result["worst_id"], result["worst_val"], result["worst_config"]) == (worst.id, worst.value, worst.params)
    assert result["best_hp"] == result["best_config"]
    assert result["metric_list"] == [trial.value for trial in result.trials]
    assert result["avg"] == pytest.approx(sum(result["metric_list"]) / 8)
    assert set(result) == set(dict(result))
    assert Path(result.log_dir) == tmp_path / "logs" / "train"
    assert repr(result).startswith("<Result of 'train': 8 trials, best ")


def test_hparams_and_reporter_are_enough(lagom):
    """Maggy's second form: all parameters in a dict, a bare number returned, another space each time."""

    def train(hparams, reporter):
        reporter.broadcast(hparams["a"])
        return hparams["a"] + hparams["b"]

    result = lagom(train, {"a": ("INTEGER", [1, 9]), "b": [10, 20]}, num_trials=4, direction="min", name="digits")
    assert result.best_value == min(trial.params["a"] + trial.params["b"] for trial in result.trials)
    assert result.best_trial.metrics == {"metric": result.best_value}


def test_the_last_report_counts_where_nothing_is_returned(lagom):
    """None returned is no failure; 0.0 is a value; one entry of a dict needs no name."""

    def train(kind, reporter):
        reporter.broadcast(0.0 if kind == "zero" else 5)
        if kind == "dict":
            return {"score": 7}
        return 0.0 if kind == "zero" else None

    result = lagom(train, {"kind": ["report", "zero", "dict"]}, optimizer="gridsearch")
    assert [trial.value for trial in result.trials] == [5.0, 0.0, 7.0]


@pytest.mark.parametrize(("options", "best"), [({"direction": "max"}, 9), ({"mode": "min"}, 0), ({}, 9)])
def test_direction(lagom, options, best):
    """The best is the largest or the smallest, and the worst the other end."""

    def train(n):
        return n

    result = lagom(train, {"n": Integer(0, 9)}, optimizer="grid", store="memory:", log_dir=None, **options)
    assert (result.best_value, result["worst_val"]) == (best, 9 - best)
    assert result.log_dir is None


def test_grid_search_covers_the_grid_once(lagom):
    """Every combination is run, the last parameter fastest, and num_trials is the grid's size."""

    def train(a, b, c):
        return a * b * len(c)

    result = lagom(train, {"a": [1, 2], "b": Integer(1, 3), "c": ["x", "yy"]}, optimizer="gridsearch")
    assert [tuple(trial.params.values()) for trial in result.trials] == [
        (a, b, c) for a in (1, 2) for b in (1, 2, 3) for c in ("x", "yy")
    ]


def test_without_optimizer_the_function_runs_once(lagom):
    """optimizer=None needs no searchspace; num_trials repeats it."""

    def train(reporter):
        reporter.log("hello")
        return 3

    assert [trial.params for trial in lagom(train, None, optimizer=None).trials] == [{}]
    assert len(lagom(train, None, optimizer=None, num_trials=3).trials) == 3


def test_train_args_reach_every_trial(lagom):
    """Constants are sent along with the function and are the same for all trials."""

    def train(x, data, scale):
        return sum(data) * scale

    result = lagom(train, num_trials=3, train_args={"data": [1, 2, 3], "scale": 2})
    assert [trial.value for trial in result.trials] == [12, 12, 12]


def test_the_same_seed_draws_the_same(lagom):
    """What random search draws depends on the seed alone, not on who runs it when; without one, it is drawn too."""

    def train(x):
        return x

    drawn = [
        [t.params for t in lagom(train, num_trials=6, num_executors=n, seed=s).trials]
        for n, s in ((1, 5), (2, 5), (2, 6))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({lagom(train, num_trials=1, seed=None).study.settings["seed"] for _ in range(2)}) == 2


# -- stopping and promoting ----------------------------------------------------------------------------------------


def test_the_median_rule_stops_bad_trials(lagom):
    """Slow trials below the median end early with that reason, are never best, and are counted."""

    def train(n, reporter):
        for epoch in range(40):
            reporter.broadcast(n, step=epoch)
            time.sleep(0.003)
        return n

    result = lagom(train, {"n": Integer(0, 15)}, optimizer="randomsearch", earlystop="median", es_min=4, num_trials=16)
    stopped = [trial for trial in result.trials if trial.status is Status.STOPPED]
    assert len(stopped) >= 4
    for trial in stopped:
        assert re.fullmatch(
            r"median rule: best value \d+ by step \d+ is worse than the median \d+ of \d+", trial.stop_reason
        )
        assert len(trial.curve) < 40
        assert trial.value == trial.curve.last
    assert result.best_trial.status is Status.COMPLETED
    assert result["early_stopped"] == len(stopped)


def test_rules_of_the_user_and_several_at_once(lagom):
    """Any object with reason_to_stop will do; a trial that raises StopTrial itself is stopped, not failed."""

    @dataclass
    class Odd:
        """Stops odd trials."""

        def reason_to_stop(self, trial, study):
            return "odd number" if trial.id % 2 else None

    def train(x, trial, reporter):
        if trial == 4:
            raise StopTrial("enough")
        for _ in range(1000):
            reporter.broadcast(math.nan if trial == 2 else 1.0)
            time.sleep(0.002)

    result = lagom(train, num_trials=4, earlystop=[Odd(), Threshold()])
    assert {trial.id: trial.stop_reason for trial in result.trials} == {
        1: "odd number",
        2: "threshold: the value at step 0 is nan",
        3: "odd number",
        4: "train_fn raised StopTrial",
    }
    assert result.best_trial is None


@pytest.mark.parametrize("direction", ["max", "min"])
def test_asha_promotes_the_best_from_their_checkpoints(lagom, direction):
    """A rung's best third goes on with three times the budget, and finds its parent's file, not somebody else's."""

    def train(n, trial, budget, reporter):
        came_from, done = 0, 0
        if reporter.parent_checkpoint_dir:
            came_from, done = map(int, Path(reporter.parent_checkpoint_dir, "state").read_text().split())
        assert reporter.budget == budget
        for epoch in range(done, int(budget)):
            reporter.broadcast(n + epoch / 100, step=epoch)
        Path(reporter.checkpoint_dir, "state").write_text(f"{trial} {int(budget)}")
        return {"metric": n, "from": came_from, "done": done}

    asha = Asha(reduction_factor=3, resource_min=1, resource_max=9)
    result = lagom(train, {"n": Integer(0, 1000)}, optimizer=asha, num_trials=12, direction=direction)
    trials = {trial.id: trial for trial in result.trials}
    rungs = Counter(trial.budget for trial in result.trials)
    assert rungs[1] == result["num_trials"] == 12
    assert 4 <= rungs[3] <= 4 + 2 * math.sqrt(12)  # a few more than a third, as results arrive by and by
    assert 1 <= rungs[9] <= rungs[3]
    for trial in result.trials:
        assert (trial.metrics["from"], trial.metrics["done"]) == (trial.parent or 0, trial.budget // 3)
        if trial.parent:
            parent = trials[trial.parent]
            assert (parent.budget * 3, parent.params) == (trial.budget, trial.params)
    best = max if direction == "max" else min
    assert result.best_value == best(trial.value for trial in result.trials if trial.budget == 9)
    bottom = sorted((t.value for t in result.trials if t.budget == 1), reverse=direction == "max")
    assert bottom[0] in [trial.value for trial in result.trials if trial.budget == 3]
    assert result.best_trial.budget == 9


def test_asha_stopping_stops_at_rungs(lagom):
    """Each trial is given the whole budget; those outside a rung's best third end there with that reason."""

    def train(n, budget, reporter):
        for step in range(1, int(budget) + 1):
            reporter.broadcast(n, step=step)
            time.sleep(0.003)
        return n

    asha = Asha(reduction_factor=3, resource_min=1, resource_max=27, mode="stopping")
    result = lagom(train, {"n": Integer(0, 1000)}, optimizer=asha, num_trials=12, direction="min")
    assert {trial.budget for trial in result.trials} == {27}
    stopped = [trial for trial in result.trials if trial.status is Status.STOPPED]
    assert len(stopped) >= 4
    for trial in stopped:
        assert re.match(r"rung (1|3|9): \d+ is not among the best 1/3 of \d+ \(cut-off \d+\)", trial.stop_reason)
    assert result.best_value == min(trial.value for trial in result.trials)


@pytest.mark.parametrize("optimizer", ["asha", "asha-stopping"])
def test_asha_asks_for_what_it_needs(lagom, optimizer):
    """A function that can neither know its budget nor report is refused before anything starts."""

    def train(x):
        return x

    with pytest.raises(ConfigError, match=r"train\(\) (names neither `budget` nor|has no parameter) `reporter`"):
        lagom(train, optimizer=optimizer)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"earlystop": "median"}, "Warning: "),
        ({"optimizer": "asha"}, "Warning: "),
        ({}, ""),
        ({"earlystop": None}, None),
    ],
)
def test_who_never_reports_is_told(lagom, capsys, options, told):
    """Loudly where a rule or ASHA was asked for, in a line where the default rule could not act, else not at all."""

    def train(x, reporter):
        return x

    lagom(train, num_trials=5, quiet=False, **options)
    said = re.search(r"^(Warning: )?.*report.*$", capsys.readouterr().err, re.MULTILINE)
    assert (said and (said[1] or "")) == told
    assert said is None or "reporter.broadcast" in said[0]


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_every_way_to_fail_is_one_failed_trial(lagom):
    """Whatever user code does to itself, its trial fails with the cause in words and the study goes on."""

    def train(how, reporter):
        reporter.broadcast(1.0)
        match how:
            case "raises":
                raise ValueError("kaboom")
            case "nan":
                return math.nan
            case "text":
                return "0.9"
            case "a list":
                return [1, 2]
            case "several":
                return {"accuracy": 1, "loss": 2}
            case "entry":
                return {"metric": 1, "name": "text"}
            case "sys.exit":
                sys.exit(3)
            case "os._exit":
                print("last words", flush=True)
                os._exit(7)
            case "segfault":
                return ctypes.string_at(0)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "interrupt":
                raise KeyboardInterrupt
            case "report":
                reporter.broadcast("0.5")
            case "backwards":
                reporter.broadcast(1.0, step=0)
            case "long":
                raise RuntimeError("x" * 1_000_000)
            case "stdout":
                sys.stdout.close()
                sys.stdout = None
        return 1.0

    errors = {
        "raises": r'(?s)Traceback .*raise ValueError\("kaboom"\)\nValueError: kaboom\n',
        "nan": r"train_fn returned nan as 'metric'",
        "text": r"(?s).*TypeError: metric 'metric' must be a number, but is '0.9' of type str\n",
        "a list": r"(?s).*TypeError: metric 'metric' must be a number, but is \[1, 2\] of type list\n",
        "several": r"(?s).*which of 'accuracy', 'loss' is optimized\? Name it: lagom\(…, metric='accuracy'\)\n",
        "entry": r"(?s).*TypeError: metric 'name' must be a number, but is 'text' of type str\n",
        "sys.exit": r"(?s)train_fn called sys.exit\(3\)\n.*SystemExit: 3\n",
        "os._exit": r"the trial's process died: it exited with code 7\nThe last that it printed:\nlast words",
        "segfault": r"(?s)the trial's process died: it was ended by SIGSEGV\n.*Fatal Python error: Segmentation .*",
        "killed": r"the trial's process died: it was ended by SIGKILL",
        "interrupt": r"(?s)Traceback .*KeyboardInterrupt\n",
        "report": r"(?s).*TypeError: metric 'metric' must be a number, but is '0.5' of type str\n",
        "backwards": r"(?s).*ValueError: step 0 does not come after step 0; steps must rise\n",
        "long": r"(?s)Traceback .*x\n…\nx.*x\n",
    }
    ways = ["well", *errors, "stdout", "well again"]
    result = lagom(train, {"how": ways}, optimizer="gridsearch")
    assert not result.interrupted
    for trial in result.trials:
        how = trial.params["how"]
        if how in errors:
            assert trial.status is Status.FAILED, how
            assert re.fullmatch(errors[how], trial.error), (how, trial.error)
        else:
            assert (trial.status, trial.value) == (Status.COMPLETED, 1.0), how
    raised = next(trial.error for trial in result.trials if trial.params["how"] == "raises")
    assert f'File "{__file__}"' in raised
    assert "maggy/" not in raised.replace(__file__, "")
    assert math.isnan(next(trial.value for trial in result.trials if trial.params["how"] == "nan"))
    assert result["num_trials"] == len(ways)
    assert result.best_value == 1.0


def test_ten_failures_alike_end_the_study(lagom):
    """What fails ten times for the same reason is given up, with the reason and the result."""

    def train(x):
        return undefined  # noqa: F821 - that is the point

    with pytest.raises(
        StudyFailed, match=r"study 'train' was given up: the first 10 .* alike: NameError: name 'unde"
    ) as e:
        lagom(train, num_trials=50)
    assert 10 <= len(e.value.result.trials) <= 12
    assert e.value.result.best_trial is None
    assert e.value.result["best_config"] is None


def test_max_failures_ends_the_study(lagom):
    """A bound on failures counts all of them."""

    def train(n):
        return 1 / (n % 2)

    with pytest.raises(StudyFailed, match="2 trials have failed, and max_failures is 2") as error:
        lagom(train, {"n": Integer(0, 9)}, optimizer="grid", max_failures=2, num_executors=1)
    ended = [trial.status for trial in error.value.result.trials if trial.ended is not None]
    assert ended[:3] == ["failed", "completed", "failed"]
    assert ended.count("failed") == 2


def test_a_trial_that_ignores_its_stop_is_killed(lagom):
    """After the grace period its process is killed: stopped, with the reason, and the next trial runs."""

    def train(x, trial, reporter):
        while trial == 1:
            try:
                reporter.broadcast(1e9)
            except BaseException:  # noqa: BLE001 - what users write
                time.sleep(0.01)
        return x

    result = lagom(train, num_trials=3, earlystop=Threshold(upper=10), num_executors=1)
    first, *others = result.trials
    assert (first.status, first.stop_reason) == (Status.STOPPED, "threshold: 1e+09 at step 0 is above 10")
    assert 4.5 < first.duration < 7
    assert [trial.status for trial in others] == ["completed"] * 2


def test_an_agent_that_is_killed_costs_an_attempt(lagom):
    """The trial runs again elsewhere with attempt 2, its process dies with the agent, and no other trial notices."""

    def train(x, trial, reporter):
        reporter.broadcast(reporter.attempt)
        if trial == 2 and reporter.attempt == 1:
            Path(reporter.checkpoint_dir, "pid").write_text(str(os.getpid()))
            os.kill(agent(), signal.SIGKILL)
            signal.pause()
        return reporter.attempt

    result = lagom(train, num_trials=6)
    assert [trial.attempt for trial in result.trials] == [1, 2, 1, 1, 1, 1]
    store = open_store(result.store)
    held = [event.executor for event in store.read(result.name) if isinstance(event, Started) and event.trial == 2]
    store.close()
    assert len(set(held)) == 2
    again = result.trials[1]
    assert (again.status, again.value, again.lost) == (Status.COMPLETED, 2, 1)
    assert again.curve.points() == [(0, 2.0)]
    pid = int(Path(result.log_dir, "checkpoints", "2", "files", "pid").read_text())
    until_gone([pid])


def test_a_trial_that_kills_every_agent_fails(lagom):
    """Three executors are enough; then the trial is taken for the cause, and the others complete."""

    def train(x, trial):
        if trial == 1:
            os.kill(agent(), signal.SIGKILL)
            signal.pause()
        return x

    result = lagom(train, num_trials=4)
    assert re.match("lost 3 times, the last time because: ", result.trials[0].error)
    assert [trial.status for trial in result.trials] == ["failed", *["completed"] * 3]


def test_a_timeout_stops_what_runs(lagom):
    """The call returns soon after, what ran is stopped for that reason, and `except Exception` is no shelter."""

    def train(x, trial, reporter):
        while trial > 2:
            try:
                reporter.broadcast(x)
                time.sleep(0.005)
            except Exception:  # noqa: BLE001 - what users write
                reporter.log("swallowed")
        return x

    began = time.monotonic()
    result = lagom(train, timeout=4.0)  # long enough for executors to start on the busiest machine
    assert 4.0 <= time.monotonic() - began < 7.0
    ran = [trial for trial in result.trials if trial.status is not Status.QUEUED]  # others were given out ahead
    assert [(trial.status, trial.stop_reason) for trial in ran] == [
        *[("completed", None)] * 2,
        *[("stopped", "timeout")] * 2,
    ]
    assert not result.interrupted
    assert result.best_value == max(trial.value for trial in result.trials[:2])
    assert not list(Path(result.log_dir).rglob("output.log"))


def test_executors_that_cannot_start_are_an_error(lagom, monkeypatch):
    """Where every executor dies young several times, the error has the address and the last cause."""

    def train(x):
        return x

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LauncherError, match=r"no executor can be kept running \(.* 127.0.0.1:\d+\): .* with code 1"):
        lagom(train)
    monkeypatch.undo()
    assert len(lagom(train, num_trials=2, resume=True).trials) == 2


# -- what is seen --------------------------------------------------------------------------------------------------


def noisy(x, trial, reporter):
    """Say something in every way there is."""
    print(f"printed by {trial}")
    reporter.log(f"logged by {trial}")
    os.write(2, f"raw from {trial}\n".encode())
    subprocess.run(["echo", f"child of {trial}"], check=True)
    if trial == 2:
        print("ä", end="")
    return x


def test_what_trials_print_is_in_their_files_and_nowhere_else(lagom, capfd):
    """print, reporter.log, raw writes and children's output land in the trial's output.log, in order."""
    result = lagom(noisy, num_trials=3)
    assert capfd.readouterr() == ("", "")
    for trial in result.trials:
        text = Path(result.log_dir, str(trial.id), "output.log").read_text()
        expected = [f"{what} {trial.id}" for what in ("printed by", "logged by", "raw from", "child of")]
        assert text.splitlines() == expected + (["ä"] if trial.id == 2 else [])


def test_verbose_shows_what_trials_print(lagom, capfd):
    """Then each line appears on stderr behind its trial's number, and the table on stdout."""
    lagom(noisy, num_trials=3, verbose=True, quiet=False)
    out, err = capfd.readouterr()
    for trial in (1, 2, 3):
        shown = [line for line in err.splitlines() if line.startswith(f"[{trial}] ")]
        expected = [f"[{trial}] {what} {trial}" for what in ("printed by", "logged by", "raw from", "child of")]
        assert shown == expected + (["[2] ä"] if trial == 2 else [])
    assert "noisy  3 trials in 0:0" in out
    assert "by 1" not in out


def test_the_table_says_where_things_are(lagom, capfd, tmp_path):
    """Without verbose nothing of the trials' is shown; the table names the best, the store and the folder."""
    result = lagom(noisy, num_trials=3, quiet=False)
    out, err = capfd.readouterr()
    assert "printed by" not in out + err
    assert f"{result.best_value:.6g}" in out
    assert f"'noisy' in {tmp_path}/maggy.db" in out
    assert f"tensorboard --logdir {result.log_dir}" in out
    assert list(Path(result.log_dir, "tensorboard").rglob("events*"))


@pytest.mark.parametrize(("left", "shown"), [("position", {4, 5}), (None, {1, 2, 3, 4, 5})])
def test_a_resumed_study_shows_tensorboard_what_it_lacks(lagom, left, shown):
    """Trials whose files are complete are not written again, of however many there were."""
    folder = Path(lagom(lambda x: x, name="s", num_trials=3).log_dir, "tensorboard")
    for path in folder.iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    lagom(lambda x: x, name="s", num_trials=5, resume=True)
    assert {int(path.name) for path in folder.iterdir() if path.is_dir()} == shown


# -- the life of a study -------------------------------------------------------------------------------------------


def test_names_and_resume(lagom, capsys):
    """A name that exists is numbered; resume goes on with the latest, where num_trials is a total."""

    def train(x):
        return x

    first = lagom(train, num_trials=2, name="digits")
    second = lagom(train, num_trials=3, name="digits", quiet=False)
    assert (first.name, second.name) == ("digits", "digits-2")
    assert "A study 'digits' exists; this one is called 'digits-2'." in capsys.readouterr().err

    same = lagom(train, num_trials=3, name="digits", resume=True)
    assert (same.name, same.trials) == ("digits-2", second.trials)
    assert same.best_trial == second.best_trial
    more = lagom(train, num_trials=5, name="digits", resume=True)
    assert (more.name, len(more.trials), more.trials[:3]) == ("digits-2", 5, second.trials)
    assert [trial.params for trial in more.trials] == [
        trial.params for trial in lagom(train, num_trials=5, name="other").trials
    ]

    lagom(train, num_trials=1, name="fresh", resume=True, quiet=False)
    assert "There is no study 'fresh' to go on with, so this starts one." in capsys.readouterr().err


def test_resume_and_load_by_name(lagom, tmp_path):
    """`resume` takes the rest from the log; `load` only reads; an unknown name gets the nearest."""

    def train(x):
        return x

    store = tmp_path / "maggy.db"
    first = lagom(train, num_trials=2, name="digits", direction="min")
    how = {"store": store, "launcher": "local", "quiet": True}
    more = experiment.resume("digits", train, num_trials=4, **how)
    assert more.trials[:2] == first.trials
    loaded = experiment.load("digits", store=store)
    assert (loaded.trials, loaded.best_value, loaded.log_dir) == (more.trials, more.best_value, first.log_dir)
    assert loaded.best_value == min(trial.value for trial in more.trials)
    assert experiment.load("digits", store=first.store).trials == more.trials
    with pytest.raises(ConfigError, match="there is no study 'digit' to resume; did you mean 'digits'"):
        experiment.resume("digit", train, **how)
    with pytest.raises(ConfigError, match="there is no study 'digit'; did you mean 'digits'"):
        experiment.load("digit", store=store)


def test_the_line_that_goes_on_has_what_the_log_has_not(lagom, tmp_path, monkeypatch, capsys):
    """What it says is enough, and no more than that: limits and places of the call, but not what the log holds."""

    @dataclass(frozen=True)
    class Mine:
        """An optimizer that has to be passed again."""

        def ask(self, study, rng):
            return Suggestion({"x": rng.random()}) if study.remaining else DONE

    def train(x, trial, reporter, mended):
        if not mended:
            raise ValueError("not yet")
        time.sleep(10 if trial == 2 else 0)
        return x

    monkeypatch.chdir(tmp_path)
    call = {"optimizer": Mine(), "num_trials": 3, "direction": "min", "metric": "loss", "earlystop": None, "name": "s"}
    limits = {"trial_timeout": 2, "memory_limit": "4GB", "max_failures": 1, "isolation": "trial", "num_executors": 1}
    with pytest.raises(StudyFailed):
        lagom(train, **call, **limits, train_args={"mended": False}, keep_checkpoints=1, quiet=False)
    (line,) = re.findall(r"go on with +(.*)", " ".join(capsys.readouterr().out.split("\n")))
    line = line.partition(")")[0] + ")"
    assert re.sub(r"\s+", " ", line) == (  # with max_failures it would be given up again
        "experiment.resume('s', train_fn, optimizer=optimizer, launcher='local', isolation='trial', num_executors=1, "
        "trial_timeout=2, memory_limit='4GB', keep_checkpoints=1, train_args=train_args)"
    )
    names = {"optimizer": Mine(), "train_fn": train, "train_args": {"mended": True}, "experiment": experiment}
    result = eval(line, names)  # noqa: S307 - ours
    assert [trial.status for trial in result.trials] == ["failed", "failed", "completed"]
    assert "its trial_timeout" in result.trials[1].error


def test_a_contradicting_resume_is_refused_and_harmless(lagom):
    """Another searchspace is named in the error, the study is let go, and the right call goes on."""

    def train(x, y=0):
        return x

    lagom(train, num_trials=2, name="digits")
    with pytest.raises(ConfigError, match="another searchspace: 'y' is new"):
        lagom(train, {"x": (0.0, 1.0), "y": [1, 2]}, num_trials=4, name="digits", resume=True)
    assert len(lagom(train, num_trials=3, name="digits", resume=True).trials) == 3


@pytest.mark.parametrize("memory", ["memory:", None])
def test_a_store_in_memory_leaves_nothing(lagom, tmp_path, monkeypatch, memory):
    """`memory:`, also by MAGGY_STORE, writes no file; to resume from it is an error."""

    def train(x, reporter):
        return len(reporter.checkpoint_dir)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGGY_STORE", "memory:")
    assert len(lagom(train, num_trials=2, store=memory, log_dir=None).trials) == 2
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="store='memory:' keeps nothing to resume; name a file"):
        lagom(train, store=memory, log_dir=None, resume=True)


@pytest.mark.parametrize(
    ("log_dir", "sentence"),
    [
        ("s3://bucket/logs", "log_dir='s3://bucket/logs' is a URL; logs need a path, and checkpoint_dir= may be a URL"),
        ("", "log_dir='' is neither a path nor a URL"),
        ("a\0b", r"a\x00b' cannot be written (embedded null byte); name another, or None"),
    ],
)
def test_a_log_dir_is_a_path(lagom, tmp_path, monkeypatch, log_dir, sentence):
    """No folder `s3:` is made, nor is anything else."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        lagom(lambda x: x, log_dir=log_dir)
    assert [path.name for path in tmp_path.iterdir() if "maggy.db" not in path.name] == []


def test_a_store_that_cannot_be_written_is_an_error_before_anything(lagom, tmp_path):
    """No executor is started and no folder made for a study that could not be kept."""

    def train(x):
        raise AssertionError("it ran")

    (tmp_path / "file").touch()
    with pytest.raises((ConfigError, StoreError), match="file"):
        lagom(train, store=tmp_path / "file" / "maggy.db")
    assert not (tmp_path / "logs" / "train").exists()


def test_a_function_that_cannot_travel_starts_nothing(lagom, tmp_path):
    """The attribute that is to blame is named, and neither store nor folder is made."""
    lock = threading.Lock()

    def train(x):
        with lock:
            return x

    with pytest.raises(ConfigError, match=r"train\(\) cannot be sent to executors because of 'lock', of type lock"):
        lagom(train)
    with pytest.raises(ConfigError, match=r"train\(\) has no parameter 'y', which the searchspace defines"):
        lagom(train, {"x": (0, 1), "y": (0, 1)})
    assert list(tmp_path.iterdir()) == []


def test_another_process_may_wish_for_the_end(lagom, tmp_path):
    """A stop that somebody else leaves in the store ends the study soon, as an interrupt does."""

    def train(x, trial, reporter):
        if trial == 2:
            store = open_store(tmp_path / "maggy.db")
            store.request("train", "stop")
            store.close()
        while trial == 2:
            reporter.broadcast(x)
            time.sleep(0.01)
        return x

    result = lagom(train, num_trials=2)
    assert result.interrupted
    assert [trial.status for trial in result.trials] == ["completed", "queued"]
    assert result.study.closed == "stopped by another process"


def test_another_process_may_pause_and_resume(lagom, tmp_path, capsys):
    """Nothing new is given out between a pause and a resume, while what runs goes on; the user is told of both."""
    path, resumed = tmp_path / "maggy.db", []

    def wish(what):
        store = open_store(path)
        store.request("train", what)
        store.close()

    def train(x, trial):
        if trial == 1:
            wish("pause")
            with closing(sqlite3.connect(path)) as looking:
                until(lambda: looking.execute("select count(*) from requests").fetchone() == (0,))
        else:
            threading.Event().wait(1)  # for the user to be told
        return x

    def resume():
        with closing(open_store(path)) as store:
            until(lambda: store.studies() and any(isinstance(event, Ended) for event in store.read("train")))
        resumed.append(time.time())
        wish("resume")

    other = threading.Thread(target=resume)
    other.start()
    result = lagom(train, num_trials=2, num_executors=1, quiet=False)
    other.join()
    assert [trial.status for trial in result.trials] == ["completed", "completed"]
    assert result.trials[1].started > resumed[0]
    told = " ".join(capsys.readouterr().err.split())
    assert told.index("Another process has paused the study") < told.index("The study is not paused any more")


# -- optimizers of the user ----------------------------------------------------------------------------------------


def test_a_slow_optimizer_does_not_slow_what_runs(lagom):
    """It is asked on a thread of its own, with what has happened so far, and held to num_trials."""

    @dataclass(frozen=True)
    class Slow:
        """Takes its time."""

        lookahead = 1

        def ask(self, study, rng):
            assert threading.current_thread().name == "maggy-optimizer"
            time.sleep(0.2)
            return Suggestion({"x": len(study.trials) / 10})

    def train(x, reporter):
        for step in range(20):
            reporter.broadcast(x, step=step)
            time.sleep(0.005)
        return x

    result = lagom(train, optimizer=Slow(), num_trials=5)
    assert [trial.params["x"] for trial in result.trials] == [0, 0.1, 0.2, 0.3, 0.4]
    assert all(len(trial.curve) == 20 for trial in result.trials)


def test_an_optimizer_that_raises_ends_the_call_and_loses_nothing(lagom):
    """One that never worked: its error comes out, and the study goes on with a mended one."""

    @dataclass(frozen=True)
    class Fragile:
        """Raises at its first ask."""

        def ask(self, study, rng):
            if not mended:
                raise ZeroDivisionError("a bug of mine")
            return Suggestion({"x": 0.5}) if study.remaining else DONE

    def train(x):
        return x

    mended = []
    with pytest.raises(ZeroDivisionError, match="a bug of mine"):
        lagom(train, optimizer=Fragile(), num_trials=4)
    mended.append(True)
    result = lagom(train, optimizer=Fragile(), num_trials=4, resume=True)
    assert [trial.status for trial in result.trials] == ["completed"] * 4


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, r"Wrong.ask\(\) answered None: not a Suggestion, WAIT or DONE"),
        (Suggestion({"x": 7}), "parameter 'x' is 7, which is not a value of "),
        (Suggestion({}), "parameter 'x' is missing"),
    ],
)
def test_an_optimizer_that_answers_nonsense_ends_the_call(lagom, answer, sentence):
    """What is no answer, or outside the searchspace, is named before any trial runs."""

    class Wrong:
        def ask(self, study, rng):
            return answer

    def train(x):
        return x

    with pytest.raises(ConfigError, match=sentence):
        lagom(train, optimizer=Wrong(), num_trials=3)


# -- side by side, inside loops ------------------------------------------------------------------------------------


def test_two_studies_side_by_side(lagom):
    """Two threads of one process run two studies in one store, and neither sees the other's trials."""

    def train(n, reporter):
        reporter.broadcast(n)
        return n

    results = {}

    def run(name, low):
        results[name] = lagom(train, {"n": Integer(low, low + 7)}, optimizer="gridsearch", name=name)

    threads = [threading.Thread(target=run, args=each) for each in (("a", 0), ("b", 100))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.value for trial in results["a"].trials] == [*range(8)]
    assert [trial.value for trial in results["b"].trials] == [*range(100, 108)]


def test_inside_a_running_event_loop(lagom):
    """A notebook's cell runs inside asyncio's loop; lagom minds its own."""

    def train(x):
        return x

    async def main():
        await asyncio.sleep(0)
        return lagom(train, num_trials=4)

    assert len(asyncio.run(main()).trials) == 4


# -- drivers that end ----------------------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from waiting import agent
from maggy import Float, Searchspace, experiment

DRIVER = os.getpid()

def train(x, trial, reporter):
    Path(f"pid-{trial}-{reporter.attempt}").write_text(f"{os.getpid()} {os.getppid()} {agent()}")
    reporter.broadcast(x)
    if trial == 5 and reporter.attempt == 1:
        Path("when").write_text(repr(time.time()))
        os.kill(DRIVER, signal.SIG%s)
        while True:
            reporter.broadcast(x)
            time.sleep(0.01)
    return x

def run(**options):
    return experiment.lagom(train, Searchspace(x=Float(0, 1)), num_trials=8, launcher="local", num_executors=2, seed=1,
                            name="digits", store="maggy.db", log_dir="logs", **options)

def children():
    listed = (path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    return [int(pid) for text in listed for pid in text.split()]
"""


def script(tmp_path, sig, code):
    """Run a driver script in a process of its own."""
    (tmp_path / "study.py").write_text(SCRIPT % sig + textwrap.dedent(code))
    command = [sys.executable, "-W", "error", "study.py"]
    shutil.copy(Path(__file__).with_name("waiting.py"), tmp_path)
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


def pids(tmp_path):
    """Return the trial processes, their guards and the agents that a script's study has had."""
    return {int(pid) for path in tmp_path.glob("pid-*") for pid in path.read_text().split()}


def test_a_driver_that_is_killed_loses_no_completed_trial(tmp_path):
    """Executors go with it; the next driver finds all that had ended and runs the rest again."""
    done = script(tmp_path, "KILL", "run(quiet=True)")
    assert done.returncode == -signal.SIGKILL
    until_gone(pids(tmp_path))
    before = experiment.load("digits", store=tmp_path / "maggy.db")
    assert before.interrupted
    ended = [trial for trial in before.trials if trial.status is Status.COMPLETED]
    assert ended

    done = script(tmp_path, "KILL", "run(quiet=True, resume=True)")
    assert (done.returncode, done.stderr) == (0, "")
    after = experiment.load("digits", store=tmp_path / "maggy.db")
    assert [trial.status for trial in after.trials] == ["completed"] * 8
    assert [trial for trial in after.trials if trial.id in {each.id for each in ended}] == ended
    assert after.trials[4].attempt == 2
    assert after.trials[4].lost == 0  # the driver was to blame


def test_ctrl_c_returns_what_there_is_and_says_how_to_go_on(tmp_path):
    """An interrupt returns within seconds, leaves no process, and `resume=True` completes the study."""
    done = script(
        tmp_path,
        "INT",
        """
        result = run()
        took = time.time() - float(Path("when").read_text())
        assert result.interrupted and took < 10, took
        assert [t.status for t in result.trials].count("completed") >= 3, [t.status for t in result.trials]
        assert result.trials[4].status == "queued" and result.best_value is not None
        assert children() == [], children()
        print("-----")
        result = run(resume=True)
        assert [t.status for t in result.trials] == ["completed"] * 8 and not result.interrupted
        assert result.trials[4].attempt == 2 and result.trials[4].lost == 0
        """,
    )
    assert (done.stderr, done.returncode) == ("Going on with study 'digits'.\n", 0)
    until_gone(pids(tmp_path))
    first, second = done.stdout.split("-----")
    assert "interrupted" in first
    assert re.search(r"go on with +experiment\.resume\('digits', train_fn, launcher='local', num_executors=2\)", first)
    assert "experiment.resume" not in second
