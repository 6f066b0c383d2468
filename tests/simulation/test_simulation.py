"""Whole studies in virtual time, with faults: they end, and what must hold holds (`simulate` checks it)."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from random import Random

import pytest

from maggy.events import Ended, Lost, Reported, Started, StopRequested, StudyResumed, Suggested
from maggy.executor.session import KILL_SECONDS
from maggy.optimizers import RandomSearch
from maggy.testing.logcheck import check_log
from maggy.testing.problems import Branin
from maggy.testing.simulation import Faults, StuckError, simulate
from maggy.trial import WAIT, Suggestion

SEEDS = {"hyperband": 100, "tpe-asha": 40, "short": 100}  # of other kinds 200, which are quicker


def test_every_study_ends_and_keeps_its_invariants(kind, study_of):
    """Whatever fails, however slow the optimizer, in both directions: 200 seeds of most kinds of study."""
    for seed in range(SEEDS.get(kind, 200)):
        try:
            study = study_of(kind, seed).study
        except Exception as error:
            error.add_note(f"kind {kind}, seed {seed}")
            raise
        if study.closed == "done" and kind not in ("asha", "hyperband", "tpe-asha"):
            assert len(study.trials) == {"grid": 24, "short": 80}.get(kind, 15)


def test_the_same_seed_gives_the_same_log(kind, study_of):
    """Event for event, faults included."""
    for seed in range(5):
        assert repr(study_of(kind, seed).log) == repr(study_of(kind, seed).log)


def test_another_seed_gives_another_log(study_of):
    """The seed is what the faults and the configurations are drawn from."""
    assert repr(study_of("random", 1).log) != repr(study_of("random", 2).log)


def test_faults_change_neither_random_nor_grid_configurations(study_of):
    """Their sequence depends on the seed alone."""
    for kind in ("random", "grid"):
        for seed in range(20):
            stormy, calm = (study_of(kind, seed, timeout=None, **how).study for how in ({}, {"faults": Faults()}))
            assert [trial.params for trial in stormy.trials.values()] == [t.params for t in calm.trials.values()]


def test_every_fault_takes_place(study_of):
    """Storms contain what they are meant to: each way to be lost, to fail and to end is in the logs."""
    shares = dict.fromkeys(("freeze", "death", "error", "nan", "cut", "partition"), 0.1)
    storm = Faults(crash=0.25, **shares, deaf=0.2, echo=0.3, torn=0.5, restarts=1)
    log = [event for seed in range(30) for event in study_of("asha-stopping", seed, timeout=None, faults=storm).log]
    causes = {event.cause for event in log if isinstance(event, Lost)}
    ends = {f"{event.status}: {(event.error or '')[:20]}" for event in log if isinstance(event, Ended)}
    assert causes == {
        "the executor closed the connection",
        "executor silent for 10 s",
        "the driver that ran it is gone",
    }
    assert ends == {
        "completed: ",
        "stopped: ",
        "failed: the trial's process ",
        "failed: ValueError: simulate",
        "failed: train_fn returned na",
        "failed: lost 3 times, the la",
    }


def test_a_deaf_trial_is_killed_when_grace_ends():
    """It was stopped, 5 s after it was asked to, and the executor goes on."""
    rule = Low()
    problem = Branin(epochs=40, epoch_seconds=1.0)
    log = simulate(RandomSearch(), problem, num_trials=3, executors=1, rules=[rule], faults=Faults(deaf=1.0)).log
    asked = {event.trial: event.at for event in log if isinstance(event, StopRequested)}
    ended = {event.trial: event for event in log if isinstance(event, Ended)}
    assert len(asked) == 3
    for trial, at in asked.items():
        assert ended[trial].status == "stopped"
        assert ended[trial].at == pytest.approx(at + 5 + KILL_SECONDS, abs=0.1)


class Low:
    """A stop rule that stops at step 3."""

    def reason_to_stop(self, trial, study):
        return "enough" if trial.curve.steps[-1] == 3 else None


def test_more_workers_take_less_time():
    """It is the question that users ask the simulator: what would 64 workers do."""
    few, many = (simulate(RandomSearch(), Branin(), num_trials=128, executors=n) for n in (4, 32))
    assert 6 < few.makespan / many.makespan <= 8
    assert few.utilisation > 0.95
    assert few.seconds == pytest.approx(many.seconds, rel=0.01)


def test_a_slow_optimizer_hides_behind_lookahead():
    """Asks of 1 s, trials of 6 s, 4 executors: at most 5 % idle, but 14 % where nothing is asked ahead."""

    class Even(Branin):
        def curve(self, params, budget, done=0.0):
            return ((1.0, step, metrics) for _, step, metrics in super().curve(params, budget, done))

    asked = {"num_trials": 200, "executors": 4, "ask_seconds": 1.0}
    late, ahead = (simulate(RandomSearch(), Even(epochs=6), lookahead=n, **asked) for n in (0, 1))
    assert ahead.utilisation > 0.95
    assert late.utilisation < 0.87


def test_a_timeout_ends_a_study_without_end():
    """Within the timeout and the patience with what runs."""
    found = simulate(RandomSearch(), Branin(), num_trials=None, timeout=100.0, faults=Faults(deaf=0.5))
    assert found.reason == "timeout"
    assert 100 < found.makespan < 107


@pytest.mark.parametrize("seconds", [0.0, 1.0])
@pytest.mark.parametrize("at", [1, 3])
def test_f40_an_optimizer_that_raises(seconds, at):
    """F40: at its first answer it ends the study; later a random configuration stands in, and it is asked again."""

    class Broken:
        def ask(self, study, rng):
            if study.next_id == at:
                raise ValueError("no idea")
            return Suggestion(study.searchspace.sample(rng))

    found = simulate(Broken(), Branin(), ask_seconds=seconds)
    assert not found.study.running
    if at == 1:
        assert found.reason == "the optimizer failed: no idea"
    else:
        origins = [trial.origin for trial in found.study.trials.values()]
        assert (found.reason, len(origins)) == ("done", 20)
        assert [origin for origin in origins if origin] == ["the optimizer failed: no idea"]
        assert origins[2] is not None


def test_f40_an_optimizer_that_takes_too_long():
    """F40: random configurations take the places of answers that come too late; when it is quick again, it counts."""

    class Slow:
        def ask(self, study, rng):
            return Suggestion({"x": 1.0, "y": 2.0})

    found = simulate(Slow(), Branin(), ask_seconds=90.0, num_trials=6, executors=2)
    assert found.reason == "the optimizer has not answered for 60 s"  # whether there is more to come
    assert len(found.study.trials) == 6
    assert all("has not answered for 60 s" in trial.origin for trial in found.study.trials.values())
    assert found.makespan < 300  # where each of the six were waited for: over 360


def test_a_study_that_does_not_end_is_reported():
    """An executor that never answers, or an optimizer without end, is an error with the log's tail, not a hang."""

    class Silent(Branin):
        def curve(self, params, budget, done=0.0):
            yield 1e12, 1, {"metric": 1.0}

    with pytest.raises(StuckError, match=r"(?s)does not end.*seed 0.*Started\("):
        simulate(RandomSearch(), Silent(), max_steps=50_000)


def test_a_late_driver_takes_up_what_ran():
    """After a restart what ran is lost without blame, and every trial of the study ends."""
    found = simulate(RandomSearch(), Branin(), faults=Faults(restarts=3), seed=4)
    assert sum(isinstance(event, StudyResumed) for event in found.log) == 3
    assert any(isinstance(event, Lost) and not event.counts for event in found.log)
    assert all(trial.usable for trial in found.study.trials.values())


@pytest.mark.parametrize(
    ("kind", "flaw"),
    [
        (Ended, "the trial does not run"),
        (Started, "the trial is not queued"),
        (Suggested, "the next trial is number"),
        (Reported, "the trial does not run"),
    ],
)
def test_a_log_with_an_event_twice_is_refused(kind, flaw):
    """The checker of logs sees what is wrong: no final state changes, nothing runs twice."""
    log = simulate(RandomSearch(), Branin(epochs=2)).log
    event = next(event for event in log if isinstance(event, kind))
    end = next(at for at, other in enumerate(log) if isinstance(other, Ended) and other.trial == event.trial) + 1
    with pytest.raises(AssertionError, match=flaw):
        check_log([*log[:end], event])


def test_a_log_of_a_stale_attempt_is_refused():
    """A report of attempt 1 while attempt 2 runs is a broken log."""
    log = simulate(RandomSearch(), Branin(), faults=Faults(crash=0.5), seed=1).log
    at, started = next((at, e) for at, e in enumerate(log) if isinstance(e, Started) and e.attempt == 2)
    with pytest.raises(AssertionError, match="attempt 2 runs"):
        check_log([*log[: at + 1], Reported(started.at, started.trial, 1, 1, {})])


def test_faults_are_shares():
    """Each fault that befalls an attempt is drawn as often as it says."""
    rng = Random(1)
    shares = dict.fromkeys(("crash", "freeze", "death", "error", "nan", "cut"), 0.1)
    faults = Faults(**shares)
    met = Counter(faults.fate(rng) for _ in range(10_000))
    assert {name for name in met if name} <= {field.name for field in fields(faults)}
    assert all(900 < met[name] < 1100 for name in met if name)
    assert 3800 < met[None] < 4200


def test_wait_without_end_is_the_end():
    """An optimizer that only ever waits ends a study at once."""

    class Waiting:
        def ask(self, study, rng):
            return WAIT

    assert simulate(Waiting(), Branin()).reason == "done"
