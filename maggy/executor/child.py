"""The trial's process: runs the user's function for one trial after another, and nothing else of maggy's.

It is exec-ed by the agent and talks with it over pipes; orders come in and facts go out as JSON frames. What is printed
goes to file descriptors 1 and 2, which the agent reads. The main thread runs the function and looks at the pipe of
orders whenever the function reports; that the agent dies is another process's business (see `leftovers.guard`).

Of the trials that wait in the pipe it begins the next one at once if the last one has left nothing that the agent has
to see to; else when the agent has done so.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maggy.errors import RetryTrial, StopTrial
from maggy.executor import leftovers
from maggy.executor.checkpoints import Checkpoints, Terms
from maggy.executor.draws import Draws
from maggy.executor.nospark import forbid_spark
from maggy.executor.reporter import CURRENT, Reporter, as_number, bounded, single_out
from maggy.jsonvalue import dumps, loads
from maggy.rpc.frames import Frames, framed
from maggy.trainfn import Parameters, TrainFn, arguments, parameters
from maggy.trial import Objective

CHUNK = 64 * 1024
LARGEST = 1024 * 1024  # bytes of an order or a fact; messages on the socket are smaller
LOOK = 20  # milliseconds between two looks at whether another thread has read what this one waits for
THREAD_SECONDS = 1.0  # for a trial's threads to end when it has
IDLE = 1000  # the same between two trials: only a thread that outlives one and still restores can have read the order


class Orders:
    """The pipe from the agent: frames of JSON, read when somebody asks."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._frames = Frames(LARGEST)
        self._come: deque[Any] = deque()
        self._stops: list[Any] = []
        self._cleared = False
        self._lock = threading.Lock()  # threads of the function's may look as well
        os.set_blocking(fd, False)

    def next(self) -> Any:
        """Wait for the next order; None when the agent has closed the pipe."""
        while True:
            with self._lock:
                self._read()  # what has come before may have been taken back
                if self._come:
                    return self._come.popleft()
            if not self._wait(IDLE):
                return None

    def stops(self) -> list[Any]:
        """Return the requests to stop that have come for what is no longer here, without waiting."""
        with self._lock:
            self._read()
            found, self._stops = self._stops, []
        return found

    def cleared(self) -> None:
        """Wait until the agent has seen to what the last trial has left."""
        while not self._cleared and self._wait(IDLE):
            continue
        self._cleared = False

    def piece(self, over: Callable[[], bool]) -> Any:
        """Wait for the next piece of a checkpoint; None when something is over, or the agent has closed the pipe."""
        while not over():
            with self._lock:
                for order in self._come:
                    if order[0] == "piece":
                        self._come.remove(order)
                        return order[1]
            if not self._wait(LOOK):
                break
        return None

    def _wait(self, milliseconds: int) -> bool:
        """Wait until something has come, and read it; False when the agent has closed the pipe."""
        poll = select.poll()  # each thread needs one of its own
        poll.register(self._fd, select.POLLIN)
        poll.poll(milliseconds)
        with self._lock:
            return self._read()

    def _read(self) -> bool:
        """Read all that has come, if another thread has not; False when the agent has closed the pipe."""
        while True:
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return True
            self._frames.add(data)
            for payload in self._frames.complete():
                self._add(*loads(payload))
            if len(data) < CHUNK:
                return bool(data)

    def _add(self, kind: str, body: Any) -> None:
        """Take in an order: a trial that is to stop and has not begun is not begun, and is answered in its turn."""
        if kind == "cleared":
            self._cleared = True
        elif kind != "stop":
            self._come.append((kind, body))
        elif (at := self._waits(body)) is not None:
            self._come[at] = ("withdrawn", None)
        else:
            self._stops.append(body)

    def _waits(self, stop: Any) -> int | None:
        """Return the place in the queue of the trial that is to be stopped, None where it is not there."""
        for at, (kind, body) in enumerate(self._come):
            if kind == "run" and (body["trial"], body["attempt"]) == (stop["trial"], stop["attempt"]):
                return at
        return None


class Surroundings:
    """What a trial may change of its process and the next one must not see: put back as it was."""

    def __init__(self) -> None:
        self._directory = str(Path.cwd())
        self._environment = dict(os.environ)
        self._variables = _variables()
        self._path = list(sys.path)
        self._streams = sys.stdout, sys.stderr

    def restore(self) -> None:
        """Put back working directory, environment, module path and standard streams."""
        with contextlib.suppress(OSError):
            os.chdir(self._directory)
        if _variables() != self._variables:
            os.environ.clear()
            os.environ.update(self._environment)
        sys.path[:] = self._path
        sys.stdout, sys.stderr = self._streams


def _variables() -> dict[Any, Any]:
    """Return the environment as Python keeps it: bytes, which it need not decode one by one to compare them."""
    return dict(getattr(os.environ, "_data", os.environ))


class TrialProcess:
    """Runs trials as they are ordered."""

    def __init__(
        self, orders: Orders, facts: int, function: mmap.mmap | bytes, traces: leftovers.Traces | None = None
    ) -> None:
        self._orders = orders
        self._traces = traces
        self._facts = facts
        self._function = function
        self._objective = Objective(None)
        self._kept: dict[str, Any] = {}  # where checkpoints are kept
        self._seed: int | None = None  # of what trials draw that name parameters themselves
        self._loaded: tuple[TrainFn, Mapping[str, Any]] | None = None
        self._takes: Parameters | None = None  # until the function has been called, the agent waits for a word of it
        self._pid = os.getpid()
        self._surroundings = Surroundings()
        self._telling = threading.Lock()
        self._checkpoints: Checkpoints | None = None

    def introduce(self) -> None:
        """Tell the agent which process this is: it has started another, the guard."""
        self._tell("here", self._pid)

    def serve(self) -> None:
        """Run what is ordered until the agent closes the pipe. Stops for a trial that has ended come too late."""
        while (order := self._orders.next()) is not None:
            kind, body = order
            if kind == "terms":
                self._objective, self._kept = Objective(body["metric"]), body["checkpoints"]
                self._seed = body.get("draws")
            elif kind == "withdrawn":
                self._end(_outcome("stopped"), clear=True)
            elif kind == "run":
                try:
                    self._run_through(body)
                finally:  # also where nobody wants to hear of it any more
                    if self._checkpoints is not None:
                        self._checkpoints.clean_up()

    def _run_through(self, run: dict[str, Any]) -> None:
        """Run a trial, tell how it ended, and be ready for another; or end with the threads that it has left."""
        outcome = self._run(run)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # user code may have closed it, or put anything there
                stream.flush()
        outlived = self._outlived()
        clear = not outlived and self._left_nothing()
        self._end(outcome, clear=clear)
        self._put_back()  # while the driver decides on the next trial
        if not clear:
            self._orders.cleared()
            if outlived:
                os._exit(0)
            self._tell("ready", None)

    def _end(self, outcome: dict[str, Any], *, clear: bool) -> None:
        """Tell how the first of the trials that were ordered has ended; `clear`: there is nothing to wait for."""
        self._tell("finished", [outcome, clear])

    def _left_nothing(self) -> bool:
        """Whether nothing has been printed or started that the agent has not yet seen to."""
        return self._traces is not None and not self._traces.any()

    def _outlived(self) -> bool:
        """Whether threads of the trial's go on, but for daemons: those may be a library's, to serve all trials."""
        threads = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
        until = time.monotonic() + THREAD_SECONDS
        for each in threads:
            while each.is_alive() and not _unemployed(each) and (left := until - time.monotonic()) > 0:
                each.join(min(LOOK / 1000, left))
        names = ", ".join(each.name for each in threads if each.is_alive() and not _unemployed(each))
        if names:
            with contextlib.suppress(OSError):
                os.write(1, f"[maggy: it left a thread running ({names}), so its process is not used again]\n".encode())
        return bool(names)

    def _put_back(self) -> None:
        """Remove the traces of a trial in this process."""
        self._surroundings.restore()

    def _run(self, run: dict[str, Any]) -> dict[str, Any]:
        objective = self._objective
        terms = Terms(run["trial"], run["attempt"], restore=run["restore"], **self._kept)
        checkpoints = self._checkpoints = Checkpoints(terms, self._tell, self._orders.piece)
        draws = Draws(run["params"], run["trial"], self._seed, lambda body: self._tell("Drawn", body))
        reporter = Reporter(
            run["trial"],
            run["attempt"],
            budget=run["budget"],
            parent=run["parent"],
            work=run.get("work"),
            draws=draws,
            objective=objective,
            checkpoints=checkpoints,
            send=lambda step, metrics: self._tell("report", [step, metrics]),
            stop=lambda: self._asked_to_stop(run),
        )
        CURRENT.set(reporter)
        try:
            train_fn, constants = self._load()
            provided = {
                **constants,
                "hparams": dict(run["params"]),
                "reporter": reporter,
                "budget": run["budget"],
                "trial": run["trial"],
            }
            if self._takes is None:
                self._takes = parameters(train_fn)
                self._tell("began", None)
            taken = arguments(self._takes, run["params"], provided)
            draws.taken(run["params"] if "hparams" in taken else taken)
            returned = train_fn(**taken)
            value, metrics = judged(returned, objective, reporter.last)
        except StopTrial:
            return _outcome("stopped", metrics=reporter.last)
        except RetryTrial as error:
            return _outcome("lost", error=str(error))
        except BaseException as error:  # noqa: BLE001 - whatever user code raises, SystemExit too, is this trial's end
            return _outcome("failed", metrics=reporter.last, error=told(error))
        finally:
            if os.getpid() != self._pid:  # a fork that came back: only the trial's own process has an outcome
                os._exit(1)
            draws.settle()
            reporter.close()
        return _outcome("completed", value, metrics)

    def _load(self) -> tuple[TrainFn, Mapping[str, Any]]:
        """Unpickle the function, once; what it needs and cannot be imported here is named."""
        if self._loaded is None:
            try:
                self._loaded = pickle.loads(self._function)  # noqa: S301 - came with the Spark closure, never by socket
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(
                    f"the training function needs the module {error.name!r}, which this executor cannot import: "
                    "install it there, or ship your own modules with sc.addPyFile(…) or --py-files",
                    name=error.name,
                ) from None
        return self._loaded

    def _asked_to_stop(self, run: dict[str, Any]) -> str | None:
        for body in self._orders.stops():
            if (body["trial"], body["attempt"]) == (run["trial"], run["attempt"]):
                return str(body["reason"])
        return None

    def _tell(self, kind: str, body: Any) -> None:
        data = framed(dumps([kind, body]).encode())
        with self._telling:
            while data:  # a full pipe blocks: an agent that cannot follow slows the trial down, and nothing is lost
                data = data[os.write(self._facts, data) :]


def judged(returned: Any, objective: Objective, last: dict[str, float]) -> tuple[float | None, dict[str, float]]:
    """Return (value, metrics) of what a training function has returned: a number, a dict of numbers, or None.

    `last` are the metrics that it reported last: a number joins them, None stands for them.
    """
    if returned is None:
        return None, last
    if isinstance(returned, Mapping):
        metrics = bounded({str(key): as_number(value, str(key)) for key, value in returned.items()})
        return single_out(metrics, objective), metrics
    value = as_number(returned, objective.key)
    key = objective.metric or (next(iter(last)) if len(last) == 1 else objective.key)
    return value, {**last, key: value}


def told(error: BaseException) -> str:
    """Return the traceback from the user's first frame on: maggy's own frames help nobody."""
    if isinstance(error, SystemExit):
        return f"train_fn called sys.exit({error.code!r})\n" + "".join(traceback.format_exception(error))
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_globals):
        trace = trace.tb_next
    return "".join(traceback.format_exception(error.with_traceback(trace)))


def _is_ours(names: Mapping[str, Any]) -> bool:
    return str(names.get("__name__")).startswith("maggy.")


def _unemployed(thread: threading.Thread) -> bool:
    """Whether it is one of a pool's and waits for work: then nothing of a trial goes on in it."""
    pools = sys.modules.get("concurrent.futures.thread")
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, and made for this
    return pools is not None and frame is not None and frame.f_code is pools._worker.__code__  # noqa: SLF001


def _outcome(
    status: str, value: float | None = None, metrics: dict[str, float] | None = None, error: str | None = None
) -> dict[str, Any]:
    return {"status": status, "value": value, "metrics": metrics or {}, "error": error}


def main(orders: int, facts: int, agent: int, function: int) -> None:
    """Serve the agent on the other end of these file descriptors, in a process that has a guard.

    `sys.argv` has the folder that the guard removes.
    """
    leftovers.guard(agent, sys.argv.pop(1), (orders, facts, function))
    os.close(agent)
    for end in (orders, facts, function):
        os.set_inheritable(end, False)  # programs that the function starts must not hold our pipes open
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, all_threads=True, chain=True)  # who is ended by force says where it was
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    forbid_spark()
    with mmap.mmap(function, 0, access=mmap.ACCESS_READ) as pickled:
        process = TrialProcess(Orders(orders), facts, pickled, leftovers.Traces(os.dup(1), os.getppid()))
        process.introduce()
        process.serve()
