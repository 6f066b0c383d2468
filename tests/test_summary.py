"""Tests of maggy.views.summary."""

import math

import pytest

from maggy.events import Ended, Event, Lost, Reported, Started, StudyClosed, StudyOpened, Suggested
from maggy.study import Study
from maggy.trial import KNOWN, Status
from maggy.views import summary

AT = 1_700_000_000.0


def opened(name="digits", num_trials: int | None = 60, metric: str | None = None) -> StudyOpened:
    return StudyOpened(AT, {"name": name, "num_trials": num_trials, "metric": metric, "direction": "max"})


def started(trial: int, parent: int | None = None, budget: float | None = None) -> list[Event]:
    return [Suggested(AT, trial, {"lr": 0.1}, budget, parent, 0), Started(AT, trial, 1, "executor")]


def completed(trial: int, value: float = 0.5, parent: int | None = None, budget: float | None = None) -> list[Event]:
    return [*started(trial, parent, budget), Ended(AT, trial, 1, "completed", value, {})]


def stopped(trial: int, reason: str | None = "median rule: too low") -> list[Event]:
    return [*started(trial), Ended(AT, trial, 1, "stopped", 0.1, {}, reason)]


def failed(trial: int, error: str | None = "Traceback\nValueError: bad\n") -> list[Event]:
    return [*started(trial), Ended(AT, trial, 1, "failed", None, {}, None, error)]


def study(*parts: list[Event], closed: str | None = None, first: StudyOpened | None = None) -> Study:
    log: list[Event] = [first or opened(), *(event for part in parts for event in part)]
    return Study.of([*log, StudyClosed(AT, closed)] if closed else log)


# -- words and numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1b(Bone\x1b", "one"),
        ("two\r\nlines\tand\x00 more", "two lines and more"),
        ("\u202eturned", "turned"),
        ("half \ud800", "half "),
        ("größe [bold]", "größe [bold]"),
    ],
)
def test_what_drives_a_terminal_is_taken_out(text, expected):
    """Escape sequences go with all that belongs to them, glyphs stay."""
    assert summary.plain(text) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (41.9, "0:41"), (60, "1:00"), (3723, "1:02:03"), (360_000, "100:00:00")]
)
def test_durations_are_minutes_and_seconds_or_hours(seconds, expected):
    """Seconds are cut, not rounded, and hours come where there are any."""
    assert summary.duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.97312345, "0.97312"),
        (0.5, "0.5"),
        (1e-7, "1e-07"),
        (123456.7, "123457"),
        (-99999.0, "-99999"),
        (1e300, "1e+300"),
        (12345678, "12345678"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers_have_five_digits(value, expected):
    """Digits before the point are kept, an exponent comes only where they would be noise."""
    assert summary.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0031234567, "0.00312346"), (7, "7"), (True, "True"), (None, "None"), ([1, "a"], '[1,"a"]'), ("\x1b[1mx", "x")],
)
def test_parameters_are_shown_as_a_person_would_write_them(value, expected):
    """Floats are rounded, lists are JSON, text is made harmless."""
    assert summary.shown(value) == expected


def test_a_long_value_is_cut():
    """A value of a thousand characters does not fill the screen."""
    assert summary.shown("x" * 1000) == "x" * (summary.TEXT_WIDTH - 1) + "…"


# -- the live line -------------------------------------------------------------------------------------------------


def test_the_line_says_all_that_is_known():
    """Done, running, stopped, failed, best, rate and time are there, in this order."""
    known = study(completed(1, 0.97312), stopped(2), failed(3), started(4))
    expected = "digits  3/60 done · 1 running · 1 stopped · 1 failed · best 0.97312 · 1,240 reports/s · 0:41"
    assert summary.progress(known, 41, 1240.4, 4) == expected


def test_a_young_study_is_waiting():
    """Without executors and results the line says so, and without `num_trials` it gives no total."""
    line = summary.progress(study(first=opened(num_trials=None)), 3, 0, 0)
    assert line == "digits  0 done · waiting for executors · 0 stopped · no best yet · 0 reports/s · 0:03"


def test_a_promoted_configuration_is_done_when_its_promotion_is():
    """Promotions are counted apart, and no configuration is counted twice."""
    young = study(completed(1, budget=1), completed(2, budget=1), started(3, parent=1, budget=3))
    assert "1/60 done · 1 promoted · 1 running" in summary.progress(young, 0, 0, 1)
    young.apply(Ended(AT, 3, 1, "completed", 0.4, {}))
    assert "2/60 done · 1 promoted · 0 running · 0 stopped · best 0.4 at budget 3" in summary.progress(young, 0, 0, 1)


def test_a_lost_trial_is_not_done():
    """A trial that is queued again counts as going on."""
    assert " 1/60 done · 0 running" in summary.progress(
        study(completed(1), started(2), [Lost(AT, 2, 1, "preempted")]), 0, 0, 1
    )


@pytest.mark.parametrize("width", range(1, 110))
def test_the_line_is_never_wider_than_asked(width):
    """However narrow the terminal, the line fits."""
    known = study(completed(1, 0.97312), stopped(2), failed(3), started(4), first=opened("a study of a long name" * 3))
    assert len(summary.progress(known, 41, 1240, 4, width)) <= width


def test_what_matters_least_goes_first():
    """Words go before figures; in a narrow terminal done, running and best stay."""
    known = study(completed(1, 0.97312), stopped(2), started(3))
    compact = "digits  2/60 done · 1 running · 1 stopped · best 0.97312 · 1,240 rep/s · 0:41"
    assert summary.progress(known, 41, 1240, 4, 79) == compact
    assert summary.progress(known, 41, 1240, 4, 45) == "digits  2/60 done · 1 running · best 0.97312"


@pytest.mark.parametrize(
    ("rate", "expected"), [(0, " 0 rep"), (0.42, " 0.4 rep"), (9.96, " 10.0 rep"), (12.6, " 13 rep")]
)
def test_slow_reports_have_a_decimal(rate, expected):
    """Below ten a second, tenths are shown."""
    assert expected in summary.progress(study(), 0, rate, 1)


# -- the closing table ---------------------------------------------------------------------------------------------


def test_the_headline_adds_up():
    """The outcomes add up to the trials, and singular is singular."""
    told = summary.table(study(completed(1), stopped(2), stopped(3), started(4)))
    assert told.headline(41, 1) == "4 trials in 0:41 on 1 executor: 1 completed, 2 stopped, 1 unfinished"


def test_the_headline_counts_promotions_apart():
    """Where trials continue others, configurations and promotions are told apart."""
    told = summary.table(study(completed(1), completed(2, parent=1)))
    assert told.headline(41) == "1 configuration and 1 promotion in 0:41: 2 completed"


def test_what_was_known_before_is_no_promotion():
    """Configurations whose values the user gave are neither sampled nor promoted; outcomes count them."""
    given = [Suggested(AT, 1, {"lr": 0.1}, None, None, 0, KNOWN), Started(AT, 1, 1, KNOWN)]
    known = study([*given, Ended(AT, 1, 1, "completed", 0.4, {})], completed(2))
    assert summary.table(known).headline(41) == "1 trial (1 more known before) in 0:41: 2 completed"
    assert "promoted" not in summary.progress(known, 0, 0, 1)


def test_an_empty_study_has_a_headline():
    """Without trials there is no list of outcomes."""
    assert summary.table(study()).headline(3, 0) == "0 trials in 0:03 on 0 executors"


def test_rungs_show_how_many_trials_went_how_far():
    """Who looks at the table sees that most configurations were not promoted."""
    ladder = study(completed(1, budget=1), completed(2, budget=1), completed(3, parent=1, budget=3))
    assert summary.rungs(ladder) == "2 with budget 1 → 1 with 3"
    assert summary.rungs(study(completed(1, budget=1))) == ""


def test_stops_are_grouped_by_rule():
    """What stands before the colon counts; the most frequent rule comes first."""
    stops = summary.stops(study(stopped(1, "timeout"), stopped(2, "median rule: a"), stopped(3, "median rule: b")))
    assert stops == (summary.Group("median rule", 2, 2), summary.Group("timeout", 1, 1))


def test_failures_are_grouped_by_the_last_line_of_their_error():
    """Tracebacks that end alike are one failure, with the first trial as the example."""
    failures = summary.failures(study(failed(1, None), failed(2, "A\nE: x\n\n"), failed(3, "B\n\x1b[31mE: x")))
    assert failures == (summary.Group("E: x", 2, 2), summary.Group("no error given", 1, 1))


@pytest.mark.parametrize(("closed", "expected"), [("done", ""), (None, ""), ("interrupted", "interrupted")])
def test_a_study_that_was_cut_short_says_so(closed, expected):
    """Only an end that is not the natural one is news."""
    assert summary.table(study(completed(1), closed=closed)).cut_short == expected


def test_the_table_has_the_best_and_the_default():
    """The best is the study's; the default is the trial that is handed in; counts are by final status."""
    ended = study(completed(1, 0.5), completed(2, 0.7), failed(3))
    told = summary.table(ended, ended.trials[1])
    assert (told.best, told.default) == (ended.trials[2], ended.trials[1])
    assert told.counts == {Status.COMPLETED: 2, Status.STOPPED: 0, Status.FAILED: 1}


# -- what should not go unsaid -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], "No trial was started."),
        ([completed(1)], ""),
        ([failed(1)], "The only trial failed with: ValueError: bad (trial 1)."),
        ([failed(1, "a"), failed(2, "b"), failed(3, "b")], "All 3 trials failed, 2 of them with: b (trial 2)."),
        (
            [stopped(1), stopped(2)],
            "All 2 trials stopped before the end with: median rule (trial 1); only completed trials can be best.",
        ),
        ([failed(1), stopped(2), started(3)], "No trial completed: 1 stopped, 1 failed, 1 unfinished."),
        ([started(1), started(2)], "None of 2 trials had ended when the study did."),
        ([completed(1, math.nan)], "No completed trial has a finite value."),
    ],
)
def test_a_study_without_a_best_says_why(parts, expected):
    """Every way not to have a best has its sentence."""
    assert summary.why_no_best(study(*parts)) == expected


def report(trial: int, **metrics: float) -> list[Event]:
    return [Reported(AT, trial, 1, 0, metrics)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], False),
        ([started(1)], False),
        ([failed(1)], False),
        ([completed(1)], True),
        ([completed(1), started(2), report(2, acc=0.5)], False),
        ([completed(1), started(2), report(2, loss=0.5)], True),
    ],
)
def test_silence_is_noticed_once_a_trial_has_run_to_its_end(parts, expected):
    """Reports without the objective are silence too; failed trials prove nothing."""
    known = study(*parts, first=opened(metric="acc"))
    assert summary.never_reported(known) is expected
    assert bool(summary.why_no_reports(known)) is expected


def test_silence_has_two_reasons():
    """A function that reports something else is told which metric is missing."""
    silent = study(completed(1), first=opened(metric="acc"))
    assert summary.why_no_reports(silent).startswith("train_fn never reports: ")
    silent.apply(Suggested(AT, 2, {}, None, None, 0))
    silent.apply(Reported(AT, 2, 1, 0, {"loss": 1.0}))
    assert "reports, but never 'acc'" in summary.why_no_reports(silent)


def test_a_line_keeps_its_layout():
    """What drives a terminal is taken out of a line, and its spaces and tabs stay."""
    assert summary.harmless("  a\t b  \x1b[31mred\x1b[0m\r\x07 é") == "  a\t b  red é"
