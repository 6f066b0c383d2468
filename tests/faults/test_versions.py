"""F43: executors that are of another Python or another maggy are told so, once, and are not started for ever."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import pytest

import maggy
from maggy import Float, Searchspace, experiment
from maggy.errors import LauncherError
from maggy.rpc.messages import PROTOCOL
from maggy.version import VERSION, misfit

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SPACE = Searchspace(x=Float(0, 1))
OTHER = next(iter(sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python3"))), None)


@pytest.fixture
def lagom(tmp_path):
    def run(train_fn=lambda x: x, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "num_trials": 4, "seed": 1}
        return experiment.lagom(train_fn, SPACE, **places | {"launcher": "local", "num_executors": 2} | options)

    return run


@pytest.fixture
def other_maggy(tmp_path, monkeypatch):
    """Let executors import a copy of maggy in which a file has been changed; this process has its own already."""
    folder = tmp_path / "other"
    shutil.copytree(Path(maggy.__file__).parent, folder / "maggy", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(folder)

    def change(file, old, new):
        path = folder / "maggy" / file
        text = path.read_text()
        assert text.count(old) == 1, (file, old)
        path.write_text(text.replace(old, new))

    return change


def refusal(lagom, capsys, **options):
    """Return what the call says when no executor is fit: soon, once, and no stack trace."""
    began = time.monotonic()
    with pytest.raises(LauncherError) as error:
        lagom(**options)
    assert time.monotonic() - began < 60  # 5 on an idle machine
    shown = "".join(capsys.readouterr())
    assert "Traceback" not in shown
    assert shown.count("refused") == 1  # the closing table says why there is no trial
    return str(error.value)


def test_f43_another_maggy_is_refused_with_both_versions(lagom, other_maggy, capsys):
    """F43: at its first word, whatever else it can."""
    other_maggy("version.py", f'VERSION = "{VERSION}"', 'VERSION = "1.9.3"')
    told = refusal(lagom, capsys)
    assert (
        f": refused: the executor has maggy 1.9.3, and the driver {VERSION}; uninstall it where executors run" in told
    )


def test_f43_another_python_is_refused_with_both_versions(lagom, other_maggy, capsys):
    """F43: PySpark would refuse it itself; elsewhere it is the driver that does."""
    other_maggy("executor/worker.py", "platform.python_version()", "'3.99.1'")
    here = ".".join(map(str, sys.version_info[:3]))
    assert f": refused: the executor has Python 3.99.1, and the driver {here}; let both be of one minor version" in (
        refusal(lagom, capsys)
    )


def test_f43_a_maggy_whose_protocol_is_another_says_so_itself(lagom, other_maggy, capsys):
    """F43: the driver does not even answer its handshake, so the executor compares what its ticket says."""
    other_maggy("version.py", f'VERSION = "{VERSION}"', 'VERSION = "1.9.3"')
    other_maggy("rpc/connection.py", f'b"maggy/{PROTOCOL}\\n"', 'b"maggy/0\\n"')
    assert f": refused: the executor has maggy 1.9.3, and the driver {VERSION}; it does not" in refusal(lagom, capsys)


def test_f43_a_bugfix_release_makes_no_difference(lagom, other_maggy):
    """F43: the first two numbers count."""
    other_maggy("version.py", f'VERSION = "{VERSION}"', f'VERSION = "{".".join(VERSION.split(".")[:2])}.77"')
    other_maggy("executor/worker.py", "platform.python_version()", f"'3.{sys.version_info.minor}.99'")
    assert [trial.status for trial in lagom(quiet=True).trials] == ["completed"] * 4


@pytest.mark.parametrize(
    ("executor", "driver", "fits"),
    [
        ("3.11.7", "3.11.2", True),
        ("3.11.7", "3.1.1", False),
        ("2.0.0.dev0", "2.0", True),
        ("2.1", "2.0.9", False),
        ("", "2.0", False),
    ],
)
def test_f43_versions_of_one_series_fit(executor, driver, fits):
    """F43: major and minor count, as numbers of their own."""
    assert (misfit("maggy", executor, driver, "") is None) is fits


def test_f43_refused_slots_are_given_up_while_others_work(lagom, other_maggy, capfd):
    """F43: one slot's machine has an older maggy: it is tried twice, then left; the study goes on with the other."""
    other_maggy(
        "executor/worker.py",
        "platform.python_version(), VERSION, again",
        "platform.python_version(), '1.9.3' if self._slot == 1 else VERSION, again",
    )

    def slowly(x, reporter):
        import time

        time.sleep(1)
        return x

    result = lagom(slowly)
    assert [trial.status for trial in result.trials] == ["completed"] * 4
    assert {trial.executor for trial in result.trials} == {result.trials[0].executor}
    said = capfd.readouterr().err
    assert said.count("refused: the executor has maggy 1.9.3") == 1


@pytest.mark.spark
@pytest.mark.chaos
@pytest.mark.skipif(OTHER is None, reason="there is no second Python (3.12 or later) under ~/.pyenv")
def test_f43_pysparks_own_refusal_is_shown_once(tmp_path):
    """F43: PySpark looks at the Python of its workers before any of maggy runs there."""
    code = (
        "from maggy import Float, experiment\n"
        "experiment.lagom(lambda x: x, {'x': Float(0, 1)}, num_trials=2, store='memory:', log_dir=None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"MASTER": "local[2]", "PYSPARK_PYTHON": str(OTHER)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    told = done.stderr.splitlines()[-1]
    assert re.match(
        r"maggy\.errors\.LauncherError: no executor can be kept running .*: refused: .*PYTHON_VERSION_MISMATCH", told
    )
    assert re.search(r"different version: 3\.\d+ than that in driver: 3\.\d+, PySpark cannot run", told)
    assert done.stdout.count("PYTHON_VERSION_MISMATCH") == 1  # in the closing table, on one line
    assert "pyspark.zip" not in done.stdout + done.stderr  # no stack trace
