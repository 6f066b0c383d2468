"""What `kills.py` and `soak.py` share: a driver in a process of its own, its processes found, its study audited.

All that a driver starts, however deep, carries a mark in its environment, so that what is left of it can be found. Its
trials note when they begin and what they return. A result that was noted, and that the same process began another trial
after, is an *acknowledged* one: an executor is sent a trial only when the outcomes before it are durable, but for those
of the trials that it had been given ahead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from maggy import Float, Searchspace, experiment
from maggy.driver.asker import answer_to
from maggy.driver.crew import AHEAD_OF_A_LONG_ONE, MOST_AHEAD
from maggy.events import Ended, Event, Lost, Reported, StudyClosed, StudyOpened, Suggested
from maggy.opening import history
from maggy.optimizers import OPTIMIZERS, GridSearch, RandomSearch
from maggy.plugins import from_json
from maggy.store import open_store
from maggy.study import Study
from maggy.testing.logcheck import check_log
from maggy.trial import Suggestion

MARK = "MAGGY_NEMESIS"
STUDY = "study"
GRACE = 5.0  # seconds after a driver's death in which everything of it has to go
JVM_GRACE = 60.0  # for Spark's JVM, which looks for its parent's death only once it is up
GRID = {"x": [0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 0.7, 1.0], "y": list(range(12))}
SPACE = {"x": Float(0, 1), "y": Float(0, 1)}


def train_fn(x: float, y: float, reporter: Any, budget: float | None, trial: int, folder: str, pace: float) -> float:
    """Report for a while that depends on `x`, now and then start a process that stays; note the begin and the end."""
    import os
    import subprocess
    import time
    from pathlib import Path

    if "notes" not in globals():  # once for each process
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        globals()["notes"] = Path(folder, "notes", name).open("a", buffering=1, encoding="ascii")  # noqa: SIM115 - stays open
    notes = globals()["notes"]
    notes.write(f"begin {trial} {reporter.attempt}\n")
    if trial % 20 == 0:
        subprocess.Popen(["sleep", "600"], start_new_session=True)  # noqa: S607
    reports = 1 + int(budget or 6 * x)
    for step in range(reports):
        reporter.broadcast(x + y + step / 1000, step=step)
        time.sleep(pace * (0.001 if trial % 5 else 0.03 * x))
    notes.write(f"end {trial} {reporter.attempt} {x + y!r} {reports}\n")
    return x + y


def drive(options: dict[str, Any]) -> None:
    """Be a driver: run the study of that folder, or go on with it."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # executors on a cluster do not have this file
    grid = options["optimizer"] == "gridsearch"
    experiment.lagom(
        train_fn,
        Searchspace(**(GRID if grid else SPACE)),
        optimizer=options["optimizer"],
        num_trials=None if grid else options["num_trials"],
        name=STUDY,
        seed=options["seed"],
        earlystop=None,
        resume=True,
        store=options.get("store") or Path(options["folder"], "maggy.db"),
        log_dir=Path(options["folder"], "logs"),
        launcher=options["launcher"],
        num_executors=options.get("executors", 2),
        max_lost=options.get("max_lost"),
        lease=options.get("lease"),
        train_args={"folder": options["folder"], "pace": options.get("pace", 1.0)},
        quiet=True,
    )


def undisturbed(options: dict[str, Any]) -> list[Mapping[str, Any]]:
    """Return the configurations that the study tries when nobody disturbs it, where no result matters to them."""
    if options["optimizer"] == "asha":
        return []
    grid = options["optimizer"] == "gridsearch"
    space = Searchspace(**(GRID if grid else SPACE))
    total = space.size if grid else options["num_trials"]
    study = Study.of([StudyOpened(0.0, {"searchspace": space.to_dict(), "num_trials": total})])
    optimizer = GridSearch() if grid else RandomSearch()
    found: list[Mapping[str, Any]] = []
    while study.remaining:
        answer = answer_to(optimizer, study, options["seed"], study.next_id)
        if not isinstance(answer, Suggestion):
            break
        found.append(answer.params)
        study.apply(Suggested(0.0, study.next_id, answer.params, None, None, study.position))
    return found


# -- processes -----------------------------------------------------------------------------------------------------


def marked() -> Iterator[tuple[int, str]]:
    """Yield (pid, mark) of all living processes that carry one."""
    wanted = f"{MARK}=".encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                environment = Path(entry.path, "environ").read_bytes()
                if wanted in environment and alive(int(entry.name)):
                    yield int(entry.name), environment.partition(wanted)[2].partition(b"\0")[0].decode()
            except OSError:
                continue  # it has ended


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice its end does not."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def children(pid: int) -> list[int]:
    """Return the processes that `pid` has started, by any of its threads."""
    everybody = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [each for each in everybody if _stat(each)[1:2] == [str(pid)]]


def of_spark(pid: int) -> bool:
    """Whether a process is Spark's own: its JVM, what that has started, or what starts Python workers."""
    words = command(pid)
    return "org.apache.spark" in words + command(parent(pid)) or "pyspark.daemon" in words


def parent(pid: int) -> int:
    """Return a process's parent, 0 where it has ended."""
    return int((_stat(pid) or ["", "0"])[1])


def below(pid: int) -> list[int]:
    """Return all processes below `pid`."""
    return [each for child in children(pid) for each in (child, *below(child))]


def command(pid: int) -> str:
    """Return a process's command line, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether there was somebody to send it to."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


class Driver:
    """A driver in a process of its own, and the processes below it."""

    def __init__(self, options: dict[str, Any], mark: str, prefix: Sequence[str] = ()) -> None:
        self.mark = mark
        self.began = time.time()
        Path(options["folder"], "notes").mkdir(parents=True, exist_ok=True)
        self._errors = Path(options["folder"], f"errors-{mark}").open("wb")  # noqa: SIM115 - the process's
        environment = {**os.environ, MARK: mark, "MASTER": options.get("master", "local[2]")}
        boot = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import nemesis, json; "
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", boot + "nemesis.drive(json.loads(sys.argv[1]))", json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env=environment,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait(self, patience: float) -> int | None:
        """Wait for its end and return its exit code, None where it goes on."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """Return what it wrote to its standard error, and close that."""
        self._errors.close()
        return Path(self._errors.name).read_text(encoding="utf-8", errors="replace")

    def trials(self) -> list[int]:
        """Return the processes that run trials."""
        found = {pid for pid, mark in marked() if mark == self.mark and "maggy.executor.child" in command(pid)}
        return [pid for pid in found if parent(pid) in found]  # its guard

    def agents(self) -> list[int]:
        """Return the agents whose trial's process runs."""
        return sorted({parent(parent(pid)) for pid in self.trials()} - {0, 1, os.getpid()})

    def jvm(self) -> int | None:
        """Return the JVM of a driver on Spark."""
        return next((pid for pid in children(self.process.pid) if "java" in command(pid).partition(" ")[0]), None)

    def executor_jvms(self) -> list[int]:
        """Return the JVMs of Spark's executors, where those are not the driver's own."""
        wanted = "CoarseGrainedExecutorBackend"
        return [pid for pid, mark in marked() if mark == self.mark and wanted in command(pid)]


@dataclass
class Orphans:
    """Watches what is left of drivers that are gone, on a thread of its own."""

    gone: list[float] = field(default_factory=list)  # seconds from each death until nothing was left of it
    left: list[str] = field(default_factory=list)  # what was left after GRACE; it is killed
    _deaths: dict[str, float] = field(default_factory=dict)
    _below: dict[int, tuple[str, list[str], float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def died(self, mark: str) -> None:
        """Take in that the driver of that mark has been killed just now."""
        with self._lock:
            self._deaths[mark] = time.monotonic()

    def bereft(self, pids: Iterable[int]) -> None:
        """Take in that these have lost the agent that they belong to just now."""
        with self._lock:
            self._below.update({pid: (command(pid)[:200], _stat(pid)[18:21], time.monotonic()) for pid in pids})

    def _look_below(self, now: float) -> None:
        with self._lock:
            for pid, (what, identity, since) in list(self._below.items()):
                there = alive(pid) and _stat(pid)[18:21] == identity
                if not there or now > since + GRACE:
                    del self._below[pid]
                if there and now > since + GRACE:
                    self.left.append(f"below an agent: {pid} {what}")
                    send(pid, signal.SIGKILL)

    def look(self) -> None:
        """Look once."""
        now = time.monotonic()
        self._look_below(now)
        with self._lock:
            deaths = dict(self._deaths)
        living: dict[str, list[int]] = {}
        for pid, mark in marked():
            living.setdefault(mark, []).append(pid)
        for mark, since in deaths.items():
            pids = living.get(mark, [])
            late = [pid for pid in pids if now >= since + (JVM_GRACE if of_spark(pid) else GRACE) and command(pid)]
            for pid in late:
                self.left.append(f"{mark}: {pid} {command(pid)[:200]}")
                send(pid, signal.SIGKILL)
            if not pids or late:
                with self._lock:
                    del self._deaths[mark]
            if not pids:
                self.gone.append(time.monotonic() - since)

    def watch(self, over: threading.Event) -> None:
        """Look until it is over, and until the last is gone."""
        while not over.wait(0.2) or self._deaths or self._below:
            self.look()
            if over.is_set():
                time.sleep(0.2)


# -- what must have happened ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Noted:
    """What a trial has noted at its end."""

    trial: int
    attempt: int
    value: float
    reports: int


def acknowledged(folder: Path, optimizer: str) -> list[Noted]:
    """Return the results after which the process that had them began another trial that it was not given before."""
    ahead = 0 if optimizer == "asha" else MOST_AHEAD
    found = []
    for file in (folder / "notes").iterdir():
        open_: deque[Noted] = deque()
        for line in file.read_text(encoding="ascii").splitlines():
            match line.split():
                case ["begin", _, _]:
                    while len(open_) > ahead:
                        found.append(open_.popleft())
                case ["end", trial, attempt, value, reports]:
                    open_.append(Noted(int(trial), int(attempt), float(value), int(reports)))
    return found


def read_log(store: Path) -> list[Event]:
    """Read the log of a store that somebody may be writing to, or has died over: from a copy, which is thrown away."""
    while True:
        with tempfile.TemporaryDirectory() as name:
            if _copied(store, Path(name)):
                return _read(Path(name, store.name))


def _copied(store: Path, folder: Path) -> bool:
    """Copy a store with its journals; return whether none of them was removed meanwhile."""
    for file in store.parent.glob(f"{store.name}*"):
        if not file.name.endswith("-shm"):
            try:
                shutil.copy(file, folder)
            except FileNotFoundError:
                return False
    return True


def _read(store: Path) -> list[Event]:
    where = open_store(store)
    try:
        if where.latest(STUDY) is None:
            return []
        return [event for event in history(where, STUDY) if event is not None]
    finally:
        where.close()


def audit(log: list[Event], noted: Iterable[Noted], before: list[Event]) -> dict[str, list[str]]:
    """Return what is wrong with a log: acknowledged results that it lacks, what is in it twice, and the rest.

    An executor that is cut off goes through all that it was given, while what waits behind a slow trial, as far as the
    driver knows, is taken back: what it says of these later is not acknowledged, though it goes on to other trials.
    """
    wrong: dict[str, list[str]] = {"lost": [], "double": [], "broken": []}
    if log[: len(before)] != before:
        wrong["lost"].append("the log does not begin as it did before")
    try:
        check_log(log)
    except AssertionError as error:
        wrong["double" if "does not run" in str(error) else "broken"].append(str(error))
    own: dict[int, float] = {}
    ends: dict[int, list[Ended]] = {}
    steps: dict[tuple[int, int], list[int]] = {}
    for event in log:
        if isinstance(event, Suggested):
            own[event.trial] = event.params["x"] + event.params["y"]
        elif isinstance(event, Ended):
            ends.setdefault(event.trial, []).append(event)
            if event.status == "completed" and event.value != own[event.trial]:
                wrong["broken"].append(f"{event} has another trial's value: its own is {own[event.trial]}")
        elif isinstance(event, Reported):
            steps.setdefault((event.trial, event.attempt), []).append(event.step)
    wrong["double"] += [f"trial {trial} ended {len(of)} times" for trial, of in ends.items() if len(of) > 1]
    wrong["double"] += [f"{which}: steps {of}" for which, of in steps.items() if of != list(range(len(of)))]
    taken_back = {
        (event.trial, event.attempt) for event in log if isinstance(event, Lost) and event.cause == AHEAD_OF_A_LONG_ONE
    }
    for each in noted:
        if (each.trial, each.attempt) in taken_back:
            continue
        end = next(iter(ends.get(each.trial, [])), None)
        reports = len(steps.get((each.trial, each.attempt), []))
        known = end and Noted(end.trial, end.attempt, end.value or 0.0, reports)
        if end is None or known != each or end.status != "completed":
            wrong["lost"].append(f"{each} was acknowledged; the log has {end} and {reports} reports")
    return wrong


def audit_end(log: list[Event], reference: list[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with the log of a study that is done.

    `reference` are the configurations of an uninterrupted run, where they have to be the same. In every study each
    recorded suggestion is asked again, as the optimizer saw it.
    """
    study = Study.of(log)
    wrong = []
    if study.closed != "done" or not isinstance(log[-1], StudyClosed):
        wrong.append(f"the study is not done but {study.closed!r}")
    if study.running or study.queued:
        wrong.append(f"left running: {sorted(study.running)}, queued: {sorted(study.queued)}")
    suggested = [event for event in log if isinstance(event, Suggested)]
    params = [event.params for event in suggested]
    if reference and params != reference:
        wrong.append("other configurations than without an interruption")
    optimizer = from_json("optimizer", study.settings["optimizer"], OPTIMIZERS)
    at = 0
    then = Study()
    for event in suggested:
        while at < event.seen:
            then.apply(log[at])
            at += 1
        again = answer_to(optimizer, then, study.settings["seed"], event.trial)
        if (getattr(again, "params", None), getattr(again, "parent", None)) != (event.params, event.parent):
            wrong.append(f"asked again, the optimizer answers {again} instead of {event}")
    return wrong
