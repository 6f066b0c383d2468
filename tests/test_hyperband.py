from collections import Counter

import pytest

from maggy.optimizers import Asha, Hyperband
from maggy.searchspace import Searchspace
from maggy.testing.play import play

SPACE = Searchspace(x=(0.0, 1.0))


def played(optimizer, num_trials, workers=4):
    return play(optimizer, lambda trial: trial.params["x"], searchspace=SPACE, num_trials=num_trials, workers=workers)


def begun(study):
    """Count configurations by the budget with which they began."""
    return Counter(trial.budget for trial in study.trials.values() if trial.parent is None)


@pytest.mark.parametrize(
    ("settings", "brackets"),
    [
        ({}, [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27]]),
        ({"resource_max": 1}, [[1]]),
        ({"reduction_factor": 4, "resource_max": 10}, [[1, 4, 10], [4, 10], [10]]),
    ],
)
def test_brackets(settings, brackets):
    """Bracket s begins at r·η^s, and each ends at R."""
    assert Hyperband(**settings).brackets == brackets


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, {1: 27, 3: 12, 9: 6, 27: 4}),  # η^s / (s + 1), Li et al., algorithm 1
        ({"resource_max": 81}, {1: 81, 3: 33.75, 9: 15, 27: 7.5, 81: 5}),
        ({"reduction_factor": 2, "resource_max": 4}, {1: 4, 2: 3, 4: 3}),
    ],
)
@pytest.mark.parametrize("num_trials", [10, 49, 200])
def test_brackets_get_hyperbands_shares(settings, shares, num_trials):
    """After any number of configurations each bracket has its share, but for less than two configurations."""
    found = begun(played(Hyperband(**settings), num_trials))
    for budget, share in shares.items():
        assert abs(found[budget] - num_trials * share / sum(shares.values())) < 2, budget


def test_brackets_spend_alike():
    """What a bracket's trials cost from scratch is the same for each, give or take one trial at R."""
    study = played(Hyperband(resource_max=9), 300, workers=1)
    first, spent = {}, Counter()
    for trial in study.trials.values():
        first[trial.id] = trial.budget if trial.parent is None else first[trial.parent]
        spent[first[trial.id]] += trial.budget
    assert max(spent.values()) <= 1.15 * min(spent.values())


def test_a_promotion_says_its_bracket():
    """The reason names the bracket, for rungs of one budget are several."""
    study = played(Hyperband(), 60)
    reasons = {trial.why for trial in study.trials.values() if trial.parent is not None}
    assert any(why.startswith("bracket from 3, rung 9: rank ") for why in reasons)
    assert {trial.why for trial in study.trials.values() if trial.parent is None} == {None}


def test_one_budget_is_random_search():
    """With a single level there is one bracket, and nothing to promote."""
    hyperband, asha = (
        played(each, 6) for each in (Hyperband(resource_min=5, resource_max=5), Asha(resource_min=5, resource_max=5))
    )
    assert [t.params for t in hyperband.trials.values()] == [t.params for t in asha.trials.values()]
