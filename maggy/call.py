"""One call of `lagom`: what can be checked is checked, the study is opened or taken up, and run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from maggy import configuration, trainfn
from maggy.command import Command
from maggy.configuration import StudyConfig
from maggy.driver.leases import Lease
from maggy.errors import ConfigError, StudyFailed, amount
from maggy.opening import Given, Opened, begin, check_folder, check_place, go_on, nothing_left, take_up
from maggy.optimizers import Halving, Optimizer
from maggy.optimizers.model import Model
from maggy.places import is_url, root_of
from maggy.result import Result
from maggy.store import MemoryStore, Owner, Store, open_store
from maggy.study import Study
from maggy.trainfn import TrainFn
from maggy.version import VERSION

Launcher = Literal["spark", "local"]
FEW_ROUNDS = 5  # trials of each executor, with which a model comes too late


@dataclass(frozen=True)
class How:
    """How a study is run this time; nothing of it is remembered."""

    launcher: str
    num_executors: int | None
    log_dir: str | Path | None
    train_args: Mapping[str, Any]
    checkpoint_dir: str | Path | None
    gpus: configuration.Gpus
    profile: Any
    inline: bool
    tls: bool | None
    verbose: bool
    quiet: bool
    again: Mapping[str, Any]  # what a resume would have to be given
    shares: tuple[str, ...] = ()  # of this machine's GPUs, one for each executor
    mlflow: str | bool = False
    lease: Lease | None = None  # of slots, where studies share them

    def __post_init__(self) -> None:
        if self.launcher not in get_args(Launcher):
            raise ConfigError(f"launcher={self.launcher!r}; it must be 'spark' or 'local'")
        configuration.count_or_none("num_executors", self.num_executors)
        if not isinstance(self.mlflow, bool | str) or self.mlflow == "":
            raise ConfigError(f"mlflow={self.mlflow!r}; it must be the URI of a tracking server, or True")
        if self.mlflow and importlib.util.find_spec("mlflow") is None:
            raise ConfigError(f"mlflow={self.mlflow!r} needs MLflow, which is missing: pip install 'maggy[mlflow]'")
        if self.launcher == "local" and self.profile is not None:
            raise ConfigError("resource_profile is for Spark; with launcher='local' pass gpus_per_trial instead")
        if self.inline and self.launcher != "local":
            raise ConfigError("isolation='inline' runs train_fn in this process: pass launcher='local' as well")
        if self.inline and self.gpus:
            raise ConfigError(f"{self.gpus}, but with isolation='inline' trials see the GPUs that this process sees")

    @property
    def place(self) -> str | None:
        """Where checkpoints are to be."""
        return None if self.checkpoint_dir is None else str(self.checkpoint_dir)

    @property
    def folder(self) -> Path | None:
        """Where logs and views are to be. Raises `ConfigError` for what is no path."""
        if self.log_dir is None:
            return None
        root = root_of(self.log_dir, "log_dir")
        if is_url(root):
            raise ConfigError(f"log_dir={root!r} is a URL; logs need a path, and checkpoint_dir= may be a URL")
        return Path(root).absolute()


def carry_out(
    train_fn: TrainFn | Command,
    base: str,
    config: StudyConfig,
    given: Given,
    store: str | Path | Store | None,
    how: How,
    *,
    resume: bool,
) -> Result:
    """Check what can be checked before there is a store, then run the study there."""
    from maggy.driver import gpus
    from maggy.driver.pickling import pickled

    if isinstance(train_fn, Command):
        if how.train_args:
            raise ConfigError("train_args are a function's; what a command needs stands in it, or in its env=")
        config, train_fn = replace(config, command=train_fn), shipped(train_fn)
    if given.searchspace or not resume:
        _check(train_fn, config, how.train_args)
    function = (train_fn, dict(how.train_args)) if how.inline else pickled(train_fn, how.train_args)
    if how.launcher == "local":
        how = replace(how, shares=gpus.shares(how.gpus, how.num_executors))
    with opened_store(store) as where:
        if resume and isinstance(where, MemoryStore) and where is not store:
            raise ConfigError("store='memory:' keeps nothing to resume; name a file, such as store='maggy.db'")
        how = replace(how, checkpoint_dir=check_place(how.checkpoint_dir))
        owner = Owner.current()
        try:
            return _run_in(where, owner, train_fn, function, base, config, given, how, resume=resume)
        finally:
            owner.retire()  # wherever an interrupt may have struck, this process holds the study no longer


def _run_in(
    where: Store,
    owner: Owner,
    train_fn: TrainFn,
    function: Any,
    base: str,
    config: StudyConfig,
    given: Given,
    how: How,
    *,
    resume: bool,
) -> Result:
    """Open the study, run it, and return its result: shells come up only when all that can be checked is checked."""
    from maggy.platforms import inline_platform, local_platform, spark_platform
    from maggy.run import Run
    from maggy.views import notebook

    console = notebook.console(quiet=how.quiet, live=not how.inline)  # a debugger's prompt needs its line
    found = where.latest(base) if resume else None
    opened = None
    try:
        if found:
            opened, config = take_up(where, found, config, given, how.folder, console.say, owner, how.place)
            _check(train_fn, config, how.train_args)
            if nothing_left(opened, config):
                console.say(f"Study {found!r} is done; a larger num_trials would go on with it.")
                opened.release()
                return _result(opened, opened.study)
        else:
            check_folder(how.folder)
            if resume:
                _check(train_fn, config, how.train_args)
                console.say(f"There is no study {base!r} to go on with, so this starts one.")
        console.begin("starting Spark" if how.launcher == "spark" else "")
        if how.inline:
            platform = inline_platform(how.num_executors, config.num_trials)
        elif how.launcher == "local":
            platform = local_platform(how.num_executors, config.num_trials, how.shares, how.lease)
        else:
            platform = spark_platform(how.num_executors, config.num_trials, how.gpus, how.profile, how.lease)
        if how.tls is not None:
            platform = replace(platform, tls=how.tls)
        if warning := pointless(config, platform.count):
            console.say(warning)
        if opened:
            go_on(opened, config)
            console.say(f"Going on with study {opened.name!r}.")
        else:
            opened = begin(where, base, config, how.folder, owner, how.place, console.say)
            if opened.name != base and not resume:
                console.say(f"A study {base!r} exists; this one is called {opened.name!r}.")
        run = Run(opened, config, platform, console, verbose=how.verbose, again=how.again, mlflow=how.mlflow)
    except BaseException:
        console.close()
        if opened:
            opened.release()
        raise
    problem = run.go(function, VERSION)
    result = _result(opened, run.study)
    if problem is not None:
        raise problem
    if run.failure:
        raise StudyFailed(f"study {opened.name!r} was given up: {run.failure}", result)
    return result


def pointless(config: StudyConfig, executors: int) -> str | None:
    """Say so where so many trials run at once that a model could learn hardly anything before all have begun."""
    trials = config.num_trials
    if not isinstance(config.optimizer, Model) or trials is None or executors < trials / FEW_ROUNDS:
        return None
    return (
        f"{amount(executors, 'executor')} for {amount(trials, 'trial')}: most begin before a model has learned "
        "anything; with fewer executors, or more trials, it would find better configurations."
    )


@contextmanager
def opened_store(store: str | Path | Store | None, *, existing: bool = False) -> Iterator[Store]:
    """Open a store, and close it afterwards unless it was open."""
    where = open_store(store, existing=existing)
    try:
        yield where
    finally:
        if where is not store:
            where.close()


def _check(train_fn: TrainFn, config: StudyConfig, train_args: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where the function cannot be called, or cannot do what is asked of it."""
    space = config.searchspace
    if config.command is not None:
        config.command.check(dict(space.items()), budgets=_budgets(config.optimizer))
    if config.command is not None or config.guide is not None:
        return
    names = [name for name in space.keys() if not space.open or trainfn.names_any(train_fn, (name, "hparams"))]  # noqa: SIM118
    trainfn.check(train_fn, names, train_args, {name: each.when for name, each in space.items() if each.when})
    optimizer = config.optimizer
    if not isinstance(optimizer, Halving):
        return
    name = trainfn.label(train_fn)
    if optimizer.stops and not trainfn.names_any(train_fn, ("reporter",)):
        raise ConfigError(
            f"asha-stopping judges trials by what they report, but {name} has no parameter `reporter`; "
            "add it and call reporter.broadcast(value, step=…)"
        )
    if not trainfn.names_any(train_fn, ("reporter", "budget")):
        raise ConfigError(
            f"{optimizer.title} gives each trial a budget, but {name} names neither `budget` nor `reporter` "
            "(reporter.budget); add one and train for so many units"
        )


def _budgets(optimizer: Optimizer) -> bool | None:
    """Whether an optimizer gives its trials budgets; None where only it knows."""
    return isinstance(optimizer, Halving) or (None if getattr(optimizer, "continues", True) else False)


def shipped(command: Command) -> TrainFn:
    """Return the command as a function for the trial's process, with its files as they are now.

    Raises `ConfigError` for what cannot be read.
    """
    from maggy.executor.program import ProgramTrial
    from maggy.executor.steps import Shipped, read

    files: dict[str, Shipped] = {}
    for given in command.files:
        try:
            found = read(given)
        except OSError as error:
            why = "it is a directory; name the files in it" if Path(given).is_dir() else error.strerror
            raise ConfigError(f"the command's file {given!r} cannot be read: {why}") from None
        files[found.name] = found
    return ProgramTrial(command, tuple(files.values()))


def _result(opened: Opened, study: Study) -> Result:
    return Result(opened.name, study, store=str(opened.store), log_dir=str(opened.files) if opened.files else None)
