"""The view of a study in a notebook: one output that is replaced, bounded, escaped, and left in a final state."""

import os
import signal
import sys
import time
import types
from itertools import count

import pytest

from maggy.events import Ended, Reported, Started, StudyClosed, StudyOpened, Suggested
from maggy.study import Study
from maggy.views import notebook
from maggy.views.console import Console
from maggy.views.live import picture
from maggy.views.markup import Markup, joined, tag
from maggy.views.notebook import Notebook

AT = 1_800_000_000.0
EVIL = "<script>alert(1)</script>"


def study(trials=8, reports=5, executors=3, running=0, direction="max", **param):
    """Make a study of which some trials have failed and some were stopped."""
    space = {"lr": {"type": "float", "low": 0.0, "high": 1.0}}
    settings = {"name": "digits", "metric": "acc", "direction": direction, "searchspace": space}
    log = [StudyOpened(AT, {**settings, "optimizer": {"name": "asha"}, "num_trials": trials + 5})]
    for number in range(1, trials + running + 1):
        at, who = AT + number // executors * 10, f"host-7-{number % executors}-ab"
        log += [Suggested(at, number, {"lr": 0.25, **param}, None, None, 0), Started(at, number, 1, who)]
        log += [Reported(at + step, number, 1, step, {"acc": number + step / 9}) for step in range(reports)]
        if number <= trials:
            how = ("completed", "stopped", "completed", "failed")[number % 4]
            why, error = "median rule" if how == "stopped" else None, "E: bad" if how == "failed" else None
            log.append(Ended(at + 9, number, 1, how, number * 1.0 if how == "completed" else None, {}, why, error))
    return Study.of(log)


class Cell:
    """A front end that keeps what it is sent."""

    def __init__(self):
        self.sent = []

    def __call__(self, html, text):
        self.sent.append((html, text))

    @property
    def html(self):
        return self.sent[-1][0]


def made(show=None):
    cell, clock = show or Cell(), types.SimpleNamespace(now=0.0)
    return Notebook(cell, clock=lambda: clock.now, now=lambda: AT + 30), cell, clock


# -- markup --------------------------------------------------------------------------------------------------------


def test_text_is_escaped_and_markup_is_not():
    """Only what `tag` has made stands as it is."""
    assert tag("td", "<b>", tag("i", "&"), 7) == "<td>&lt;b&gt;<i>&amp;</i>7</td>"
    assert isinstance(joined("<"), Markup)


def test_attributes_are_escaped():
    """A value cannot end its quotes; None and False are left out, True has no value."""
    made = tag("a", href='"><script>', class_="x", data_live="1", hidden=True, title=None, open=False)
    assert made == '<a href="&quot;&gt;&lt;script&gt;" class="x" data-live="1" hidden></a>'


# -- the picture ---------------------------------------------------------------------------------------------------


def test_a_picture_says_how_the_study_stands():
    """Counts, the best with its parameters, executors with their share of the time, and what ended last."""
    html = picture(study(running=1), elapsed=61, now=AT + 30, state="running", reports_per_s=120)
    for words in ("digits", "maximize acc · asha", "1:01", "4 completed", "2 stopped", "2 failed", "1 running"):
        assert words in html, words
    for words in ("9 of 13 sampled", "120 reports/s", "trial 6", "3 executors", "median rule", "E: bad"):
        assert words in html, words
    assert html.count("<svg") == 5


def test_the_best_so_far_rises_or_falls_as_asked():
    """The green line is the running best of the direction: 8 in a study that maximizes, 2 in one that minimizes."""
    assert ">8</b>" in picture(study(), elapsed=1, now=AT)
    assert ">2</b>" in picture(study(direction="min"), elapsed=1, now=AT)


def test_a_study_without_anything_has_a_picture():
    """Neither trials nor curves nor executors are needed."""
    html = picture(Study.of([StudyOpened(AT, {"name": "new"})]), elapsed=0, now=AT)
    assert "no trial has completed yet" in html


def test_an_ablation_has_no_best():
    """The best of its trials is the luckiest one; what each part does stands below, at the end."""
    ablation = study()
    ablation.settings["optimizer"] = {"name": "loco"}
    html = picture(ablation, elapsed=1, now=AT, told=[("without scale", "-0.485")])
    assert "best" not in html.partition("</style>")[2]
    assert "without scale" in html


def test_what_users_wrote_is_text_in_the_picture():
    """Names, values and notices bring no element of their own."""
    html = picture(
        study(evil=EVIL, **{"<img src=x>": 1}), elapsed=1, now=AT, notices=[EVIL], told=[(EVIL, EVIL)], state=EVIL
    )
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_a_picture_of_ten_thousand_trials_is_bounded():
    """It is not larger than that of a small study by much: what it lists and draws is sampled."""
    many = study(10_000, reports=20, executors=200)
    html = picture(many, elapsed=1, now=AT + 30)
    assert len(html) < 60_000
    assert "and 192 more" in html


def test_executors_are_busy_as_long_as_their_trials_ran():
    """An executor's time counts from its first trial; two of three trials of 9 s in 30 s are 60 %."""
    from maggy.views.sketches import lanes

    log = [StudyOpened(AT, {})]
    for number, start in ((1, 0), (2, 21)):
        log += [Suggested(AT, number, {}, None, None, 0), Started(AT + start, number, 1, "host-7-ab")]
        log.append(Ended(AT + start + 9, number, 1, "completed", 1.0, {}))
    [lane], busy = lanes(Study.of(log), AT + 30)
    assert busy == pytest.approx(0.6)
    assert lane.busy[0] == pytest.approx(1)
    assert lane.busy[60] == 0


# -- the cell ------------------------------------------------------------------------------------------------------


def test_a_cell_is_redrawn_at_most_once_a_second():
    """However often it is told of news."""
    shown, cell, clock = made()
    going = study()
    for tick in range(1000):
        clock.now = tick / 100
        going.position += 1
        shown.update(going, 3)
    assert 9 <= len(cell.sent) <= 11


def test_a_slow_picture_is_drawn_less_often():
    """Drawing takes a twentieth of the time at most."""
    shown, cell, clock = made()
    going, real = study(), shown._draw_study

    def slow(*args):
        clock.now += 1
        real(*args)

    shown._draw_study = slow
    for _ in range(400):
        clock.now += 0.1
        going.position += 1
        shown.update(going, 3)
    assert len(cell.sent) <= 3


def test_without_news_only_the_clock_goes_on():
    """A study in which nothing happens is drawn each five seconds."""
    shown, cell, clock = made()
    for tick in range(100):
        clock.now = tick / 5
        shown.update(study(), 3)
    assert 4 <= len(cell.sent) <= 5


def test_the_text_beside_it_is_a_terminals():
    """Whoever shows no HTML has the live line, and at the end the table."""
    shown, cell, _ = made()
    shown.update(study(), 3)
    assert cell.sent[-1][1].startswith("digits  8/13 done")
    shown.end(study(), 41, 3, places={"files": "logs/<digits>"})
    assert "8 trials in 0:41 on 3 executors" in cell.sent[-1][1]
    assert "files      logs/<digits>" in cell.sent[-1][1]
    assert "logs/&lt;digits&gt;" in cell.html


def test_an_interrupted_study_leaves_a_picture():
    """It says so, and how to go on."""
    shown, cell, _ = made()
    broken = study(running=1)
    broken.apply(StudyClosed(AT + 60, "interrupted"))
    shown.end(broken, 41, 3, resume="experiment.resume('digits', train_fn)")
    assert "interrupted" in cell.html
    assert "experiment.resume(&#x27;digits&#x27;, train_fn)" in cell.html


def test_a_study_that_was_broken_off_does_not_seem_to_run():
    """A second interrupt ends the call at once: no table, but the picture says that nothing goes on."""
    shown, cell, clock = made()
    shown.begin()
    shown.update(study(running=2), 3)
    assert ">running<" in cell.html
    clock.now = 30.0
    shown.close()
    assert "broken off: resume=True goes on with it" in cell.html
    assert ">running<" not in cell.html
    shown.close()
    assert len(cell.sent) == 2


def test_notices_stand_in_the_picture():
    """Those before the first picture too; of many the last are shown."""
    shown, cell, _ = made()
    shown.say("this one is called digits-2")
    assert "digits-2" in cell.html
    for number in range(20):
        shown.warn(f"number {number}")
    shown.update(study(), 3)
    assert "Warning: number 19" in cell.html
    assert "number 2<" not in cell.html


def test_a_call_that_fails_before_its_study_begins_leaves_what_was_said():
    """The words that Spark is being started go away."""
    shown, cell, _ = made()
    shown.begin("starting Spark")
    assert "starting Spark" in cell.html
    shown.say("a notice")
    shown.close()
    assert "starting Spark" not in cell.html
    assert "a notice" in cell.html


def test_a_front_end_that_has_gone_fails_nothing(capsys):
    """It is told once, and the table goes where it goes elsewhere."""

    def gone(html, text):
        raise OSError("no kernel")

    shown, _, _ = made(gone)
    shown.update(study(), 3)
    shown.update(study(), 3)
    shown.end(study(), 41, 3)
    printed = capsys.readouterr()
    assert printed.err == "the notebook shows nothing more (OSError: no kernel)\n"
    assert "8 trials in 0:41 on 3 executors" in printed.out


def test_f41_a_picture_that_cannot_be_drawn_fails_nothing(monkeypatch, capsys):
    """It is told once, and the study goes on without."""

    def broken(*args, **more):
        raise ZeroDivisionError("no picture")

    monkeypatch.setattr(notebook, "picture", broken)
    shown, _, clock = made()
    for clock.now in range(10):
        shown.update(study(), 3)
    shown.end(study(), 41, 3)
    printed = capsys.readouterr()
    assert printed.err == "the notebook shows nothing more (ZeroDivisionError: no picture)\n"
    assert "8 trials in 0:41 on 3 executors" in printed.out


def test_elsewhere_there_is_a_terminals_line(monkeypatch):
    """No kernel, no picture; quiet is quiet in a notebook as well."""
    assert type(notebook.console()) is Console
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(notebook, "_cell", Cell)
    assert type(notebook.console()) is Notebook
    assert type(notebook.console(quiet=True)) is Console
    assert type(notebook.console(live=False)) is Console


def test_where_pictures_cannot_be_replaced_the_last_one_is_shown(monkeypatch, capsys):
    """Runtimes of Databricks without a kernel have `displayHTML`, which only adds; notices are lines there."""
    shown = []
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "10.4")
    monkeypatch.setattr(sys.modules["__main__"], "displayHTML", shown.append, raising=False)
    view = notebook.console()
    view.begin("starting Spark")
    view.update(study(), 3)
    view.warn("no executor")
    assert shown == []
    assert capsys.readouterr().err == "Warning: no executor\n"
    view.end(study(), 41, 3)
    assert len(shown) == 1


def test_on_databricks_the_last_picture_is_an_output_of_its_own(monkeypatch):
    """Where a cell shows no updates nobody is left with a study that seems to wait; else there is one picture."""
    cells = []

    def cell():
        cells.append(Cell())
        return cells[-1]

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    monkeypatch.setattr(notebook, "_cell", cell)
    view = notebook.console()
    view.begin()
    view.update(study(), 3)
    view.end(study(), 41, 3)
    first, last = cells
    assert first.sent[-1] == ("", "")
    assert len(last.sent) == 1
    assert "0:41" in last.html


# -- a real kernel -------------------------------------------------------------------------------------------------

TRAIN = """
import time
from maggy import Searchspace, experiment

def train_fn(x, reporter):
    for step in range(5):
        time.sleep(0.05)
        reporter.broadcast(x, step=step)
    if x > 0.9:
        raise ValueError("<script>too large</script>")
"""
RUN = """result = experiment.lagom(
    train_fn, Searchspace(x=(0.0, 1.0)), "randomsearch", num_trials={trials}, num_executors=2, launcher="local",
    name="nb", seed=3)"""


class Kernel:
    """A kernel, and what it has been asked to display."""

    def __init__(self, folder, *cells):
        nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
        pytest.importorskip("ipykernel", reason="there is no kernel")
        self.book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        self.client = nbclient.NotebookClient(
            self.book, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        self.messages, self._process = [], self.client.process_message
        self.client.process_message = self._heard

    def _heard(self, message, cell, index):
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.messages.append((message["msg_type"], message["content"]["data"]["text/html"]))
            self.shown()
        return self._process(message, cell, index)

    def shown(self):
        """Take note of a picture."""

    def run(self):
        self.client.execute()
        return [cell.outputs for cell in self.book.cells]


@pytest.mark.filterwarnings("default")
def test_a_study_in_a_notebook_has_one_output(tmp_path):
    """It is displayed once, replaced as the study goes on, and what is saved is the last state, with text beside it."""
    kernel = Kernel(tmp_path, TRAIN, RUN.format(trials=12), "result.best_value")
    _, outputs, best = kernel.run()
    assert [output["output_type"] for output in outputs] == ["display_data"]
    kinds = [kind for kind, _ in kernel.messages]
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    data = outputs[0]["data"]
    assert data["text/html"] == kernel.messages[-1][1]
    assert "12 trials in" in data["text/plain"]
    assert "<script" not in data["text/html"]
    assert 0 < float(best[0]["data"]["text/plain"]) <= 0.9


@pytest.mark.filterwarnings("default")
def test_an_interrupted_cell_leaves_a_result_and_a_picture(tmp_path):
    """The cell goes on with what there is: lagom returns, and says how to go on."""
    kernel = Kernel(tmp_path, TRAIN, RUN.format(trials=5000), "result.interrupted, len(result.trials) > 0")
    asked = count()

    def shown():
        if " completed</span>" in kernel.messages[-1][1] and not next(asked):
            os.kill(kernel.client.km.provisioner.pid, signal.SIGINT)

    kernel.shown = shown
    began = time.monotonic()
    _, outputs, told = kernel.run()
    assert time.monotonic() - began < 90
    assert told[0]["data"]["text/plain"] == "(True, True)"
    [output] = outputs
    assert "interrupted" in output["data"]["text/html"]
    assert "experiment.resume" in output["data"]["text/html"]
