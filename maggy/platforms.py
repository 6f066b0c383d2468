"""Where executors run: as Spark tasks, as processes of this machine, or as threads of this process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from maggy.configuration import Gpus
from maggy.driver.launcher import Launcher
from maggy.driver.leases import Lease
from maggy.executor.worker import run_slot

NO_GPUS = Gpus()
BROADCAST = 1024 * 1024  # bytes of a pickled function above which Spark broadcasts it


@dataclass(frozen=True)
class Platform:
    """Where executors run: the launcher, how many it starts, and the address at which they reach the driver.

    `share` makes large bytes available to every executor, `beside` are directories of the driver's own modules that
    executors on the same machine can import from as well, `gpus` what each slot gets where maggy shares them out,
    `warning` what the user should know of it.
    """

    launcher: Launcher
    count: int
    bind: str
    advertise: str
    tls: bool = False
    share: Callable[[bytes], Any] = lambda data: data
    beside: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    serve: Callable[..., Iterator[str]] = run_slot
    warning: str | None = None


def local_platform(
    num_executors: int | None, limit: int | None, shares: tuple[str, ...] = (), lease: Lease | None = None
) -> Platform:
    """Run executors as plain processes of this machine; each gets its share of the GPUs, where they are shared out."""
    import sys

    from maggy.driver.local import LocalLauncher, cores, loopback

    here = loopback()
    count = _capped(num_executors or len(shares) or cores(), limit)
    return Platform(LocalLauncher(lease), count, here, here, beside=tuple(sys.path), gpus=shares)


def inline_platform(num_executors: int | None, limit: int | None) -> Platform:
    """Run executors as threads of this process."""
    from maggy.driver.local import InlineLauncher, loopback
    from maggy.executor.inline import run_inline

    here = loopback()
    count = _capped(num_executors or 1, limit)
    return Platform(InlineLauncher(), count, here, here, serve=run_inline)


def spark_platform(
    num_executors: int | None,
    limit: int | None,
    wish: Gpus = NO_GPUS,
    profile: Any = None,
    lease: Lease | None = None,
) -> Platform:
    """Run executors as Spark tasks, in the active session or in a local one that is started here."""
    import sys

    from maggy.driver import gpus
    from maggy.driver.local import cores
    from maggy.driver.package import ship
    from maggy.driver.spark import SparkLauncher
    from maggy.driver.sparksession import check_cores, driver_address, exposed, is_local, settings, slots, spark_session

    spark = spark_session(num_executors or gpus.threads(wish, cores()))
    context, local = spark.sparkContext, is_local(spark)
    conf = settings(spark)
    shares: tuple[str, ...] = ()
    if local:
        check_cores(spark)
        gpus.check_local(context.master, conf, profile)
        shares = gpus.shares(wish, num_executors)
    launcher = SparkLauncher(context, f"maggy-{secrets.token_hex(4)}", profile, lease)
    conf = gpus.overruled(conf, profile)
    if not local:
        gpus.check_cluster(context.master, conf, wish)
    ship(spark)
    bind, advertise = driver_address(spark)
    room = slots(spark, conf)
    return Platform(
        launcher,
        _capped(num_executors or (min(room, len(shares)) if shares else room), limit),
        bind,
        advertise,
        tls=not local,
        share=lambda data: context.broadcast(data) if len(data) > BROADCAST else data,
        beside=tuple(sys.path) if local else (),
        gpus=shares,
        warning=exposed(spark),
    )


def _capped(count: int, limit: int | None) -> int:
    return count if limit is None else max(1, min(count, limit))
