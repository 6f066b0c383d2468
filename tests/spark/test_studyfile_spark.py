"""Studies of a file on Spark."""

from contextlib import closing

import pytest

from maggy import experiment
from maggy.studyfile.file import StudyFile
from maggy.studyfile.runner import Runner, Wish

pytest.importorskip("starlark_go")
pytestmark = [pytest.mark.spark, pytest.mark.timeout(300)]
# Of the longer study's trials the first waits for the other study, the others for each other: they need both slots.
TEXT = """
cluster = sparksystem("cluster", 2)
def run(p, id):
    return run_config(system=cluster, local_files=["HERE/wait.sh"], script="./wait.sh HERE " + id)
study("long", {"x": discrete(1, 2, 3)}, minimize("loss"), run)
study("short", {"x": discrete(1)}, minimize("loss"), run)
"""
WAIT = """#!/bin/bash
touch $1/$2
case $2 in
    long:1) other=short:1 ;;
    long:2) other=long:3 ;;
    long:3) other=long:2 ;;
    *) other=long:1 ;;
esac
until [ -e $1/$other ]; do sleep 0.05; done
echo METRICS: loss=1
"""


def test_d17_slots_that_a_study_leaves_are_anothers_on_spark(spark, tmp_path):
    """Two jobs at a time, one of each study; when one study has ended, the other has both of them."""
    (tmp_path / "file.dv").write_text(TEXT.replace("HERE", str(tmp_path)))
    (tmp_path / "wait.sh").write_text(WAIT)
    (tmp_path / "wait.sh").chmod(0o755)
    where, said = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}, []
    with closing(StudyFile(str(tmp_path / "file.dv"))) as file:
        assert Runner(file, Wish(trials=2, stream=True), say=said.append, **where).run(file.definitions), said
    found = {name: experiment.load(name, store=where["store"]).trials for name in ("long", "short")}
    trials = [trial for name in found for trial in found[name]]
    assert [trial.status for trial in trials] == ["completed"] * 4
    for trial in trials:
        assert sum(other.started <= trial.started < other.ended for other in trials) <= 2
    assert len({trial.executor for trial in found["long"]}) == 2
    assert found["short"][0].executor not in {trial.executor for trial in found["long"]}
    tracker = spark.sparkContext.statusTracker()
    assert (tracker.getActiveJobsIds(), tracker.getJobInfo(2) is None) == ([], False)  # three slots, a job for each
