"""The examples, run as their users run them."""

import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from maggy import Status, experiment
from maggy.driver.java import java_home

EXAMPLES = Path(__file__).parents[2] / "examples"
SUBMIT = Path(sys.executable).parent / "spark-submit"
pytestmark = pytest.mark.spark


def run(tmp_path, *command, **env):
    """Run a command in a directory of its own, and return what it printed; its study is then in `maggy.db` there."""
    clean = {key: value for key, value in os.environ.items() if key not in ("MASTER", "SPARK_HOME")}
    java = {"JAVA_HOME": home} if (home := java_home()) else {}
    done = subprocess.run(
        command, cwd=tmp_path, env=clean | java | env, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def spark_home(tmp_path):
    """Give a SPARK_HOME of links: local-cluster writes its executors' directories into SPARK_HOME/work."""
    home = tmp_path / "spark"
    home.mkdir()
    for part in Path(pyspark.__file__).parent.iterdir():
        if part.name != "work":
            (home / part.name).symlink_to(part)
    return home


def test_the_demo_finds_what_the_default_does_not(tmp_path):
    """81 configurations on four executors; most are not promoted, and the best beats scikit-learn's default."""
    done = run(tmp_path, sys.executable, EXAMPLES / "digits_asha.py")
    result = experiment.load("digits", store=tmp_path / "maggy.db")
    assert done.stderr == ""
    assert result["num_trials"] == 81
    assert sum(trial.budget == 1 for trial in result.trials) == 81
    assert sum(trial.budget == 3 for trial in result.trials) < 41
    assert {trial.status for trial in result.trials} == {Status.COMPLETED}
    assert len({trial.executor for trial in result.trials}) == 4
    assert result.best_trial.budget == 27
    lines = done.stdout.splitlines()
    default, best = (float(line.split()[-1]) for line in lines if line.startswith(("  default", "  best conf")))
    assert best > default
    assert "tensorboard --logdir maggy_logs/digits/tensorboard" in done.stdout
    assert "'digits' in maggy.db" in done.stdout
    assert list((tmp_path / "maggy_logs" / "digits" / "tensorboard").rglob("events*"))


def test_spark_submit_on_local(tmp_path):
    """The same function, from a module given by --py-files, in the session that spark-submit has prepared."""
    options = ("--master", "local[4]", "--py-files", EXAMPLES / "digits_asha.py")
    done = run(tmp_path, SUBMIT, *options, EXAMPLES / "spark_submit.py", "--trials", "9", PYSPARK_PYTHON=sys.executable)
    result = experiment.load("digits", store=tmp_path / "maggy.db")
    assert f"best accuracy: {result.best_value}" in done.stdout
    assert (result["num_trials"], not result.interrupted) == (9, True)
    assert {trial.budget for trial in result.trials} >= {1, 3}
    assert {trial.status for trial in result.trials} == {Status.COMPLETED}


def test_spark_submit_on_a_cluster(tmp_path, spark_home):
    """Executors in JVMs of their own get maggy and the module from the driver, whose address they reach."""
    options = ("--master", "local-cluster[2,2,1024]", "--py-files", EXAMPLES / "digits_asha.py")
    arguments = ("--trials", "9", "--store", "elsewhere.db", "--logs", "logs")
    where = {"PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(spark_home)}
    done = run(tmp_path, SUBMIT, *options, EXAMPLES / "spark_submit.py", *arguments, **where)
    result = experiment.load("digits", store=tmp_path / "elsewhere.db")
    assert f"best accuracy: {result.best_value}" in done.stdout
    assert result["num_trials"] == 9
    assert {trial.status for trial in result.trials} == {Status.COMPLETED}
    assert any(trial.parent for trial in result.trials)
    assert len(list((tmp_path / "logs" / "digits" / "checkpoints").iterdir())) == len(result.trials)
    assert len(list((spark_home / "work").glob("app-*/*"))) == 2


def test_the_ablation_example(tmp_path):
    """In half a minute or so it tells that body mass and blood pressure are needed, and what is not."""
    done = run(tmp_path, sys.executable, EXAMPLES / "ablation.py", MASTER="local[2]")
    table = done.stdout.rpartition("95 % interval")[2]
    verdicts = {line.split()[1]: line.split()[-1] for line in table.splitlines() if line.startswith("without")}
    assert len(verdicts) == 13
    assert (verdicts["bmi"], verdicts["bp"], verdicts["log_target"]) == ("needed", "needed", "harmful")
