import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import logs

from maggy.earlystop.median import RunningAverages
from maggy.errors import StoreError
from maggy.events import (
    Ended,
    Lost,
    Reported,
    Started,
    StopRequested,
    StudyClosed,
    StudyOpened,
    StudyResumed,
    Suggested,
    body,
    restored,
)
from maggy.jsonvalue import dumps, loads
from maggy.optimizers.rungs import RANDOM, Milestones, Rung, Rungs
from maggy.study import Study
from maggy.testing.logcheck import check_log
from maggy.trial import Status

LEVELS = (1, 2.5, 3, 9)


def stored(event):
    return event and restored(type(event).__name__, loads(dumps(body(event))))


def opened(direction="max", **settings):
    return StudyOpened(0.0, {"direction": direction, **settings})


def ran(number, value, *, status="completed", budget=None, parent=None):
    """Return what is recorded of a trial that ends."""
    metrics = {} if value is None else {"metric": value}
    return (
        Suggested(0.0, number, {"x": number}, budget, parent, 0),
        Started(1.0, number, 1, "executor"),
        Ended(2.0, number, 1, status, value, metrics),
    )


def study_of(*trials, direction="max"):
    return Study.of([opened(direction), *(event for trial in trials for event in trial)])


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Started(1.0, 7, 1, "e"), "position 5, Started of trial 7"),
        (Reported(1.0, 7, 1, 0, {"metric": 1.0}), "position 5, Reported of trial 7"),
        (Lost(1.0, 1, 1, "gone"), "position 5, Lost of trial 1"),
        (Ended(1.0, 1, 1, "completed", 1.0, {}), "position 5, Ended of trial 1"),
    ],
)
def test_f37_a_log_that_does_not_hang_together_is_damaged(event, said):
    """F37: each row may be sound and one before it missing: a sentence says where, and what to do."""
    with pytest.raises(StoreError, match=f"the log of study 's' is damaged: {said}.*go back to a copy") as caught:
        Study.of([opened(name="s"), *ran(1, 0.5), event])
    assert caught.value.__cause__ is not None


# -- the fold --------------------------------------------------------------------------------------


@given(logs(), st.data())
def test_a_prefix_and_the_rest_fold_to_the_whole(log, data):
    """A study that is read up to anywhere and goes on from there equals the one read at once, from the store too."""
    cut = data.draw(st.integers(0, len(log)))
    study = Study.of(log[:cut])
    for event in log[cut:]:
        study.apply(stored(event))
    assert study.snapshot() == Study.of(log).snapshot()


@given(logs())
def test_the_logs_drawn_here_are_legal(log):
    """What these tests fold is what a scheduler may record."""
    check_log([event for event in log if event is not None])


@given(logs())
def test_the_counts_are_those_of_the_trials(log):
    """Queue, running trials and counters say what the trials' states say."""
    study = Study.of(log)
    trials = study.trials.values()
    for status in Status:
        assert study.counts[status] == sum(trial.status is status for trial in trials)
    assert sorted(study.queued) == [trial.id for trial in trials if trial.status is Status.QUEUED]
    assert sorted(study.running) == [trial.id for trial in trials if trial.status is Status.RUNNING]
    assert study.sampled == sum(trial.parent is None for trial in trials)
    assert study.position == len(log)
    assert study.unknown == log.count(None)
    assert study.next_id == len(trials) + 1


def test_the_life_of_a_trial():
    """A trial that is lost is queued first in line at the next attempt, keeps its curve, and ends once."""
    study = Study.of([opened(), *(Suggested(0.0, number, {}, None, None, 0) for number in (1, 2, 3))])
    trial = study.trials[2]
    for event in (Started(1.0, 1, 1, "a"), Started(2.0, 2, 1, "b"), Reported(3.0, 2, 1, 1, {"metric": 0.5})):
        study.apply(event)
    study.apply(StopRequested(4.0, 2, 1, "bad"))
    study.apply(Lost(5.0, 2, 1, "gone"))
    assert list(study.queued) == [2, 3]
    assert (trial.status, trial.attempt, trial.lost) == (Status.QUEUED, 2, 1)
    assert (trial.executor, trial.started, trial.stop_reason) == (None, None, None)
    study.apply(Started(6.0, 2, 2, "c"))
    study.apply(Ended(8.0, 2, 2, "stopped", 0.5, {"metric": 0.5}, "bad"))
    assert (trial.status, trial.stop_reason, trial.duration, trial.curve.last) == (Status.STOPPED, "bad", 2.0, 0.5)
    assert study.last_end == study.position


def test_an_attempt_that_the_driver_lost_does_not_count():
    """Only losses that the trial may have caused bring it nearer to max_lost."""
    log = [opened(), *ran(1, 1.0)[:2], Lost(2.0, 1, 1, "the driver is gone", counts=False)]
    assert (Study.of(log).trials[1].lost, Study.of(log).trials[1].attempt) == (0, 2)


def test_settings_change_on_resume():
    """A resume changes what it names, keeps the rest, and opens the study again."""
    study = Study.of([opened("min", num_trials=3, metric="loss"), *ran(1, 1.0), StudyClosed(3.0, "done")])
    assert (study.closed, study.remaining) == ("done", 2)
    study.apply(StudyResumed(4.0, {"num_trials": 10}))
    assert (study.closed, study.remaining, study.objective.metric, study.objective.direction) == (
        None,
        9,
        "loss",
        "min",
    )


def test_a_study_without_num_trials_has_no_end():
    """Where only time is limited, infinitely many configurations remain."""
    assert study_of(ran(1, 1.0)).remaining == math.inf


def test_remaining_counts_configurations():
    """Failed trials count, promotions do not, and it is never below 0."""
    trials = (*ran(1, 1.0), *ran(2, None, status="failed"), *ran(3, 1.0, parent=1))
    assert Study.of([opened(num_trials=5), *trials]).remaining == 3
    assert Study.of([opened(num_trials=1), *trials]).remaining == 0


def test_reports_of_other_metrics_leave_the_curve_alone():
    """The curve is the objective's; a report without it counts as a report only."""
    log = [opened(metric="acc"), *ran(1, 1.0)[:2], Reported(1.0, 1, 1, 1, {"loss": 0.5})]
    study = Study.of([*log, Reported(1.0, 1, 1, 2, {"acc": 0.0, "loss": 0.4})])
    assert study.trials[1].curve.points() == [(2, 0.0)]
    assert study.reports == 2


# -- the best trial --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ([], None),
        ([ran(1, 0.5), ran(2, 0.7), ran(3, 0.6)], 2),
        ([ran(1, -0.5), ran(2, 0.0)], 2),  # 0.0 is a result
        ([ran(1, 0.5), ran(2, 0.9, status="stopped")], 1),  # never a stopped one
        ([ran(1, 0.9, status="stopped")], None),
        ([ran(1, None, status="failed"), ran(2, math.nan, status="failed")], None),
        ([ran(1, math.nan), ran(2, 0.1)], 2),
        ([ran(1, math.inf), ran(2, 0.1)], 2),
        ([ran(1, 0.5), ran(2, 0.5)], 1),  # the first of equals
        ([ran(1, 0.9, budget=1), ran(2, 0.5, budget=3)], 2),  # the largest budget that any completed
        ([ran(1, 0.9, budget=1), ran(2, 0.5, budget=3, status="stopped")], 1),
        ([ran(1, 0.9, budget=1), ran(2, math.nan, budget=3)], 1),
    ],
)
def test_best(trials, best):
    """The best completed trial at the largest budget that any completed; never stopped, failed or infinite."""
    study = study_of(*trials)
    assert (study.best and study.best.id) == best


def test_best_heeds_the_direction():
    """With min the smallest value is the best."""
    assert study_of(ran(1, 0.5), ran(2, 0.7), ran(3, 0.6), direction="min").best.id == 1


@given(logs())
def test_best_is_the_best_by_definition(log):
    """However trials end, best is what going through all of them finds."""
    study = Study.of(log)
    usable = [trial for trial in study.trials.values() if trial.usable]
    top = max((trial.budget or 0 for trial in usable), default=None)
    losses = [study.loss(trial) for trial in usable if (trial.budget or 0) == top]
    assert (study.best is None) == (not losses)
    if losses:
        assert study.loss(study.best) == min(losses)
        assert study.best.status is Status.COMPLETED


def test_the_loss_of_a_trial_without_a_value_is_nan():
    """No value is never a good one."""
    study = study_of(ran(1, None, status="failed"), ran(2, 0.25))
    assert math.isnan(study.loss(study.trials[1]))
    assert study.loss(study.trials[2]) == -0.25


# -- indexes ---------------------------------------------------------------------------------------

RUNGS = [Rung(*each) for each in product((None, 1, 3, 9), (None, 1, 3, 9), (False, True))]


def indexed(study):
    """Return all that the indexes say, and so build them if they are not there yet."""
    rungs, milestones, averages = map(study.index, (Rungs, Milestones, RunningAverages))
    return repr(
        (
            [(rungs.at(rung), rungs.promotable(rung, 2), rungs.promotable(rung, 1)) for rung in RUNGS],
            [milestones.at(level) for level in LEVELS],
            [averages.at(step) for step in range(10)],
        )
    )


@given(logs(max_size=80))
def test_indexes_built_late_equal_indexes_built_early(log):
    """What is kept up to date through a whole log is what is derived from its end at once."""
    early = Study()
    for event in log:
        indexed(early)
        early.apply(event)
    assert indexed(early) == indexed(Study.of(log))


@given(logs(max_size=80))
def test_milestones_by_definition(log):
    """At a level stands every trial that has come so far, with its first value there, losses rising."""
    study = Study.of(log)
    indexed(study)
    for level in LEVELS:
        entries = []
        for trial in study.trials.values():
            reached = [index for index in range(len(trial.curve)) if trial.curve.units(index) >= level]
            # What is reported after a request to stop is overshoot, and stands nowhere.
            if reached and (trial.stop_step is None or trial.curve.steps[reached[0]] <= trial.stop_step):
                loss = study.objective.loss(trial.curve.values[reached[0]])
                entries.append((loss if math.isfinite(loss) else math.inf, trial.id))
        assert study.index(Milestones).at(level) == sorted(entries)


@given(logs(max_size=80))
def test_promotable_by_definition(log):
    """Promotable is the best of the best 1/η of the completed of a rung that no other trial continues.

    Where some are apart, their best 1/η have places of their own, and the others' are what is left.
    """
    study = Study.of(log)
    continued = {trial.parent for trial in study.trials.values()}

    def first(trial):
        return trial if trial.parent is None else first(study.trials[trial.parent])

    def on(rung):
        return sorted(
            (study.loss(trial), trial.id)
            for trial in study.trials.values()
            if trial.usable
            and (first(trial).budget, trial.budget) == rung[:2]
            and (first(trial).why == RANDOM or not rung.apart)
        )

    for rung in RUNGS:
        ranked, apart = on(rung), [] if rung.apart else on(rung._replace(apart=True))
        sure = apart[: len(apart) // 2]
        places = len(ranked) // 2 - len(sure)
        earned = [
            entry[1]
            for place, entry in enumerate(ranked)
            if entry[1] not in continued and len([each for each in ranked[:place] if each not in sure]) < places
        ]
        found = study.index(Rungs).promotable(rung, 2)
        assert (found and found.trial) == (earned[0] if earned else None)


def test_an_index_is_made_once():
    """The same index serves every ask."""
    study = study_of(ran(1, 1.0))
    assert study.index(Rungs) is study.index(Rungs)
