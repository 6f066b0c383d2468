"""Tests of `maggy.compat.configs`."""

import pytest

from maggy.ablation import AblationStudy
from maggy.compat.configs import AblationConfig, BaseConfig, HyperparameterOptConfig, LagomConfig, OptimizationConfig
from maggy.optimizers import Asha, Gp, GridSearch, RandomSearch, Tpe

SPACE = {"lr": (0.01, 0.1)}


def test_what_is_at_its_default_is_left_to_today():
    """The median rule, say, is today's default where there are no rungs."""
    assert HyperparameterOptConfig(5, "randomsearch", SPACE).options() == {
        "searchspace": SPACE,
        "optimizer": "randomsearch",
        "num_trials": 5,
    }


def test_all_that_was_said_is_said():
    """In the order in which Maggy took it."""
    config = HyperparameterOptConfig(
        *(5, RandomSearch(), SPACE, "accuracy", "min", 2, 3, "none", "digits", "for people", 4, "model", "data")
    )
    assert config.options() == {
        "searchspace": SPACE,
        "optimizer": RandomSearch(),
        "num_trials": 5,
        "optimization_key": "accuracy",
        "direction": "min",
        "es_interval": 2,
        "es_min": 3,
        "es_policy": "none",
        "name": "digits",
        "hb_interval": 4,
    }
    assert config.provided() == {"model": "model", "dataset": "data"}


@pytest.mark.parametrize(
    ("named", "meant"),
    [("asha", Asha(2, 1, 4)), ("ASHA", Asha(2, 1, 4)), ("gp", Gp(startup=15)), ("tpe", Tpe(15, 0.15, 24))],
)
def test_a_name_has_the_settings_that_it_had(named, meant):
    """A function written for budgets of up to 4 is not given 27."""
    assert HyperparameterOptConfig(5, named, SPACE).options()["optimizer"] == meant


@pytest.mark.parametrize("grid", ["gridsearch", GridSearch()])
def test_grid_search_tries_the_whole_grid(grid):
    """num_trials had to be given, and was not heeded."""
    assert "num_trials" not in HyperparameterOptConfig(1, grid, SPACE).options()


def test_hyperparameters_that_do_not_change():
    """The older config had them, in the twelfth place."""
    config = OptimizationConfig(5, "randomsearch", SPACE, "metric", "max", 1, 10, "median", "x", "", 1, {"units": 3})
    assert (config.fixed(), config.provided()) == ({"units": 3}, {"units": 3})


def test_a_base_config_just_runs():
    """Without an optimizer the function is run once."""
    assert BaseConfig("x", hb_interval=2).options() == {"optimizer": None, "name": "x", "hb_interval": 2}


def test_an_ablation_config_completes_its_study():
    """Model and data stand in for what the study lacks; the study itself stays as it is."""
    study = AblationStudy(label_name="y")
    options = AblationConfig(study, "greedy", "min", "parts", dataset={"x": [1]}).options()
    assert options.pop("searchspace").dataset == {"x": [1]}
    assert options == {"ablator": "greedy", "direction": "min", "name": "parts"}
    assert study.dataset is None


def test_the_base_of_all_is_of_no_use_by_itself():
    """Maggy's was abstract."""
    with pytest.raises(NotImplementedError):
        LagomConfig().options()
