import math

import pytest
from scipy.stats import t as student

from maggy.effects import Runs, change_of, changed, effects, label_of, quantile, reference
from maggy.optimizers import Loco, Pairs
from maggy.searchspace import Searchspace
from maggy.testing.play import play

SPACE = Searchspace(augment=[True, False], layer_fc=["fc", None], seed=[0, 1, 2])
NOISE = {0: 0.0, 1: 5.0, 2: -5.0}  # what a seed does is larger than what any part does


def value(trial):
    return 10 * trial.params["augment"] - 2 * (trial.params["layer_fc"] is None) + NOISE[trial.params["seed"]]


def found(optimizer=Loco(), function=value, space=SPACE, **settings):  # noqa: B008 - frozen
    return effects(play(optimizer, function, searchspace=space, num_trials=None, **settings))


def test_effects_are_differences_to_the_reference():
    """Paired by seed, what the seed does to both cancels out."""
    first, worst, other = found()
    assert (first.label, first.value, first.n, first.effect) == ("reference", 10.0, 3, None)
    assert (worst.label, worst.effect, worst.low, worst.high) == ("without augment", -10.0, -10.0, -10.0)
    assert (other.label, other.effect, other.verdict) == ("without fc", -2.0, "needed")


def test_what_harms_comes_first_whatever_the_direction():
    """Where less is better, the part whose absence lowers the objective is the harmful one."""
    _, *told = found(direction="min")
    assert [(each.label, each.effect, each.verdict) for each in told] == [
        ("without fc", -2.0, "harmful"),
        ("without augment", -10.0, "harmful"),
    ]


def test_an_interval_is_students():
    """Three differences of 1, 2 and 3: a mean of 2, and 4.303 standard errors to either side."""
    space = Searchspace(a=[True, False], seed=[1, 2, 3])
    told = found(function=lambda trial: 0.0 if trial.params["a"] else float(trial.params["seed"]), space=space)[1]
    assert (told.effect, told.n) == (2.0, 3)
    assert told.high - 2 == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert told.low - 2 == pytest.approx(-4.302652729911275 / math.sqrt(3))
    assert told.verdict == "unclear"


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 30, 101])
def test_students_quantile_is_scipys(degrees):
    """The series of the handbook agrees with scipy's."""
    assert quantile(degrees, 0.95) == pytest.approx(student.ppf(0.975, degrees), rel=1e-9)


def test_one_replicate_has_no_interval():
    """Nothing can be said of the spread of one number."""
    told = found(space=Searchspace(augment=[True, False], layer_fc=["fc", None]), function=lambda trial: trial.id)[1]
    assert (told.n, told.low, told.high, told.verdict) == (1, None, None, "")


def test_trials_that_failed_or_have_no_partner_do_not_count():
    """A seed counts where both have completed, and the table says why others do not."""

    def fails(trial):
        if (trial.params["seed"], trial.params["augment"]) in [(0, False), (1, True)]:
            raise ValueError("no memory")
        return value(trial)

    first, told = [each for each in found(function=fails) if "fc" not in each.label]
    assert (first.n, told.n, told.effect) == (2, 1, -10.0)
    assert told.why == "1 failed: ValueError('no memory')"


def test_a_change_that_always_failed_stands_last_with_its_cause():
    """Nothing is known of its effect, which is not the same as none."""

    def fails(trial):
        if trial.params["layer_fc"] is None:
            raise ValueError("shapes cannot be multiplied")
        return value(trial)

    told = found(function=fails)[-1]
    assert (told.label, told.n, told.effect, told.why[:8]) == ("without fc", 0, None, "3 failed")


def test_an_interaction_is_what_two_do_beyond_the_sum():
    """Of two parts of which either suffices, leaving out both costs more than the sum of each."""
    space = Searchspace(a=[True, False], b=[True, False])
    told = found(Pairs(), lambda trial: float(trial.params["a"] or trial.params["b"]), space)
    assert {each.label: each.interaction for each in told} == {
        "reference": None,
        "without a": None,
        "without b": None,
        "without a and b": -1.0,
    }


def test_changes_of_a_conditional_space():
    """A part that there is only with another is absent with it, and has no say in the change."""
    space = Searchspace(variant=["base", "linear"])
    space.add("layer_fc", {"type": "categorical", "choices": ["fc", None], "when": {"variant": "base"}})
    assert reference(space) == {"variant": "base", "layer_fc": "fc"}
    assert changed(space, {"variant": "linear", "layer_fc": None}) == {"variant": "linear"}
    assert change_of(space, {"variant": "linear"}) == {"variant": "linear"}
    assert label_of(space, {"variant": "linear"}) == "variant = linear"


def test_labels_are_as_people_write():
    """Parts that are gone are listed, other values are named."""
    space = Searchspace(a=[True, False], b=["b 1", None], c=[True, False], act=["relu", "tanh"])
    assert label_of(space, {"a": False, "b": None}) == "without a and b 1"
    assert label_of(space, {"a": False, "b": None, "c": False, "act": "tanh"}) == "without a, b 1 and c, act = tanh"
    assert label_of(space, {}) == "reference"


def test_what_rounding_does_is_no_effect():
    """Sums of the same numbers in another order differ by a digit that means nothing, be it for each seed."""
    space = Searchspace(a=[True, False], seed=[0, 1])
    told = found(function=lambda trial: sum([0.1, 0.2, 0.3] if trial.params["a"] else [0.3, 0.2, 0.1]), space=space)[1]
    assert (told.effect, told.low, told.high, told.verdict) == (0.0, 0.0, 0.0, "unclear")


def test_zero_is_a_value_and_no_absence():
    """Only False and None leave something out."""
    space = Searchspace(dropout={"type": "ordinal", "values": [1, 0]})
    assert label_of(space, {"dropout": 0}) == "dropout = 0"


def test_the_index_is_the_same_built_at_once_and_by_and_by():
    """A study that is read from its log has the runs of the one that was followed."""
    study = play(Loco(), value, searchspace=SPACE, num_trials=None)
    anew = Runs(study)
    for trial in study.trials.values():
        anew.update(trial)
    assert anew.of({"augment": False}) == study.index(Runs).of({"augment": False})
    assert set(anew.changes) == set(study.index(Runs).changes)
