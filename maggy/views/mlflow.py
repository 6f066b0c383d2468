"""MLflow: each attempt at a trial is a run, in an experiment that has the study's name or `MLFLOW_EXPERIMENT_NAME`.

The driver logs, on a thread, what the study records: trials need no MLflow, and no server can hold them up. What cannot
be sent waits, in memory, and is tried again with what comes next. Runs are known by tags, so a study that is resumed
goes on with its own: what they have is not sent again.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from maggy.errors import last_line
from maggy.events import Drawn, Ended, Event, Lost, Reported, Started, StudyClosed, Suggested
from maggy.jsonvalue import dumps
from maggy.trial import DEFAULT_METRIC, Status
from maggy.views.sink import MAX_BATCHES, Sink

FOLDER = "mlflow"
STUDY, TRIAL, ATTEMPT = "maggy.study", "maggy.trial", "maggy.attempt"  # tags by which a run is known
AT_ONCE = 1000  # metrics, parameters and tags in a request, as many as MLflow allows
PARAMS = 100  # of them parameters
LONGEST = 500  # characters of a parameter, with which old servers can cope
KNOCK = 2.0  # seconds to wait for a server: MLflow's own client would try for minutes
MAX_WAITING = 1_000_000  # points that wait for a server


class MLflow(Sink):
    """Logs what a study records. `uri` is the tracking server's; None leaves that to MLflow's environment.

    `late`: a trial's parameters are logged when it has ended, since it names them itself, and MLflow forgets none.
    """

    NAME = "mlflow"
    WHAT = "runs in MLflow"

    def __init__(
        self,
        uri: str | None,
        study: str,
        began: float,
        files: Path | None,
        *,
        late: bool = False,
        max_batches: int = MAX_BATCHES,
    ) -> None:
        self.late = late
        self._uri = uri
        self._study = study
        self._key = f"{study}@{began!r}"  # another study of this name, in another store, began at another time
        super().__init__(files / FOLDER if files else None, max_batches=max_batches)

    def opened(self) -> Runs:
        """Return what writes the runs; MLflow is imported here, which takes seconds."""
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it would print two lines for each run
        import mlflow

        uri = self._uri or mlflow.get_tracking_uri()
        self.WHERE = f" at {_harmless(uri)}"
        return Runs(self, mlflow, uri, self._study, self._key)


@dataclass(slots=True)
class _Run:
    """One attempt: what has not been sent of it, and what it had when it was found."""

    trial: int
    attempt: int
    started: float
    id: str | None = None
    known: frozenset[Any] = frozenset()
    closed: bool = False  # it had ended before
    metrics: list[tuple[str, float, float, int]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    step: int = 0
    end: tuple[str, float] | None = None


class Runs:
    """Turns events into runs, and sends what has gathered."""

    def __init__(self, sink: MLflow, mlflow: Any, uri: str, study: str, key: str) -> None:
        self._sink = sink
        self._mlflow = mlflow
        self._uri, self._study, self._key = uri, study, key
        self._client: Any = None
        self._experiment = ""
        self._found: dict[tuple[int, int], Any] = {}  # runs that were there before
        self._params: dict[int, Mapping[str, Any]] = {}
        self._budgets: dict[int, float] = {}
        self._runs: dict[int, _Run] = {}
        self._unsent: dict[tuple[int, int], _Run] = {}
        self._waiting = 0

    # -- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case Suggested():
                self._params[event.trial] = event.params
                if event.budget is not None:
                    self._budgets[event.trial] = event.budget
            case Drawn():
                self._params[event.trial] = event.params
            case Started():
                begun = self._runs[event.trial] = _Run(event.trial, event.attempt, event.at)
                begun.params = {} if self._sink.late else self._named(event.trial)
                self._changed(begun)
            case Reported() if run := self._run(event):
                run.step = event.step
                self._measured(run, event.at, event.metrics)
            case Lost() if run := self._run(event):
                run.tags["maggy.lost"] = event.cause[:LONGEST]
                self._end(run, "KILLED", event.at)
                del self._runs[event.trial]
            case Ended():
                self._ended(event)
            case StudyClosed():  # what still runs is lost, and begins again with a resume
                for left in self._runs.values():
                    self._end(left, "KILLED", event.at)

    def _run(self, event: Reported | Lost | Ended) -> _Run | None:
        run = self._runs.get(event.trial)
        return run if run is not None and run.attempt == event.attempt else None

    def _ended(self, event: Ended) -> None:
        run = self._run(event)
        if run is None:
            return
        finals = {name: value for name, value in event.metrics.items() if isinstance(value, int | float)}
        if not finals and not run.last and event.value is not None:
            finals = {DEFAULT_METRIC: event.value}
        self._measured(run, event.at, {name: v for name, v in finals.items() if run.last.get(name) != v})
        run.params |= self._named(event.trial) if self._sink.late else {}
        run.tags["maggy.status"] = event.status
        if why := event.reason or last_line(event.error):
            run.tags["maggy.why"] = why[:LONGEST]
        self._end(run, "FAILED" if event.status == Status.FAILED else "FINISHED", event.at)
        del self._runs[event.trial]

    def _named(self, trial: int) -> dict[str, str]:
        budget = {"budget": self._budgets[trial]} if trial in self._budgets else {}
        return {_name(name): _text(value) for name, value in {**self._params.get(trial, {}), **budget}.items()}

    def _measured(self, run: _Run, at: float, metrics: Mapping[str, float]) -> None:
        if self._waiting + len(metrics) > MAX_WAITING:
            self._sink.dropped += 1
            return
        run.metrics += [(_name(name), float(value), at, run.step) for name, value in metrics.items()]
        run.last |= metrics
        self._waiting += len(metrics)
        self._changed(run)

    def _end(self, run: _Run, status: str, at: float) -> None:
        run.end = status, at
        self._changed(run)

    def _changed(self, run: _Run) -> None:
        self._unsent[run.trial, run.attempt] = run

    # -- sending ---------------------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Send what has gathered; where that fails it stays, and the first failure is what the user is told."""
        try:
            self._knock()
            if self._client is None:
                self._connect()
            for key, run in list(self._unsent.items()):
                self._send(run)
                del self._unsent[key]
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a proxy or the network raises
            why = last_line(str(error)) or type(error).__name__
            where = f"{self._sink.WHAT}{self._sink.WHERE}"
            self._sink.trouble = f"the {where} are not up to date: {_harmless(why)[:LONGEST]}; the study goes on"
            return False
        self._sink.trouble = None
        return True

    def _knock(self) -> None:
        """See that a server is there. Raises `OSError`."""
        parts = urlsplit(self._uri)
        if parts.scheme in ("http", "https") and parts.hostname:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            with socket.create_connection((parts.hostname, port), timeout=KNOCK):
                pass

    def _connect(self) -> None:
        client = self._mlflow.MlflowClient(tracking_uri=self._uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self._study
        found = client.get_experiment_by_name(name)
        self._experiment = client.create_experiment(name) if found is None else found.experiment_id
        for run in self._theirs(client):
            tags = run.data.tags
            with contextlib.suppress(KeyError, ValueError):  # somebody else's
                self._found[int(tags[TRIAL]), int(tags[ATTEMPT])] = run
        self._client = client

    def _theirs(self, client: Any) -> Iterator[Any]:
        token = None
        while True:
            wanted = f"tags.`{STUDY}` = {_quoted(self._key)}"
            page = client.search_runs([self._experiment], wanted, max_results=AT_ONCE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _send(self, run: _Run) -> None:
        """Send what is new of a run; each part is forgotten when it is there."""
        if run.id is None:
            self._begin(run)
        if not run.closed:
            entities = self._mlflow.entities
            tags = [entities.RunTag(*each) for each in run.tags.items()]
            params = [entities.Param(*each) for each in run.params.items()]
            while run.metrics or params or tags:
                room = AT_ONCE - len(params[:PARAMS]) - len(tags)
                some = len(run.metrics[:room])
                points = [entities.Metric(k, v, _ms(at), step) for k, v, at, step in run.metrics[:some]]
                new = [point for point in points if _point(point) not in run.known]
                if new or params or tags:
                    self._client.log_batch(run.id, metrics=new, params=params[:PARAMS], tags=tags)
                self._waiting -= some
                del run.metrics[:some], params[:PARAMS], tags[:]
            run.params, run.tags = {}, {}
            if run.end is not None:
                self._client.set_terminated(run.id, run.end[0], _ms(run.end[1]))
        self._waiting -= len(run.metrics)
        run.metrics.clear()

    def _begin(self, run: _Run) -> None:
        found = self._found.get((run.trial, run.attempt))
        if found is None:
            tags = {STUDY: self._key, TRIAL: str(run.trial), ATTEMPT: str(run.attempt)}
            name = f"{self._study}:{run.trial}" + (f" attempt {run.attempt}" if run.attempt > 1 else "")
            made = self._client.create_run(self._experiment, start_time=_ms(run.started), tags=tags, run_name=name)
            run.id = made.info.run_id
            return
        run.id = found.info.run_id
        run.closed = found.info.status != "RUNNING"
        if not run.closed:
            histories = (self._client.get_metric_history(run.id, name) for name in found.data.metrics)
            run.known = frozenset(_point(point) for history in histories for point in history)


def _point(metric: Any) -> tuple[str, int, int, str]:
    """Return what tells a point; its value too, since a trial may end in the millisecond of its last report."""
    bounded = max(-sys.float_info.max, min(sys.float_info.max, float(metric.value)))  # as MLflow keeps infinities
    return metric.key, int(metric.step), int(metric.timestamp), repr(bounded)


def _ms(at: float) -> int:
    return round(at * 1000)


def _name(name: str) -> str:
    """Return a name as MLflow allows it, which becomes part of a path there."""
    return re.sub(r"[^\w\-. ]", "_", name)[:250].strip(". ") or "_"


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else dumps(value))[:LONGEST]


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _harmless(text: str) -> str:
    """Return a text without the passwords of URLs."""
    return re.sub(r"(\w+://)[^/@\s]*@", r"\1", text)
