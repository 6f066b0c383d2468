import pytest

from maggy.domains import Float
from maggy.optimizers import RandomSearch
from maggy.optimizers.base import rng_for
from maggy.searchspace import Searchspace
from maggy.testing.play import play

SPACE = Searchspace(lr=Float(1e-4, 1e-1, log=True), units=(8, 512), kind=["a", "b"])


def drawn(function=lambda _: 1.0, **settings):
    study = play(RandomSearch(), function, searchspace=SPACE, **{"num_trials": 50} | settings)
    return [trial.params for trial in study.trials.values()]


def fails(trial):
    raise ValueError(trial.id)


@pytest.mark.parametrize("settings", [{"workers": 7}, {"direction": "min"}, {"num_trials": 60}, {"function": fails}])
def test_the_sequence_is_the_same_whatever_happens(settings):
    """The k-th configuration depends on the seed and on k."""
    assert drawn(**settings)[:50] == drawn()


def test_seeds_differ():
    """Another seed gives another sequence, and no two configurations of one are alike."""
    assert drawn(seed=1) != drawn(seed=2)
    assert len({str(params) for params in drawn()}) == 50


def test_the_whole_space_is_drawn_from():
    """Each third of a logarithmic range, each choice and both halves of a range of integers have their share."""
    configurations = drawn(num_trials=300)
    for decade in (1e-4, 1e-3, 1e-2):
        assert 60 < sum(decade <= each["lr"] < 10 * decade for each in configurations) < 140
    assert 100 < sum(each["kind"] == "a" for each in configurations) < 200
    assert 100 < sum(each["units"] < 260 for each in configurations) < 200


def test_the_seeds_sequence_is_promised():
    """What a log has recorded is drawn again by every later version: these numbers must not change."""
    assert [round(rng_for(0, number).random(), 6) for number in (1, 2, 3)] == [0.668464, 0.603611, 0.476875]
    assert rng_for(1, 12).random() != rng_for(11, 2).random()


def test_answers_come_at_once():
    """The driver asks random search in its own thread, and not ahead of need."""
    assert (RandomSearch().quick, RandomSearch().lookahead) == (True, 0)
