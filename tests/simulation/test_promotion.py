"""What makes ASHA ASHA, seen in whole simulated studies."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import replace

import pytest

from maggy.events import Ended, Suggested
from maggy.optimizers import Asha, Hyperband, Tpe
from maggy.optimizers.rungs import Rung, Rungs
from maggy.study import Study
from maggy.testing.problems import Branin, Hartmann6, Mixed
from maggy.testing.simulation import Faults, simulate
from maggy.trial import Status

FAULTS = Faults(crash=0.05, error=0.05, nan=0.05, death=0.05)


def rungs_of(study):
    """Return the usable trials of each budget, best first, ties by number: ranked by hand."""
    return brackets_of(study, lambda trial: trial.budget)


def began(study, trial):
    """Return the budget with which a trial's configuration began."""
    return trial.budget if trial.parent is None else began(study, study.trials[trial.parent])


def brackets_of(study, key=None):
    """Return the usable trials of each rung of each bracket, or as told apart by `key`, ranked by hand."""
    found = {}
    for trial in study.trials.values():
        if trial.status is Status.COMPLETED and math.isfinite(trial.value):
            place = key(trial) if key else (began(study, trial), trial.budget)
            found.setdefault(place, []).append(trial)
    return {budget: sorted(trials, key=lambda t: (study.loss(t), t.id)) for budget, trials in sorted(found.items())}


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_a_rung_promotes_its_share(eta, seed):
    """Of a rung's n trials at least ⌊n/η⌋ go on, and at most 2·√n more: the mispromotions of asynchrony.

    Li et al. (section 3.3) expect mispromotions of the order of √n: the promoted were in the best 1/η when they were
    looked at, and each later, better trial pushes somebody out who has been promoted already.
    """
    asha = Asha(reduction_factor=eta, resource_min=1, resource_max=eta**3)
    study = simulate(asha, Branin(), num_trials=300, executors=16, seed=seed).study
    promoted = Counter(study.trials[trial.parent].budget for trial in study.trials.values() if trial.parent is not None)
    ranked = rungs_of(study)
    assert list(ranked) == [eta**k for k in range(4)]
    assert len(ranked[1]) == 300
    for budget, trials in list(ranked.items())[:-1]:
        share = len(trials) / eta
        assert math.floor(share) <= promoted[budget] <= share + 2 * math.sqrt(len(trials)), budget


@pytest.mark.parametrize("eta", [2, 3])
@pytest.mark.parametrize("faults", [Faults(), FAULTS])
def test_each_rung_of_each_bracket_promotes_its_share(eta, faults):
    """Hyperband's brackets do each what ASHA does: at least ⌊n/η⌋ of a rung's n go on, at most 2·√n more.

    So DONE is not said early either: whoever had earned to go on when all was over has gone on.
    """
    hyperband = Hyperband(reduction_factor=eta, resource_max=eta**3)
    for seed in range(2):
        study = simulate(hyperband, Branin(), num_trials=200, executors=16, seed=seed, faults=faults).study
        assert study.closed == "done"
        rungs = brackets_of(study)
        continued = {trial.parent for trial in study.trials.values()}
        assert len(rungs) == 4 + 3 + 2 + 1
        for (first, budget), trials in rungs.items():
            promoted = sum(trial.id in continued for trial in trials)
            if budget == eta**3:
                assert promoted == 0
            else:
                share = len(trials) / eta
                assert math.floor(share) <= promoted <= share + 2 * math.sqrt(len(trials)), (first, budget)
                assert all(trial.id in continued for trial in trials[: math.floor(share)])


def test_a_searcher_changes_who_begins_and_not_who_goes_on():
    """ASHA with a model promotes the same share of either ladder, and what begins is better than what is random."""
    asha = Asha(resource_max=9, searcher=Tpe(startup=8), random_share=1 / 3)
    model, random = (
        simulate(each, Mixed(), num_trials=90, executors=4, seed=1).study for each in (asha, Asha(resource_max=9))
    )
    for study, ladders in ((model, 2), (random, 1)):
        for apart in (False, True)[:ladders]:
            began, above = (len(study.index(Rungs).at(Rung(1, budget, apart))) for budget in (1, 3))
            assert began
            assert began // 3 <= above <= began // 3 + 2 * math.sqrt(began)
    late = [
        [Mixed().f(trial.params) for trial in study.trials.values() if trial.parent is None][30:]
        for study in (model, random)
    ]
    assert statistics.median(late[0]) < 0.7 * statistics.median(late[1])


@pytest.mark.parametrize("ask_seconds", [0.0, 0.5])
def test_pasha_promotes_no_further_than_rankings_disagree(ask_seconds):
    """Where curves do not cross it stays on two rungs; where they do it goes on, and it is done in its time."""
    problem = Hartmann6(noise=0.0, rate=50.0)  # there in one epoch
    calm, blurred = (
        simulate(Asha(progressive=True), each, num_trials=60, executors=4, ask_seconds=ask_seconds).study
        for each in (problem, replace(problem, noise=0.5, rate=0.2))
    )
    assert (calm.closed, blurred.closed) == ("done", "done")
    assert list(rungs_of(calm)) == [1, 3]
    assert max(rungs_of(blurred)) > 3


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("faults", [Faults(), FAULTS])
@pytest.mark.parametrize("ask_seconds", [0.0, 0.5, 3.0])
def test_done_is_not_said_early(seed, faults, ask_seconds):
    """At the end the best 1/η of each rung but the top one are continued, by one trial each at the next rung."""
    asha = Asha(resource_max=9)
    study = simulate(
        asha,
        Hartmann6(direction="max"),
        num_trials=60,
        executors=2 + seed,
        seed=seed,
        faults=faults,
        ask_seconds=ask_seconds,
    ).study
    assert study.closed == "done"
    children = Counter(trial.parent for trial in study.trials.values() if trial.parent is not None)
    assert set(children.values()) == {1}
    ranked = rungs_of(study)
    for budget in (1, 3):
        for trial in ranked[budget][: len(ranked[budget]) // 3]:
            assert children[trial.id] == 1, f"trial {trial.id} of rung {budget}"
    for trial in study.trials.values():
        if trial.parent is not None:
            parent = study.trials[trial.parent]
            assert (trial.params, trial.budget) == (parent.params, 3 * parent.budget)
            assert parent.status is Status.COMPLETED


@pytest.mark.parametrize("ask_seconds", [0.0, 0.5])
def test_a_promotion_is_earned(ask_seconds):
    """What is continued is the best open trial of its rung's best ⌊n/η⌋, and no higher rung has one."""
    log = simulate(Asha(resource_max=9), Branin(), num_trials=60, executors=4, ask_seconds=ask_seconds).log
    for event in (event for event in log if isinstance(event, Suggested)):
        study = Study.of(log[: event.seen])
        continued = {trial.parent for trial in study.trials.values()}
        ranked = rungs_of(study)
        rungs = [ranked.get(3, []), ranked.get(1, [])]
        waiting = [t.id for rung in rungs for t in rung[: len(rung) // 3] if t.id not in continued]
        assert event.parent == (waiting[0] if waiting else None), f"suggestion {event.trial}"


@pytest.mark.parametrize("asha", [Asha(resource_max=9), Asha(resource_max=9, mode="stopping")])
@pytest.mark.parametrize("faults", [Faults(), FAULTS])
def test_max_of_f_is_min_of_minus_f(asha, faults):
    """The same problem upside down gives the same trials at the same times."""
    for seed in range(3):
        down, up = (
            simulate(asha, Branin(direction=way), num_trials=40, seed=seed, faults=faults).log for way in ("min", "max")
        )
        assert [e for e in down if isinstance(e, Suggested)] == [e for e in up if isinstance(e, Suggested)]
        assert [(e.at, e.trial, e.status) for e in down if isinstance(e, Ended)] == [
            (e.at, e.trial, e.status) for e in up if isinstance(e, Ended)
        ]


@pytest.mark.parametrize("problem", [Branin(), Mixed(direction="max")])
@pytest.mark.parametrize("eta", [2, 3, 4])
def test_the_stopping_form_stops_its_share(problem, eta):
    """About 1 - 1/η of those who reach a rung are stopped there: of n, n/η and at most 1.5·√n more or fewer go on.

    The n-th to come goes on with probability ⌈n/η⌉/n, so n/η + O(ln n) are expected to, with a deviation of at most
    √n/2; the steps of Mixed count from 0, those of Branin from 1.
    """
    asha = Asha(reduction_factor=eta, resource_min=1, resource_max=eta**3, mode="stopping")
    for seed in range(3):
        study = simulate(asha, replace(problem, noise=0.2), num_trials=300, executors=16, seed=seed).study
        reached = 300
        for level in asha.levels[:-1]:
            stopped = sum((trial.stop_reason or "").startswith(f"rung {level:g}:") for trial in study.trials.values())
            went_on = reached - stopped
            assert abs(went_on - reached / eta) <= 1.5 * math.sqrt(reached), f"rung {level}: {went_on} of {reached}"
            reached = went_on
        assert study.counts[Status.COMPLETED] == reached
        assert study.counts[Status.STOPPED] == 300 - reached


def test_asha_is_cheaper_than_the_same_configurations_in_full():
    """What it is for: a third of the work, and nearly the same best trial."""
    problem = Mixed()
    asha = simulate(Asha(), problem, num_trials=100, executors=8)
    full = simulate(Asha(resource_min=27, resource_max=27), problem, num_trials=100, executors=8)
    assert asha.seconds < full.seconds / 3
    assert problem.regret(asha.best.value) < problem.regret(full.best.value) + 0.1
