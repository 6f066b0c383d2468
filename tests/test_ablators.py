from itertools import combinations

import pytest

from maggy.effects import change_of
from maggy.errors import ConfigError
from maggy.optimizers import Greedy, Loco, Pairs
from maggy.searchspace import Searchspace
from maggy.testing.play import play
from maggy.trial import Status

SPACE = Searchspace(a=[True, False], b=[True, False], act=["relu", "tanh", "gelu"])
WORTH = {"a": 4.0, "b": -1.0, "act": 0.0}  # what is lost without it: b does harm, act does nothing


def worth(trial):
    return sum(WORTH[name] for name in ("a", "b") if trial.params[name])


def tried(optimizer, space=SPACE, function=worth, **settings):
    study = play(optimizer, function, searchspace=space, **{"num_trials": None} | settings)
    return [change_of(space, trial.params) for trial in study.trials.values()]


def test_loco_tries_the_reference_then_each_other_value():
    """One more trial than there are other values."""
    assert tried(Loco()) == [{}, {"a": False}, {"b": False}, {"act": "tanh"}, {"act": "gelu"}]


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_all_is_tried_once_before_anything_with_another_seed(workers):
    """A study that is broken off has seen every part; the order does not depend on what happens."""
    space = Searchspace(a=[True, False], b=[True, False], seed=[7, 11])
    study = play(Loco(), worth, searchspace=space, num_trials=None, workers=workers)
    assert [(trial.params["seed"], change_of(space, trial.params)) for trial in study.trials.values()] == [
        (seed, change) for seed in (7, 11) for change in ({}, {"a": False}, {"b": False})
    ]


def test_pairs_are_tried_after_single_parts():
    """Each two of different parts, once."""
    singles = [{"a": False}, {"b": False}, {"act": "tanh"}, {"act": "gelu"}]
    both = [{**one, **other} for one, other in combinations(singles, 2) if one.keys() != other.keys()]
    assert tried(Pairs()) == [{}, *singles, *both]
    assert Pairs().total(SPACE) == 1 + 4 + 5


def test_pairs_leave_out_what_another_hides():
    """A layer cannot be left out of a model that another has taken the place of."""
    space = Searchspace(variant=["base", "linear"])
    space.add("layer", {"type": "categorical", "choices": ["fc", None], "when": {"variant": "base"}})
    assert tried(Pairs(), space, lambda _: 1.0) == [{}, {"variant": "linear"}, {"layer": None}]
    assert Pairs().total(space) == 3


def test_greedy_goes_on_without_what_is_missed_least():
    """Round by round, until whatever is left is missed."""
    found = tried(Greedy(), Searchspace(a=[True, False], b=[True, False], c=[True, False]))
    assert found == [
        *({}, {"a": False}, {"b": False}, {"c": False}),  # b does harm: it is best without
        *({"b": False, "a": False}, {"b": False, "c": False}),  # c does nothing
        {"b": False, "c": False, "a": False},  # a is missed: that is all
    ]


def test_forward_puts_back_what_helps_most():
    """It begins with nothing, ends when nothing helps, and has tried the reference to compare with."""
    found = tried(Greedy(forward=True), Searchspace(a=[True, False], b=[True, False]))
    nothing = {"a": False, "b": False}
    assert found == [{}, nothing, {"b": False}, {"a": False}]  # with a and b back the reference is reached, known


def test_tolerance_says_how_much_worse_it_may_get():
    """With 4 to spare, a goes as well."""
    space = Searchspace(a=[True, False], b=[True, False])
    assert len(tried(Greedy(), space)) == len(tried(Greedy(tolerance=3.9), space)) == 4
    assert tried(Greedy(tolerance=4.0), space)[-1] == {"b": False, "a": False}


def test_greedy_waits_for_a_round_and_judges_by_all_seeds():
    """Whatever ends first, the path is the same."""
    space = Searchspace(a=[True, False], b=[True, False], c=[True, False], seed=[0, 1])
    paths = [tried(Greedy(), space, workers=workers) for workers in (1, 2, 9)]
    assert {tuple(map(str, sorted(map(str, path)))) for path in paths} == {tuple(sorted(map(str, paths[0])))}


def test_greedy_goes_around_what_fails():
    """A part without which nothing runs is kept, and so is the study."""

    def fails(trial):
        if not trial.params["a"]:
            raise ValueError("no columns left")
        return worth(trial)

    study = play(Greedy(), fails, searchspace=Searchspace(a=[True, False], b=[True, False]), num_trials=None)
    assert study.counts[Status.FAILED] == 2
    assert study.best.params == {"a": True, "b": False}


def test_forward_begins_where_nothing_runs_without_anything():
    """Without a single feature no model can be fitted; the first one is judged by itself."""

    def fails(trial):
        if not any(trial.params.values()):
            raise ValueError("no columns left")
        return worth(trial)

    study = play(
        Greedy(forward=True), fails, searchspace=Searchspace(a=[True, False], b=[True, False]), num_trials=None
    )
    assert study.best.params == {"a": True, "b": False}


@pytest.mark.parametrize("optimizer", [Loco(), Pairs(), Greedy(), Greedy(forward=True)])
def test_no_more_are_tried_than_announced(optimizer):
    """`total` bounds the study, and num_trials cuts it short."""
    assert len(tried(optimizer)) <= optimizer.total(SPACE)
    assert len(tried(optimizer, num_trials=3)) == 3


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Searchspace(), "needs something to leave out"),
        (Searchspace(seed=[1, 2], only=["this"]), "needs something to leave out"),
        (Searchspace(lr=(0.1, 0.2)), "'lr' is continuous"),
        (Searchspace(a=[1, 2], b=[1, 2], **{"!forbidden": [{"a": 1, "b": 1}]}), "no forbidden combinations"),
    ],
)
def test_a_space_with_nothing_to_leave_out_is_refused(space, message):
    """Before anything starts, in a sentence."""
    with pytest.raises(ConfigError, match=message):
        Loco().check(space)
