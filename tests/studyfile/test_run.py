"""Studies of files, run by processes of this machine."""

import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from itertools import pairwise
from math import sin, tanh
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from click.testing import CliRunner
from waiting import until, until_gone

from maggy.cli.app import app
from maggy.errors import ConfigError
from maggy.events import Requeued, Started
from maggy.opening import history
from maggy.store import open_store
from maggy.study import Study
from maggy.studyfile.file import StudyFile
from maggy.studyfile.runner import Runner, Wish, chosen

pytest.importorskip("starlark_go")
HEAD = """
local = localsystem("l", 2)
def run(p, id, replicate):
    return run_config(system=local, script=SCRIPT % dict(p, id=id, replicate=replicate))
"""
LOSS = "; echo METRICS: loss=1"
GRID = '{"x": discrete(1, 2, 3), "y": discrete("a", "b")}'


class Place:
    """A folder with a study file, a store and logs."""

    def __init__(self, folder):
        self.folder = folder
        self.said = []

    def write(self, text, script="echo METRICS: loss=%(x)d", ending="dv"):
        self.file = self.folder / f"file.{ending}"
        self.file.write_text(HEAD.replace("SCRIPT", repr(script)) + text)

    def run(self, *arguments, **wish):
        with StudyFile(str(self.file), self.said.append) as file:
            studies, again = chosen(file, arguments)
            wanted = Wish(again=again, **wish)
            store, logs = self.folder / "maggy.db", self.folder / "logs"
            return Runner(file, wanted, store=store, log_dir=logs, say=self.said.append).run(studies)

    def events(self, name="s"):
        with closing(open_store(self.folder / "maggy.db", existing=True)) as store:
            return list(history(store, name))

    def studies(self):
        with closing(open_store(self.folder / "maggy.db", existing=True)) as store:
            return sorted(store.studies(), key=lambda entry: entry.name)

    def trials(self, name="s"):
        return list(Study.of(self.events(name)).trials.values())

    def log(self, trial, name="s"):
        return (self.folder / "logs" / name / str(trial) / "output.log").read_text()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def study(name="s", params=GRID, **more):
    options = "".join(f", {key}={value}" for key, value in more.items())
    return f'study("{name}", {params}, minimize("loss"), run{options})\n'


def test_d6_a_grid_goes_on_where_it_was(place):
    """Nothing is run twice, and when all is done nothing is."""
    place.write(study())
    assert place.run(trials=2)
    assert len(place.trials()) == 2
    assert place.run(stream=True, trials=2)
    trials = place.trials()
    assert len({(trial.params["x"], trial.params["y"]) for trial in trials}) == len(trials) == 6
    assert {trial.status for trial in trials} == {"completed"}
    assert [trial.value for trial in trials] == [float(trial.params["x"]) for trial in trials]
    before = len(place.events())
    assert place.run(stream=True)
    assert len(place.events()) == before
    assert "s: study complete after 0 rounds" in place.said


def test_d6_a_grid_of_eighteen_is_tried_once_each(place):
    """Seven, then the eleven that are left, then none."""
    grid = '{"x": discrete(1, 2, 3), "y": discrete("a", "b", "c"), "z": discrete(True, False)}'
    place.write(study(params=grid))
    assert place.run(rounds=7)
    assert [trial.status for trial in place.trials()] == ["completed"] * 7
    assert place.run(stream=True, trials=2)
    trials = place.trials()
    assert len(trials) == len({str(sorted(trial.params.items())) for trial in trials}) == 18
    before = len(place.events())
    assert place.run(stream=True, trials=2)
    assert len(place.events()) == before


WAVES = """
from math import sin, tanh
def wave(sign):
    return lambda p: {"f": sign * sin(5 * p["x"]) * (1 - tanh(p["x"] ** 2))}
for name, objective, sign in [("low", minimize("f"), 1), ("high", maximize("f"), -1)]:
    study(name, {"x": range(-2.0, 2.0)}, objective, oracle=skopt(), acquire=wave(sign))
"""


def test_d7_a_model_comes_near_the_optimum_in_both_directions(place):
    """Five rounds of three, and no more than 0.1 is missing."""
    place.write(WAVES, ending="py")
    assert place.run(trials=3, rounds=5), place.said
    best = min(sin(5 * x / 1e4) * (1 - tanh(x / 1e4 * x / 1e4)) for x in range(-20000, 20000))
    assert len(place.trials("low")) == len(place.trials("high")) == 15
    assert min(trial.value for trial in place.trials("low")) < best + 0.1
    assert max(trial.value for trial in place.trials("high")) > -best - 0.1


def test_d8_random_search_is_repeated_by_its_seed(place):
    """Ten points, all valid; another seed gives others."""
    oracles = [(name, f"random_search(seed={seed})") for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    params = '{"x": range(0, 1000), "y": range(0.0, 1.0)}'
    place.write("".join(study(name, params, oracle=oracle) for name, oracle in oracles))
    assert place.run(trials=10)
    first, again, other = ([trial.params for trial in place.trials(name)] for name in "abc")
    assert len(first) == 10
    assert first == again != other
    assert all(0 <= each["x"] < 1000 and 0 <= each["y"] < 1 for each in first)


FOUR = '{"x": discrete(1, 2, 3, 4)}'


def test_d9_rounds_have_a_barrier(place):
    """In rounds of two the second two begin when the first have ended."""
    place.write(study(params=FOUR))
    assert place.run(trials=2, rounds=2)
    trials = place.trials()
    assert min(trial.started for trial in trials[2:]) >= max(trial.ended for trial in trials[:2])
    assert [line for line in place.said if "round" in line] == [
        "s: starting 2 trials in round 1/2",
        "s: starting 2 trials in round 2/2",
    ]


def test_d9_a_stream_has_none(place):
    """The first trial ends only when the third has begun, where the second was."""
    go = place.folder / "go"
    waits = f"while [ %(x)d = 1 -a ! -e {go} ]; do sleep 0.05; done; test %(x)d = 1 || test %(x)d = 2 || touch {go}"
    place.write(study(params=FOUR), f"{waits}; echo METRICS: loss=1")
    assert place.run(trials=2, stream=True)
    assert [trial.status for trial in place.trials()] == ["completed"] * 4


def test_d10_studies_run_side_by_side_and_fail_alone(place):
    """Those that are meant by a regular expression for the whole name; here the first of each waits for the other."""
    here = place.folder
    waits = f"touch {here}/%(id)s; until [ -e {here}/study_1:1 -a -e {here}/study_2:1 ]; do sleep 0.05; done"
    place.write(
        study("study_1", FOUR) + study("study_2", FOUR) + study("other", FOUR), f"{waits}; echo METRICS: loss=1"
    )
    assert place.run("study_[12]", stream=True, trials=2)
    assert [entry.name for entry in place.studies()] == ["study_1", "study_2"]
    assert {trial.status for name in ("study_1", "study_2") for trial in place.trials(name)} == {"completed"}


def test_d10_one_studys_end_is_not_anothers(place):
    """The other completes, and the whole has failed."""
    bad = 'def bad(p):\n    return 3 if p["x"] == 2 else run(p, "", 0)\n'
    place.write(bad + study() + 'study("b", {"x": discrete(1, 2)}, minimize("loss"), bad)\n')
    assert not place.run(stream=True, trials=2)
    assert {trial.status for trial in place.trials()} == {"completed"}
    assert any(line.startswith("b: ") and "must return run_config" in line for line in place.said)


def test_d11_replicates_try_the_same_values(place):
    """Three values, three times each; each run knows which it is."""
    place.write(study(params='{"x": discrete(1, 2, 3)}', replicates=3), "echo METRICS: loss=%(replicate)d")
    assert place.run(stream=True, trials=2)
    trials = place.trials()
    assert Counter((trial.params["x"], trial.replicate) for trial in trials) == Counter(
        {(x, replicate): 1 for x in (1, 2, 3) for replicate in (0, 1, 2)}
    )
    assert {trial.group for trial in trials} == {1, 4, 7}
    assert all(trial.value == trial.replicate for trial in trials)


def test_d12_a_failed_run_is_run_again_under_its_id(place):
    """In a later invocation; nothing else is."""
    script = f"test %(replicate)d = 0 -a ! -e {place.folder}/mended && exit 1; echo METRICS: loss=1; echo id %(id)s"
    place.write(study(params='{"x": discrete(1, 2, 3)}', replicates=3), script)
    assert not place.run(stream=True, trials=2)  # runs have failed, so the exit code is 1
    assert not [line for line in place.said if line.startswith("s: ") and "stream" not in line]  # and not the study
    assert Counter(trial.status for trial in place.trials()) == {"completed": 6, "failed": 3}
    (place.folder / "mended").touch()
    assert place.run(stream=True, trials=2)
    trials = place.trials()
    assert Counter(trial.status for trial in trials) == {"completed": 9}
    assert [trial.attempt for trial in trials] == [2, 1, 1] * 3
    assert sum(isinstance(event, Requeued) for event in place.events()) == 3
    assert sum(isinstance(event, Started) for event in place.events()) == 12
    assert "id s:1\n" in place.log(1)


def test_d15_a_dataset_is_made_once(place):
    """Whoever needs it first makes it, and the others wait."""
    goal = place.folder / "made"
    place.write(
        f'd = dataset("d", local, "test -f {goal} && exit 1; sleep 0.3; echo > {goal}; echo x >> {goal}.times")\n'
        "def needs(p):\n    return run_config(local, 'test -f " + str(goal) + "; echo METRICS: loss=1', datasets=[d])\n"
        'study("s", {"x": discrete(1, 2, 3)}, minimize("loss"), needs)\n'
    )
    assert place.run(stream=True, trials=2)
    assert {trial.status for trial in place.trials()} == {"completed"}
    assert Path(f"{goal}.times").read_text() == "x\n"


def test_d15_a_dataset_that_is_there_is_not_made(place):
    """`if_not_exist` names it."""
    goal = place.folder / "made"
    goal.touch()
    place.write(
        f'd = dataset("d", local, "exit 1", if_not_exist="{goal}")\n'
        "def needs(p):\n    return run_config(local, 'echo METRICS: loss=1', datasets=[d])\n"
        'study("s", {"x": discrete(1, 2)}, minimize("loss"), needs)\n'
    )
    assert place.run(stream=True, trials=2)
    assert {trial.status for trial in place.trials()} == {"completed"}


def test_d15_a_dataset_that_fails_fails_the_run_before_it_starts(place):
    """With Diviner's words."""
    place.write(
        'd = dataset("d", local, "echo why; exit 3")\n'
        "def needs(p):\n    return run_config(local, 'touch started; echo METRICS: loss=1', datasets=[d])\n"
        'study("s", {"x": discrete(1)}, minimize("loss"), needs)\n'
    )
    place.run(trials=1)
    [trial] = place.trials()
    assert trial.status == "failed"
    assert "failed to process dataset d: it exited with code 3" in trial.error
    assert "why" in place.log(1)
    assert "touch started" not in place.log(1)


def test_d15_a_dataset_that_fails_is_not_tried_again(place):
    """Who waited for it, and who comes later, fails likewise, and says so; another invocation tries it again."""
    logs = f"{place.folder}/logs/s/*/output.log"  # the trace of what waits is there, too
    waits = f"echo x >> {place.folder}/times; while ! grep -q 'waiting fo[r]' {logs}; do sleep 0.05; done"
    place.write(
        f'd = dataset("d", local, "{waits}; exit 3")\n'
        "def needs(p):\n    return run_config(local, 'echo METRICS: loss=1', datasets=[d])\n"
        'study("s", {"x": discrete(1, 2, 3)}, minimize("loss"), needs)\n'
    )
    assert not place.run(stream=True, trials=2)
    errors = sorted(trial.error.splitlines()[-1] for trial in place.trials())
    said = "RuntimeError: failed to process dataset d: it exited with code 3"
    assert errors == [said, *[f"{said}, for another trial, whose log shows it"] * 2]
    assert any("maggy: waiting for dataset d" in place.log(trial) for trial in (1, 2))
    assert (place.folder / "times").read_text() == "x\n"
    assert not place.run(stream=True, trials=2)
    assert (place.folder / "times").read_text() == "x\nx\n"


@pytest.mark.parametrize("ending", ["dv", "py"])
def test_a_run_that_the_file_fails_says_why_last(place, ending):
    """The last line of its error, which lists show, is the reason, whichever function of the file it was."""
    fails = 'def fails(p):\n    panic("too", "much")\n'
    params = '{"x": discrete(1, 2)}'
    first = 'lambda p: {} if p["x"] == 1 else fails(p)'
    returned, config = first.format('{"loss": 1}'), first.format('run_config(local, "echo METRICS: loss=1")')
    acquired = f'study("a", {params}, minimize("loss"), acquire={returned})\n'
    place.write(f'{fails}{acquired}study("r", {params}, minimize("loss"), {config})\n', ending=ending)
    assert not place.run(trials=2)
    for name in ("a", "r"):
        last = place.trials(name)[1].error.splitlines()[-1]
        assert last.endswith("panic: too much"), last


def test_d16_files_of_a_run_come_along(place, tmp_path):
    """By their last names."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "f.txt").write_text("shipped\n")
    place.write(
        "def needs(p):\n    return run_config(local, 'cat f.txt; echo METRICS: loss=1', "
        f"local_files=['{tmp_path}/data/f.txt'])\n"
        'study("s", {"x": discrete(1)}, minimize("loss"), needs)\n'
    )
    assert place.run(trials=1)
    assert "\nshipped\n" in place.log(1)


def test_d17_two_studies_share_a_system(place):
    """Of which no more than two trials run at once, of the first system that there is."""
    script = "sleep 0.3; echo METRICS: loss=1"
    head = 'def either(p):\n    return run_config([ec2system("big"), local], "' + script + '")\n'
    three = '{"x": discrete(1, 2, 3)}'
    place.write(head + "".join(f'study("{name}", {three}, minimize("loss"), either)\n' for name in "abc"))
    assert place.run(stream=True, trials=3)
    trials = [trial for name in "abc" for trial in place.trials(name)]
    assert len(trials) == 9
    for trial in trials:
        assert sum(other.started <= trial.started < other.ended for other in trials) <= 2


def test_d17_slots_that_a_study_leaves_are_anothers(place):
    """Of two that share two slots one ends at once; from then on the other has both, and two of its trials meet."""
    here = place.folder
    meets = f"touch {here}/%(x)d; until [ %(x)d = 1 -o -e {here}/2 -a -e {here}/3 ]; do sleep 0.05; done"
    place.write(study("long", '{"x": discrete(1, 2, 3)}') + study("short", '{"x": discrete(1)}'), meets + LOSS)
    assert place.run(stream=True, trials=2)
    assert {trial.status for name in ("long", "short") for trial in place.trials(name)} == {"completed"}


def test_d17_a_study_is_capped_by_its_trials(place):
    """However many slots there are."""
    place.write(study(params=FOUR), ": %(x)d; sleep 0.2" + LOSS)
    assert place.run(stream=True, trials=1)
    trials = place.trials()
    assert all(later.started >= earlier.ended for earlier, later in pairwise(trials))


def test_d17_a_system_that_is_not_there_is_a_sentence(place):
    """Before anything starts."""
    place.write(
        'def far(p):\n    return run_config(ec2system("gpu"), "true")\n'
        'study("s", {"x": discrete(1)}, minimize("l"), far)\n'
    )
    with pytest.raises(ConfigError, match=r"s runs on ec2system\('gpu'\), which is not available"):
        place.run()
    assert not (place.folder / "maggy.db").exists()


def test_d23_runs_are_repeated_as_new_ones(place):
    """With the same values, and the script as it is now; the grid does not count them."""
    place.write(study())
    assert place.run(trials=3)
    place.write(study(), "echo anew; echo METRICS: loss=%(x)d")
    assert place.run("s:3", "s:1", trials=2)
    trials = place.trials()
    assert [trial.params for trial in trials[3:]] == [trials[2].params, trials[0].params]
    assert "\nanew\n" in place.log(4)
    assert place.run(stream=True, trials=2)
    trials = place.trials()
    assert len(trials) == 8
    assert len({str(trial.params) for trial in trials}) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s:1", "t"), "name studies or runs, not both"),
        (("u:1",), "there is no study 'u'"),
        (("(",), "no regular expression"),
        (("nope",), "no study of .* is called 'nope'; there are: s"),
    ],
)
def test_what_is_no_study_or_run_is_said(place, arguments, message):
    """Nothing is started."""
    place.write(study())
    with pytest.raises(ConfigError, match=message):
        place.run(*arguments)


@pytest.mark.parametrize("wish", [{"trials": 0}, {"rounds": -1}, {"replicates": 65}, {"rounds": 2, "stream": True}])
def test_what_cannot_be_run_is_refused(wish):
    """A sentence each."""
    with pytest.raises(ConfigError, match=r"^-"):
        Wish(**wish)


BAD = [
    ("study(name=:)", ["run", "file.dv"], r"file\.dv:5:13: got "),
    ("study(3, {}, minimize('l'), run)", ["run", "file.dv"], r"file\.dv:5:6: the name of a study is 3, of type int"),
    (None, ["script", "file.dv", "s", "-x=9"], "-x=9 is not in "),
    (
        study(params="{'x': discrete(1, 'a')}"),
        ["run", "file.dv"],
        r"file\.dv:5:26: discrete\(\) has values of",
    ),
    (None, ["run", "file.dv", "s:99"], "there is no store at "),
    (None, ["run", "file.dv", "("], r"'\(' is no regular expression"),
    (None, ["run", "file.dv", "t"], r"no study of .* is called 't'.*; there are: s$"),
    (None, ["run", "file.dv", "ss"], "did you mean 's'?"),
    (None, ["run", "nowhere.dv"], "there is no study file 'nowhere.dv'"),
    (
        "def far(p):\n    return run_config(local, 'python t.py', local_files=['t.py'])\n"
        "study('s', {'x': discrete(1)}, minimize('l'), far)",
        ["run", "file.dv"],
        "study 's': 't.py' cannot be read: No such file",
    ),
    (None, ["run", "-http", "0.0.0.0:80", "file.dv"], "-http 0.0.0.0:80: pages are for this machine alone"),
    (None, ["run", "-http", "6e3", "file.dv"], "-http 6e3: it must be a port"),
    (None, ["run", "-trials", "-1", "file.dv"], "-trials -1: it must be at least 1"),
    (None, ["run", "-rounds", "0", "file.dv"], "-rounds 0: it must be at least 1"),
    (None, ["run", "-trials", "many", "file.dv"], "'many' is not a valid integer"),
    (None, ["script", "file.dv", "s", "-db", "x.db"], "a script is made from the file alone; -db is for commands"),
]


@pytest.mark.parametrize(("text", "arguments", "said"), BAD, ids=[" ".join(each[1]) for each in BAD])
def test_bad_input_is_a_sentence_and_starts_nothing(place, monkeypatch, text, arguments, said):
    """Exit code 2; no store is made, no log, no file."""
    place.write(study() if text is None else text)
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("MAGGY_STORE", raising=False)
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 2, ran.output
    [sentence] = [line for line in ran.stderr.splitlines() if line.startswith(("maggy: ", "Error: "))]
    assert re.search(said, sentence)
    assert [path.name for path in place.folder.iterdir()] == ["file.dv"]


def test_a_run_that_the_store_does_not_have_is_a_sentence(place, monkeypatch):
    """What is there stays as it is."""
    place.write(study())
    assert place.run(trials=1)
    before = place.events()
    monkeypatch.chdir(place.folder)
    ran = CliRunner().invoke(app, ["run", "file.dv", "s:99"])
    assert (ran.exit_code, ran.stderr) == (2, "maggy: there is no run 's:99' to repeat\n")
    assert place.events() == before


def command(place, *arguments):
    return [sys.executable, "-m", "maggy", *arguments]


def test_d24_a_script_is_rendered_without_being_run(place):
    """It can be sourced, and its function called; values outside of the domain are refused."""
    place.write(study())
    options = {"capture_output": True, "text": True, "cwd": place.folder}
    done = subprocess.run(command(place, "script", "file.dv", "s", "-x=3"), check=True, **options)
    said = subprocess.run(["bash", "-c", f"{done.stdout}\nstudy"], check=True, **options)
    assert said.stdout == "METRICS: loss=3\n"
    assert subprocess.run(command(place, "script", "file.dv", "s"), check=True, **options).stdout == (
        subprocess.run(command(place, "script", "file.dv", "s"), check=True, **options).stdout
    )
    for wrong in ("-x=9", "-z=1", "x=1", "-x=a"):
        done = subprocess.run(command(place, "script", "file.dv", "s", wrong), check=False, **options)
        assert done.returncode == 2
        assert done.stderr.startswith("maggy: ")
        assert done.stderr.count("\n") == 1


def test_what_is_wrong_with_a_file_or_a_store_is_said_before_anything_runs(place):
    """A mistake is shown below its sentence, as it stands in the file; a store of another program is left alone."""
    place.write("study(\n    name=:\n)")
    options = {"capture_output": True, "text": True, "cwd": place.folder}
    done = subprocess.run(command(place, "run", "file.dv"), check=False, **options)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (2, ["    name=:"])
    assert "file.dv:6:11: " in done.stderr.splitlines()[0]
    place.write(study())
    (place.folder / "other.db").write_text("hi")
    done = subprocess.run(command(place, "-db", "other.db", "run", "file.dv"), check=False, **options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not an SQLite file; it was left as it is" in done.stderr


def test_d27_ctrl_c_lets_what_runs_end(place):
    """Once: nothing new begins, exit code 0, and the rest can be run later."""
    here = place.folder
    waits = f"touch {here}/running; while [ ! -e {here}/go ]; do sleep 0.05; done; echo METRICS: loss=%(x)d"
    place.write(study(), waits)
    process = subprocess.Popen(
        command(place, "run", "-stream", "-trials", "2", "file.dv"), cwd=place.folder, stderr=subprocess.PIPE, text=True
    )
    until((place.folder / "running").exists)
    process.send_signal(signal.SIGINT)
    until(lambda: "no new trials" in process.stderr.readline())
    (place.folder / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    begun = place.trials()
    assert 1 <= len(begun) < 6
    assert {trial.status for trial in begun} <= {"completed", "queued"}
    assert place.run(stream=True, trials=2)
    assert [trial.attempt for trial in place.trials()] == [1] * 6


def test_d27_before_the_first_trial_nobody_is_waited_for(place):
    """And that is said."""
    place.write(study())
    with StudyFile(str(place.file)) as file:
        runner = Runner(file, Wish(), store=place.folder / "maggy.db", log_dir=place.folder, say=place.said.append)
        assert runner._waits(file.definitions) == "none runs, so this ends"
        assert runner.run(file.definitions)
        assert runner._waits(file.definitions) == "none runs, so this ends"


def test_d28_pages_show_what_runs(place):
    """On this machine, to who has the token that was printed; they end with the run."""
    pytest.importorskip("uvicorn")
    here = place.folder
    waits = f"echo METRICS: loss=42%(x)d; touch {here}/running; while [ ! -e {here}/go ]; do sleep 0.05; done"
    place.write(study(params=FOUR), waits)
    process = subprocess.Popen(
        command(place, "run", "-http", ":0", "-trials", "2", "file.dv"), cwd=here, stderr=subprocess.PIPE, text=True
    )
    address = process.stderr.readline().removeprefix("Open: ").strip()
    until((here / "running").exists)
    browser = build_opener(HTTPCookieProcessor(), ProxyHandler({}))
    root, _, _ = address.partition("?")
    with pytest.raises(HTTPError, match="40"):
        browser.open(root)
    assert ">s<" in browser.open(address).read().decode()
    page = browser.open(f"{root}study?name=s").read().decode()
    assert "Ordinal([1, 2, 3, 4])" in page
    trials = browser.open(f"{root}trials?name=s&state=running").read().decode()
    assert trials.count('title="running: ') == 2
    trial = browser.open(f"{root}trial?name=s&trial=1").read().decode()
    assert "421" in trial, trial
    (here / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_d27_twice_is_at_once(place):
    """What runs is stopped."""
    place.write(study(), f"echo $$ >> {place.folder}/running; : %(x)d; sleep 600")
    process = subprocess.Popen(
        command(place, "run", "-stream", "-trials", "2", "file.dv"), cwd=place.folder, stderr=subprocess.PIPE, text=True
    )
    until((place.folder / "running").exists)
    process.send_signal(signal.SIGINT)
    until(lambda: "no new trials" in process.stderr.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    until_gone(map(int, (place.folder / "running").read_text().split()))
    assert "completed" not in {trial.status for trial in place.trials()}


def test_the_log_says_what_each_trial_ran(place):
    """So that `maggy info` can show it, and nobody needs the file."""
    place.write(study(params='{"x": discrete(7)}'))
    assert place.run()
    [trial] = place.trials()
    assert trial.work["script"] == "echo METRICS: loss=7"
    settings = Study.of(place.events()).settings
    assert settings["studyfile"] == str(place.folder / "file.dv")


@pytest.mark.parametrize("ending", ["dv", "py"])
def test_d26_metrics_may_be_computed_by_a_function_of_the_file(place, ending):
    """It takes the values, and id and replicate if it names them; it runs in the trial's process."""
    place.write(
        "def acc(p, id, replicate):\n"
        "    print('trying', p['param'], 'as', id)\n"
        "    return {'acc': 0.87 * p['param'], 'replicate': float(replicate)}\n"
        'study("s", {"param": discrete(1, 2, 3)}, maximize("acc"), acquire=acc)\n',
        ending=ending,
    )
    assert place.run(stream=True, trials=2), place.said
    trials = place.trials()
    assert [trial.value for trial in trials] == [0.87, 1.74, 2.61]
    assert trials[0].metrics == {"acc": 0.87, "replicate": 0.0}
    assert place.log(1) == "trying 1 as s:1\n"


def test_d26_what_is_no_metrics_fails_the_trial(place):
    """And a function that fails, with the line."""
    place.write(
        "def acc(p):\n    return 3 if p['x'] == 1 else [][p['x']]\n"
        'study("s", {"x": discrete(1, 2)}, maximize("acc"), acquire=acc)\n'
    )
    place.run(stream=True)
    first, second = place.trials()
    assert "acquire= returned 3; it must return metrics" in first.error
    assert "file.dv:6:" in second.error
    assert "index" in second.error


OWN = """
def next(previous, params, objective, n):
    left = [x for x in params["x"]["values"] if x not in [each["values"]["x"] for each in previous]]
    if len(left) == 1 and not [each for each in previous if objective["metric"] in each["metrics"]]:
        panic("one has ended, or nobody would ask")
    return [{"x": x} for x in left if x < 4][:n]
"""


@pytest.mark.parametrize("ending", ["dv", "py"])
def test_d29_an_oracle_may_be_a_function_of_the_file(place, ending):
    """It sees what was tried, and a study of which it wants nothing more has come to its end."""
    place.write(OWN + study(params=FOUR, oracle="next"), ending=ending)
    assert place.run(stream=True, trials=2), place.said
    assert [trial.params["x"] for trial in place.trials()] == [1, 2, 3]
    before = len(place.events())
    assert place.run(stream=True)
    assert len(place.events()) <= before + 2  # it was asked, and had nothing


def test_d29_what_is_no_values_is_said(place):
    """The study has failed."""
    place.write("def next(previous, params, objective, n):\n    return 3\n" + study(params=FOUR, oracle="next"))
    assert not place.run(stream=True)
    assert any("the oracle of study s returned 3" in line for line in place.said)


LATER = """
def next(previous, params, objective, n):
    if len([each for each in previous if each["metrics"] == {"loss": 1.0, "acc": 2.0}]) == 2:
        return ANSWER
    return [{"x": len(previous) + 1}]
"""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1 // 0", r"s: .*file\.dv:\d+:\d+: floored division by zero"),
        ("[{'x': 9}]", "the oracle of study s returned what cannot be: parameter 'x' is 9, which is not a value of"),
        ("'more'", "the oracle of study s returned 'more' for n=1"),
    ],
)
def test_d29_an_oracle_that_fails_later_ends_its_study(place, answer, said):
    """What has been tried is there, no trial is made up in its place, and another study goes on."""
    text = LATER.replace("ANSWER", answer) + study(params=FOUR, oracle="next") + study("t", FOUR)
    place.write(text, "echo METRICS: loss=1,acc=2; : %(x)d")
    assert not place.run(stream=True, trials=1)
    assert any(re.search(said, line) for line in place.said), place.said
    assert [trial.status for trial in place.trials()] == ["completed"] * 2
    assert [trial.status for trial in place.trials("t")] == ["completed"] * 4


def test_d29_an_oracle_that_is_silent_ends_its_study(place, monkeypatch):
    """When patience with it has ended."""
    monkeypatch.setattr("maggy.driver.asking.PATIENCE", 1.0)
    hangs = f"command('until [ -e {place.folder}/go ]; do sleep 0.05; done')"
    place.write(
        LATER.replace("ANSWER", hangs) + study(params=FOUR, oracle="next"), "echo METRICS: loss=1,acc=2; : %(x)d"
    )
    assert not place.run(stream=True, trials=1)
    (place.folder / "go").touch()
    assert "s: the optimizer has not answered for 1 s" in place.said
    assert [trial.status for trial in place.trials()] == ["completed"] * 2
