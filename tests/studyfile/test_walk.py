"""The walk through Diviner's README, from end to end: a study runs, and others look at it meanwhile.

The study is that of examples/, with a grid of eight. What it prints is compared with the README's layouts, in which
`<…>` stands for what is never twice the same.
"""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from waiting import until

pytest.importorskip("starlark_go")
ROOT = Path(__file__).parents[2]
KINDS = {
    "<clock>": r"\d{1,2}:\d\d[AP]M",
    "<date>": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}(?: [A-Z+-]\w*)?",
    "<time>": r"(?:\d+m)?\d+(?:\.\d+)?(?:ms|s)",
    "<number>": r"\d+(?:\.\d+)?",
    "<word>": r"\S+",
    "<digit>": r"\d",
    "<spaces>": " *",
}
GRID = {
    "discrete(1, 10, 50, 100)": "discrete(1, 3)",
    "discrete(32, 64, 128, 256)": "discrete(32, 256)",
    "discrete(0.001, 0.01, 0.1, 1.0)": "discrete(0.1, 1.0)",
}
# The last epoch's loss is computed when the test says so.
WAITS = "    while epoch == 3 and not __import__('os').path.exists('{}'):\n        __import__('time').sleep(0.05)\n"
LOSS = "    loss, right"


def like(layout, text):
    """Tell whether a text has this layout, from its first line to its last."""
    expected = re.escape(layout.strip())
    for kind, expression in KINDS.items():
        expected = expected.replace(re.escape(kind), expression)
    return re.fullmatch(expected, text.strip()) is not None


@pytest.fixture
def walk(tmp_path):
    """Give a function that starts `maggy` in a directory with the example, as a user with this Python would."""
    study = (ROOT / "examples" / "digits.dv").read_text()
    for before, after in GRID.items():
        assert before in study
        study = study.replace(before, after)
    (tmp_path / "digits.dv").write_text(study)
    script = (ROOT / "examples" / "train_digits.py").read_text()
    assert script.count(LOSS) == 1
    (tmp_path / "train_digits.py").write_text(script.replace(LOSS, WAITS.format(tmp_path / "go") + LOSS))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    clean = {key: value for key, value in os.environ.items() if key != "MAGGY_STORE"}
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "maggy", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=clean | more, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(walk, *arguments):
    process = walk(*arguments)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out


RUN = """
run digits:6:
    state:     pending
    created:   <date>
    runtime:   <time>
    restarts:  0
    replicate: 0
    values:
        batch_size:    32
        epochs:        3
        learning_rate: 1
"""
METRICS = """\
    metrics:
        loss: <number>
"""
REPORTS = """\
    metrics[0]:
        loss: <number>
    metrics[1]:
        loss: <number>
    script:
        python train_digits.py \\
        \t--batch-size 32 \\
        \t--lr 1.000000 \\
        \t--epochs 3
"""
LOG = """
maggy: started run (try 1) at <date> on <word>
+ python train_digits.py --batch-size 32 --lr 0.100000 --epochs 1
Train Epoch: 1 [300/1200 (25%)] Loss: <number>
Train Epoch: 1 [600/1200 (50%)] Loss: <number>
Train Epoch: 1 [900/1200 (75%)] Loss: <number>
Train Epoch: 1 [1200/1200 (100%)] Loss: <number>
Test set: Average loss: <number>, Accuracy: <number>%
"""
STATUS = "pending running: Train Epoch: 3 [1200/1200 (100%)] Loss: <number>"
PENDING = f"""
digits:5 <clock> <time><spaces> {STATUS}
digits:6 <clock> <time><spaces> {STATUS}
digits:7 <clock> <time><spaces> {STATUS}
digits:8 <clock> <time><spaces> {STATUS}
"""
BOARD = (
    """
study    replicates loss<spaces> batch_size learning_rate
"""
    + "digits:<digit> 0          <number><spaces> <number><spaces> <number>\n" * 4
)


@pytest.mark.timeout(300)
def test_the_walk_through_the_readme(walk, tmp_path):
    """`run -stream -trials 5`, and `list`, `info`, `info -v`, `leaderboard` and `logs` from other processes."""
    ask = partial(said, walk)
    running = walk("run", "-stream", "-trials", "5", "digits.dv")
    logs = [tmp_path / "maggy_logs" / "digits" / f"{trial}" / "output.log" for trial in range(5, 9)]
    until(lambda: all(log.exists() and "Epoch: 3 [1200" in log.read_text() for log in logs), 180)

    assert like(PENDING, ask("list", "-runs", "-state", "pending", "-s"))
    assert like(RUN + METRICS, ask("info", "digits:6"))
    assert like(RUN + REPORTS, ask("info", "-v", "digits:6"))
    assert like(LOG, ask("logs", "digits:1"))
    board = ask("leaderboard", "digits")
    assert like(BOARD, board)
    values = [float(row.split()[2]) for row in board.splitlines()[1:]]
    assert values == sorted(values)

    following = walk("logs", "-f", "digits:6")
    (tmp_path / "go").touch()
    followed, _ = following.communicate(timeout=120)
    assert followed.count("Test set:") == 3
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (0, "")
    assert err.startswith("performing trials for studies: digits\ndigits: streaming 5 trials at a time\n")
    assert ask("list") == "digits\n"
    assert len(ask("list", "-runs", "-state", "success").splitlines()) == 8
    assert ask("list", "-runs", "-state", "pending") == ""
    header = ask("leaderboard", "-n", "0", "digits").splitlines()[0]
    assert header.split() == ["study", "replicates", "loss", "batch_size", "epochs", "learning_rate"]
