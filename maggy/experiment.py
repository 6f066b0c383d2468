"""Run studies: `lagom` starts one or goes on with it, `resume` goes on with it by name, `load` reads one.

result = experiment.lagom(train_fn, searchspace, optimizer="asha", direction="max", num_trials=100)
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from maggy import compat, configuration
from maggy.ablation import AblationStudy
from maggy.ablation.trials import Ablated
from maggy.call import How, Launcher, carry_out, opened_store
from maggy.command import Command
from maggy.compat.calls import as_before
from maggy.earlystop import StopRule
from maggy.errors import ConfigError, nearest
from maggy.migrate.styles import adopted
from maggy.opening import Given, folded
from maggy.optimizers import Optimizer
from maggy.result import Result
from maggy.searchspace import Searchspace
from maggy.store import Store, check_name
from maggy.trainfn import TrainFn

Isolation = Literal["executor", "trial", "inline"]
DEFAULT = "default"
LOG_DIR = "maggy_logs"


@as_before
def lagom(
    train_fn: TrainFn | Command,
    searchspace: Searchspace | Mapping[str, Any] | AblationStudy | None = None,
    optimizer: str | Optimizer | None = DEFAULT,
    direction: str | None = None,
    num_trials: int | None = None,
    name: str | None = None,
    *,
    metric: str | None = None,
    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    evaluated_rewards: Sequence[float | None] | None = None,
    timeout: float | None = None,
    earlystop: str | StopRule | Sequence[StopRule] | None = DEFAULT,
    max_failures: int | None = None,
    max_lost: int | None = None,
    trial_timeout: float | None = None,
    report_timeout: float | None = None,
    memory_limit: int | str | None = None,
    isolation: Isolation = "executor",
    seed: int | None = None,
    resume: bool = False,
    store: str | Path | Store | None = None,
    log_dir: str | Path | None = LOG_DIR,
    checkpoint_dir: str | Path | None = None,
    keep_checkpoints: int | None = None,
    launcher: Launcher = "spark",
    num_executors: int | None = None,
    gpus_per_trial: int | None = None,
    trials_per_gpu: int | None = None,
    resource_profile: Any = None,
    tls: bool | None = None,
    train_args: Mapping[str, Any] | None = None,
    mlflow: str | bool = False,
    verbose: bool = False,
    quiet: bool = False,
    mode: str | None = None,
    optimization_key: str | None = None,
    experiment_type: str | None = None,
    ablation_study: AblationStudy | None = None,
    ablator: str | Optimizer | None = DEFAULT,
    es_policy: str | StopRule | None = DEFAULT,
    es_min: int | None = None,
    es_interval: int | None = None,
    hb_interval: float | None = None,
    lease: float | None = None,
) -> Result:
    """Find good hyperparameters for `train_fn`, on Spark, and return what was found.

    Calls as Maggy 0.2, 0.5 and 1.x took them do the same: `docs/from-maggy.md`.

    Arguments:
        train_fn: the function to optimize. It is given, as far as it names them: each hyperparameter, or all in the
            dict `hparams`; `reporter`, `budget`, `trial`; and `train_args`. It returns the metric as a number, a dict
            of metrics, or None (then the last report counts). Or a program in any language: a `Command`.
        searchspace: what may be tried: a `Searchspace` or a mapping that makes one. Or what may be left out: an
            `AblationStudy`; `ablation_study` is another name for it.
        optimizer: `"auto"`, `"bayes"`, `"gp"`, `"tpe"`, `"cqr"`, `"asha"`, `"asha-stopping"`, `"hyperband"`, `"bohb"`,
            `"mobster"`, `"randomsearch"`, `"sobol"`, `"gridsearch"`, `"de"`, `"optuna:TPESampler"`, …; `None` (run the
            function as it is); or an instance such as `Asha(resource_max=81)`. Random search where only a searchspace
            is given. For ablations, `"loco"` (their default: each part once), `"pairs"`, `"greedy"` and `"forward"`;
            `ablator` is another name for it.
        direction: `"max"` (the default) or `"min"`; `mode` is another name for it.
        num_trials: configurations to sample, in all, also after a resume. By default all for grid search and
            ablations, no bound where there is a `timeout`, else 100. Promotions of ASHA continue a configuration and do
            not count.
        name: the study's name; the function's by default.
        metric: which entry of a dict or report is optimized; `optimization_key` is another name for it.
        points_to_evaluate: configurations to try first, such as the one in use today; what one leaves out the optimizer
            fills in. They count as configurations sampled.
        evaluated_rewards: what they are worth, one value for each, None for those to be tried. Configurations whose
            values are known are not run and do not count; they stand in the study as completed, to be learned from.
        timeout: seconds after which this call stops what runs and returns.
        earlystop: `"median"`, `"curve"`, `"noprogress"`, `"nan"`, an instance, several, or None. By default the median
            rule for optimizers without rungs. `es_policy` is another name for it; `es_min` (finished trials before the
            median rule acts, 10) and `es_interval` (steps between two of its looks, 1) belong to it.
        max_failures: failed trials at which the study is given up; None for no bound. If the first ten all fail for the
            same reason it is given up anyhow.
        max_lost: executors that a trial may cost before it is taken for the cause and failed, 3 by default.
        trial_timeout: seconds that a trial may run; one that runs longer is ended by force, and has failed.
        report_timeout: seconds that a trial may run without a report; otherwise the same.
        memory_limit: bytes, or a text such as `"2GB"`, that a trial's process and all that it has started may hold in
            memory together; otherwise the same.
        isolation: `"executor"`: one process runs an executor's trials, one after another. `"trial"`: each gets a fresh
            one, for functions that leak memory or leave things changed; it costs the start of a process. `"inline"`,
            with `launcher="local"`: none at all, for debugging. The function runs in a thread of this very process, so
            it stops at breakpoints, prints where you are (its output.log stays empty), shares what is loaded here and
            need not be picklable; executors are threads, one by default. There is no force against such a trial: no
            limits, one that ignores its stop is stopped but keeps running, and one that crashes takes you along.
        seed: makes what the optimizer draws repeatable; drawn and recorded where not given.
        resume: False: a name that exists is numbered (`digits-2`). True: go on with the latest study of that name.
        store: where the study is kept: a path, a URL, `"memory:"` or a Store; `maggy.db` in the working directory by
            default.
        log_dir: where logs, TensorBoard files and checkpoints go; None for nowhere.
        checkpoint_dir: where checkpoints go instead: a path, or a URL of a file system that fsspec knows, such as
            `"s3://bucket/checkpoints"`; then fsspec and that file system's package have to be installed here and on the
            executors. Executors that do not see the path send checkpoints of up to 100 MB through the driver.
        keep_checkpoints: how many of the best completed trials keep their checkpoint when the study is done; by default
            each trial keeps its last one.
        launcher: `"spark"`: tasks of the active Spark session, or of a local one that is started. `"local"`: processes
            of this machine, no Java needed.
        num_executors: executors to start; as many as there is room for by default.
        gpus_per_trial: GPUs for each trial: `CUDA_VISIBLE_DEVICES` names them before anything is imported. On this
            machine (`launcher="local"`, `local[N]`) maggy shares out those that `CUDA_VISIBLE_DEVICES` or nvidia-smi
            names, for each study anew. On a cluster Spark does so, as `spark.task.resource.gpu.amount` or the
            `resource_profile` says, and trials see what their task was given, also without this option.
        trials_per_gpu: trials that share one GPU; on a cluster the amount for a task is then one in so many.
        resource_profile: a `pyspark.resource.ResourceProfile`, on a cluster: what each executor needs (cores, GPUs).
        tls: whether what driver and executors say is encrypted (TLS 1.3, with a certificate made for this study); by
            default where it leaves the machine.
        train_args: further arguments of `train_fn`, the same for all trials, sent to each executor once.
        mlflow: log each trial as a run of MLflow, from the driver: the URI of a tracking server or store, or True for
            the one that MLflow's environment names. A server that is not there costs no trial.
        verbose: show what trials print as they print it.
        quiet: show nothing at all.
        hb_interval: seconds between an executor's signs of life, 1 by default.
        lease: seconds of silence after which an executor is taken for dead and its trial given to another, 10 by
            default; raise it where the network fails for longer.

    Raises:
        ConfigError: for a call that cannot work, before anything is started.
        LauncherError: when there is no Java, or no executor can be started.
        StoreError: when the store cannot be read or written.
        StudyFailed: when too many trials failed; its `result` has what there is.

    """
    call, usual = dict(locals()), signature(lagom).parameters
    again = {option: call[option] for option in configuration.PER_CALL if call[option] != usual[option].default}
    direction = configuration.one_of("direction", direction, None, "mode", mode)
    wanted: Any = searchspace
    if ablation_study is None:
        train_fn, wanted, direction = adopted(train_fn, wanted, direction, train_args or (), resume=resume)
    study = _ablation(wanted, experiment_type, ablation_study)
    optimizer = configuration.one_of("optimizer", optimizer, DEFAULT, "ablator", ablator, unset=DEFAULT)
    asked = optimizer != DEFAULT
    space = None if isinstance(wanted, AblationStudy) else wanted
    if study is not None:
        if isinstance(train_fn, Command):
            raise ConfigError(
                "an ablation study leaves out parts of what a function uses; for a command write a searchspace of "
                "switches, such as Searchspace(dropout=['on', 'off']), and optimizer='loco'"
            )
        study.check(train_fn, train_args or {})
        train_fn, space, again = Ablated(train_fn, study), study.searchspace(), again | {"ablation_study": study}
        optimizer = optimizer if asked else "loco"
    metric = configuration.one_of("metric", metric, None, "optimization_key", optimization_key)
    stops = configuration.one_of("earlystop", earlystop, DEFAULT, "es_policy", es_policy, unset=DEFAULT)
    config = configuration.configure(
        space,
        optimizer=optimizer,
        direction="max" if direction is None else direction,
        metric=metric,
        num_trials=num_trials,
        timeout=timeout,
        earlystop=stops,
        es_min=es_min,
        es_interval=es_interval,
        hb_interval=hb_interval,
        max_failures=max_failures,
        max_lost=max_lost,
        lease=lease,
        trial_timeout=trial_timeout,
        report_timeout=report_timeout,
        memory_limit=memory_limit,
        isolation=isolation,
        keep_checkpoints=keep_checkpoints,
        points_to_evaluate=points_to_evaluate,
        evaluated_rewards=evaluated_rewards,
        seed=secrets.randbits(32) if seed is None else seed,
    )
    given = Given(
        searchspace=space is not None,
        metric=metric is not None,
        direction=direction is not None,
        optimizer=asked,
        rules=stops != DEFAULT or es_min is not None or es_interval is not None,
        num_trials=num_trials is not None,
        seed=seed is not None,
        points=points_to_evaluate is not None,
        log_dir=log_dir != LOG_DIR,
    )
    base = check_name(_default_name(train_fn) if name is None else name)
    gpus = configuration.Gpus(gpus_per_trial, trials_per_gpu)
    how = How(
        launcher,
        num_executors,
        log_dir,
        train_args or {},
        checkpoint_dir=checkpoint_dir,
        gpus=gpus,
        profile=resource_profile,
        inline=config.isolation == "inline",
        tls=tls,
        mlflow=mlflow,
        verbose=verbose,
        quiet=quiet,
        again=again,
    )
    return carry_out(train_fn, base, config, given, store, how, resume=resume)


def resume(name: str, train_fn: TrainFn | Command | None = None, **options: Any) -> Result:
    """Go on with the latest study of this name, as its log says; `options` are those of `lagom`.

    The searchspace, a command and maggy's own optimizers and rules come from the log; functions, and others' optimizers
    and rules, are passed again.

    Raises:
        ConfigError: there is no such study, or an option contradicts its log. Otherwise as `lagom`.

    """
    with opened_store(options.pop("store", None), existing=True) as where:
        if (found := where.latest(check_name(name))) is None:
            known = [entry.name for entry in where.studies()]
            raise ConfigError(f"there is no study {name!r} to resume{nearest(name, known)}")
        if train_fn is None:
            described = folded(where, found).settings.get("command")
            if described is None:
                raise ConfigError(f"the trials of study {name!r} run a function, which no log can hold: pass it again")
            train_fn = Command.from_json(described)
        return lagom(train_fn, name=name, resume=True, store=where, **options)


def load(name: str, store: str | Path | Store | None = None) -> Result:
    """Return the result, so far, of the study of exactly this name, without running anything.

    Raises `ConfigError` where there is no such study, `StoreError` where there is no store.
    """
    with opened_store(store, existing=True) as where:
        known = [entry.name for entry in where.studies()]
        if name not in known:
            raise ConfigError(f"there is no study {name!r}{nearest(name, known)}")
        study = folded(where, name)
        return Result(name, study, store=str(where), log_dir=study.settings.get("files"), loaded=True)


def _ablation(searchspace: Any, experiment_type: str | None, named: AblationStudy | None) -> AblationStudy | None:
    """Return the ablation study that a call asks for, if it does, whichever way it is written."""
    kinds = ("optimization", "ablation")
    if experiment_type is not None and experiment_type not in kinds:
        raise ConfigError(f"experiment_type={experiment_type!r}; it must be 'optimization' or 'ablation', or left out")
    given = searchspace if isinstance(searchspace, AblationStudy) else None
    study = configuration.one_of("searchspace", given, None, "ablation_study", named)
    if study is not None and not isinstance(study, AblationStudy):
        raise ConfigError(f"ablation_study is of type {type(study).__name__}; it must be an AblationStudy")
    if named is not None and searchspace is not None and given is None:
        raise ConfigError("an ablation study and a searchspace were given: name the switches as its components")
    if experiment_type == "ablation" and study is None:
        raise ConfigError("experiment_type='ablation' needs what may be left out: ablation_study=AblationStudy(…)")
    if experiment_type == "optimization" and study is not None:
        raise ConfigError("experiment_type='optimization', but an ablation study was given: leave one of them out")
    return study


def _default_name(train_fn: TrainFn | Command) -> str:
    name = re.sub(r"\W+", "-", getattr(train_fn, "__name__", ""), flags=re.ASCII).strip("-")[:100]
    return name if name and name != "lambda" else "study"


def __getattr__(name: str) -> object:
    """Be what Maggy 1.x's pages imported from here: `from maggy.experiment import experiment`."""
    if name != "experiment":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    compat.tell("maggy.experiment.experiment")
    return sys.modules[__name__]
