"""Tests of maggy.views.tensorboard: what it has written is read back record by record."""

import math
import struct
import subprocess
import sys
import threading

import pytest
from tensorboardX.proto.event_pb2 import Event as Record
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.record_writer import masked_crc32c

from maggy.events import Ended, Lost, Reported, Started, StudyClosed, StudyOpened, Suggested
from maggy.views import sink, tensorboard
from maggy.views.tensorboard import TensorBoard

AT = 1_700_000_000.0


def records(directory, trial: int) -> list[Record]:
    """Read a trial's file and check every length and checksum in it."""
    (path,) = (directory / "tensorboard" / str(trial)).iterdir()
    data, found = path.read_bytes(), []
    while data:
        (length, check), body = struct.unpack("<QI", data[:12]), data[12:]
        assert check == masked_crc32c(data[:8])
        assert struct.unpack("<I", body[length : length + 4])[0] == masked_crc32c(body[:length])
        found.append(Record.FromString(body[:length]))
        data = body[length + 4 :]
    return found


def scalars(directory, trial: int) -> list[tuple[str, int, float, float]]:
    return [
        (value.tag, record.step, round(value.simple_value, 5), record.wall_time - AT)
        for record in records(directory, trial)
        for value in record.summary.value
        if value.HasField("simple_value")
    ]


def hparams(directory, trial: int) -> dict[str, HParamsPluginData]:
    return {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for record in records(directory, trial)
        for value in record.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    }


def written(directory, *events) -> TensorBoard:
    board = TensorBoard(directory)
    for event in events:
        board.recorded([event])
    board.close(30)
    return board


def suggested(trial=1, params=None, budget=None, parent=None) -> Suggested:
    return Suggested(AT, trial, params or {}, budget, parent, 0)


def reported(step: int, trial=1, attempt=1, **metrics) -> Reported:
    return Reported(AT + step, trial, attempt, step, metrics)


def ended(trial=1, status="completed", value=None, metrics=None) -> Ended:
    return Ended(AT + 60, trial, 1, status, value, metrics or {})


# -- what is written -----------------------------------------------------------------------------------------------


def test_reports_become_scalars(tmp_path):
    """Each metric is a scalar at its step, with the time of its event."""
    board = written(tmp_path, suggested(), reported(0, acc=0.5, loss=2), reported(1, acc=0.75))
    assert board.trouble is None
    assert scalars(tmp_path, 1) == [("acc", 0, 0.5, 0), ("loss", 0, 2, 0), ("acc", 1, 0.75, 1)]


def test_a_file_begins_with_its_version(tmp_path):
    """TensorBoard reads a file by the version in its first record."""
    written(tmp_path, suggested())
    assert [record.file_version for record in records(tmp_path, 1)] == ["brain.Event:2", ""]


def test_a_file_without_its_suggestion_has_a_version_too(tmp_path):
    """A trial that a resumed study only hears reports of gets a proper file in a new directory."""
    written(tmp_path, reported(3, acc=0.5))
    assert [record.file_version for record in records(tmp_path, 1)] == ["brain.Event:2", ""]


def test_parameters_are_written_in_one_order(tmp_path):
    """Protobuf maps have no order of their own; the same log is to give the same bytes in any process."""
    names = [f"parameter-{number:02}" for number in range(20)]
    written(tmp_path, suggested(params=dict.fromkeys(reversed(names), 1)))
    data = (tmp_path / "tensorboard" / "1" / tensorboard.FILE).read_bytes()
    assert sorted(names, key=lambda name: data.index(name.encode())) == names


def test_numbers_that_are_not_finite_are_kept(tmp_path):
    """TensorBoard marks NaN and infinities; an integer beyond all floats is infinite."""
    written(tmp_path, suggested(), reported(0, a=math.nan, b=-math.inf, c=10**400))
    values = [value for _, _, value, _ in scalars(tmp_path, 1)]
    assert math.isnan(values[0])
    assert values[1:] == [-math.inf, math.inf]


def test_parameters_become_hparams(tmp_path):
    """Numbers, text and truth keep their kind, what the tab cannot sort is JSON, and the budget is with them."""
    params = {"lr": 0.1, "units": 64, "act": "relu", "bn": True, "layers": [64, 32], "none": None, "nan": math.nan}
    written(tmp_path, suggested(params=params, budget=9.0, parent=7))
    start = hparams(tmp_path, 1)["_hparams_/session_start_info"].session_start_info
    told = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    changed = {"layers": "[64,32]", "none": "null", "nan": '{"$f":"nan"}', "budget": 9.0}
    assert told == {**params, **changed}
    assert start.start_time_secs == AT


@pytest.mark.parametrize(("status", "code"), [("completed", 1), ("stopped", 1), ("failed", 2)])
def test_an_end_is_told(tmp_path, status, code):
    """The HParams tab tells failed trials from the others."""
    written(tmp_path, suggested(), ended(status=status))
    end = hparams(tmp_path, 1)["_hparams_/session_end_info"].session_end_info
    assert (end.status, end.end_time_secs) == (code, AT + 60)


@pytest.mark.parametrize(
    ("value", "metrics", "expected"),
    [
        (0.9, {"acc": 0.9, "size": 3}, [("acc", 4, 0.9, 60), ("size", 4, 3, 60)]),
        (0.5, {"acc": 0.5}, []),
        (0.5, {}, []),
    ],
)
def test_what_is_returned_is_the_last_word(tmp_path, value, metrics, expected):
    """The HParams tab shows a run's last scalars: those are what was returned, written where it is news."""
    written(tmp_path, suggested(), reported(4, acc=0.5), ended(value=value, metrics=metrics))
    assert scalars(tmp_path, 1)[1:] == expected


def test_a_value_without_a_name_has_the_default_one(tmp_path):
    """A trial that reported nothing shows its value all the same."""
    written(tmp_path, suggested(), ended(value=0.9))
    assert scalars(tmp_path, 1) == [("metric", 0, 0.9, 60)]


def test_a_retried_trial_goes_on_in_its_file(tmp_path):
    """Two session starts before the new attempt's first step: by the second TensorBoard forgets the old points."""
    retried = [Lost(AT, 1, 1, "preempted"), Started(AT, 1, 2, "executor")]
    points = [reported(step, attempt=2, acc=0.7) for step in (1, 2)]
    written(tmp_path, suggested(), reported(0, acc=0.1), reported(1, acc=0.2), *retried, *points)
    told = [(record.step, record.session_log.status) for record in records(tmp_path, 1)][2:]
    assert told == [(0, 0), (1, 0), (1, 1), (1, 1), (1, 0), (2, 0)]


def test_trials_have_runs_of_their_own(tmp_path):
    """Directories are trial numbers; promotions have theirs; other events leave no trace."""
    log = [StudyOpened(AT, {"name": "../x"}), suggested(1), suggested(2, parent=1), StudyClosed(AT, "done")]
    board = written(tmp_path, *log)
    assert sorted(path.name for path in board.directory.iterdir()) == ["1", "2", "position"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tensorboard"]


def test_the_same_log_gives_the_same_bytes(tmp_path):
    """A resumed study shows its history again: files are written anew, a torn end is mended, and then it goes on."""
    log = [suggested(params={"b": 1, "a": "x"}), reported(0, acc=0.5), reported(1, acc=0.6), ended(metrics={"acc": 1})]
    board = written(tmp_path / "once", *log)
    once = (board.directory / "1" / tensorboard.FILE).read_bytes()
    file = written(tmp_path / "twice", *log[:2]).directory / "1" / tensorboard.FILE
    file.write_bytes(file.read_bytes()[:-3])
    written(tmp_path / "twice", *log)
    assert file.read_bytes() == once


def test_the_files_say_how_much_of_the_log_they_hold(tmp_path):
    """So that a resumed study of many trials need not show all of them again."""
    assert TensorBoard(tmp_path / "none").complete() == 0
    board = written(tmp_path, suggested(), reported(0, acc=0.5), ended())
    assert board.complete() == board.position == 3
    (board.directory / sink.POSITION).write_text("torn…")
    assert board.complete() == 0


def test_files_that_lack_something_do_not_say_otherwise(tmp_path, monkeypatch):
    """What was dropped is shown when the study is resumed."""
    board = TensorBoard(tmp_path, max_batches=0)
    board.recorded([suggested()])
    board.close(30)
    assert (board.dropped, board.complete()) == (1, 0)


def test_without_its_history_a_trial_is_appended_to(tmp_path):
    """A second writer that does not see the suggestion adds to the file and writes no second head."""
    written(tmp_path, suggested(), reported(0, acc=0.5))
    written(tmp_path, reported(1, acc=0.6), ended())
    assert [record.file_version for record in records(tmp_path, 1)].count("brain.Event:2") == 1
    assert [point[1] for point in scalars(tmp_path, 1)] == [0, 1]


def test_half_a_surrogate_pair_is_no_trouble(tmp_path):
    """JSON may carry text that UTF-8 cannot; a question mark is better than no files."""
    board = written(tmp_path, suggested(params={"a\ud800": "\udfff"}), reported(0, **{"m\ud800": 1.0}))
    assert board.trouble is None
    assert scalars(tmp_path, 1)[0][0] == "m?"


def test_much_is_written_in_pieces(tmp_path, monkeypatch):
    """A long history is not held in memory; pieces make the same file."""
    monkeypatch.setattr(tensorboard, "MAX_GATHERED", 100)
    written(tmp_path, suggested(), *(reported(step, acc=0.5) for step in range(50)))
    assert [point[1] for point in scalars(tmp_path, 1)] == list(range(50))


# -- never in the way ----------------------------------------------------------------------------------------------


class Blocked:
    """Stands for a disk that hangs: the thread is in its hands until it is released."""

    def __init__(self, monkeypatch) -> None:
        self.entered, self.released = threading.Event(), threading.Event()
        take = tensorboard._Runs.take

        def taken(runs, event) -> None:
            self.entered.set()
            self.released.wait(30)
            take(runs, event)

        monkeypatch.setattr(tensorboard._Runs, "take", taken)


def test_a_full_queue_drops_and_counts(tmp_path, monkeypatch):
    """Recording never waits for the disk; what is lost is said."""
    disk = Blocked(monkeypatch)
    board = TensorBoard(tmp_path, max_batches=2)
    board.recorded([suggested(1)])
    assert disk.entered.wait(30)
    for trial in range(2, 7):
        board.recorded([suggested(trial)])
    assert board.dropped == 3
    disk.released.set()
    board.close(30)
    assert board.trouble is not None
    assert "lack 3 batches of events" in board.trouble
    assert sorted(path.name for path in board.directory.iterdir()) == ["1", "2", "3"]


def test_closing_gives_up_in_time(tmp_path, monkeypatch):
    """A disk that hangs does not hold up the study's result, and nothing is written afterwards."""
    disk = Blocked(monkeypatch)
    board = TensorBoard(tmp_path)
    board.recorded([suggested(1), suggested(2)])
    assert disk.entered.wait(30)
    board.close(0.01)
    assert "not finished within 0.01 s" in (board.trouble or "")
    disk.released.set()
    board._thread.join(30)
    assert not board._thread.is_alive()
    assert not board.directory.exists()


def test_a_disk_that_fails_turns_it_off(tmp_path):
    """An error is kept as a sentence; recording goes on being harmless."""
    (tmp_path / "tensorboard").write_text("in the way")
    board = written(tmp_path, suggested())
    assert board.trouble is not None
    assert board.trouble.startswith("TensorBoard files are no longer written: ")
    board.recorded([reported(0, acc=1.0)])
    assert board._batches.qsize() <= 1


def test_nothing_is_recorded_after_the_end(tmp_path):
    """An event that comes late is ignored, not written behind the user's back."""
    board = written(tmp_path, suggested())
    board.recorded([reported(0, acc=1.0)])
    assert board._batches.empty()
    assert scalars(tmp_path, 1) == []


def test_a_study_without_trials_leaves_nothing(tmp_path):
    """No events, no files, and closing does not wait for any."""
    board = written(tmp_path)
    assert (board.trouble, list(tmp_path.iterdir())) == (None, [])


def test_tensorboardx_is_imported_late():
    """Importing the module costs nothing: tensorboardX, numpy and protobuf come with the first thread."""
    code = (
        "import sys, maggy.views.tensorboard; print(*{'tensorboardX', 'numpy', 'google.protobuf'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
