"""What trials print, as their files have it."""

import pytest

from maggy.driver.logs import TrialLogs
from maggy.events import Ended
from maggy.rpc.messages import Log


def written(folder, *texts, ended=True):
    logs = TrialLogs(folder, verbose=False)
    for text in texts:
        logs.write(Log(1, 1, text))
    if ended:
        logs.recorded([Ended(0.0, 1, 1, "completed", 1.0, {})])
    logs.close(timeout=30)
    assert logs.trouble is None
    return (folder / "1" / "output.log").read_bytes().decode()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["one\n", "two"], "one\ntwo"),
        (["one\n10%\r", "20%\r", "30%\r", "done\n"], "one\ndone\n"),
        (["\r10%", "\r20%", "\r30%"], "30%\n"),
        (["10%\r20", "%\r"], "20%\n"),
        (["é%\r", "ü\r", "x\ny"], "x\ny"),
        (["windows\r\n", "lines\r", "\n"], "windows\nlines\n"),
        (["a\x0bb\u2028c\rd\n"], "d\n"),
        (["x" * 9000, "\ry\n"], "x" * 9000 + "y\n"),  # too long to be a progress bar
    ],
)
def test_a_carriage_return_begins_the_line_anew(tmp_path, texts, expected):
    """As on a terminal: a progress bar is one line, the last one it drew."""
    assert written(tmp_path, *texts) == expected


def test_the_last_line_of_the_file_is_how_the_trial_stands(tmp_path):
    """Also while the bar is being drawn."""
    assert written(tmp_path, "started\n", "epoch 1: 10%\r", "epoch 1: 20%\r", ended=False) == "started\nepoch 1: 20%"
