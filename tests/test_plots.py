"""Pictures of studies: what is in them, and that nothing that users wrote is more than text."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from maggy import Result
from maggy.earlystop import Median
from maggy.errors import ConfigError
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.optimizers import Asha, Loco, RandomSearch
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play
from maggy.views.plots.base import axes
from maggy.views.plots.importance import importances
from maggy.views.summary import called

pytest.importorskip("plotly", reason="plotly is not installed")

SPACE = Searchspace(
    lr={"type": "float", "low": 1e-5, "high": 0.1, "log": True},
    noise=(0.0, 1.0),
    kernel=["linear", "poly"],
)
SPACE.add("degree", {"type": "integer", "low": 2, "high": 5, "when": {"kernel": "poly"}})


def good(trial):
    return -((math.log10(trial.params["lr"]) + 3) ** 2)


def curve(trial):
    for step in range(1, int(trial.budget or 9) + 1):
        yield good(trial) * (1 + 1 / step)


def played(optimizer=None, function=good, **settings):
    settings = {"searchspace": SPACE, "num_trials": 60, "workers": 3} | settings
    return Result("digits", play(optimizer or RandomSearch(), function, **settings))


@pytest.fixture(scope="module")
def random():
    return played(function=curve, rules=[Median()])


@pytest.fixture(scope="module")
def asha():
    return played(Asha(resource_max=9), curve, num_trials=27)


ALL = ("history", "curves", "timeline", "importance", "slice", "parallel", "contour")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("direction", ["max", "min"])
def test_every_picture_can_be_drawn(name, direction, random):
    """Of a study with stopped trials, conditional parameters, logarithms and categories; what it is made of is JSON."""
    result = random if direction == "max" else played(function=curve, direction="min")
    drawn = json.loads(getattr(result, f"plot_{name}")().to_json())
    assert drawn["data"]
    assert drawn["layout"]["title"]["text"].startswith("<b>study</b>")


def test_history_has_the_best_so_far():
    """The line never gets worse, and ends at the best of all."""
    for direction, better in (("max", max), ("min", min)):
        result = played(direction=direction)
        *trials, line = result.plot_history().data
        assert line.y[-1] == result.best_value
        assert list(line.y) == [better(line.y[: index + 1]) for index in range(len(line.y))]
        assert len(trials[0].x) == 60


def test_history_tells_budgets_apart(asha):
    """What was measured at another budget is no rival: the line is of the largest."""
    *trials, line = asha.plot_history().data
    assert [trace.name for trace in trials] == ["budget 1", "budget 3", "budget 9"]
    assert line.y[-1] == asha.best_value


def test_curves_are_few_traces(random):
    """One for each status, with gaps between trials, and the best over all of them."""
    traces = random.plot_curves().data
    assert [trace.name for trace in traces][:2] == ["completed", "stopped"]
    assert traces[-1].name == "best"
    assert list(traces[-1].y[:-1]) == [value for _, value in random.best_trial.curve.points()]


def test_rungs_join_trials_with_those_they_continue(asha):
    """A line for each promotion, and a place for each budget."""
    lines, *_ = figure = asha.plot_rungs().data
    promoted = [trial for trial in asha.trials if trial.parent]
    assert list(lines.x[:2]) == [1, 3]
    assert len(lines.x) == 3 * len(promoted)
    assert len(figure[1].x) == len(asha.trials)
    assert list(asha.plot_rungs().layout.xaxis.tickvals) == [1, 3, 9]


def test_rungs_of_trials_that_are_stopped_are_what_they_have_done(random):
    """ASHA by stopping, or a stop rule: there is no budget of a trial's own."""
    done = {trial.curve.units() for trial in random.trials}
    drawn = {x for trace in random.plot_rungs().data for x in trace.x}
    assert drawn == done


def test_the_timeline_has_a_row_for_each_executor():
    """A bar is as long as its trial, and begins where that did."""
    study = Study()
    study.apply(StudyOpened(0.0, {"name": "digits", "searchspace": {"x": [1, 2]}}))
    for trial, executor, started, ended in [(1, "b", 100.0, 104.0), (2, "a", 102.0, 110.0), (3, "b", 105.0, 107.0)]:
        study.apply(Suggested(0.0, trial, {"x": 1}, None, None, 0))
        study.apply(Started(started, trial, 1, executor))
        study.apply(Ended(ended, trial, 1, "completed", 1.0, {}, None, None))
    figure = Result("digits", study).plot_timeline()
    (bars,) = figure.data
    assert list(zip(bars.y, bars.base, bars.x, strict=True)) == [("b", 0, 4), ("a", 2, 8), ("b", 5, 2)]
    assert list(figure.layout.yaxis.categoryarray) == ["a", "b"]
    assert "70% busy" in figure.layout.title.text
    with pytest.raises(ConfigError, match="has no curves: no trial has reported"):
        Result("digits", study).plot_curves()


def test_executors_of_one_machine_are_processes():
    """Its name would say nothing, and is nobody's business in a picture that is shown around."""
    names = {"vm-1-2092-ab": "process 2092", "vm-1-7-cd": "process 7"}
    assert called(names) == names
    assert called([*names, "other-2092-ef"]) == {
        "vm-1-2092-ab": "vm-1-2092",
        "vm-1-7-cd": "vm-1-7",
        "other-2092-ef": "other-2092",
    }
    assert called(["a-1-ab", "a-1-cd", "odd"]) == {"a-1-ab": "a-1-ab", "a-1-cd": "a-1-cd", "odd": "odd"}


def test_a_wide_logarithm_is_marked_at_powers_of_ten(random):
    """0.00316 is half-way, and says nothing."""
    lr, *_ = random.plot_parallel("lr").data[0].dimensions
    assert lr.ticktext == ("1e-05", "0.0001", "0.001", "0.01", "0.1")


def test_importance_finds_what_matters():
    """Of four parameters one decides; shares sum to one, and the bar chart shows them."""
    result = played(num_trials=200)
    shares = importances(result.study)
    assert shares["lr"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)
    (bars,) = result.plot_importance().data
    assert (bars.y[-1], bars.x[-1]) == ("lr", shares["lr"])


def test_importance_of_a_choice_is_the_handbooks():
    """Ten of a hundred are best, all with the one value that half have: (1/0.5 - 1)² is 1 on either side."""
    space = Searchspace(kind=["a", "b"], other=["c", "d"])
    log = [StudyOpened(0.0, {"name": "x", "searchspace": space.to_dict()})]
    for number in range(1, 101):
        kind, other = "ab"[number % 2], "cd"[number // 2 % 2]
        log.append(Suggested(0.0, number, {"kind": kind, "other": other}, None, None, 0))
        log.append(Started(0.0, number, 1, "e"))
        value = 1.0 if kind == "a" and number <= 20 else 0.0
        log.append(Ended(1.0, number, 1, "completed", value, {}, None, None))
    shares = importances(Study.of(log))
    assert shares["kind"] > 0.99
    assert shares["other"] < 0.01


def test_stopped_trials_are_among_all(random):
    """Bad regions were tried, if not to the end: lr matters though all that is left of it is good."""
    assert importances(random.study)["lr"] > 0.5


def test_a_contour_is_highest_where_the_study_found_it():
    """A model of few points, but no other than theirs."""
    (surface, points) = played(num_trials=150).plot_contour("lr", "noise").data
    row, column = max(
        ((row, column) for row in range(30) for column in range(30)), key=lambda cell: surface.z[cell[0]][cell[1]]
    )
    assert 10**-3.5 < surface.x[column] < 10**-2.5
    assert len(points.x) == 150
    assert row is not None


def test_parallel_coordinates_have_a_place_for_what_is_absent(random):
    """A conditional parameter that a trial has not got lies below the axis, and is not left out."""
    degree = random.plot_parallel("degree").data[0].dimensions[0]
    assert degree.ticktext[0] == "—"
    assert min(degree.values) == degree.range[0] < 0


def test_slices_of_some_parameters(random):
    """Named, in that order; on a logarithmic axis where the parameter is."""
    figure = random.plot_slice("noise", "lr")
    assert (figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text) == ("noise", "lr")
    assert (figure.layout.xaxis.type, figure.layout.xaxis2.type) == (None, "log")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda result: result.plot_slice("lrr"), "no parameter 'lrr'"),
        (lambda result: result.plot_contour("lr"), "two parameters, not 1"),
        (lambda result: result.plot_rungs(), "has no rungs"),
        (lambda _: played(num_trials=4).plot_importance(), "has 4 completed trials at one budget"),
        (lambda _: played(function=lambda _: math.nan).plot_history(), "no completed trial with a finite value"),
        (lambda _: axes(Study()), "has no parameter that varies"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, message):
    """In a sentence, not from somewhere in plotly."""
    with pytest.raises(ConfigError, match=message):
        draw(played())


def test_trials_of_one_report_are_points(asha):
    """A line through one point is none, and most trials of a lowest rung have no more."""
    alone = [trial for trial in asha.trials if len(trial.curve) == 1]
    dots = [trace for trace in asha.plot_curves().data if trace.mode == "lines+markers"]
    assert sum(y is not None for trace in dots for y in trace.y) == len(alone) > 0


def test_between_two_choices_there_is_nothing(random):
    """A contour plot of a list has cells, no slopes."""
    assert random.plot_contour("lr", "kernel").data[0].type == "heatmap"
    assert random.plot_contour("lr", "noise").data[0].type == "contour"


def test_the_middle_of_an_axis_is_its_middle():
    """A rounding error at 0 is no mark."""
    result = played(function=lambda trial: trial.params["x"], searchspace=Searchspace(x=(-1.0, 1.0), y=(1e-9, 1.0)))
    x, y, _ = result.plot_parallel().data[0].dimensions
    assert list(x.ticktext) == ["-1", "-0.5", "0", "0.5", "1"]
    assert y.ticktext[0] == "1e-09"


def test_names_that_differ_at_their_ends_are_told_apart():
    """They are cut in the middle."""
    kinds = [f"a very long choice indeed {number}" for number in range(3)]
    result = played(function=lambda trial: len(trial.params["kind"]), searchspace=Searchspace(kind=kinds))
    marks = result.plot_slice().layout.xaxis.ticktext
    assert len(set(marks)) == 3
    assert all(len(mark) <= 16 for mark in marks)


def test_an_ablation_has_bars_with_intervals():
    """The most harmful on top, coloured by what the interval says."""
    space = Searchspace(a=[True, False], b=[True, False], seed=[0, 1, 2])
    drawn = Random(1)
    result = played(Loco(), lambda trial: 5.0 * trial.params["a"] + drawn.gauss(0, 0.1), searchspace=space)
    figure = result.ablation.plot()
    assert list(figure.layout.yaxis.categoryarray) == ["without b", "without a"]
    needed = figure.data[0]
    assert (needed.name, list(needed.y)) == ("needed", ["without a"])
    effect = result.ablation[0]
    assert needed.error_x.array[0] == pytest.approx(effect.high - effect.effect)


# -- the report ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile():
    """Give a study in whose names and values somebody tries to run something."""
    evil = "</script><script>alert(1)</script>"
    space = {"kind": [evil, "x", '"><img src=q onerror=alert(2)>'], "lr": [0.1, 0.2]}
    log = [StudyOpened(0.0, {"name": evil, "searchspace": Searchspace(space).to_dict(), "metric": f"m{evil}"})]
    for number in range(1, 31):
        kind = space["kind"][number % 3]
        log.append(Suggested(0.0, number, {"kind": kind, "lr": space["lr"][number % 2]}, None, None, 0))
        log.append(Started(0.0, number, 1, evil))
        log.append(Reported(0.0, number, 1, 1, {f"m{evil}": 1.0}))
        status = "failed" if number % 5 == 0 else "completed"
        log.append(Ended(1.0, number, 1, status, float(number), {}, None, evil if status == "failed" else None))
    return Result("x", Study.of(log))


def test_a18_nothing_that_users_wrote_runs_in_a_report(hostile, tmp_path):
    """It is text in every table and picture, and the page may load nothing from anywhere."""
    page = Path(hostile.to_html(tmp_path / "report.html")).read_text(encoding="utf-8")
    outside = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert "alert(1)" in outside  # it is shown
    assert "<script>alert" not in page
    assert "<img" not in outside
    assert "default-src 'none'" in page
    assert page.count("<script") == page.count("</script>")


@pytest.mark.parametrize("name", ["history", "curves", "timeline", "slice", "parallel", "importance"])
def test_a18_nothing_that_users_wrote_is_more_than_text_in_a_picture(name, hostile):
    """Plotly reads a little HTML in titles, ticks and labels: links and line breaks, but ours alone."""
    texts = json.dumps(json.loads(getattr(hostile, f"plot_{name}")().to_json())["data"])
    drawn = texts + json.dumps(getattr(hostile, f"plot_{name}")().layout.to_plotly_json())
    assert set(re.findall(r"<[^>]*>", drawn)) <= {"<b>", "</b>", "<br>"}
    assert "&lt;script&gt;" in drawn


def test_a_report_has_all_that_there_is(random, tmp_path):
    """Pictures that the study has something for, plotly itself once, and the best trials."""
    page = Path(random.to_html(tmp_path / "report.html")).read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot(") == 8
    assert page.count("plotly.js v") == 1
    assert "learning curves" in page
    assert len(re.findall(r"<tr>", page)) > 60


def test_a_report_of_an_ablation_has_its_effects(tmp_path):
    """And neither columns in which nothing stands, nor pictures of a search that was none."""
    result = played(Loco(), lambda trial: 5.0 * trial.params["a"], searchspace=Searchspace(a=[True, False]))
    result.study.settings["optimizer"] = {"name": "loco"}
    page = Path(result.to_html(tmp_path / "it.html")).read_text(encoding="utf-8")
    told = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "What was left out" in told
    assert "without a" in told
    assert "interaction" not in told
    assert "budget" not in told
    assert "parallel coordinates" not in page


def test_a_report_of_a_study_without_a_result(tmp_path):
    """There is not much to tell, but why."""
    study = Study.of([StudyOpened(0.0, {"name": "empty", "searchspace": {}})])
    page = Path(Result("empty", study).to_html(tmp_path / "report.html")).read_text(encoding="utf-8")
    assert "No trial was started." in page


# -- data frames, and what is not installed ------------------------------------------------------------------------


def test_trials_and_reports_as_data_frames(random):
    """A row for each, with parameters and metrics by name; what a trial has not got is missing."""
    frame, reports = random.to_pandas(), random.to_pandas(reports=True)
    assert frame["trial"].tolist() == [trial.id for trial in random.trials]
    assert frame.loc[0, "params_lr"] == random.trials[0].params["lr"]
    assert frame["params_degree"].isna().sum() == sum("degree" not in trial.params for trial in random.trials)
    assert len(reports) == random.study.reports
    assert reports.columns.tolist() == ["trial", "step", "value"]


def test_without_plotly_a_sentence_says_what_to_install(monkeypatch):
    """And a result does not load it before a picture is drawn."""
    result = played()
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ConfigError, match="pip install 'maggy\\[plots\\]'"):
        result.plot_history()
    code = "import sys, maggy.result; print(*(name in sys.modules for name in ('plotly', 'pandas', 'sklearn')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["False"] * 3


def test_pictures_of_many_trials_show_some():
    """Of 2,500 trials 2,000 are drawn, the best among them, and the title says so; a report stays below 10 MB."""
    result = played(function=good, num_trials=2500, limit=5000)
    for figure, what in ((result.plot_history(), "2,000 of 2,500"), (result.plot_timeline(), "the last 2,000 of")):
        assert what in figure.layout.title.text
    dots = result.plot_history().data[0]
    assert len(dots.x) == 2000
    assert result.best_value in dots.y
    assert len(result.plot_slice().to_json()) < 1_000_000
    assert len(result.plot_parallel().data[0].dimensions[0]["values"]) == 2000


def test_of_rungs_with_many_trials_ladders_are_whole():
    """With a trial that is shown comes what it continues: each line has both its ends."""
    result = played(Asha(resource_max=27), function=curve, num_trials=2500, limit=9000)
    figure = result.plot_rungs()
    assert "2,000 of" in figure.layout.title.text
    lines, *dots = figure.data
    ends = {(x, y) for x, y in zip(lines.x, lines.y, strict=True) if x is not None}
    assert ends <= {(x, y) for each in dots for x, y in zip(each.x, each.y, strict=True)}
