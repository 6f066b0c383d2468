"""Commands: templates, and what is refused before anything starts."""

import re
from pathlib import Path

import pytest

from maggy import Categorical, Command, Float, Integer, Searchspace
from maggy.call import shipped
from maggy.errors import ConfigError
from maggy.jsonvalue import dumps, loads

SPACE = {"lr": Float(0, 1), "epochs": Integer(1, 9), "opt": Categorical(["adam", "s g'd; rm -rf ~"])}
USED = "%(lr)f %(epochs)d %(opt!q)s"


def rendered(script, **values):
    return Command(script).render(values)


@pytest.mark.parametrize(
    ("script", "values", "expected"),
    [
        ("--lr %(lr)f -n %(n)d", {"lr": 0.1, "n": 3}, "--lr 0.100000 -n 3"),
        ("%(x)s %(x)g %(x).3e 100%%", {"x": 0.5}, "0.5 0.5 5.000e-01 100%"),
        ("%(flag)s %(flag)d", {"flag": True}, "True 1"),
        ("%(name)s", {"name": "a b"}, "a b"),  # as the template says
        ("%(name!q)s", {"name": "a b; rm -rf ~"}, "'a b; rm -rf ~'"),
        ("%(name!q)s", {"name": "it's"}, "'it'\"'\"'s'"),
        ("%(layers!q)s %(n!q)s", {"layers": [1, {"a": "b"}], "n": 2}, '\'[1,{"a":"b"}]\' 2'),
    ],
)
def test_d2_a_template_is_filled_as_python_does(script, values, expected):
    """`%` on a dict, and `!q` for one word of the shell."""
    assert rendered(script, **values) == expected


@pytest.mark.parametrize(
    ("script", "budgets", "message"),
    [
        (
            USED + " %(lrr)f",
            False,
            "uses %(lrr)…, which is no hyperparameter; there are: trial, attempt, lr, epochs, opt; did you mean 'lr'?",
        ),
        ("%(lr)f %(epochs)d %(opt)d", False, "no template for these values (%(opt)…, for instance 'adam')"),
        ("%(lr)f", False, "does not use %(epochs)…, which the searchspace defines"),
        (USED + " %(budget)s", False, "uses %(budget)…, but this optimizer gives no budgets"),
        (USED, True, "each trial a budget, but the command uses neither %(budget)s nor $MAGGY_BUDGET"),
        ("date +%s " + USED, False, "a lone percent sign"),
        (USED + " %(lr)", False, "incomplete format"),
        (USED + " %(lr", False, "a lone percent sign"),
        (USED + " %(lr)y", False, "unsupported format character"),
    ],
)
def test_d2_what_does_not_fit_is_refused_before_anything_starts(script, budgets, message):
    """A missing name or a bad conversion is a sentence."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        Command(script).check(SPACE, budgets=budgets)


@pytest.mark.parametrize(
    ("script", "budgets"),
    [
        (USED, False),
        (USED, None),
        ("python train.py", False),  # it reads MAGGY_PARAMS
        (USED + " %(budget)s %(trial)d %(attempt)d", True),
        (USED + " $MAGGY_BUDGET", True),
        (USED + " %(budget)s", None),
        (USED + " 100%% %%(lr)s", False),
    ],
)
def test_what_fits_is_accepted(script, budgets):
    """Every value of every parameter has been put into the template."""
    Command(script).check(SPACE, budgets=budgets)


def test_each_value_of_a_category_is_put_into_the_template():
    """A number among texts."""
    space = {"x": Categorical([1, "two"])}
    with pytest.raises(ConfigError, match="for instance 'two'"):
        Command("%(x)d").check(space, budgets=False)


def test_a_parameter_that_may_be_absent_cannot_stand_in_a_template():
    """It is among MAGGY_PARAMS where there is one."""
    space = Searchspace(opt=Categorical(["sgd", "adam"]), momentum=Float(0, 1, when={"opt": "sgd"}))
    Command("x %(opt)s").check(dict(space.items()), budgets=False)
    with pytest.raises(ConfigError, match="MAGGY_PARAMS"):
        Command("x %(opt)s %(momentum)f").check(dict(space.items()), budgets=False)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Command(""),
        lambda: Command(None),
        lambda: Command("a\0b"),
        lambda: Command("x", files="train.py"),
        lambda: Command("x", files=[1]),
        lambda: Command("x", files=["a/data.csv", "b/data.csv"]),
        lambda: Command("x", env={"A=B": "c"}),
        lambda: Command("x", env={"A": 1}),
        lambda: Command("x", keepalive=0),
        lambda: Command("x", keepalive=float("nan")),
        lambda: Command("x", preamble=3),
    ],
)
def test_a_command_that_can_never_work_is_refused(make):
    """When it is made."""
    with pytest.raises(ConfigError):
        make()


def test_a_command_comes_back_from_a_log():
    """It is made of JSON values."""
    command = Command("x %(a)s", files=[Path("a/b.py"), "c"], env={"K": "v"}, preamble="set -u; ", keepalive=3)
    assert command.files == ("a/b.py", "c")
    assert Command.from_json(loads(dumps(command.to_json()))) == command
    assert Command.from_json({"script": "x", "of a later version": 1}) == Command("x")


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("python examples/mnist/main.py --lr 1", "main"),
        ("./train --lr 1", "train"),
        ("echo 1", "echo"),
        ("$$", "command"),
    ],
)
def test_a_study_is_called_after_the_program(script, name):
    """Its first file, or else its first word."""
    assert Command(script).__name__ == name


def test_d16_files_are_read_before_anything_starts(tmp_path):
    """What cannot be read, a directory, and two of one name are refused."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same").write_text("x")
    (tmp_path / "a" / "tool").write_text("#!/bin/sh")
    (tmp_path / "a" / "tool").chmod(0o755)
    [tool] = shipped(Command("x", files=[tmp_path / "a" / "tool"])).files
    assert (tool.name, tool.mode, tool.content) == ("tool", 0o755, b"#!/bin/sh")
    for files, message in (
        ([tmp_path / "nothing"], "cannot be read: No such file"),
        ([tmp_path / "a"], "it is a directory"),
        ([tmp_path / "a" / "same", tmp_path / "b" / "same"], "would be one file, 'same'"),
    ):
        with pytest.raises(ConfigError, match=message):
            shipped(Command("x", files=files))
