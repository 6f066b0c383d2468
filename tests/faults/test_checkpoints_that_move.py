"""Checkpoints that move, with real executors: where they share a directory, at a URL, and through the driver alone."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from waiting import agent, until

from maggy import Asha, Float, Integer, RandomSearch, Searchspace, experiment
from maggy.driver.depot import Depot
from maggy.errors import CheckpointError, ConfigError
from maggy.events import Ended, Lost, Reported, Saved
from maggy.store import open_store
from maggy.testing.logcheck import check_log

SPACE = Searchspace(x=Float(0, 1))
MODES = ["shared", "url", "relay"]
URL = "dir://.::file://"  # a URL like any other, since what begins with file: is a path
PATIENCE = 60


class Unseen(Depot):
    """A driver's checkpoints at a place that executors do not see: its marker is not there for them."""

    def open(self, history):
        super().open(history)
        (self._root / self.marker).unlink()


def run(train_fn, path, mode="shared", space=SPACE, **options):
    """Run a study whose checkpoints are kept in one of three ways."""
    places = {"store": path / "maggy.db", "log_dir": path / "logs", "train_args": {"folder": str(path)}}
    if mode == "url":
        places["checkpoint_dir"] = f"{URL}{path}/at a url"
    few = {"num_trials": 1, "num_executors": 2, "launcher": "local", "earlystop": None, "quiet": True, "name": "s"}
    with pytest.MonkeyPatch.context() as patch:
        if mode == "relay":
            patch.setattr("maggy.run.Depot", Unseen)
        return experiment.lagom(train_fn, space, **{**few, **places, **options})


def log_of(path):
    with closing(open_store(path / "maggy.db", existing=True)) as store:
        return list(store.read("s"))


def tars(path):
    """Return what is kept, incomplete files included: `trial/attempt-number.tar`."""
    found = [file for file in path.rglob("*") if ".tar" in file.name]
    return sorted(f"{file.parent.name}/{file.name}" for file in found)


def recorded(folder, kind, trial, count=1):
    """Wait, in a trial, until the study's log has so many events of a kind about a trial; return them."""
    from maggy import events
    from maggy.store import open_store

    def mine():
        found = (each for each in store.read("s") if isinstance(each, getattr(events, kind)))
        return [each for each in found if each.trial == trial]

    with closing(open_store(Path(folder, "maggy.db"), existing=True)) as store:
        until(lambda: len(mine()) >= count)
        return mine()


# -- the next attempt, the next trial -----------------------------------------------------------------------------


def dies_with_its_agent(x, reporter, folder):
    state = Path(folder, f"state {reporter.attempt}")
    found = reporter.restore()
    epoch = int(Path(found).read_text()) if found else 0
    began = epoch
    while epoch < 6:
        reporter.broadcast(x, step=epoch)
        epoch += 1
        state.write_text(str(epoch))
        if epoch <= 3 or reporter.attempt > 1:
            reporter.save(state)
        if epoch == 5 and reporter.attempt == 1:
            recorded(folder, "Saved", reporter.trial, 3)
            os.kill(agent(), signal.SIGKILL)
            signal.pause()
    return {"metric": x, "began": began}


@pytest.mark.parametrize("mode", MODES)
def test_f01_the_next_attempt_goes_on_from_the_last_save(tmp_path, mode):
    """F1, F9: an agent is killed; the trial goes on elsewhere from its last checkpoint, which is all that is kept."""
    (trial,) = run(dies_with_its_agent, tmp_path, mode).trials
    assert (trial.status, trial.attempt, trial.metrics["began"]) == ("completed", 2, 3)
    check_log(log_of(tmp_path))
    assert tars(tmp_path) == ["1/2-3.tar"]


def continues(n, trial, budget, reporter, folder):
    came_from, done = 0, 0
    if found := reporter.restore():
        came_from, done = map(int, Path(found, "epoch").read_text().split())
    for epoch in range(done, int(budget)):
        reporter.broadcast(n + epoch / 100, step=epoch)
    state = Path(reporter.checkpoint_dir, "state")
    state.mkdir()
    (state / "epoch").write_text(f"{trial} {int(budget)}")
    reporter.save(state)
    return {"metric": n, "from": came_from, "done": done}


@pytest.mark.parametrize("mode", MODES)
def test_asha_continues_from_parents_wherever_checkpoints_are(tmp_path, mode):
    """A promoted trial goes on from its parent's checkpoint, whichever executor had that."""
    asha = Asha(reduction_factor=3, resource_min=1, resource_max=9)
    result = run(continues, tmp_path, mode, {"n": Integer(0, 1000)}, optimizer=asha, num_trials=9, metric="metric")
    assert len(result.trials) > 9
    for trial in result.trials:
        assert (trial.metrics["from"], trial.metrics["done"]) == (trial.parent or 0, trial.budget // 3)
    assert len(tars(tmp_path)) == len(result.trials)
    best = result.best_trial
    found = Path(result.checkpoint(to=tmp_path / "out"))
    assert (found, (found / "epoch").read_text()) == (tmp_path / "out" / "state", f"{best.id} {int(best.budget)}")
    with pytest.raises(FileExistsError, match="name another directory with to="):
        result.checkpoint(to=tmp_path / "out")
    loaded = experiment.load("s", store=tmp_path / "maggy.db")
    other = Path(loaded.checkpoint(1, checkpoint_dir=loaded.checkpoint_dir if mode == "url" else None))
    assert (other / "epoch").read_text() == "1 1"
    with pytest.raises(CheckpointError, match="there is no trial 99"):
        result.checkpoint(99)


def loses_its_last_save(x, reporter, folder):
    if found := reporter.restore():
        return {"metric": x, "found": float(Path(found).read_text())}
    for number in (1, 2, 3):
        Path(folder, "state").write_text(str(number))
        reporter.save(Path(folder, "state"))
    recorded(folder, "Saved", reporter.trial, 3)
    (last,) = Path(folder).rglob("1-3.tar")
    last.write_bytes(last.read_bytes()[:600])
    os.kill(agent(), signal.SIGKILL)
    signal.pause()
    return None


@pytest.mark.parametrize("mode", MODES)
def test_f42_the_one_before_a_damaged_checkpoint_is_restored(tmp_path, mode):
    """F42: a trial loses one save, not all of its work; in the end nothing but its checkpoint is kept."""
    (trial,) = run(loses_its_last_save, tmp_path, mode, metric="metric").trials
    assert (trial.status, trial.attempt, trial.metrics["found"]) == ("completed", 2, 2)
    told = (tmp_path / "logs" / "s" / "1" / "output.log").read_text()
    assert "Checkpoint 1/1-3.tar cannot be restored, so an earlier one has to do" in told
    assert tars(tmp_path) == ["1/1-3.tar"]


def kills_its_driver(x, reporter, folder):
    found = reporter.restore()
    if not found:
        Path(folder, "state").write_text("half way")
        reporter.save(Path(folder, "state"))
        recorded(folder, "Saved", reporter.trial)
        os.kill(int(Path(folder, "driver").read_text()), signal.SIGKILL)
        signal.pause()
    return {"metric": x, "found": Path(found).read_text() == "half way"}


def drive(path, mode):
    (path / "driver").write_text(str(os.getpid()))
    run(kills_its_driver, path, mode, num_executors=1)


@pytest.mark.parametrize("mode", MODES)
def test_f09_a_resumed_study_restores(tmp_path, mode):
    """F9: the driver is killed; the next one knows the checkpoint, and hands it out."""
    driver = multiprocessing.get_context("spawn").Process(target=drive, args=(tmp_path, mode))
    driver.start()
    driver.join(PATIENCE)
    assert driver.exitcode == -signal.SIGKILL
    options = {"url": {"checkpoint_dir": None}}.get(mode, {})  # a resume finds it by the log
    (trial,) = run(kills_its_driver, tmp_path, mode, resume=True, **options).trials
    assert (trial.status, trial.attempt, trial.metrics["found"]) == ("completed", 2, 1)


def test_another_place_cannot_be_named_on_resume(tmp_path):
    """What the log names is there and not elsewhere."""
    run(lambda x, folder: x, tmp_path, checkpoint_dir=tmp_path / "here")
    run(lambda x, folder: x, tmp_path, checkpoint_dir=tmp_path / "here", num_trials=2, resume=True)
    with pytest.raises(ConfigError, match="leave checkpoint_dir= out to find them"):
        run(lambda x, folder: x, tmp_path, checkpoint_dir=tmp_path / "there", num_trials=3, resume=True)


# -- cut off in the middle ------------------------------------------------------------------------------------------


def dies_while_it_saves(x, reporter, folder):
    import threading

    state = Path(folder, f"state {reporter.attempt}")
    if found := reporter.restore():
        content = Path(found).read_bytes()
        state.write_text("the end")
        reporter.save(state)
        return {"metric": x, "whole": content in (b"first", b"second" * 8_000_000)}
    state.write_text("first")
    reporter.save(state)
    recorded(folder, "Saved", reporter.trial)
    before = {str(file) for file in Path(folder).rglob("*.tar*")}
    state.write_bytes(b"second" * 8_000_000)  # 48 MB
    threading.Thread(target=reporter.save, args=(state,), daemon=True).start()
    until(lambda: {str(file) for file in Path(folder).rglob("*.tar*")} - before)
    os.kill(agent(), signal.SIGKILL)
    signal.pause()
    return None


@pytest.mark.parametrize("mode", MODES)
def test_f01_nothing_half_written_is_restored(tmp_path, mode):
    """F1: killed in the middle of save(), the trial goes on from a checkpoint that is whole; no part of it stays."""
    (trial,) = run(dies_while_it_saves, tmp_path, mode).trials
    assert (trial.status, trial.attempt, trial.metrics["whole"]) == ("completed", 2, 1)
    assert tars(tmp_path) == ["1/2-1.tar"]


def becomes_a_zombie(x, trial, reporter, folder):
    state, zombie = Path(folder, f"state {reporter.attempt}"), Path(folder, "zombie")
    if trial == 2:
        return x
    found = reporter.restore()
    if reporter.attempt == 1:
        state.write_text("before")
        reporter.save(state)
        recorded(folder, "Saved", trial)
        os.kill(agent(), signal.SIGSTOP)
        state.write_text("by a zombie")
        reporter.save(state)
        recorded(folder, "Lost", trial)
        reporter.save(state)
        zombie.write_text(f"{agent()} {os.getpid()}")
        signal.pause()
    until(lambda: zombie.exists() and zombie.read_text())
    stopped, process = map(int, zombie.read_text().split())
    os.kill(stopped, signal.SIGCONT)
    until(lambda: not Path(f"/proc/{process}").exists())
    return {"metric": x, "before": Path(found).read_text() == "before"}


@pytest.mark.parametrize("mode", ["shared", "url"])
def test_f05_a_zombies_save_is_nobodys_checkpoint(tmp_path, mode):
    """F5, F7: what an executor saves that has been given up is never referenced, and removed in the end."""
    result = run(becomes_a_zombie, tmp_path, mode, num_trials=2, metric="metric", lease=3.0)
    trial = result.trials[0]
    assert (trial.status, trial.attempt, trial.metrics["before"]) == ("completed", 2, 1)
    log = log_of(tmp_path)
    check_log(log)
    saved = [event.checkpoint for event in log if isinstance(event, Saved) and event.trial == 1]
    assert saved == ["1/1-1.tar"]
    assert [name for name in tars(tmp_path) if name.startswith("1/")] == saved


# -- the relay -----------------------------------------------------------------------------------------------------


def sends_much(x, trial, reporter, folder):
    if trial == 1:
        state = Path(folder, "state")
        state.write_bytes(os.urandom(50_000_000))
        until(lambda: len(recorded(folder, "Reported", 2)) > 0)
        reporter.save(state)
        (saved,) = recorded(folder, "Saved", 1)
        Path(folder, "done").touch()
        return float(saved.bytes)
    step = 0
    while not Path(folder, "done").exists():
        reporter.broadcast(x, step=step)
        step += 1
        time.sleep(0.02)
    return x


def test_a_large_checkpoint_holds_nobody_up(tmp_path):
    """50 MB pass through the driver while another trial reports; nobody is lost over it."""
    result = run(sends_much, tmp_path, "relay", num_trials=2)
    log = log_of(tmp_path)
    assert [trial.attempt for trial in result.trials] == [1, 1]
    reports = [event.at for event in log if isinstance(event, Reported)]
    gaps = [later - earlier for earlier, later in pairwise(reports)]
    (saved,) = [event for event in log if isinstance(event, Saved)]
    print(f"{saved.bytes:,} bytes by {saved.at - reports[0]:.1f} s, longest gap {max(gaps) * 1000:.0f} ms")
    assert max(gaps) < 5
    assert Path(result.checkpoint(1)).read_bytes() == (tmp_path / "state").read_bytes()


def saves_too_much(x, reporter, folder):
    if reporter.attempt == 1:
        state = Path(folder, "state")
        state.write_bytes(bytes(200_000))
        for _ in range(2):
            reporter.save(state)
        reporter.broadcast(x, step=0)
        recorded(folder, "Reported", reporter.trial)
        os.kill(agent(), signal.SIGKILL)
        signal.pause()
    return {"metric": x, "scratch": reporter.restore() is None}


def test_over_the_limit_a_trial_starts_from_scratch_and_says_so(tmp_path, monkeypatch, capfd):
    """Nothing is sent; the user is told once, the trial's log tells as well."""
    monkeypatch.setattr("maggy.run.RELAY_LIMIT", 100_000)
    (trial,) = run(saves_too_much, tmp_path, "relay", quiet=False).trials
    assert (trial.status, trial.attempt, trial.metrics["scratch"]) == ("completed", 2, 1)
    told = capfd.readouterr().err
    assert told.count("Warning: Checkpoints of more than 0 MB are not kept") == 1
    assert "[Checkpoints of more than" in (tmp_path / "logs" / "s" / "1" / "output.log").read_text()
    assert tars(tmp_path) == []


def in_a_world_of_its_own(x, trial, reporter, folder):
    state = Path(reporter.checkpoint_dir, "state")
    found = reporter.restore()
    state.write_text(Path(found).read_text() if found else f"from {trial}")
    reporter.save(state)
    return {"metric": x, "unseen": not list(Path(folder, "logs", "s", "checkpoints").glob(".maggy-*"))}


def test_executors_with_another_view_of_the_path_relay(tmp_path, monkeypatch, capfd):
    """Executors in mount namespaces of their own have an empty directory where the driver keeps its checkpoints."""
    own = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{tmp_path}/logs" && exec "$@"', "sh"]
    (tmp_path / "logs").mkdir()
    if subprocess.run([*own, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us make a mount namespace")
    plain = subprocess.Popen

    def elsewhere(command, **options):
        return plain([*own, *command] if command[0] == sys.executable and "-c" in command else command, **options)

    monkeypatch.setattr("maggy.driver.local.subprocess.Popen", elsewhere)
    result = run(in_a_world_of_its_own, tmp_path, num_trials=3, quiet=False)
    assert [(trial.status, trial.metrics["unseen"]) for trial in result.trials] == [("completed", 1)] * 3
    assert tars(tmp_path) == ["1/1-1.tar", "2/1-1.tar", "3/1-1.tar"]
    assert Path(result.checkpoint(2)).read_text() == "from 2"
    told = capfd.readouterr().err
    assert told.count("reporter.checkpoint_dir is a directory of one executor") == 1


def pries(x, trial, reporter, folder):
    Path(folder, "state").write_text("a secret")
    if trial == 1:
        reporter.save(Path(folder, "state"))
        recorded(folder, "Saved", trial)
        return x
    until(Path(folder, "state").exists)
    piece = reporter._checkpoints._ask("1/1-1.tar", 0)
    return {"metric": x, "refused": piece["data"] == "" and "does not go on from it" in piece["error"]}


def test_a_trial_gets_no_checkpoint_that_it_was_not_told_of(tmp_path):
    """A19: only a trial that is to go on from a checkpoint may fetch it."""
    trials = run(pries, tmp_path, "relay", num_trials=2, num_executors=1, metric="metric").trials
    assert [trial.status for trial in trials] == ["completed"] * 2
    assert trials[1].metrics["refused"] == 1


def climbs(x, trial, reporter, folder):
    if trial == 1:
        name = "../../../escaped.tar"
        reporter._checkpoints._to_agent("Chunk", {"checkpoint": name, "offset": 0, "data": "AAAA"})
        time.sleep(60)
    return x


def test_a19_a_trial_cannot_name_a_file_elsewhere(tmp_path):
    """A19: what is no word of a trial's process ends it; the agent passes nothing of it on, and goes on."""
    first, second = run(climbs, tmp_path, "relay", num_trials=2, num_executors=1).trials
    assert (first.status, second.status) == ("failed", "completed")
    assert "it wrote what it must not into its pipe to maggy (Chunk names what is no checkpoint)" in first.error
    assert first.executor == second.executor
    assert not list(tmp_path.rglob("escaped*"))


# -- what stays ------------------------------------------------------------------------------------------------------


def saves_twice(x, trial, reporter, folder):
    for number in range(2):
        Path(folder, f"state {trial}").write_text(f"{trial} {number}")
        reporter.save(Path(folder, f"state {trial}"))
    if trial == 2:
        raise ValueError("no good")
    return x


@pytest.mark.parametrize("mode", MODES)
def test_the_best_keep_their_checkpoints(tmp_path, mode):
    """keep_checkpoints=k: those of the k best trials, no part of any other; and nobody's scratch directory."""
    result = run(saves_twice, tmp_path, mode, optimizer=RandomSearch(), num_trials=6, keep_checkpoints=2)
    best = sorted((trial for trial in result.trials if trial.usable), key=lambda trial: -trial.value)[:2]
    assert tars(tmp_path) == sorted(f"{trial.id}/1-2.tar" for trial in best)
    assert Path(result.checkpoint()).read_text() == f"{best[0].id} 1"
    with pytest.raises(CheckpointError, match="trial 2's checkpoint is no longer kept"):
        result.checkpoint(2)


@pytest.mark.parametrize("optimizer", [RandomSearch(), Asha(reduction_factor=2, resource_min=1, resource_max=2)])
def test_fewer_may_be_kept_when_a_study_goes_on(tmp_path, optimizer):
    """What former calls have kept goes as well: at once where no trial is continued, else when the study is done."""
    kept = run(saves_twice, tmp_path, optimizer=optimizer, num_trials=4).trials
    assert len(tars(tmp_path)) == len(kept)
    result = run(saves_twice, tmp_path, optimizer=optimizer, num_trials=5, keep_checkpoints=2, resume=True)
    best = sorted((trial for trial in result.trials if trial.usable), key=lambda one: (-(one.budget or 0), -one.value))
    assert tars(tmp_path) == sorted(f"{trial.id}/1-2.tar" for trial in best[:2])


def restores(x, trial, reporter, folder):
    Path(folder, "state").write_text("as it was")
    left = Path(folder, "left")
    if trial > 1:
        recorded(folder, "Lost", 1)  # from then on it is first in line
        return float(left.exists() and Path(left.read_text()).exists())
    if reporter.attempt == 1:
        reporter.save(Path(folder, "state"))
        recorded(folder, "Saved", 1)
        os.kill(agent(), signal.SIGKILL)
        signal.pause()
    elif reporter.attempt == 2:
        left.write_text(reporter.restore())
        os.kill(os.getpid() if Path(folder, "by itself").exists() else agent(), signal.SIGKILL)
        signal.pause()
    return 0.0


@pytest.mark.parametrize("by_itself", [False, True])
def test_f31_no_copy_outlives_its_trial(tmp_path, by_itself):
    """F31: also where the trial's process is killed, or its agent; the next trial does not find it any more."""
    if by_itself:
        (tmp_path / "by itself").touch()
    first, _, last = run(restores, tmp_path, num_trials=3, num_executors=1).trials
    assert first.status == ("failed" if by_itself else "completed")
    assert last.value == 0.0 or not by_itself
    scratch = Path((tmp_path / "left").read_text()).parents[2]
    until(lambda: not scratch.exists(), 10)


# -- calls that cannot work ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("memory://checkpoints", "is the memory of one process"),
        ("nonsense://checkpoints", "cannot be written from here: .*nonsense"),
        ("file:///proc/checkpoints", "cannot be written from here"),
        ("dir://.::file:///proc/checkpoints", "cannot be written from here"),
        (Path("s3://bucket/x"), "pass the text 's3://bucket/x', not a Path"),
        ("file://data/x", "names the host 'data'; write file:///data/x"),
        ("/proc/checkpoints", "cannot be written from here"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_starts(tmp_path, place, message):
    """One sentence, and no study."""
    with pytest.raises(ConfigError, match=message):
        run(lambda x, folder: x, tmp_path, checkpoint_dir=place)
    with closing(open_store(tmp_path / "maggy.db")) as store:
        assert [entry.name for entry in store.studies()] == []


def test_a_file_url_is_a_path_of_each_host(tmp_path, monkeypatch):
    """Executors that do not see the driver's files send theirs: a URL's scheme makes no file system shared."""
    monkeypatch.setitem(sys.modules, "fsspec.core", None)  # nor is anything needed for it
    root = Path(f"file://{tmp_path}/at a url")  # which has lost a slash
    (trial,) = run(saves_twice, tmp_path, "relay", checkpoint_dir=root).trials
    run(saves_twice, tmp_path, "relay", checkpoint_dir=f"file://{tmp_path}/at a url", resume=True)
    assert trial.checkpoint == "1/1-2.tar"
    assert [path.parent.name for path in (tmp_path / "at a url").glob("*/*/1-2.tar")] == ["1"]


def test_without_fsspec_a_url_is_refused(tmp_path, monkeypatch):
    """The error names what to install."""
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match="pip install fsspec"):
        run(lambda x, folder: x, tmp_path, checkpoint_dir=f"{URL}{tmp_path}")


def fills_the_disk(x, reporter, folder):
    from maggy.errors import CheckpointError

    state = Path(folder, "state")
    state.write_text("small")
    reporter.save(state)
    state.write_bytes(bytes(1_000_000))
    try:
        reporter.save(state)
    except CheckpointError as error:
        nothing_left = len(list(Path(folder, "small").rglob("*.tar*"))) == 1
        return {"metric": x, "told": nothing_left and "No space left on device" in str(error)}
    return {"metric": x, "told": 0}


@pytest.mark.parametrize("mode", MODES)
def test_f35_a_full_disk_is_said_and_the_last_checkpoint_stays(tmp_path, mode, capfd):
    """F35: saving raises where the executor writes itself, and leaves nothing; what the driver cannot keep it says."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", small], check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        where = f"{URL}{small}" if mode == "url" else small
        (trial,) = run(fills_the_disk, tmp_path, mode, checkpoint_dir=where, quiet=False).trials
        assert (trial.status, trial.metrics["told"]) == ("completed", mode != "relay")
        assert tars(small) == ["1/1-1.tar"]
        assert trial.checkpoint == "1/1-1.tar"
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)
    assert ("cannot be kept, so earlier ones have to do" in capfd.readouterr().err) == (mode == "relay")


# -- a sign of life ---------------------------------------------------------------------------------------------------


def only_prints(x, folder):
    for _ in range(30):
        print("still here", flush=True)
        time.sleep(0.15)
    return x


def test_f05_who_prints_is_alive(tmp_path):
    """F5: an executor that sends nothing but what its trial prints is not taken for dead."""
    (trial,) = run(only_prints, tmp_path, lease=2.0).trials
    assert (trial.status, trial.attempt) == ("completed", 1)
    assert not any(isinstance(event, Lost) for event in log_of(tmp_path))
    assert any(isinstance(event, Ended) for event in log_of(tmp_path))
