"""Tests of maggy.views.console."""

import asyncio
import io
import re

import pytest

from maggy.events import Ended, Started, StudyClosed, StudyOpened, Suggested
from maggy.optimizers import Loco
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play
from maggy.views import console, summary
from maggy.views.console import Console

AT = 1_700_000_000.0


class Tty(io.StringIO):
    """A terminal of 80 columns that remembers what it was sent."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Gone(Tty):
    """A terminal whose window was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    """Make the terminal what it is on no particular machine; no test may leave its live line lit."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    yield
    assert not console._last_line.locked()


def digits(reason="done", lr=0.25, error="ValueError: bad") -> Study:
    study = Study.of([StudyOpened(AT, {"name": "digits", "metric": "acc", "num_trials": 3})])
    ends = [
        ("completed", 0.97, None, None),
        ("stopped", 0.5, "median rule: too low", None),
        ("failed", None, None, error),
    ]
    for trial, (status, value, why, problem) in enumerate(ends, 1):
        study.apply(Suggested(AT, trial, {"lr": lr, "layers": [64, 32]}, None, None, 0))
        study.apply(Started(AT, trial, 1, "executor"))
        study.apply(Ended(AT, trial, 1, status, value, {}, why, problem))
    study.apply(StudyClosed(AT, reason))
    return study


def made(**kwargs) -> tuple[Console, Tty, Tty, Clock]:
    out, err, clock = Tty(), Tty(), Clock()
    return Console(out=out, err=err, clock=clock, **kwargs), out, err, clock


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# -- the live line -------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_live_line():
    """The line goes to stderr, in colours, and says how far the study is."""
    shown, out, err, _ = made()
    shown.update(digits(), 4)
    shown.close()
    assert "digits  3/3 done · 0 running · 1 stopped · 1 failed · best 0.97" in bare(err.getvalue())
    assert "\x1b[1mdigits" in err.getvalue()
    assert out.getvalue() == ""


def test_a_debugger_gets_the_terminal_to_itself():
    """Without a live line notices and the table are shown all the same."""
    shown, out, err, _ = made(live=False)
    shown.begin("starting")
    shown.update(digits(), 4)
    shown.say("a notice")
    shown.end(digits(), 1)
    assert bare(err.getvalue()) == "a notice\n"
    assert "digits" in out.getvalue()


def test_the_line_is_redrawn_at_most_five_times_a_second():
    """Updates come as they like; between redraws they cost nothing."""
    shown, _, err, clock = made()
    study = digits()
    lines = []
    for tick in range(1000):
        clock.now = tick / 100
        study.sampled += 1  # so that each line is another
        shown.update(study, 4)
        lines.append(err.getvalue())
    shown.close()
    assert 40 <= len(set(lines)) <= 10 / console.REDRAW + 1


def test_a_line_that_has_not_changed_is_not_drawn_again():
    """Nothing new means nothing sent: no flicker."""
    shown, _, err, clock = made()
    shown.update(digits(), 4)
    before = err.getvalue()
    clock.now = 0.5
    shown.update(digits(), 4)
    assert err.getvalue() == before
    shown.close()


@pytest.mark.parametrize("columns", ["20", "43", "80"])
def test_the_line_never_wraps(monkeypatch, columns):
    """It stays below the width of the terminal, whatever the width."""
    monkeypatch.setenv("COLUMNS", columns)
    shown, _, err, _ = made()
    shown.update(digits(), 4)
    assert 0 < len(bare(err.getvalue())) < int(columns)
    shown.close()


def test_the_line_is_taken_away_at_the_end():
    """The cursor comes back, the line is erased, and later updates draw nothing."""
    shown, _, err, clock = made()
    shown.update(digits(), 4)
    shown.close()
    after = err.getvalue()
    assert "\x1b[?25h" in after
    assert after.endswith("\x1b[2K")
    clock.now = 9.0
    shown.update(digits(), 4)
    assert err.getvalue() == after


def test_the_rate_is_that_of_the_last_seconds(monkeypatch):
    """Reports per second are averaged over a short while: neither history nor the time before counts."""
    monkeypatch.setenv("COLUMNS", "120")
    shown, _, err, clock = made()
    study = digits()
    study.reports = 1_000_000
    for clock.now in range(10):
        study.reports += 300 if clock.now > 4 else 0
        shown.update(study, 4)
    shown.close()
    rates = re.findall(r"(\d+) reports/s", bare(err.getvalue()))
    assert rates[:10] == ["0", "0", "0", "0", "0", "100", "200", "300", "300", "300"]


def test_before_there_is_a_study_the_line_says_what_is_done():
    """Starting Spark takes seconds; they should not be silent."""
    shown, _, err, _ = made()
    shown.begin("starting Spark")
    assert "starting Spark" in err.getvalue()
    shown.close()


def test_of_studies_side_by_side_one_has_the_line():
    """Two live lines would overwrite each other; the second study gets the line when the first has ended."""
    first, _, _, _ = made()
    second, _, err, clock = made()
    first.update(digits(), 4)
    second.update(digits(), 4)
    assert err.getvalue() == ""
    first.close()
    clock.now = 1.0
    second.update(digits(), 4)
    assert "digits" in err.getvalue()
    second.close()


@pytest.mark.parametrize("why", ["a pipe", "a dumb terminal"])
def test_without_a_proper_terminal_there_is_no_line(monkeypatch, why):
    """Pipes, notebooks and dumb terminals get nothing live."""
    if why == "a dumb terminal":
        monkeypatch.setenv("TERM", "dumb")
    err = io.StringIO() if why == "a pipe" else Tty()
    shown = Console(err=err)
    shown.begin("starting Spark")
    shown.update(digits(), 4)
    assert err.getvalue() == ""


def test_continuous_integration_is_no_terminal(monkeypatch):
    """FORCE_COLOR makes rich believe in a terminal; a live line in a log file would be pages of it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    err = io.StringIO()
    shown = Console(err=err)
    shown.update(digits(), 4)
    assert err.getvalue() == ""


def test_an_event_loop_in_the_thread_is_no_obstacle():
    """Notebooks run an asyncio loop in the thread that calls."""

    async def cell() -> None:
        shown, out, _, _ = made()
        shown.update(digits(), 4)
        shown.end(digits(), 41)
        assert "best acc" in out.getvalue()

    asyncio.run(cell())


# -- notices -------------------------------------------------------------------------------------------------------


def test_a_notice_goes_above_the_line():
    """The line is erased, the notice printed, the line drawn again."""
    shown, _, err, _ = made()
    shown.update(digits(), 4)
    shown.say("going on with study 'digits'")
    assert re.search(r"2Kgoing on with study 'digits'\n.*digits  3/3 done", bare(err.getvalue()).replace("\r", "2K"))
    shown.close()


def test_a_warning_is_loud():
    """It is bold and yellow in a terminal, and begins with the word anywhere."""
    shown, _, err, _ = made()
    shown.warn("train_fn never reports")
    assert err.getvalue() == "\x1b[1;33mWarning: train_fn never reports\x1b[0m\n"


def test_notices_reach_pipes_too():
    """Without a terminal a notice is a plain line."""
    err = io.StringIO()
    Console(err=err).warn("no executor …")
    assert err.getvalue() == "Warning: no executor .\n"


def test_notices_follow_the_stream_of_the_moment(capsys):
    """Streams are looked up when they are used: whoever replaces sys.stderr gets the notice."""
    Console().say("hello")
    assert capsys.readouterr().err == "hello\n"


# -- the closing table ---------------------------------------------------------------------------------------------

TABLE = """
digits  3 trials in 0:41 on 4 executors: 1 completed, 1 stopped, 1 failed

ended early   interrupted

best acc      0.97  (trial 1)
  lr          0.25
  layers      [64,32]
by default    0.5  (trial 2)

stopped       median rule  (trial 2)
failed        ValueError: bad  (trial 3)

study         maggy.db
go on with    resume=True

"""


@pytest.mark.parametrize("stream", [io.StringIO, Tty])
def test_the_table_is_the_same_everywhere(stream):
    """A pipe gets the table of a terminal without its colours."""
    out, study = stream(), digits("interrupted")
    Console(out=out, err=io.StringIO()).end(
        study, 41, 4, places={"study": "maggy.db"}, resume="resume=True", default=study.trials[2]
    )
    assert bare(out.getvalue()) == TABLE
    assert ("\x1b" in out.getvalue()) is (stream is Tty)


def test_rows_are_left_to_the_terminal_to_wrap():
    """A command that is wider than the terminal can be copied in one piece."""
    shown, out, _, _ = made()
    command = "tensorboard --logdir /" + "long/" * 30
    shown.end(digits(), 41, places={"TensorBoard": command})
    assert command in out.getvalue()


def test_a_pipe_gets_ascii():
    """What is cut is cut with ASCII where there is no terminal."""
    out = io.StringIO()
    Console(out=out).end(digits(error="E" * 999), 41)
    assert out.getvalue().isascii()


def test_what_users_wrote_is_not_markup():
    """Brackets are shown as they are, escape sequences not at all."""
    shown, out, _, _ = made()
    shown.end(digits(lr="[bold]x[/bold]", error="E: [red]\x1b[2Jbad\x07"), 41)
    assert "[bold]x[/bold]" in out.getvalue()
    assert "E: [red]bad" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_study_without_a_best_says_why_once():
    """The reason takes the best's place and is not repeated below."""
    study = Study.of([StudyOpened(AT, {}), Suggested(AT, 1, {}, None, None, 0), Started(AT, 1, 1, "executor")])
    study.apply(Ended(AT, 1, 1, "failed", None, {}, None, "OSError: disk full"))
    out = io.StringIO()
    Console(out=out).end(study, 1)
    assert "no best   The only trial failed with: OSError: disk full (trial 1)." in out.getvalue()
    assert out.getvalue().count("disk full") == 1


def test_many_ways_to_fail_are_not_all_listed():
    """Three are named, the rest is counted."""
    log = [StudyOpened(AT, {})]
    for trial in range(1, 11):
        log += [Suggested(AT, trial, {}, None, None, 0), Started(AT, trial, 1, "executor")]
        log += [Ended(AT, trial, 1, "failed", None, {}, None, f"E: {trial}")]
    out = io.StringIO()
    Console(out=out).end(Study.of(log), 1)
    assert "7 trials for 7 other reasons" in out.getvalue()
    assert "E: 4" not in out.getvalue()


def test_a_stream_that_knows_only_ascii_is_no_error():
    """What it cannot take becomes a question mark."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(out=out).end(digits(lr="größe"), 1)
    out.seek(0)
    assert "gr??e" in out.read()


# -- peace and quiet -----------------------------------------------------------------------------------------------


def test_quiet_is_silent():
    """Nothing at all is printed, loud or not."""
    shown, out, err, _ = made(quiet=True)
    shown.begin("starting Spark")
    shown.update(digits(), 4)
    shown.say("a")
    shown.warn("b")
    shown.end(digits(), 41)
    assert out.getvalue() + err.getvalue() == ""


def test_a_terminal_that_has_gone_fails_nothing():
    """Whoever closes the window loses the view, not the study."""
    shown = Console(out=Gone(), err=Gone())
    shown.begin("starting Spark")
    shown.update(digits(), 4)
    shown.say("a")
    shown.end(digits(), 41)
    assert not shown._live


def test_of_many_effects_the_worst_and_the_best_are_shown():
    """An ablation of 30 parts has no closing table of 31 rows; a long label keeps its distance to what it says."""
    space = Searchspace({f"part_with_a_rather_long_name_{number}": [True, False] for number in range(30)})
    study = play(
        Loco(), lambda trial: sum(3.0**-rank * on for rank, on in enumerate(trial.params.values())), searchspace=space
    )
    study.settings["optimizer"] = {"name": "loco"}
    told = console.rows(summary.table(study), {})
    assert told[0][:2] == ("reference", "1.5")
    assert (told[1][0], told[1][1]) == ("without part_with_a_rather_long_name_0", "-1")
    assert told[8][1] == "… 4 more: print(result.ablation)"
    assert len(told) == 17
    assert "name_0  -1" in console.laid_out(told).plain
