"""Tests of `maggy.compat.optimizers`: Maggy's arguments, in today's words."""

import pytest

from maggy.compat import optimizers as old
from maggy.errors import ConfigError
from maggy.optimizers import Asha, Gp, GridSearch, Hyperband, RandomSearch, SingleRun, Tpe

PRUNER = {"min_budget": 1, "max_budget": 9, "eta": 3}


@pytest.mark.parametrize(
    ("made", "meant"),
    [
        (old.Asha(), Asha(2, 1, 4)),
        (old.Asha(3, 1, 9), Asha(3, 1, 9)),
        (old.RandomSearch(), RandomSearch()),
        (old.GridSearch(), GridSearch()),
        (old.SingleRun(), SingleRun()),
        (old.GP(), Gp(startup=15)),
        (old.GP(num_warmup_trials=5), Gp(startup=5)),
        (old.GP("impute", "cl_min", None), Gp(startup=15)),
        (old.TPE(), Tpe(15, 0.15, 24)),
        (old.TPE(gamma=0.3, n_samples=9, num_warmup_trials=4), Tpe(4, 0.3, 9)),
        (old.RandomSearch(pruner="hyperband", pruner_kwargs=PRUNER), Hyperband(3, 1, 9)),
        (
            old.GP(pruner="hyperband", pruner_kwargs=PRUNER, random_fraction=0.5),
            Hyperband(3, 1, 9, Gp(startup=15), 0.5),
        ),
        (old.TPE(pruner="hyperband", pruner_kwargs=PRUNER), Hyperband(3, 1, 9, Tpe(15, 0.15, 24), 0.33)),
    ],
)
def test_each_is_one_of_today(made, meant):
    """What comes back is today's, so a log holds it and a resume rebuilds it."""
    assert (type(made), made) == (type(meant), meant)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: old.GP(acq_fun="LCB", async_strategy="asy_ts"),
            "GP(async_strategy='asy_ts', acq_fun='LCB'): this has",
        ),
        (lambda: old.GP(random_fraction=0.5), "GP(random_fraction=0.5): this has no counterpart and changes nothing"),
        (lambda: old.TPE(bw_factor=2), "TPE(bw_factor=2): this has no counterpart and changes nothing"),
        (lambda: old.TPE(interim_results=True), "TPE(interim_results=True, interim_results_interval=10): this"),
    ],
)
def test_what_has_no_counterpart_is_named(make, sentence):
    """A setting that changes nothing any more does not do so in silence."""
    with pytest.warns(FutureWarning) as warned:
        make()
    assert [str(each.message)[: len(sentence)] for each in warned] == [sentence]


def test_how_many_configurations_the_pruners_rounds_began():
    """Brackets of 9, 3 and 3 configurations, and the first again: as many as num_trials would have to say."""
    with pytest.warns(FutureWarning, match="n_iterations=4 began 24 configurations; here num_trials says"):
        old.RandomSearch("hyperband", {**PRUNER, "n_iterations": 4})


@pytest.mark.parametrize(
    ("pruner", "settings", "sentence"),
    [
        ("hyperbnd", PRUNER, "pruner='hyperbnd'; the only one that Maggy had is 'hyperband'"),
        (None, PRUNER, "pruner=None"),
        ("hyperband", {**PRUNER, "etaa": 3}, "pruner_kwargs has 'etaa'; did you mean 'eta'"),
        ("hyperband", {"eta": 3}, "pruner_kwargs lacks min_budget, max_budget; it takes min_budget"),
        ("hyperband", {**PRUNER, "eta": 1}, "Hyperband's reduction_factor is 1"),
    ],
)
def test_what_the_pruner_was_not(pruner, settings, sentence):
    """A sentence each."""
    with pytest.raises(ConfigError, match=sentence):
        old.GP(pruner=pruner, pruner_kwargs=settings)


def test_an_argument_that_there_never_was():
    """It is a TypeError, as it was."""
    with pytest.raises(TypeError, match="num_warmup"):
        old.GP(num_warmup=3)
