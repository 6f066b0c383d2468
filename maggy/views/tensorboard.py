"""TensorBoard files: each trial is one run, with its metrics as scalars and its parameters for the HParams tab.

`<log_dir>/tensorboard/<trial>/events.out.tfevents.maggy` is a fold of the study's log, as every view is: the times in
it are those of the events, and `Suggested` begins a trial's file anew, so the same log gives the same bytes. A file
beside them says how much of the log they hold; trials that had not ended by then are shown again when a study is
resumed, which mends what a killed driver had left half-written.

tensorboardX defines the records and their checksum; its writers are not used. `SummaryWriter` takes a thread, a
`multiprocessing` queue and a second run for the parameters of each trial, `EventsWriter` an fsync and a file that stays
open. Here the records of a moment gather and are appended at once, and no file stays open.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from maggy.events import Drawn, Ended, Event, Reported, Suggested
from maggy.jsonvalue import dumps
from maggy.trial import DEFAULT_METRIC, Status
from maggy.views.sink import MAX_BATCHES, Sink

FOLDER = "tensorboard"
FILE = "events.out.tfevents.maggy"
MAX_GATHERED = 4 * 1024 * 1024  # bytes of records held in memory


class TensorBoard(Sink):
    """Writes what a study records, on a thread of its own."""

    NAME = "tensorboard"
    WHAT = "TensorBoard files"

    def __init__(self, log_dir: Path, *, max_batches: int = MAX_BATCHES) -> None:
        self.directory = log_dir / FOLDER
        self.WHERE = f" in {self.directory}"
        super().__init__(self.directory, max_batches=max_batches)

    def opened(self) -> _Runs:
        """Return what writes the files; tensorboardX is imported here."""
        return _Runs(self.directory)


@dataclass(slots=True)
class _Run:
    """A trial's file: records not yet written, and what was reported last."""

    trial: int
    born: float
    fresh: bool = False
    budget: float | None = None
    attempt: int = 1
    step: int = 0
    last: dict[str, float] = field(default_factory=dict)
    records: bytearray = field(default_factory=bytearray)


class _Runs:
    """Turns events into records, gathers them by trial and appends them to the trials' files."""

    def __init__(self, directory: Path) -> None:
        from tensorboardX.proto.event_pb2 import Event as Record
        from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
        from tensorboardX.record_writer import masked_crc32c

        self._directory = directory
        self._record = Record
        self._plugin_data = HParamsPluginData
        self._crc = masked_crc32c
        self._length = lru_cache(maxsize=1024)(self._head)  # few lengths occur, and a checksum is pure Python
        self._runs: dict[int, _Run] = {}
        self._gathered: dict[int, _Run] = {}
        self._size = 0

    def take(self, event: Event) -> None:
        """Turn an event into records of its trial's file."""
        match event:
            case Reported():
                self._reported(event)
            case Suggested():
                run = self._runs[event.trial] = _Run(event.trial, event.at, fresh=True, budget=event.budget)
                self._add(run, self._start(event, event.budget))
            case Drawn() if event.trial in self._runs and not self._runs[event.trial].last:
                run = self._runs[event.trial]
                run.fresh, run.records = True, bytearray()  # it has shown nothing yet: its file begins anew
                self._add(run, self._start(event, run.budget))
            case Ended():
                self._ended(event)

    def flush(self) -> bool:
        """Append what has gathered."""
        for run in self._gathered.values():
            self._append(run)
            run.fresh = False
            run.records = bytearray()
        self._gathered.clear()
        self._size = 0
        return True

    def _append(self, run: _Run) -> None:
        """Write a run's records; a file object would take three times as many calls of the system."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if run.fresh else os.O_APPEND)
        path = f"{self._directory}/{int(run.trial)}/{FILE}"
        try:
            file = os.open(path, flags, 0o666)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, flags, 0o666)
        try:
            data = bytes(run.records)
            if run.fresh or os.fstat(file).st_size == 0:
                version = self._record(wall_time=run.born, file_version="brain.Event:2")
                data = self._framed(version.SerializeToString()) + data
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)

    # -- events ----------------------------------------------------------------------------------------------------

    def _reported(self, event: Reported) -> None:
        run = self._runs.get(event.trial)
        if run is None:
            run = self._runs[event.trial] = _Run(event.trial, event.at)
        if event.attempt > run.attempt:
            run.attempt = event.attempt
            for _ in range(2):  # a reader takes the first it meets in a run for the run's beginning
                self._add(run, self._restart(event))
        run.step = event.step
        self._add(run, self._scalars(event.at, event.step, run.last, event.metrics))

    def _ended(self, event: Ended) -> None:
        run = self._runs.pop(event.trial, None) or _Run(event.trial, event.at)
        finals: Mapping[str, Any] = event.metrics
        if not finals and not run.last and event.value is not None:
            finals = {DEFAULT_METRIC: event.value}
        # What was returned is the run's last word; where it only repeats the last report, once is enough.
        news = {name: value for name, value in finals.items() if _is_number(value) and run.last.get(name) != value}
        if news:
            self._add(run, self._scalars(event.at, run.step, run.last, news))
        self._add(run, self._end(event))

    # -- records ---------------------------------------------------------------------------------------------------

    def _scalars(self, at: float, step: int, last: dict[str, float], metrics: Mapping[str, float]) -> Any:
        record = self._record(wall_time=at, step=step)
        for name, value in metrics.items():
            entry = record.summary.value.add()
            entry.tag = _text(name)
            entry.simple_value = _float(value)
            last[name] = value
        return record

    def _start(self, event: Suggested | Drawn, budget: float | None) -> Any:
        data = self._plugin_data()
        start = data.session_start_info
        start.start_time_secs = event.at
        more = {} if budget is None else {"budget": budget}  # a reserved name: no parameter has it
        for name, value in (*event.params.items(), *more.items()):
            field, told = _hparam(value)
            setattr(start.hparams[_text(name)], field, told)
        return self._hparams(event.at, "session_start_info", data)

    def _end(self, event: Ended) -> Any:
        data = self._plugin_data()
        # tensorboard/plugins/hparams/api.proto: STATUS_SUCCESS = 1, STATUS_FAILURE = 2
        data.session_end_info.status = 2 if event.status == Status.FAILED else 1
        data.session_end_info.end_time_secs = event.at
        return self._hparams(event.at, "session_end_info", data)

    def _hparams(self, at: float, name: str, data: Any) -> Any:
        record = self._record(wall_time=at)
        entry = record.summary.value.add()
        entry.tag = f"_hparams_/{name}"
        entry.metadata.plugin_data.plugin_name = "hparams"
        entry.metadata.plugin_data.content = data.SerializeToString(deterministic=True)
        return record

    def _restart(self, event: Reported) -> Any:
        """Tell TensorBoard to forget what a lost attempt reported from here on."""
        record = self._record(wall_time=event.at, step=event.step)
        record.session_log.status = record.session_log.START
        return record

    def _add(self, run: _Run, record: Any) -> None:
        framed = self._framed(record.SerializeToString())
        run.records += framed
        self._gathered[run.trial] = run
        self._size += len(framed)
        if self._size > MAX_GATHERED:
            self.flush()

    def _framed(self, data: bytes) -> bytes:
        """Frame a record as TFRecord does: length, checksum of the length, data, checksum of the data."""
        return self._length(len(data)) + data + struct.pack("<I", self._crc(data))

    def _head(self, length: int) -> bytes:
        head = struct.pack("<Q", length)
        return head + struct.pack("<I", self._crc(head))


def _hparam(value: Any) -> tuple[str, Any]:
    """Return the field of a protobuf `Value` and what it is to hold; what the HParams tab cannot sort is JSON."""
    match value:
        case bool():
            return "bool_value", value
        case int() | float() if _float(value) - _float(value) == 0:  # neither NaN nor infinite
            return "number_value", _float(value)
        case str():
            return "string_value", _text(value)
    return "string_value", _text(dumps(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond 1e308
        return float("inf") if value > 0 else float("-inf")


def _text(value: str) -> str:
    """Return text that UTF-8 can hold; JSON may carry half of a surrogate pair."""
    return value.encode("utf-8", "replace").decode()
