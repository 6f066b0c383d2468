"""Which model is asked, and why: seen in the trials' own words."""

import numpy as np
import pytest

from maggy.domains import Float
from maggy.optimizers import Auto
from maggy.optimizers.base import rng_for
from maggy.optimizers.bayes.choice import CERTAIN, ahead, compared
from maggy.optimizers.bayes.encoding import Encoding
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play

NUMBERS = Searchspace(x=Float(0, 1), y=Float(0, 1))
KINDS = Searchspace(a=list("abcdef"), b=list("abcdef"), c=list("abcd"), x=Float(0, 1))


def bowl(trial):
    return -((trial.params["x"] - 0.3) ** 2) - (trial.params["y"] - 0.6) ** 2


def chosen(study):
    """Return the models in the order in which they were asked, each once."""
    return list(dict.fromkeys(trial.why.partition(":")[0] for trial in study.trials.values()))


def test_numbers_are_for_a_gaussian_process():
    """First too little is measured, then the space decides, then what the models foresee; and each trial says so."""
    study = play(Auto(), bowl, searchspace=NUMBERS, num_trials=24)
    why = [study.trials[number].why for number in (1, 11, 24)]
    assert chosen(study) == ["sobol", "gp"]
    assert why[0] == "sobol: 0 measurements are too few for a model"
    assert why[1] == "gp: 10 measurements are too few to compare models"
    assert why[2].startswith("gp: no other foresees 20 measurements clearly better (rank correlations: gp ")
    assert -study.best.value < 1e-3


def test_a_comparison_is_made_again_from_the_log():
    """After a resume models are compared anew, and the same one is chosen for the same reason."""
    log = []
    study = play(Auto(), bowl, searchspace=NUMBERS, num_trials=22, log=log)
    last = study.trials[22]
    seen = Study.of(log[: next(number for number, event in enumerate(log) if getattr(event, "trial", 0) == 22)])
    again = Auto().ask(seen, rng_for(0, 22))
    assert (again.params, again.why) == (last.params, last.why)


@pytest.mark.parametrize(("optimizer", "models"), [(Auto(), ["sobol"]), (Auto(random=False), ["sobol", "gp"])])
def test_many_at_once_are_too_many_for_a_model(optimizer, models):
    """Where a fifth of the trials run at once, `auto` asks none; `bayes` still does."""
    study = play(optimizer, bowl, searchspace=NUMBERS, num_trials=18, workers=6)
    assert chosen(study)[: len(models)] == models


def test_noise_is_foreseen_by_nobody():
    """Where no model understands anything, the one that needs to understand least is asked."""
    rng = np.random.default_rng(1)
    encoding = Encoding(NUMBERS)
    found = compared(encoding, encoding.draw(40, rng), rng.random(40))
    assert found.name == "tpe"
    assert found.reason.startswith("no model foresees")


def test_steps_are_for_a_forest():
    """What jumps where several numbers pass a threshold is foreseen clearly better by trees."""
    rng = np.random.default_rng(1)
    encoding = Encoding(Searchspace({f"x{i}": Float(0, 1) for i in range(8)}))
    rows = encoding.draw(120, rng)
    losses = (rows[:, 0] > 0.5) * (1.0 + (rows[:, 1] > 0.3)) + 0.01 * rng.random(120)
    found = compared(encoding, rows, losses)
    assert found.name == "cqr"
    assert found.reason.startswith("foresees 120 measurements best (rank correlations: gp ")


def test_a_chance_lead_decides_nothing():
    """A forest that is ahead a little, by what a few measurements say, is not chosen."""
    rng = np.random.default_rng(4)
    losses = rng.random(20)
    one = losses + 0.3 * rng.random(20)
    assert ahead(one, one[::-1], losses) == 1.0
    assert ahead(one, losses + 0.3 * rng.random(20), losses) < CERTAIN
