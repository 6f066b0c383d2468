"""F35, F41: whatever shows a study may raise, block or find its disk full: trials and results never notice."""

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from driving import fill, small_disk
from served import p99

from maggy import experiment
from maggy.driver import logs
from maggy.driver.aside import Aside
from maggy.driver.logs import TrialLogs
from maggy.errors import ConfigError
from maggy.views import tensorboard
from maggy.views.tensorboard import TensorBoard


def talkative(x, reporter, progress, steps):
    import time

    for step in range(steps):
        print("step", step)
        reporter.broadcast(x, step=step)
        time.sleep(0.01)
    return x


@contextmanager
def stuck(file):
    """Have a file there that blocks whoever opens it for writing, as a disk does whose server is away."""
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    try:
        yield
    finally:  # let the thread go on that waits there, and others find a file that they can make
        reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        file.unlink()
        os.set_blocking(reader, True)
        ends, read = time.monotonic() + 1, b""
        while time.monotonic() < ends and not read:
            read = os.read(reader, 4096)
        os.close(reader)


class Raising:
    """A view with a fault."""

    def __init__(self):
        self.seen = 0

    def recorded(self, events):
        self.seen += 1
        if self.seen == 3:
            raise ZeroDivisionError("a bug in a view")


def test_f41_a_view_that_raises(driving):
    """F41: it is shown nothing any more and named once; the others are shown everything, and the study completes."""
    broken, seen = Raising(), []
    sound = type("Sound", (), {"recorded": staticmethod(seen.extend)})()
    study = driving(steps=20, watchers=[broken, sound]).launch()
    assert study.server.closed.wait(60)
    study.complete()
    assert broken.seen == 3
    assert study.journal.trouble == "Raising raised ZeroDivisionError: a bug in a view and is not used any more"
    assert seen == study.log[1:]


def test_f41_files_that_block(driving, tmp_path):
    """F41: trials whose output cannot be written, and TensorBoard's files, hold up neither beats nor reports."""
    files = tmp_path / "logs"
    board = TensorBoard(files)
    with stuck(files / "1" / "output.log"), stuck(files / "tensorboard" / "1" / tensorboard.FILE):
        written = TrialLogs(files, verbose=False)
        study = driving(steps=60, watchers=[board], logs=written, lease=3.0).launch(
            function=talkative, progress="", steps=60
        )
        with study.lag() as late:
            assert study.server.closed.wait(60)
        assert p99(late) < 3.0  # the lease
        study.complete()
        written.close(0.2)
        board.close(0.2)
        assert "not written within 0.2 s of the end" in written.trouble
        assert "not finished within 0.2 s" in board.trouble


def test_f41_output_that_comes_too_fast(tmp_path, monkeypatch):
    """F41: what finds no room to wait is left out and counted, and memory stays bounded."""
    monkeypatch.setattr(logs, "MAX_WAITING", 1000)
    with stuck(tmp_path / "1" / "output.log"):
        written = TrialLogs(tmp_path, verbose=False)
        for _ in range(30):
            written.write(logs.Log(1, 1, "x" * 99 + "\n"))
    written.close(30)
    assert written.trouble == (
        "2,000 characters that trials have printed are not in their files: they came faster than they could be written"
    )


def test_f35_output_goes_on_when_there_is_room_again(tmp_path):
    """F35: what a full disk did not take is counted, and what comes later is written."""
    with small_disk(tmp_path / "disk", "400k") as disk:
        written = TrialLogs(disk, verbose=False)
        written.write(logs.Log(1, 1, "first\n"))
        settled(written)
        filling = fill(disk)
        written.write(logs.Log(2, 1, "lost\n"))
        settled(written)
        assert "5 characters that trials have printed are not in their files: [Errno 28]" in written.trouble
        filling.unlink()
        written.write(logs.Log(1, 1, "last\n"))
        written.close(30)
        assert (disk / "1" / "output.log").read_text() == "first\nlast\n"


def settled(written):
    """Wait until all is written that was handed over."""
    done = threading.Event()
    written._aside.put(done.set)
    assert done.wait(30)


def test_f35_a_full_disk_for_logs_and_tensorboard(tmp_path, capsys):
    """F35: trials that print more than the disk has room for complete as ever; the user is told once of each."""

    def train(x, reporter):
        for step in range(20):
            print("x" * 100_000)
            reporter.broadcast(x, step=step)
        return x

    with small_disk(tmp_path / "disk", "1m") as disk:
        result = experiment.lagom(
            train,
            {"x": (0.0, 1.0)},
            num_trials=6,
            store=tmp_path / "maggy.db",
            log_dir=disk,
            launcher="local",
            num_executors=2,
            earlystop=None,
        )
        said = capsys.readouterr().err
        assert sum(file.stat().st_size for file in Path(disk).rglob("output.log")) > 500_000
    assert [(trial.status, len(trial.curve)) for trial in result.trials] == [("completed", 20)] * 6
    assert said.count("characters that trials have printed are not in their files: [Errno 28]") == 1
    assert said.count("Traceback") == 0


def test_f35_no_room_for_logs_from_the_start(tmp_path):
    """F35: that is an error of the call, before anything is started."""
    with small_disk(tmp_path / "disk", "400k") as disk:
        fill(disk)
        with pytest.raises(ConfigError, match=r"log_dir='.*' cannot be written \(\[Errno 28\]"):
            experiment.lagom(
                lambda x: x, {"x": (0.0, 1.0)}, store=tmp_path / "maggy.db", log_dir=disk, launcher="local"
            )


def test_f41_work_aside_keeps_its_order_and_its_bound():
    """F41: pieces are done one after another; a refused one leaves no trace; closing waits for what was taken."""
    aside, done, go = Aside("test", 10), [], threading.Event()
    assert aside.put(lambda: (go.wait(30), done.append(0)), 4)
    assert aside.put(lambda: done.append(1), 6)
    assert not aside.put(lambda: done.append(2), 1)
    assert not aside.close(0.01)
    go.set()
    aside._thread.join(30)
    assert done == [0]  # given up: nothing is done behind the back of whoever has left

    aside = Aside("test", 10)
    for number in range(10):
        assert aside.put(lambda number=number: done.append(number))
    assert aside.close(30)
    assert done == [0, *range(10)]
    assert aside.weight == 0
