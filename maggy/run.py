"""One run of a study: store, server, launcher and views put together, from the first slot to the last word."""

from __future__ import annotations

import math
import secrets
import shutil
import ssl
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from maggy.collector import short_collections
from maggy.configuration import RELAY_LIMIT, StudyConfig
from maggy.driver.asker import Asker, InlineAsker, ThreadAsker
from maggy.driver.clock import Clock
from maggy.driver.depot import Depot
from maggy.driver.journal import Journal, Watcher
from maggy.driver.logs import TrialLogs
from maggy.driver.retention import Retention
from maggy.driver.scheduler import FAILED, Scheduler
from maggy.driver.server import Server
from maggy.driver.terms import Terms
from maggy.errors import LauncherError, StoreError
from maggy.executor.line import Ticket
from maggy.opening import Opened, folded
from maggy.platforms import Platform
from maggy.store import DEFAULT
from maggy.trial import Status
from maggy.views import summary
from maggy.views.console import Console
from maggy.views.mlflow import MLflow
from maggy.views.sink import Sink
from maggy.views.tensorboard import TensorBoard

LAST_WORDS = 60.0  # seconds that a tracking server may take for what it has not been told when a study is done
LOOK = 0.2  # seconds between two looks at the study while it runs
SILENT_TRIALS = 3  # completed trials without a report: then there will not be any
SLOT_TIMEOUT = 600.0  # seconds without an executor after which the call gives up: clusters queue
STILL = round(10.0 / LOOK)  # looks that find the driver doing nothing after which the user is told where it hangs
HANGS = round(600.0 / LOOK)  # and after which the study is given up; when its timeout has passed, the former suffices
PIECE = 1000  # events of a log that are shown at a time
SLOW_START = 60.0  # seconds without an executor after which the user is told


class Run:
    """Runs an opened study on a platform."""

    def __init__(
        self,
        opened: Opened,
        config: StudyConfig,
        platform: Platform,
        console: Console,
        *,
        verbose: bool,
        again: Mapping[str, Any],  # options of the call that the log does not hold
        mlflow: str | bool = False,
    ) -> None:
        self._opened, self._given = opened, again
        self._config = config
        self._platform = platform
        self._console = console
        self._clock = Clock(opened.latest)
        self._told_of_reports = False
        self._told_of_store: str | None = None
        self._told_of_pause = False
        self._told_of_optimizer = False
        self._unreadable: StoreError | None = None
        self.failure: str | None = None  # why the study was given up, if it was
        self._scratch = None if opened.files else Path(tempfile.mkdtemp(prefix="maggy-"))
        self.tensorboard = TensorBoard(opened.files) if opened.files else None
        self._mlflow: MLflow | None = None
        if mlflow:
            uri = mlflow if isinstance(mlflow, str) else None
            self._mlflow = MLflow(uri, opened.name, opened.facts[0].at, opened.files, late=config.searchspace.open)
        self._told_of_mlflow: str | None = None
        self.study = opened.study
        self._logs = TrialLogs(opened.files, verbose=verbose)
        root = opened.checkpoints or str((opened.files or self._scratch or Path()) / "checkpoints")
        retention = Retention(config.objective, config.keep_checkpoints, continues=config.continues)
        self._depot = Depot(root, retention, RELAY_LIMIT)
        self._depot.open(opened.facts)
        self._checkpoints = root
        self._server = self._built()

    def _built(self) -> Server:
        config, opened = self._config, self._opened
        asked = config.guide(config.optimizer) if config.guide else config.optimizer
        terms = Terms(
            rules=config.active_rules,
            lookahead=getattr(asked, "lookahead", 0),
            independent=getattr(asked, "independent", False),
            timeout=config.timeout,
            beat=config.beat,
            lease=config.lease,
            grace=config.grace,
            max_lost=config.max_lost,
            max_failures=config.max_failures,
            trial_timeout=config.trial_timeout,
            report_timeout=config.report_timeout,
            memory_limit=config.memory_limit,
            fresh_process=config.isolation == "trial",
            checkpoints=self._checkpoints,
            marker=self._depot.marker,
            relay_limit=RELAY_LIMIT,
            draws=config.seed % 2**63 if config.searchspace.open else None,
        )
        asker: Asker
        if getattr(asked, "quick", False):
            asker = InlineAsker(asked, config.seed)
        else:
            asker = ThreadAsker(asked, config.seed, opened.store.read(opened.name))
        sinks = [sink for sink in (self.tensorboard, self._mlflow) if sink is not None]
        shown: list[Watcher] = [self._logs, *sinks, self._depot]
        journal = self._journal = Journal(opened.store, opened.name, opened.owner, opened.study.position, shown)
        self._logs.recorded(opened.facts)
        for sink in sinks:
            self._show(sink)
        opened.facts.clear()
        return Server(
            Scheduler(self.study, terms),
            secret=secrets.token_bytes(32),
            asker=asker,
            journal=journal,
            logs=self._logs,
            clock=self._clock,
            limit=10 * self._platform.count + 100,  # slots begin anew, and the driver hears of the old one's end later
            depot=self._depot,
        )

    def _show(self, board: Sink) -> None:
        """Show what it lacks of the log so far: trials that had not ended by then, each from its beginning."""
        study, complete = self.study, board.complete()
        if complete > study.position:  # they are another log's
            complete = 0
        lacks = {trial.id for trial in study.trials.values() if trial.end is None or trial.end > complete}
        first = min((study.trials[number].seen for number in lacks), default=study.position)
        log = self._opened.store.read(self._opened.name, min(first, complete))
        events = (event for event in log if event is not None and getattr(event, "trial", None) in lacks)
        while piece := list(islice(events, PIECE)):
            board.again(piece)
        board.position = study.position

    @short_collections()
    def go(self, function: Any, version: str) -> Exception | None:
        """Run the study to its end, or to an interrupt; return what went wrong, if anything did."""
        server, platform = self._server, self._platform
        began = self._clock.now()
        problem: Exception | None = None
        if platform.warning:
            self._console.warn(f"{platform.warning}.")
        try:
            tls, certificate = _encryption() if platform.tls else (None, None)
            port = self._listen(tls)
            ticket = Ticket(
                platform.advertise, port, version, server.secret, certificate, platform.beside, platform.gpus
            )
            task = partial(platform.serve, ticket, platform.share(function))
            platform.launcher.start(task, platform.count, server.dismissed)
            host = f"[{platform.advertise}]" if ":" in platform.advertise else platform.advertise
            problem = self._wait(f"{host}:{port}")
        except KeyboardInterrupt:
            server.interrupt("interrupted")
            server.closed.wait(1.0)
        finally:
            self._finish(began, told=str(problem))
        if (self.study.closed or "").startswith(FAILED):
            self.failure = str(self.study.closed).removeprefix(FAILED)
        return problem or server.error or self._unreadable

    def _listen(self, tls: ssl.SSLContext | None) -> int:
        try:
            return self._server.start(self._platform.bind, tls=tls)
        except OSError as error:
            raise LauncherError(
                f"the driver cannot listen at {self._platform.bind} ({error}): is this an address of this machine "
                "(spark.driver.bindAddress, spark.driver.host)?"
            ) from error

    def _wait(self, address: str) -> Exception | None:
        """Show the study until it is over; return an error if there is no hope of an executor."""
        alone_since: float | None = time.monotonic()
        ends_at = time.monotonic() + self._config.grace + (self._config.timeout or math.inf)
        told = False
        seen = self.study.position
        while not self._server.closed.wait(LOOK):
            executors = len(self._server.scheduler.executors)
            self._console.update(self.study, executors)
            self._mind_reports()
            self._mind_store()
            self._mind_wishes()
            self._mind_notices()
            self._mind_mlflow()
            if self._mind_driver(late=time.monotonic() > ends_at):
                return None
            if self.study.queued:
                self._platform.launcher.wanted()
            room = self._platform.launcher.room
            self._server.limit(room if room < self._platform.count else math.inf)
            # In an outage nothing is decided on, so those who are gone still count; connections tell.
            outage = self._server.trouble is not None
            here = not self._platform.launcher.gone or self._server.connected if outage else executors
            # A position that has risen: some have come, even if they did not live to be seen.
            if here or self.study.position > seen:
                alone_since, told, seen = None, False, self.study.position
                self._platform.launcher.heard()
                continue
            alone_since = alone_since or time.monotonic()
            alone = time.monotonic() - alone_since
            cause = self._platform.launcher.failed()
            if outage and alone < self._config.lease:
                continue  # they may come back
            if cause is not None or alone > SLOT_TIMEOUT:
                why = cause or f"none has come for {alone:.0f} s"
                told_to = "" if self._platform.launcher.gone else f" (they are told to reach {address})"
                error = LauncherError(f"no executor can be kept running{told_to}: {why}")
                self._server.interrupt(str(error))
                self._server.closed.wait(1.0)
                return error
            if alone > SLOW_START and not told:
                told = True
                self._console.warn(self._why_alone(address))
        return None

    def _mind_driver(self, *, late: bool) -> bool:
        """Tell the user where the driver hangs, if it does; return whether to go on without it."""
        standstill = self._server.standstill
        looks = standstill.look()
        if looks == STILL:
            self._console.warn(f"{standstill.why} After {HANGS * LOOK:.0f} s it is given up.")
        if looks >= HANGS:
            self.failure = f"{standstill.name} has not returned for {looks * LOOK:.0f} s"
        return looks >= (STILL if late else HANGS)

    def _why_alone(self, address: str) -> str:
        last = self._platform.launcher.cause
        strangers = dict(self._server.strangers)
        state = self._platform.launcher.state()
        return (
            f"no executor has reached the driver at {address} for {SLOW_START:.0f} s: is the cluster full, or is this "
            "address out of its reach (spark.driver.host)?"
            + (f" {state}" if state else "")
            + (f" The last executor ended because: {last}." if last else "")
            + (f" Connections turned away there: {strangers}." if strangers else "")
        )

    def _mind_store(self) -> None:
        """Tell the user, once each, that the store fails and that it works again."""
        before, self._told_of_store = self._told_of_store, self._server.trouble
        if before is None and self._told_of_store is not None:
            self._console.warn(self._told_of_store)
        elif before is not None and self._told_of_store is None:
            self._console.say("The store works again, and has taken all that had been waiting for it.")

    def _mind_wishes(self) -> None:
        """Tell the user what another process wishes of the driver."""
        before, self._told_of_pause = self._told_of_pause, self._server.scheduler.paused
        if self._told_of_pause and not before:
            self._console.say("Another process has paused the study: what runs goes on, and nothing new is given out.")
        elif before and not self._told_of_pause:
            self._console.say("The study is not paused any more.")

    def _mind_mlflow(self) -> None:
        """Tell the user, once, that MLflow is not told all."""
        trouble = self._mlflow.trouble if self._mlflow else None
        if trouble is not None and self._told_of_mlflow is None:
            self._told_of_mlflow = trouble
            self._console.warn(trouble)

    def _reread(self) -> None:
        """Fold the log anew where the store has not taken all that was decided: a result holds what is durable."""
        if self._server.unrecorded:
            try:
                self.study = folded(self._opened.store, self._opened.name)
            except StoreError as error:
                self._unreadable = error

    def _mind_notices(self) -> None:
        """Tell the user what trials have found out, and cannot help, and once that the optimizer fails."""
        for notice in self._depot.notices():
            self._console.warn(notice)
        stood_in = self._server.scheduler.asking.stood_in
        if stood_in is not None and not self._told_of_optimizer:
            self._told_of_optimizer = True
            self._console.warn(f"{stood_in[0].upper()}{stood_in[1:]}: random configurations take its place meanwhile.")

    def _mind_reports(self, *, ended: bool = False) -> None:
        """Tell the user, once, that no report comes: loudly and soon if something asked for depends on reports."""
        loud = self._config.needs_reports
        due = ended if not loud else ended or self.study.counts[Status.COMPLETED] >= SILENT_TRIALS
        if self._told_of_reports or not due or not (loud or self._config.rules):
            return
        if why := summary.why_no_reports(self.study):
            self._told_of_reports = True
            (self._console.warn if loud else self._console.say)(why)

    def _finish(self, began: float, told: str) -> None:
        try:
            self._platform.launcher.finish(patience=1.0)
        finally:  # also at a second Ctrl-C: the study must not stay held by this process
            self._server.stop()
            self._reread()
            self._logs.close(timeout=2.0)
            self._depot.close(timeout=5.0)
            if self.tensorboard:
                self.tensorboard.close(timeout=5.0)
            if self._mlflow:  # a server takes its time, and one that is not there takes none
                self._mlflow.close(timeout=LAST_WORDS if self.study.closed == "done" else 5.0)
            with suppress(StoreError):  # a store that fails has said so already
                self._opened.release()
            if self._scratch:
                shutil.rmtree(self._scratch, ignore_errors=True)
        self._mind_notices()
        self._mind_mlflow()
        views = (self._journal, self._logs, self.tensorboard, self._depot)
        for trouble in (self._server.left, *(view.trouble for view in views if view is not None)):
            if trouble is not None:
                self._console.warn(trouble)
        if (crashes := self._platform.launcher.crashes()) and crashes[-1] not in told:
            times = "once" if len(crashes) == 1 else f"{len(crashes)} times"
            self._console.say(f"Executors failed {times} and were started again; the last because: {crashes[-1]}")
        self._mind_reports(ended=True)
        self._console.end(
            self.study,
            self._clock.now() - began,
            self._server.most,
            places=self._places(),
            resume=self._again() if self.study.closed != "done" else None,
        )

    def _again(self) -> str | None:
        """Return the line that goes on with the study, None where nothing is kept."""
        store = str(self._opened.store)
        if store == "memory:":
            return None
        options = dict.fromkeys(self._config.passed_again) | dict(self._given)
        if (self.study.closed or "").startswith(FAILED):
            options.pop("max_failures", None)  # with the same one it would be given up again
        if store != str(Path(DEFAULT).absolute()):
            options["store"] = _near(store)
        return summary.resuming(self._opened.name, options, command=self._config.command is not None)

    def _places(self) -> dict[str, str]:
        places = {"study": f"{self._opened.name!r} in {_near(str(self._opened.store))}"}
        if self._opened.files:
            places["files"] = _near(str(self._opened.files))
        if self.tensorboard:
            places["TensorBoard"] = f"tensorboard --logdir {_near(str(self.tensorboard.directory))}"
        return places


def _encryption() -> tuple[ssl.SSLContext, str]:
    from maggy.driver.certificate import server_context  # cryptography takes its time

    return server_context()


def _near(path: str) -> str:
    """Return a path as it is seen from the working directory, where it lies in there."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
