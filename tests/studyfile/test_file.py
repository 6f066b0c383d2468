"""Study files: what they define, in both languages, and what is said of those that are wrong."""

import re
import shutil
from pathlib import Path

import pytest

from maggy import Categorical, Float, Integer, Ordinal
from maggy.errors import ConfigError
from maggy.optimizers import Asha, Gp, GridSearch, RandomSearch
from maggy.studyfile import file as studyfile
from maggy.studyfile.file import StudyFile

pytest.importorskip("starlark_go")
GOLDEN = Path(__file__).parent / "mnist.dv"
STUDY = """
local = localsystem("l", 2)
def run(params):
    return run_config(system=local, script="echo METRICS: loss=%(x)f" % params)
study(name="s", params={"x": range(0.0, 1.0)}, objective=minimize("loss"), run=run)
"""
BOTH = pytest.mark.parametrize("ending", ["dv", "py"])


@pytest.fixture
def opened(tmp_path):
    """Write a study file, and those beside it, and open it."""
    files = []

    def make(text, ending="dv", say=lambda _: None, **others):
        for name, content in others.items():
            (tmp_path / f"{name}.{ending}").write_text(content)
        path = tmp_path / f"file.{ending}"
        path.write_text(text)
        files.append(StudyFile(str(path), say))
        return files[-1]

    yield make
    for each in files:
        each.close()


def only(file):
    [found] = file.definitions
    return found


@BOTH
def test_d1_the_readmes_file_loads_unchanged(ending, tmp_path):
    """One study, 64 points; a trial's script is what Diviner makes of it."""
    path = tmp_path / f"mnist.{ending}"
    shutil.copy(GOLDEN, path)
    with StudyFile(str(path)) as file:
        study = only(file)
        assert (study.name, study.num_trials, study.optimizer) == ("mnist", 64, GridSearch())
        assert (study.metric, study.direction, study.replicates) == ("loss", "min", 0)
        run = file.run_config(study, {"batch_size": 32, "epochs": 3, "learning_rate": 0.001}, "mnist:1")
        assert run.script.splitlines()[1:5] == [
            "python examples/mnist/main.py \\",
            "\t--batch-size 32 \\",
            "\t--lr 0.001000 \\",
            "\t--epochs 3  2>&1 | \\",
        ]
        assert [(system.kind, system.name, system.parallelism) for system in run.systems] == [
            ("localsystem", "local", 2)
        ]


@BOTH
def test_d2_a_run_function_may_ask_for_its_id_and_replicate(ending, opened):
    """By these names."""
    text = GRID.replace("def run(params):", "def run(params, id, replicate=0):").replace(
        "% params", "% params + id + str(replicate)"
    )
    file = opened(text, ending)
    assert file.run_config(only(file), {"x": 1}, "s:1", 3).script == "echo METRICS: loss=1.000000s:13"
    assert set(only(file).takes) == {"id", "replicate"}


@BOTH
@pytest.mark.parametrize("taken", ["p, foo", "p, id, foo", ""])
def test_d2_what_a_run_function_takes_besides_is_refused(ending, taken, opened):
    """When the file is loaded, naming it."""
    with pytest.raises(ConfigError, match="argument 'foo'" if "foo" in taken else "arguments"):
        opened(STUDY.replace("def run(params):", f"def run({taken}):").replace("% params", ""), ending)


def test_an_optional_argument_that_nobody_gives_is_refused(opened):
    """Starlark does not tell its name."""
    with pytest.raises(ConfigError, match="takes arguments which nobody gives it"):
        opened(STUDY.replace("def run(params):", "def run(params, foo=1):"))


@BOTH
def test_d5_params_are_of_every_kind(ending, opened):
    """Discrete values of one kind, and ranges that end before their end."""
    params = """{
        "a": discrete(1, 2), "b": discrete("x", "y"), "c": discrete(True, False), "d": discrete([1], [2]),
        "e": discrete({"a": 1}, {"a": 2}), "f": range(0, 10), "g": range(0.0, 1.0), "h": discrete(0.5, 1.0),
    }"""
    space = only(
        opened(STUDY.replace('{"x": range(0.0, 1.0)}', params).replace("run=run", 'run=run, oracle="random"'), ending)
    ).searchspace
    assert space["a"] == Ordinal([1, 2])
    assert space["b"] == Categorical(["x", "y"])
    assert space["c"] == Categorical([True, False])
    assert space["d"] == Categorical([[1], [2]])
    assert space["e"] == Categorical([{"a": 1}, {"a": 2}])
    assert space["f"] == Integer(0, 9)
    assert isinstance(space["g"], Float)
    assert space["g"].contains(0.0)
    assert not space["g"].contains(1.0)
    assert not space["a"].contains(1.0)


@BOTH
def test_d5_a_grid_of_lists_and_dicts(ending, opened):
    """Two by two."""
    params = '{"x": discrete([1, 2], [3]), "y": discrete({"a": 1}, {"a": 2})}'
    assert (
        only(
            opened(
                STUDY.replace('{"x": range(0.0, 1.0)}', params).replace("run=run", "oracle=grid_search, run=run"),
                ending,
            )
        ).num_trials
        == 4
    )


@BOTH
@pytest.mark.parametrize(
    ("oracle", "expected"),
    [
        ('"asha"', Asha()),
        ("random_search(seed=3)", RandomSearch()),
        ('skopt(n_initial_points=4, acq_func="EI")', Gp(startup=4)),
        ("skopt()", Gp(startup=10)),
    ],
)
def test_d7_oracles_are_our_optimizers(ending, oracle, expected, opened):
    """By Diviner's names, or ours."""
    assert only(opened(STUDY.replace("run=run", f"oracle={oracle}, run=run"), ending)).optimizer == expected


LINES = {
    "study(": (
        ("oops(1)\n", r"file\.dv:6:1: undefined: oops\n    oops\(1\)"),
        ("x = [\n", r"file\.dv:7:1: got end of file"),
        ("x = 1 + 'a'\n", r"file\.dv:6:7: unknown binary op: int \+ string\n    x = 1 \+ 'a'"),
        ("\n\npanic('no', 1)\n", r"file\.dv:8:6: panic: no 1\n    panic"),
        ("discrete(1, 2.0)\n", r"file\.dv:6:9: discrete\(\) has values of two kinds, int and float"),
        ("range(1, 2.0)\n", r"ends of two kinds"),
        ("range(1, 1)\n", r"range\(1, 1\) is empty"),
        ("discrete()\n", r"no values"),
        ("discrete(None)\n", r"a value of discrete\(\) is None, of type NoneType"),
        ("study(name='t')\n", r"missing"),
        ("localsystem('l', -1)\n", r"parallelism is -1"),
        ("run_config('l', 'x')\n", r"run_config\(\) has no system"),
        ("study('t', {'y': 3}, minimize('l'), run)\n", r"parameter y of study t is 3; write discrete"),
        ("study('t', {}, 'loss', run)\n", r'the objective of study t is "loss"; write minimize'),
        ("study('t', {}, minimize('l'))\n", r"study t needs run="),
        ("study('t', {}, minimize('l'), run, replicates=65)\n", r"replicates is 65"),
        ("study('s', {}, minimize('l'), run)\n", r"defines study 's' twice"),
        ("study('../x', {}, minimize('l'), run)\n", r"\.\./x"),
        ("study('a;drop table', {}, minimize('l'), run)\n", r"a;drop table"),
        ("study('t', {}, minimize('l'), run, oracle='nope')\n", r"study 't': there is no oracle 'nope'"),
        (
            "study('t', {'x': range(0.0, 1.0)}, minimize('l'), run)\n",
            r"study 't': parameter x is not discrete: list its values for grid_search",
        ),
        ("study('t', {'x': range(0.0, 1.0)}, minimize('l'), run, oracle=skopt('NN'))\n", r"base_estimator='NN'"),
        ("open('/etc/passwd')\n", r"undefined: open"),
        (
            "run_config(localsystem('l'), 'x', ['a/f', 'b/f'])\n",
            r"local_files has a/f and b/f, which would be one file, f",
        ),
        ("study('t')\n", r"file\.dv:6:6: function study missing 2 arguments"),
        ("to_proto({1: 2})\n", r"the name of a field of to_proto\(\) is 1, of type int"),
        ("command('exit 3')\n", r"command\('exit 3'\) failed with code 3: it said nothing"),
    )
}["study("]


@pytest.mark.parametrize(("text", "message"), LINES, ids=[text.strip() for text, _ in LINES])
def test_what_is_wrong_is_said_with_its_line(text, message, opened):
    """File, line, column and the line itself; the line before the file's first is not counted."""
    with pytest.raises(ConfigError, match=message):
        opened(STUDY.replace('"x": range(0.0, 1.0)', '"x": discrete(1, 2)') + text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oops(1)\n", r"file\.py:6:1: NameError: name 'oops' is not defined\n    oops"),
        ("x = [\n", r"file\.py:6:5: '\[' was never closed"),
        ("discrete(1, 2.0)\n", r"file\.py:6:1: discrete\(\) has values of two kinds, int and float"),
        ("raise SystemExit(3)\n", r"SystemExit: 3"),
        ("panic('no')\n", r"file\.py:6:1: panic: no"),
        ("study('a')\n", r"file\.py:6:1: TypeError: study\(\) missing 2"),
    ],
)
def test_so_it_is_in_python(text, message, opened):
    """With the words of its own errors."""
    with pytest.raises(ConfigError, match=message):
        opened(STUDY.replace('"x": range(0.0, 1.0)', '"x": discrete(1, 2)') + text, "py")


GRID = STUDY.replace("range(0.0, 1.0)", "discrete(1, 2)")


@BOTH
def test_d25_modules_are_loaded_once_and_know_each_other(ending, opened):
    """By their own names or others, over several lines; private names stay where they are."""
    common = """
local = localsystem('l', 2)
def helper(p):
    return _own(p)
def _own(p):
    return 'METRICS: loss=%(x)d' % p
print('once')
"""
    other = f"load('common.{ending}', 'helper')\ndef twice(p):\n    return helper(p) * 2\n"
    text = f"""
load("common.{ending}", "local",
     helped="helper")  # and a comment
load('other.{ending}', "twice")
def run(p):
    return run_config(local, helped(p) + "|" + twice(p))
study("s", {{"x": discrete(1, 2)}}, minimize("loss"), run)
"""
    said = []
    file = opened(text, ending, said.append, common=common, other=other)
    assert file.run_config(only(file), {"x": 2}, "s:1").script == "METRICS: loss=2|METRICS: loss=2METRICS: loss=2"
    assert said == ["once"]


@BOTH
def test_d25_studies_of_modules_are_the_files(ending, opened):
    """Diviner has one list of them."""
    text = f"load('common.{ending}', 'run')\nstudy('t', {{'x': discrete(1)}}, minimize('l'), run)\n"
    assert [each.name for each in opened(text, ending, common=GRID).definitions] == ["s", "t"]


@BOTH
def test_d25_a_cycle_of_loads_is_named(ending, opened):
    """As Diviner says it."""
    with pytest.raises(ConfigError, match=rf"cycle in load graph involving module file\.{ending}"):
        opened(f"load('a.{ending}', 'x')\n", ending, a=f"load('b.{ending}', 'x')\n", b=f"load('file.{ending}', 'x')\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nload('nothing.dv', 'x')\n", r"file\.dv:2:1: load: there is no file nothing\.dv"),
        ("load('a.dv', 'y')\n", r"file\.dv:1:1: load: name y not found in module a\.dv"),
        ("load('a.dv', '_z')\n", "its module's own"),
        ("load('a.dv')\n", "write load"),
        ("load('a.dv', 'x')\nq\n", r"file\.dv:2:1: undefined: q"),
        ("load('a.dv',\n  'x')\nq\n", r"file\.dv:3:1: undefined: q"),
        ("load('a.dv', 'x')\nhidden()\n", "undefined: hidden"),
        ("load('bad.dv', 'x')\n", r"bad\.dv:2:1: undefined: q"),
    ],
)
def test_what_is_wrong_with_a_load_is_said(text, message, opened):
    """Names that were not asked for are not there, and lines stay what they were."""
    with pytest.raises(ConfigError, match=message):
        opened(text, a="x = 1\n_z = 2\ndef hidden(): pass\n", bad="x = 1\nq()\n")


@BOTH
def test_d25_commands_are_run_once_and_files_made(ending, opened, tmp_path):
    """What they say makes names; in Starlark the file is evaluated again with the answer at hand."""
    text = f"""
name = command("echo foo; echo x >> {tmp_path}/runs", strip=True)
made = temp_file("contents\\n")
same = command("cat " + made)
python = command("print(6 * 7)", interpreter="python3 -c", strip=True)
def run(p):
    return run_config(localsystem("l"), made + same + python + command("echo late"))
study(name, {{"x": discrete(1)}}, minimize("loss"), run)
"""
    file = opened(text, ending)
    assert only(file).name == "foo"
    run = file.run_config(only(file), {"x": 1}, "foo:1")
    assert re.search(r"contents\n42late\n$", run.script)
    assert (tmp_path / "runs").read_text() == "x\n"
    made = run.script.partition("contents")[0]
    assert Path(made).read_text() == "contents\n"
    file.close()
    assert not Path(made).exists()


@BOTH
def test_d25_to_proto_is_text(ending, opened):
    """Lists are repeated fields, dicts messages, enum values bare words."""
    value = '{"k0": "a\\"b", "k1": 1.5, "k2": [1, 2], "k3": {"k4": True, "k5": enum_value("BIG")}}'
    file = opened(GRID.replace('"echo METRICS: loss=%(x)f" % params', f"to_proto({value})"), ending)
    assert file.run_config(only(file), {"x": 1}, "s:1").script == (
        'k0: "a\\"b"\nk1: 1.5\nk2: 1\nk2: 2\nk3 {\n  k4: true\n  k5: BIG\n}\n'
    )


def test_the_language_has_what_diviners_had(opened):
    """Lambdas, floats, loops at the top, recursion; and `range` is what it was where it cannot mean a parameter."""
    text = """
seen = []
for i in range(3):
    seen.append(i * 0.5)
def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)
study("s", {"x": discrete(1)}, minimize("loss"),
      lambda p: run_config(localsystem("l"), "%s %d" % (seen, factorial(5))))
"""
    file = opened(text)
    assert file.run_config(only(file), {"x": 1}, "s:1").script == "[0.0, 0.5, 1.0] 120"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "returned 3; it must return run_config"),
        ("kept.append(1)", r"file\.dv:4:16: append: cannot append to frozen list"),
        ("return run_config(localsystem('l'), '%(y)f' % params)", r"file\.dv:4:.*key not found: y"),
        ("return run_config(localsystem('l'), '%(x)d' % {'x': 'a'})", r"file\.dv:4"),
    ],
)
def test_what_a_run_function_does_wrong_is_said(body, message, opened):
    """When it is called: globals are frozen by then."""
    rest = "study('s', {'x': discrete(1)}, minimize('l'), run)\n"
    file = opened(f"kept = []\n\ndef run(params):\n    {body}\n{rest}")
    with pytest.raises(ConfigError, match=message):
        file.run_config(only(file), {"x": 1}, "s:1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    for i in range(100000000000):\n        pass\nf()\n", "s of CPU"),
        (
            "x = []\ndef f():\n    for i in range(100000000):\n        x.append('a' * 1000 + str(i))\nf()\n",
            "MiB of memory",
        ),
    ],
)
def test_a20_a_hostile_file_is_bounded(text, message, opened, monkeypatch):
    """A20: time and memory, and nobody else notices."""
    monkeypatch.setattr(studyfile, "CPU", 2)
    monkeypatch.setattr(studyfile, "MEMORY", 256 * 1024 * 1024)
    with pytest.raises(ConfigError, match=message):
        opened(text)


def test_what_many_calls_use_is_not_one_calls(opened, monkeypatch):
    """A process that has used half of its time is followed by another."""
    monkeypatch.setattr(studyfile, "CPU", 0.001)
    monkeypatch.setattr(studyfile._Child, "__init__", _generous(studyfile._Child.__init__))
    file = opened(GRID)
    first = file._child
    assert file.run_config(only(file), {"x": 1}, "s:1").script == "echo METRICS: loss=1.000000"
    assert file._child is not first


def _generous(init):
    def made(self, path, **options):
        studyfile.CPU, kept = 10, studyfile.CPU
        init(self, path, **options)
        studyfile.CPU = kept

    return made


def test_there_has_to_be_a_file(tmp_path):
    """And a study in it."""
    with pytest.raises(ConfigError, match="no study file"):
        StudyFile(str(tmp_path / "nothing.dv"))
    (tmp_path / "empty.dv").write_text("")
    with pytest.raises(ConfigError, match="defines no study"):
        StudyFile(str(tmp_path / "empty.dv"))


def test_ec2_systems_load(opened):
    """They are refused when they are to be run."""
    text = GRID.replace(
        'localsystem("l", 2)',
        'ec2system("gpu", ami="a", instance_profile="p", instance_type="p3.2xlarge", disk_space=300)',
    )
    file = opened(text)
    assert file.run_config(only(file), {"x": 1}, "s:1").systems[0].kind == "ec2system"


def test_systems_may_be_several_and_datasets_come_along(opened):
    """In the order in which they are given."""
    text = """
l = localsystem("l")
data = dataset(name="d", system=l, script="touch /data/x", if_not_exist="/data/x", local_files=["prepare.py"])
def run(p):
    return run_config([ec2system("big"), l], "true", local_files=["train.py"], datasets=[data])
study("s", {"x": discrete(1)}, minimize("loss"), run)
"""
    run = (file := opened(text)).run_config(only(file), {"x": 1}, "s:1")
    assert [system.name for system in run.systems] == ["big", "l"]
    assert run.files == ("train.py",)
    [data] = run.datasets
    assert (data.name, data.if_not_exist, data.files, data.script) == ("d", "/data/x", ("prepare.py",), "touch /data/x")
