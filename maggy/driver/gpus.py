"""Which GPUs there are and which executor gets which: on this machine maggy assigns them, on a cluster Spark does.

On a cluster a task's share is a matter of Spark's settings, which are only checked here. A resource profile overrules
them for a stage, and is put into their words first.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from maggy.configuration import Gpus
from maggy.errors import ConfigError, amount, last_line

VISIBLE = "CUDA_VISIBLE_DEVICES"
PATIENCE = 10.0  # seconds for nvidia-smi, which wakes the GPUs up first
TASK = "spark.task.resource.gpu.amount"
EXECUTOR = "spark.executor.resource.gpu.amount"


def found() -> tuple[list[str], str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, and how that is known."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        # CUDA itself sees nothing from the first name on that names none: "", "-1", "NoDevFiles".
        names = itertools.takewhile(re.compile(r"\d+|GPU-.+|MIG-.+").fullmatch, map(str.strip, given.split(",")))
        return list(dict.fromkeys(names)), f"{VISIBLE}={given}"
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, from the user's own PATH
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"did not answer within {PATIENCE:g} s" if isinstance(error, subprocess.TimeoutExpired) else "is not here"
        return [], f"nvidia-smi {why}"
    if done.returncode:
        return [], f"nvidia-smi says: {last_line(done.stdout + done.stderr) or f'exit code {done.returncode}'}"
    indices = [line.strip() for line in done.stdout.splitlines() if line.strip().isdecimal()]
    return indices, f"nvidia-smi lists {', '.join(indices) or 'none'}"


def shares(wish: Gpus, num_executors: int | None) -> tuple[str, ...]:
    """Return for each executor of this machine the GPUs that it gets; nothing where none are wished for.

    Raises `ConfigError` where there are too few.
    """
    if not wish:
        return ()
    names, source = found()
    room = wish.room(len(names))
    if not room:
        raise ConfigError(
            f"{wish} needs at least {_gpus(wish.per_trial or 1)}, but this machine has {len(names)} ({source}); "
            f"leave it out, or let {VISIBLE} name those that there are"
        )
    if num_executors is not None and num_executors > room:
        raise ConfigError(
            f"num_executors={num_executors}, but {wish} and {_gpus(len(names))} ({source}) leave room for {room}; "
            "without num_executors, so many are started"
        )
    count, each = num_executors or room, wish.per_trial
    if each is None or wish.per_gpu is not None:
        return tuple(names[slot % len(names)] for slot in range(count))  # the GPUs fill up evenly
    return tuple(",".join(names[slot * each : (slot + 1) * each]) for slot in range(count))


def _gpus(count: int) -> str:
    return amount(count, "GPU")


def threads(wish: Gpus, cores: int) -> int | None:
    """Return how many tasks a local Spark that is started for this should run at once; None: as it would itself."""
    room = wish.room(len(found()[0])) if wish else 0
    return room if room > cores else None


def check_local(master: str, conf: Mapping[str, str], profile: Any) -> None:
    """Raise `ConfigError` for what only a cluster has: on a local master Spark would never start the tasks."""
    if profile is not None:
        raise ConfigError(
            f"resource_profile is for clusters, and this is {master}: there maggy assigns GPUs itself, with "
            "gpus_per_trial or trials_per_gpu"
        )
    if amount := conf.get(TASK):
        raise ConfigError(
            f"{TASK}={amount} is for clusters: on {master} Spark would wait for ever for GPUs; leave it out and pass "
            "gpus_per_trial or trials_per_gpu, and maggy assigns them itself"
        )


def check_cluster(master: str, conf: Mapping[str, str], wish: Gpus) -> None:
    """Raise `ConfigError` where Spark will not give each task the GPUs that are wished for."""
    if not wish:
        return
    needed, given = wish.amount, float(conf.get(TASK, "0"))
    agrees = given == needed if wish.per_gpu is None else 0 < given <= 1 and int(1 / given) == wish.per_gpu
    if agrees:
        return
    amount = f"{needed:g}" if needed >= 1 else f"{math.floor(needed * 10_000) / 10_000:g}"  # never above one in k
    if given:
        raise ConfigError(f"{wish}, but Spark gives each task {TASK}={given:g}; it would have to be {amount}")
    raise ConfigError(
        f"{wish}, but tasks on {master} get no GPUs: start the session with {TASK}={amount}, {EXECUTOR}= as many as an "
        "executor has, and spark.executor.resource.gpu.discoveryScript= a script that prints them (a standalone worker "
        "needs the same of spark.worker.resource.gpu), or pass a resource_profile"
    )


def overruled(conf: Mapping[str, str], profile: Any) -> dict[str, str]:
    """Return the settings that hold under a resource profile: it inherits cores, but no other resources."""
    if profile is None:
        return dict(conf)
    asked = {"task": profile.taskResources, "executor": profile.executorResources}
    dropped = tuple(f"spark.{kind}.resource." for kind, wanted in asked.items() if wanted)
    return {key: value for key, value in conf.items() if not key.startswith(dropped)} | dict(_settings(asked))


def _settings(asked: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for kind, wanted in asked.items():
        for name, request in wanted.items():
            key = name if name in {"cpus", "cores"} else f"resource.{name}.amount"
            yield f"spark.{kind}.{key}", f"{request.amount:g}"
