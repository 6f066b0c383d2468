"""Tests of what ASHA and Hyperband share: who proposes, and how that is set."""

import math
from collections import Counter
from dataclasses import dataclass

import pytest

from maggy.errors import ConfigError
from maggy.optimizers import VARIANTS, Asha, Foreign, Gp, Hyperband, RandomSearch, Tpe
from maggy.optimizers.rungs import RANDOM, Rung, Rungs
from maggy.searchspace import Searchspace
from maggy.testing.play import play

SPACE = Searchspace(x=(0.0, 1.0))


@dataclass(frozen=True)
class Middle:
    """A searcher that proposes what nobody would draw."""

    def propose(self, study, rng):
        return {"x": 0.5}

    def check(self, searchspace):
        if "x" not in searchspace:
            raise ConfigError("there is no x")


@pytest.mark.parametrize("optimizer", [kind(searcher=Middle(), random_share=0) for kind in (Asha, Hyperband)])
def test_the_searcher_proposes_and_the_rungs_promote(optimizer):
    """Each new configuration is the searcher's; what goes on are trials, as without one."""
    study = play(optimizer, lambda trial: trial.id, searchspace=SPACE, num_trials=27)
    assert {trial.params["x"] for trial in study.trials.values()} == {0.5}
    assert any(trial.parent for trial in study.trials.values())


def test_a_searcher_is_asked_in_the_stopping_form_too():
    """There each new configuration gets the whole budget."""
    asha = Asha(mode="stopping", searcher=Middle(), random_share=0)
    study = play(asha, lambda trial: trial.id, searchspace=SPACE, num_trials=3)
    assert [(trial.params["x"], trial.budget) for trial in study.trials.values()] == [(0.5, 27)] * 3


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_a_share_of_the_configurations_is_random(share):
    """A model that low budgets mislead does not have all to itself; the log says which configurations are random."""
    asha = Asha(resource_max=3, searcher=Middle(), random_share=share)
    study = play(asha, lambda trial: trial.id, searchspace=SPACE, num_trials=200)
    began = [trial for trial in study.trials.values() if trial.parent is None]
    drawn = sum(trial.params["x"] != 0.5 for trial in began)
    assert abs(drawn - 200 * share) <= 3 * math.sqrt(200 * share * (1 - share))
    assert all(trial.why == (None if trial.params["x"] == 0.5 else RANDOM) for trial in began)


@pytest.mark.parametrize("optimizer", [Asha(), Hyperband(searcher=Middle()), Asha(mode="stopping")])
def test_elsewhere_nothing_is_apart(optimizer):
    """Without a searcher all are random. In Hyperband random ones begin at R, too, where nobody takes their places."""
    study = play(optimizer, lambda trial: trial.id, searchspace=SPACE, rules=[optimizer] if optimizer.stops else [])
    assert not any(trial.why for trial in study.trials.values() if trial.parent is None)


@pytest.mark.parametrize("random_share", [0.25, 0.5])
def test_random_configurations_have_their_share_of_the_places(random_share):
    """Where each of the model's is better than any random one, the best 1/η of these go on all the same."""
    study = play(
        Asha(resource_max=9, searcher=Middle(), random_share=random_share),
        lambda trial: 1.0 if trial.params["x"] == 0.5 else -trial.params["x"],
        searchspace=SPACE,
        num_trials=120,
        workers=4,
    )
    rungs, continued = study.index(Rungs), {trial.parent for trial in study.trials.values()}
    for budget in (1, 3):
        every, apart = ([number for _, number in rungs.at(Rung(1, budget, each))] for each in (False, True))
        places, sure = len(every) // 3, len(apart) // 3
        others = [number for number in every if number not in apart[:sure]]
        assert {*apart[:sure], *others[: places - sure]} <= continued
        assert len(continued.intersection(every)) <= places + 2 * math.sqrt(len(apart))
    reasons = [trial.why for trial in study.trials.values() if trial.parent and trial.params["x"] != 0.5]
    assert sum(why.endswith(" random ones") for why in reasons) > 5


@pytest.mark.parametrize("num_trials", [27, 30, 40])
def test_a_few_configurations_are_enough_for_the_top_rung(num_trials):
    """Random ones and the model's have the places together that they would have alone, the only one at the top too."""
    for seed in range(5):
        asha = Asha(searcher=Middle())
        study = play(asha, lambda trial: trial.params["x"], searchspace=SPACE, num_trials=num_trials, seed=seed)
        assert any(trial.budget == 27 for trial in study.trials.values())


def test_who_gets_better_all_the_time_is_promoted_in_its_share():
    """Where each trial is better than those before, all would be; with a model 1/η of each rung are, until the end."""
    beyond = {None: [], Middle(): []}
    for searcher, over in beyond.items():

        def watch(study, number, answer, found=over):
            rungs = Counter(trial.budget for trial in study.trials.values())
            if study.remaining:
                found.extend(rungs[3 * budget] - rungs[budget] // 3 for budget in (1, 3, 9))

        asha = Asha(searcher=searcher, random_share=0)
        study = play(asha, lambda trial: trial.id, searchspace=SPACE, num_trials=99, watch=watch)
        ranked = study.index(Rungs)
        for budget in (1, 3, 9):  # in the end all who have earned it have gone on
            best = ranked.at(Rung(1, budget))[: len(ranked.at(Rung(1, budget))) // 3]
            assert {number for _, number in best} <= {trial.parent for trial in study.trials.values()}
    assert max(beyond[None]) > 30
    assert max(beyond[Middle()]) <= 1


def test_random_configurations_beside_a_models_do_not_wait():
    """Nothing makes them better all the time: with a model that is never asked ASHA is what it is without one."""
    told = [
        [
            (trial.params["x"] > 0, trial.budget, trial.parent)
            for trial in play(asha, lambda trial: trial.id, searchspace=SPACE, num_trials=60).trials.values()
        ]
        for asha in (Asha(), Asha(searcher=Middle(), random_share=1))
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("given", "searcher"),
    [(None, None), ("random", None), ("RandomSearch", None), ("tpe", Tpe()), ("TPE", Tpe()), (Tpe(5), Tpe(5))],
)
def test_a_searcher_has_a_name_or_is_given(given, searcher):
    """A name stands for the default settings; random configurations need none."""
    assert Asha(searcher=given).searcher == searcher
    assert Asha(searcher=given) == Asha(searcher=searcher)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("tep", "there is no searcher 'tep'; did you mean 'tpe'?"),
        (Tpe, "the searcher is the class Tpe; pass a name such as 'tpe', or an instance with a method propose"),
        (RandomSearch(), "the searcher is of type RandomSearch; pass a name"),
        (3, "the searcher is of type int; pass a name"),
        (
            "optuna:TPESampler",
            "the searcher is 'optuna:TPESampler', an optimizer of another library: those know one loss",
        ),
        (Foreign("skopt:GP"), "Take one of 'gp', 'tpe', 'cqr', 'auto', 'sobol', or pass this one as optimizer="),
    ],
)
def test_a_searcher_that_is_none_is_refused(given, message):
    """The message gives what was met, and the nearest name."""
    for optimizer in (Asha, Hyperband):
        with pytest.raises(ConfigError, match=message):
            optimizer(searcher=given)


def test_the_searchers_space_is_checked():
    """A space that the searcher cannot search is refused before anything starts."""
    Asha(searcher=Middle()).check(SPACE)
    Asha().check(Searchspace())
    with pytest.raises(ConfigError, match="there is no x"):
        Asha(searcher=Middle()).check(Searchspace(y=(0.0, 1.0)))


def test_only_without_a_searcher_an_answer_is_quick():
    """A model is asked on a thread of its own, ahead of need."""
    assert [(each.quick, each.lookahead) for each in (Asha(), Hyperband())] == [(True, 0)] * 2
    assert [(each.quick, each.lookahead) for each in (Asha(searcher="tpe"), VARIANTS["bohb"]())] == [(False, 1)] * 2


def test_variants_are_what_they_are_called():
    """BOHB is Hyperband with a Parzen estimator, MOBSTER is ASHA with a Gaussian process."""
    assert VARIANTS["bohb"]() == Hyperband(searcher=Tpe())
    assert VARIANTS["mobster"]() == Asha(searcher=Gp())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"random_share": 1.5}, "Hyperband's random_share is 1.5; it must be from 0 to 1"),
        ({"reduction_factor": 1}, "Hyperband's reduction_factor is 1; it must be over 1, 3 is usual"),
        ({"resource_min": 5, "resource_max": 4}, "Hyperband's budgets go from resource_min=5 to resource_max=4"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    """The error says whose setting it is."""
    with pytest.raises(ConfigError, match=message):
        Hyperband(**settings)
