"""A disk under the driver's checkpoints that is slow, or does not answer: nobody else waits for it."""

import base64
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from served import Served, Speaker, introduction
from waiting import until

from maggy import experiment
from maggy.driver import roll
from maggy.driver.depot import Depot
from maggy.driver.retention import Retention
from maggy.events import Ended, Reported, Saved
from maggy.places import Directory
from maggy.rpc import messages
from maggy.rpc.messages import Chunk, Fetch, Finished, Piece, Reports, Run
from maggy.trial import Objective

DATA = b"content"


class Hanging(Depot):
    """One whose disk does not answer before it is told to."""

    def __init__(self, root):
        super().__init__(str(root), Retention(Objective()), 1000)
        self.answers = threading.Event()
        self.hangs = threading.Event()

    def _answer(self, *args, **options):
        self.hangs.set()
        self.answers.wait(30)
        super()._answer(*args, **options)


@contextmanager
def hung(path, **options):
    """Give a served study, its depot, and an executor that has saved, reported and ended while the disk hangs."""
    depot = Hanging(path)
    depot.open([])
    with Served(depot=depot, **options) as served, served.executor("saves") as executor:
        run = executor.hear(Run)
        name = f"{run.trial}/{run.attempt}-1.tar"
        executor.say(
            Chunk(run.trial, run.attempt, name, 0, base64.b64encode(DATA).decode()),
            messages.Saved(run.trial, run.attempt, name, len(DATA)),
            Reports(run.trial, run.attempt, [[0, {"metric": 0.5}]]),
            Finished(run.trial, run.attempt, "completed", 0.5, {"metric": 0.5}, None),
        )
        assert depot.hangs.wait(30)
        try:
            yield served, depot, executor, run
        finally:
            depot.answers.set()
            depot.close(30)


def confirmed(served, name):
    return served.server._roll._lives[name].channel._confirmed


def test_f35_a_disk_that_hangs_holds_nobody_else_up(tmp_path):
    """F35: others are heard; nothing that waits behind a save is confirmed, and then all is there, in order."""
    with hung(tmp_path, trials=4) as (served, depot, _, run):
        with served.executor("other") as other, served.lag() as lags:
            for _ in range(3):
                other.work()
            served.until(lambda _: len([event for event in served.log if isinstance(event, Ended)]) == 3)
            served.until(lambda _: confirmed(served, "other") == 3)  # the driver confirms once a second what is due
        assert max(lags) < 1
        assert not [event for event in served.log if isinstance(event, Saved | Reported)]
        assert confirmed(served, "saves") == 0
        depot.answers.set()
        served.until(lambda _: confirmed(served, "saves") == 4)
        told = [event for event in served.log if getattr(event, "trial", None) == run.trial][2:]
        assert [type(event) for event in told] == [Saved, Reported, Ended]
        assert (tmp_path / told[0].checkpoint).read_bytes() == DATA
        assert served.server.closed.wait(20)


def test_a12_f35_who_says_too_much_behind_a_hung_disk_is_not_read(tmp_path, monkeypatch):
    """A12, F35: no more than so much of an executor waits; it is not read, and lives, until what waits counts."""
    monkeypatch.setattr(roll, "MOST_WAITING", 1_000_000)
    with hung(tmp_path, trials=1, lease=1.0) as (served, depot, executor, run):
        life = served.server._roll._lives["saves"]
        flood = [messages.Log(run.trial, run.attempt, "x" * 100_000) for _ in range(300)]
        speaking = threading.Thread(target=executor.say, args=flood)
        speaking.start()
        served.until(lambda _: life.full)
        silent = time.monotonic() + 2 * served.server.scheduler._terms.silence
        until(lambda: time.monotonic() > silent)
        assert life.waiting < 2_000_000
        assert speaking.is_alive()
        assert "saves" in served.server.scheduler.executors
        depot.answers.set()
        speaking.join(30)
        served.until(lambda _: life.channel.received == 4 + len(flood))
        assert not life.full
        (ended,) = [event for event in served.log if isinstance(event, Ended)]
        assert ended.attempt == 1


def test_a12_who_comes_back_to_say_more_still_is_an_offender(tmp_path, monkeypatch):
    """A12: a new connection for each piece is no way around it."""
    monkeypatch.setattr(roll, "MOST_WAITING", 300_000)
    with hung(tmp_path, trials=1, reconnect_grace=60.0) as (served, _, _, run):
        back, lives = messages.Rejoin("saves", 0, introduction("saves").token), served.server._roll._lives
        for _ in range(20):
            with suppress(ConnectionError), Speaker(served) as executor:
                executor.say(back, *[messages.Log(run.trial, run.attempt, "x" * 100_000)] * 2)
                executor.hear(messages.Resumed)
            if "saves" not in lives:
                break
        assert "saves" not in lives


def test_f35_patience_with_a_disk_has_an_end(tmp_path, monkeypatch):
    """F35: then nothing is kept there any more, the user hears of it, and the study goes on."""
    monkeypatch.setattr("maggy.driver.depot.PATIENCE", 0.5)
    with hung(tmp_path, trials=2) as (served, depot, executor, run):
        served.until(lambda _: [event for event in served.log if isinstance(event, Ended)])
        assert not [event for event in served.log if isinstance(event, Saved)]
        (notice,) = depot.notices()
        assert "The driver has waited 0.5 s for" in notice
        second = executor.hear(Run)
        executor.say(Fetch(second.trial, second.attempt, f"{run.trial}/1-1.tar", 0))
        assert executor.hear(Piece).error == "the driver's disk does not answer"
        executor.say(Finished(second.trial, second.attempt, "completed", 0.5, {"metric": 0.5}, None))
        assert served.server.closed.wait(20)


def test_f35_a_loss_does_not_wait_for_the_disk(tmp_path):
    """F35: the executor goes while its save hangs; the trial runs elsewhere, and what was saved counts for nobody."""
    with hung(tmp_path, trials=1, reconnect_grace=0.1) as (served, depot, executor, run):
        executor.socket.close()
        with served.executor("other") as other:
            assert other.hear(Run).attempt == 2
            depot.answers.set()
            depot.close(30)
            other.say(Finished(run.trial, 2, "completed", 0.5, {"metric": 0.5}, None))
            assert served.server.closed.wait(20)
        assert not [event for event in served.log if isinstance(event, Saved)]


def saves(x, reporter, folder):
    Path(folder, "state").write_text("content")
    for _ in range(3):
        reporter.save(Path(folder, "state"))
    return x


def test_what_could_not_be_removed_stands_below_the_table(tmp_path, monkeypatch, capfd):
    """As whatever else went wrong, and did not end the study."""

    def sticks(self, name):
        raise OSError("it sticks")

    monkeypatch.setattr(Directory, "remove", sticks)
    places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "train_args": {"folder": str(tmp_path)}}
    experiment.lagom(saves, {"x": (0.0, 1.0)}, num_trials=1, name="s", launcher="local", num_executors=1, **places)
    told = " ".join(capfd.readouterr().err.split())
    assert "Warning: checkpoints that are needed no longer are left in" in told
    assert "(1/1-1.tar, 1/): it sticks" in told
