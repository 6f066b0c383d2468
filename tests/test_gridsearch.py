import itertools

import pytest

from maggy.domains import Categorical, Float, Integer, Ordinal
from maggy.errors import ConfigError
from maggy.events import StudyOpened
from maggy.optimizers import GridSearch, SingleRun
from maggy.optimizers.base import rng_for
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play
from maggy.trial import DONE

SPACE = Searchspace(
    lr=Float(0.1, 0.3, step=0.1),
    units=Integer(16, 64, log=True, step=16),
    on=Categorical([True, False]),
    n=Ordinal([8]),
)


def grid(space, **settings):
    study = play(GridSearch(), lambda _: 1.0, searchspace=space, **{"num_trials": None} | settings)
    return [trial.params for trial in study.trials.values()]


def ask(space, sampled=0):
    study = Study.of([StudyOpened(0.0, {"searchspace": space.to_dict()})])
    study.sampled = sampled
    return GridSearch().ask(study, rng_for(0, 1))


def test_every_combination_once_the_last_fastest():
    """The grid is gone through like nested loops, in the order of the parameters."""
    expected = itertools.product([0.1, 0.2, 0.3], [16, 32, 48, 64], [True, False], [8])
    assert grid(SPACE) == [dict(zip(SPACE.keys(), values, strict=True)) for values in expected]


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_the_order_does_not_depend_on_what_happens(workers):
    """However trials end, the sequence is the same."""

    def fails(trial):
        raise ValueError(trial.id)

    study = play(GridSearch(), fails, searchspace=SPACE, num_trials=None, workers=workers)
    assert [trial.params for trial in study.trials.values()] == grid(SPACE)


@pytest.mark.parametrize(("num_trials", "expected"), [(1, 1), (5, 5), (24, 24), (100, 24)])
def test_num_trials_takes_the_first_of_the_grid(num_trials, expected):
    """Fewer trials than combinations are the first ones; more are not to be had."""
    assert grid(SPACE, num_trials=num_trials) == grid(SPACE)[:expected]


def test_the_grid_is_never_built():
    """A space of 10³³ combinations, a domain of 10¹¹ values, cost nothing until they are run."""
    space = Searchspace(a=(0, 10**11 - 1), b=(0, 10**11 - 1), c=(0, 10**11 - 1))
    GridSearch().check(space)
    assert ask(space).params == {"a": 0, "b": 0, "c": 0}
    assert ask(space, 10**22 + 3).params == {"a": 1, "b": 0, "c": 3}
    assert ask(space, 10**33 - 1).params == {"a": 10**11 - 1, "b": 10**11 - 1, "c": 10**11 - 1}
    assert ask(space, 10**33) is DONE


def test_of_a_conditional_space_every_different_configuration_once():
    """An inactive parameter multiplies nothing, and what is forbidden is left out."""
    space = Searchspace(
        kernel=["linear", "poly", "rbf"],
        degree=Integer(2, 4, when={"kernel": "poly"}),
        scale=Categorical([True, False], when={"degree": 2}),
    )
    space.forbid(kernel="poly", degree=[3])
    expected = [
        {"kernel": "linear"},
        {"kernel": "poly", "degree": 2, "scale": True},
        {"kernel": "poly", "degree": 2, "scale": False},
        {"kernel": "poly", "degree": 4},
        {"kernel": "rbf"},
    ]
    assert grid(space) == expected
    assert grid(space, num_trials=2) == expected[:2]
    assert ask(space, 5) is DONE


def test_a_large_conditional_grid_is_never_built():
    """The last of 10²⁷ combinations is found as quickly as the first."""
    space = Searchspace(on=[True, False], a=Integer(1, 10**9, when={"on": True}), b=(1, 10**9), c=(1, 10**9))
    space.forbid(b=1, c=range(1, 1001))
    GridSearch().check(space)
    assert ask(space).params == {"on": True, "a": 1, "b": 1, "c": 1001}
    assert ask(space, space.size - 1).params == {"on": False, "b": 10**9, "c": 10**9}
    assert ask(space, space.size) is DONE


def test_a_grid_that_cannot_be_counted_is_refused():
    """Too many combinations that cross one another are refused before anything starts."""
    space = Searchspace({f"x{k}": [0, 1] for k in range(40)})
    for k in range(20):
        space.forbid(**{f"x{k}": 0, f"x{k + 20}": 0, f"x{20 + (k + 1) % 20}": 0})
    with pytest.raises(ConfigError, match="cannot count this searchspace, since too many of its conditions"):
        GridSearch().check(space)


def test_a_continuous_parameter_is_refused():
    """The error names the parameter and what to write."""
    with pytest.raises(ConfigError) as caught:
        GridSearch().check(Searchspace(on=[True, False], lr=Float(0.1, 0.3)))
    assert str(caught.value) == (
        "grid search needs finitely many values, but 'lr' is continuous: "
        "give it a step, as in lr=Float(low, high, step=0.1), or list its values"
    )


def test_what_is_finite_is_accepted():
    """Steps, integers and lists make a grid."""
    GridSearch().check(SPACE)
    GridSearch().check(Searchspace())


def test_a_space_without_parameters_is_one_point():
    """The empty combination is run once."""
    assert grid(Searchspace()) == [{}]


def test_a_single_run_has_nothing_to_search():
    """Without an optimizer a searchspace is refused, and the function is run num_trials times."""
    with pytest.raises(ConfigError, match="a searchspace was given, but optimizer=None runs the function as it is"):
        SingleRun().check(SPACE)
    SingleRun().check(Searchspace())
    study = play(SingleRun(), lambda _: 1.0, searchspace=Searchspace(), num_trials=3)
    assert [trial.params for trial in study.trials.values()] == [{}, {}, {}]
