"""Run the studies of a file: in rounds or streaming, several at a time, and go on where an earlier run has ended."""

from __future__ import annotations

import math
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maggy.call import How, carry_out
from maggy.configuration import Gpus, configure
from maggy.driver.asking import UNANSWERED
from maggy.driver.leases import Lease, Pool
from maggy.driver.local import cores
from maggy.errors import ConfigError, MaggyError, last_line, nearest
from maggy.executor.program import ProgramTrial
from maggy.executor.steps import read
from maggy.jsonvalue import dumps
from maggy.opening import Given, folded
from maggy.optimizers import GridSearch
from maggy.store import open_store
from maggy.study import Study
from maggy.studyfile.acquired import AcquiredTrial, reason_last
from maggy.studyfile.definition import Definition, RunConfig, System
from maggy.studyfile.file import StudyFile
from maggy.studyfile.guide import Guided
from maggy.trainfn import TrainFn
from maggy.trial import ENDLESS, Status, Trial

PREAMBLE = "set -ex; "
LOOK = 0.2  # seconds
TWICE = 1.0  # seconds within which a second interrupt means it
RUN = re.compile(r"(.+):([1-9][0-9]{0,17})")
LARGEST = 100_000  # characters of what a trial runs, as JSON: it has to fit a message

Say = Callable[[str], None]
Beside = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Wish:
    """How much is to be run: `rounds` of `trials` at once, or a stream of so many; or some trials again."""

    trials: int = 1
    rounds: int = 1
    stream: bool = False
    replicates: int | None = None
    again: Mapping[str, Sequence[int]] = field(default_factory=dict)  # by study

    def __post_init__(self) -> None:
        for name in ("trials", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"-{name} {getattr(self, name)}: it must be at least 1")
        if self.replicates is not None and not 0 <= self.replicates <= 64:  # noqa: PLR2004 - as in the file
            raise ConfigError(f"-replicate {self.replicates}: it must be from 0 to 64")
        if self.stream and self.rounds > 1:
            raise ConfigError("-rounds and -stream exclude each other: a stream has no rounds")


class Runner:
    """Runs studies of one file, each on a thread of its own."""

    def __init__(self, file: StudyFile, wish: Wish, *, store: str | Path | None, log_dir: str | Path, say: Say) -> None:
        self._file = file
        self._wish = wish
        self._store = store
        self._log_dir = log_dir
        self._say = say
        self._stopping = threading.Event()
        self._started = time.time()
        self._marks = str(Path(log_dir).absolute() / ".datasets" / f"{self._started:.6f}")  # that executors share
        self.failures: dict[str, str] = {}  # by study
        self._failed = 0  # runs

    def run(self, studies: Sequence[Definition], beside: Beside = nullcontext) -> bool:
        """Run studies to their end; return whether none has failed, nor any run. An interrupt lets what runs end.

        `beside()` is entered meanwhile, once it is clear that they can be run.
        """
        plans = [self._plan(each) for each in studies]
        with closing(open_store(self._store)):  # one that cannot be used is no trouble of a single study
            pass
        with beside():
            self._say(f"performing trials for studies: {', '.join(each.name for each in studies)}")
            pools = {plan.system.name: Pool(plan.parallelism) for plan in plans}
            ended = []  # events: a thread whose join is interrupted is taken for dead by Python 3.11
            for plan in plans:
                ended.append(threading.Event())
                arguments = (plan, pools[plan.system.name], ended[-1])
                name = f"maggy-study-{plan.study.name}"
                threading.Thread(target=self._guarded, args=arguments, name=name, daemon=True).start()
            self._wait(studies, ended)
        shutil.rmtree(self._marks, ignore_errors=True)
        return not self.failures and not self._failed

    def _wait(self, studies: Sequence[Definition], ended: Sequence[threading.Event]) -> None:
        """Wait until all have ended, and take in interrupts, which may come at any moment."""
        interrupted, at_once, told = -math.inf, False, True
        while not all(each.is_set() for each in ended):
            try:
                if not told:
                    self._say("stopping at once" if at_once else f"no new trials; {self._waits(studies)}")
                    told = True
                if self._stopping.is_set():
                    self._wind_down(studies, now=at_once)
                for each in ended:
                    each.wait(LOOK)
            except KeyboardInterrupt:
                at_once, told = at_once or time.monotonic() - interrupted < TWICE, False
                interrupted = time.monotonic()
                self._stopping.set()

    # -- one study ---------------------------------------------------------------------------------------------------

    def _guarded(self, plan: _Plan, pool: Pool, ended: threading.Event) -> None:
        try:
            with pool.play() as lease:
                self._perform(plan, lease)
            if plan.troubles:
                self._fail(plan, plan.troubles[0])
        except MaggyError as error:
            self._fail(plan, str(error))
        except Exception as error:  # noqa: BLE001 - one study's end, whatever its reason, is not another's
            self._fail(plan, repr(error))
        finally:
            ended.set()

    def _fail(self, plan: _Plan, why: str) -> None:
        self.failures[plan.study.name] = why
        self._say(f"{plan.study.name}: {why}")

    def _perform(self, plan: _Plan, lease: Lease) -> None:
        study, wish = plan.study, self._wish
        rounds = 1 if wish.stream or plan.again else wish.rounds
        for number in range(1, rounds + 1):
            if self._stopping.is_set():
                return
            before = self._before(study.name)
            several = max(1, plan.replicates)
            most = study.num_trials * several if study.num_trials is not None and _finite(study) else ENDLESS
            step = ENDLESS if wish.stream else wish.trials * several
            repeated = sum((trial.why or "").startswith("again") for trial in before.trials.values())
            total = min(most + repeated, before.sampled + step)
            if plan.again:
                total = before.sampled + len(plan.again)
            waiting = len(before.queued) + len(before.running) + before.counts[Status.FAILED] * (not plan.again)
            if total <= before.sampled and not waiting:
                self._say(f"{study.name}: study complete after {number - 1} rounds")
                return
            if plan.again:
                self._say(f"repeating run {', '.join(f'{study.name}:{trial}' for trial in plan.again)}")
            elif wish.stream:
                self._say(f"{study.name}: streaming {wish.trials} trials at a time")
            else:
                new = math.ceil((total - before.sampled) / several)
                self._say(f"{study.name}: starting {new} trials in round {number}/{rounds}")
            at_once = len(plan.again) or wish.trials * (1 if wish.stream else several)
            self._one_call(plan, total, min(plan.parallelism, at_once), lease)

    def _one_call(self, plan: _Plan, total: int, executors: int, lease: Lease) -> None:
        study = plan.study
        config = configure(
            study.searchspace,
            optimizer=study.optimizer,
            direction=study.direction,
            metric=study.metric,
            num_trials=max(1, total),
            timeout=None,
            earlystop=None,
            es_min=None,
            es_interval=None,
            hb_interval=None,
            max_failures=None,
            seed=study.seed or 0,
        )
        remembered = {
            "studyfile": self._file.path,
            "replicates": plan.replicates,
            "description": study.description,
        }
        config = replace(
            config,
            guide=lambda optimizer: Guided(
                optimizer, plan.work, replicates=plan.replicates, again=plan.again, held=self._stopping.is_set
            ),
            retry=not plan.again,
            remembered=remembered,
        )
        given = Given(searchspace=True, metric=True, direction=True, optimizer=True, num_trials=True, log_dir=True)
        result = carry_out(
            plan.function, study.name, config, given, self._store, self._how(plan, executors, lease), resume=True
        )
        if (why := self._before(study.name).closed or "").startswith(UNANSWERED):
            raise MaggyError(why)
        for trial in result.trials:
            if trial.status is Status.FAILED and (trial.ended or 0) >= self._started:
                self._failed += 1
                self._say(f"run {study.name}:{trial.id} failed: {last_line(trial.error)}")

    def _how(self, plan: _Plan, executors: int, lease: Lease) -> How:
        return How(
            "spark" if plan.system.kind == "sparksystem" else "local",
            executors,
            self._log_dir,
            {},
            checkpoint_dir=None,
            gpus=Gpus(),
            profile=None,
            inline=False,
            tls=None,
            verbose=False,
            quiet=True,
            again={},
            lease=lease,
        )

    def _before(self, name: str) -> Study:
        """Return the study so far."""
        with closing(open_store(self._store)) as store:
            found = store.latest(name)
            return Study() if found is None else folded(store, found)

    def _waits(self, studies: Sequence[Definition]) -> str:
        runs = any(self._before(study.name).running for study in studies)
        return "waiting for those that run" if runs else "none runs, so this ends"

    def _wind_down(self, studies: Sequence[Definition], *, now: bool) -> None:
        """Let the studies' drivers know: nothing new, and stop where nothing runs any more."""
        with closing(open_store(self._store)) as store:
            for study in studies:
                if (found := store.latest(study.name)) is None:
                    continue
                idle = not folded(store, found).running
                store.request(found, "stop" if now or idle else "pause")

    # -- what a study needs ------------------------------------------------------------------------------------------

    def _plan(self, study: Definition) -> _Plan:
        """Find out where a study runs, from one of its configurations. Raises `ConfigError` where that is nowhere."""
        replicates = study.replicates if self._wish.replicates is None else self._wish.replicates
        if study.acquires:
            here = System("localsystem", f"study {study.name}")
            return self._planned(study, here, replicates, AcquiredTrial(self._file.path, study.index))
        values = (
            study.searchspace.nth(0)
            if study.searchspace.size
            else study.searchspace.from_unit([0.5] * len(study.searchspace))
        )
        config = self._file.run_config(study, values, f"{study.name}:1", 0)
        system = available(study.name, config.systems)
        paths = dict.fromkeys([*config.files, *(path for each in config.datasets for path in each.files)])
        try:
            files = tuple(read(path) for path in paths)
        except OSError as error:
            raise ConfigError(f"study {study.name!r}: {error.filename!r} cannot be read: {error.strerror}") from None
        return self._planned(study, system, replicates, ProgramTrial(None, files))

    def _planned(self, study: Definition, system: System, replicates: int, function: TrainFn) -> _Plan:
        again = tuple(self._wish.again.get(study.name, ()))
        known: Mapping[int, Trial] = {}
        if again:
            with closing(open_store(self._store, existing=True)):  # where there is none, none is made
                known = self._before(study.name).trials
        for number in again:
            if number not in known:
                raise ConfigError(f"there is no run '{study.name}:{number}' to repeat")
        parallelism = system.parallelism or cores()
        return _Plan(self._file, study, system, parallelism, replicates, function, self._marks, again)


@dataclass(frozen=True)
class _Plan:
    """One study, and all that is known of how it runs."""

    file: StudyFile
    study: Definition
    system: System
    parallelism: int
    replicates: int
    function: TrainFn
    marks: str
    again: tuple[int, ...]
    troubles: list[str] = field(default_factory=list)  # of the file, with single trials

    def work(self, values: Mapping[str, Any], run: str, replicate: int) -> dict[str, Any]:
        """Return what a trial runs, as JSON; where the file fails, that it fails and why."""
        if self.study.acquires:
            known = {"id": run, "replicate": replicate}
            return {name: known[name] for name in self.study.takes}
        try:
            return self._work(self.file.run_config(self.study, values, run, replicate), run)
        except ConfigError as error:
            self.troubles.append(str(error))
            return {"error": reason_last(error)}

    def _work(self, config: RunConfig, run: str) -> dict[str, Any]:
        work = {
            "script": config.script,
            "preamble": PREAMBLE + _with_end(available(self.study.name, config.systems).preamble),
            "files": list(config.files),
            "steps": [
                {
                    "name": each.name,
                    "script": each.script,
                    "preamble": PREAMBLE + _with_end(available(each.name, each.systems).preamble),
                    "if_not_exist": each.if_not_exist,
                    "files": list(each.files),
                    "marks": self.marks,
                }
                for each in config.datasets
            ],
        }
        if (size := len(dumps(work))) > LARGEST:
            raise ConfigError(f"the scripts of {run} have {size:,} characters as JSON; {LARGEST:,} are allowed")
        return work


def available(who: str, systems: Sequence[System]) -> System:
    """Return the first of some systems that there is. Raises `ConfigError` where there is none."""
    for system in systems:
        if system.kind != "ec2system":
            return system
    raise ConfigError(
        f"{who} runs on ec2system({systems[0].name!r}), which is not available: nothing here starts machines "
        "of Amazon's; name a localsystem or a sparksystem, also as a further one of a list"
    )


def chosen(file: StudyFile, arguments: Sequence[str]) -> tuple[list[Definition], dict[str, list[int]]]:
    """Return the studies that some arguments mean, and the trials that are to be repeated.

    Arguments are regular expressions for whole names of studies, or runs as `study:3`; none mean all studies. Raises
    `ConfigError`, also for a mixture of both.
    """
    studies = {each.name: each for each in file.definitions}
    runs = [RUN.fullmatch(argument) for argument in arguments]
    again: dict[str, list[int]] = {}
    if any(runs):
        for argument, run in zip(arguments, runs, strict=True):
            if run is None:
                raise ConfigError(f"{argument!r} is no run as the others are: name studies or runs, not both")
            if run[1] not in studies:
                raise ConfigError(f"there is no study {run[1]!r} in {file.path}{nearest(run[1], studies)}")
            again.setdefault(run[1], []).append(int(run[2]))
        return [studies[name] for name in again], again
    found: dict[str, Definition] = {}
    for argument in arguments or [".*"]:
        try:
            matching = {name: each for name, each in studies.items() if re.fullmatch(argument, name)}
        except re.error as error:
            raise ConfigError(f"{argument!r} is no regular expression: {error}") from None
        if not matching:
            there = f"{nearest(argument, studies)}; there are: {', '.join(studies)}"
            raise ConfigError(f"no study of {file.path} is called {argument!r}{there}")
        found |= matching
    return list(found.values()), again


def rendered(config: RunConfig) -> str:
    """Return a bash script with a function for each dataset, and one for the study."""
    parts = [f"function dataset{each.name} {{\n{each.script.strip(chr(10))}\n}}\n" for each in config.datasets]
    script = config.script.strip("\n")
    return "".join([*parts, f"function study {{\n{script}\n}}\n"])


def _with_end(preamble: str) -> str:
    return preamble if not preamble or preamble.rstrip().endswith((";", "\n")) else f"{preamble}\n"


def _finite(study: Definition) -> bool:
    return isinstance(study.optimizer, GridSearch)
