import math

import numpy as np
import pytest

from maggy.domains import Float, Integer
from maggy.errors import ConfigError
from maggy.events import Ended, Started, StudyOpened, Suggested
from maggy.optimizers import Asha, Gp, RandomSearch
from maggy.optimizers.base import rng_for
from maggy.optimizers.bayes.surrogate import Data, scheduled
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play
from maggy.testing.problems import Branin, Hartmann6

SQUARE = Searchspace(x=Float(0, 1), y=Float(0, 1))


def regret(optimizer, problem, num_trials, seed):
    study = play(
        optimizer,
        lambda trial: problem.f(trial.params),
        searchspace=problem.searchspace,
        num_trials=num_trials,
        direction="min",
        seed=seed,
    )
    return study.best.value - problem.optimum


@pytest.mark.parametrize(("problem", "num_trials", "share"), [(Branin(), 30, 0.05), (Hartmann6(), 45, 0.1)])
def test_it_is_far_better_than_random(problem, num_trials, share):
    """On smooth functions what is missing to the optimum is a small part of what random search misses."""
    ours = np.median([regret(Gp(), problem, num_trials, seed) for seed in range(3)])
    assert ours < share * np.median([regret(RandomSearch(), problem, num_trials, seed) for seed in range(9)])


def bowl(params):
    return (params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2


def test_what_fails_is_avoided():
    """Where trials fail it hardly goes, though everything else there looks promising."""

    def half(trial):
        if trial.params["x"] > 0.5:
            raise RuntimeError("too much")
        return -trial.params["x"]

    study = play(Gp(startup=6), half, searchspace=SQUARE, num_trials=30, direction="min")
    later = [trial for trial in study.trials.values() if trial.id > 10]
    assert sum(trial.params["x"] > 0.5 for trial in later) <= len(later) / 2
    assert study.best.value < -0.48


def test_the_best_of_categories_is_found():
    """With categories, integers and numbers that interact the optimum is found, not only approached."""
    space = Searchspace(kind=["a", "b", "c", "d"], mode=["u", "v", "w"], n=Integer(1, 40), x=Float(0, 1))

    def value(trial):
        p = trial.params
        centre = {"a": 5, "b": 30, "c": 20, "d": 12}[p["kind"]]
        return (p["kind"] != "c") + 0.5 * (p["mode"] != "v") + abs(p["n"] - centre) / 20 + (p["x"] - 0.4) ** 2

    study = play(Gp(), value, searchspace=space, num_trials=40, direction="min")
    assert study.best.params == {"kind": "c", "mode": "v", "n": 20, "x": pytest.approx(0.4, abs=0.05)}


def opened(space, **settings):
    return StudyOpened(0.0, {"searchspace": space.to_dict(), "direction": "min", "num_trials": 100, **settings})


def measured(study, params, value, budget=None, parent=None):
    number = study.next_id
    study.apply(Suggested(0.0, number, params, budget, parent, study.position))
    study.apply(Started(0.0, number, 1, "executor"))
    study.apply(Ended(0.0, number, 1, "completed", value, {"metric": value}))
    return number


def study_of(rows, function=bowl, space=SQUARE):
    study = Study.of([opened(space)])
    for row in rows:
        params = dict(zip(space.keys(), row, strict=True))
        measured(study, params, function(params))
    return study


def ask(study, **settings):
    return dict(Gp(**settings).ask(study, rng_for(0, study.next_id)).params)


def distance(one, other):
    return math.dist(one.values(), other.values())


def test_pending_trials_are_kept_away_from():
    """Four that run at a time are four different ones; without news from them the same would be proposed again."""
    study = study_of(np.random.default_rng(0).random((12, 2)).tolist())
    first = ask(study)
    asked = [first]
    for _ in range(3):
        study.apply(Suggested(0.0, study.next_id, asked[-1], None, None, study.position))
        asked.append(ask(study))
    gaps = [distance(one, other) for number, one in enumerate(asked) for other in asked[:number]]
    assert min(gaps) > 1e-3


def test_the_first_ones_are_spread():
    """The startup is quasi-random: of eight points one lies in each eighth of each axis."""
    study = play(Gp(startup=8), lambda trial: bowl(trial.params), searchspace=SQUARE, num_trials=8, seed=5)
    for name in ("x", "y"):
        assert sorted(int(8 * trial.params[name]) for trial in study.trials.values()) == list(range(8))


def test_the_schedule_of_fits():
    """Every count up to 32 has a fit of its own, later about one in sixteen; a prefix of the log decides."""
    assert [scheduled(count) for count in (1, 5, 32, 33, 34, 35)] == [1, 5, 32, 32, 34, 34]
    fits = {scheduled(count) for count in range(1, 1001)}
    assert len(fits) < 100
    assert all(count / scheduled(count) < 1.07 for count in range(32, 1000))


def test_few_of_many_measurements_are_the_best_and_a_spread():
    """What is left out for speed is neither good nor on one side."""
    rng = np.random.default_rng(0)
    data = Data(np.arange(2000.0)[:, None], rng.standard_normal(2000), np.ones(2000))
    kept = data.chosen(100)
    assert len(kept.targets) == 100
    assert set(np.sort(data.targets)[:50]) <= set(kept.targets)
    assert np.histogram(kept.rows, 10, (0, 2000))[0].min() >= 3
    assert data.chosen(2000) is data


RUNGS = (1, 3, 9)


def climbing(params, budget):
    """Return a loss that falls with the budget, for good configurations most."""
    return 2 ** (-budget / 3) + bowl(params) * (1 - 0.5 * 2 ** (-budget / 3))


def halved(count, seed=0):
    """Return a study of promotion: everybody at 1, a third of them at 3, a ninth at 9."""
    study = Study.of([opened(SQUARE)])
    rows = [{"x": float(x), "y": float(y)} for x, y in np.random.default_rng(seed).random((count, 2))]
    parents = [(measured(study, params, climbing(params, 1), 1.0), params) for params in rows]
    for budget in RUNGS[1:]:
        parents = sorted(parents, key=lambda each: bowl(each[1]))[: len(parents) // 3]
        parents = [(measured(study, p, climbing(p, budget), budget, parent), p) for parent, p in parents]
    return study


def test_all_budgets_are_learned_from():
    """With three measurements at the top, the many below tell where the optimum is."""
    study = halved(27)
    best = min(bowl(trial.params) for trial in study.trials.values())
    asked = [ask(study)]
    for _ in range(4):
        params = asked[-1]
        measured(study, params, climbing(params, 9), 9.0)
        asked.append(ask(study))
    assert min(map(bowl, asked)) < best
    assert all(bowl(params) < 0.15 for params in asked[1:])


def test_data_stand_in_the_order_of_the_log():
    """Rows, targets and budgets of a prefix are those of the trials as they ended, and who is promoted stays good."""
    study = halved(9)
    data = Data.of(study, 12)
    assert data.budgets.tolist() == pytest.approx([0.0] * 9 + [1.0] * 3)
    assert data.rows.tolist() == [list(trial.params.values()) for trial in list(study.trials.values())[:12]]
    assert data.targets[9:].max() < np.median(data.targets[:9])
    assert Data.of(study, 13).budgets.tolist() == pytest.approx([0.0] * 9 + [0.5] * 3 + [1.0])


def test_budgets_may_come_in_any_order():
    """A bracket that begins at a high budget is learned from before anything was measured at a low one."""
    study = Study.of([opened(SQUARE)])
    rows = np.random.default_rng(0).random((12, 2)).tolist()
    for number, row in enumerate(rows):
        params = dict(zip("xy", row, strict=True))
        measured(study, params, bowl(params), 9.0 if number < 6 else 1.0)
    assert Data.of(study, 6).budgets.tolist() == [1.0] * 6
    assert Data.of(study, 8).budgets.tolist() == [1.0] * 6 + [0.0] * 2
    assert SQUARE.contains(ask(study))


def test_who_goes_on_was_measured_on_the_way():
    """Where trials go on unless they are stopped, all are measured at the levels that they passed, once each."""
    asha = Asha(mode="stopping", resource_max=9)

    def curve(trial):
        return (climbing(trial.params, epoch) for epoch in range(1, 10))

    log = []
    settings = {"searchspace": SQUARE, "num_trials": 12, "direction": "min", "rules": [asha], "workers": 3}
    study = play(asha, curve, log=log, **settings)
    data = Data.of(study, 12)
    units = [len(trial.curve) for trial in study.trials.values()]
    for budget, place in ((1, 0.0), (3, 0.5), (9, 1.0)):
        assert np.isclose(data.budgets, place).sum() == sum(done >= budget for done in units)
    low = np.isclose(data.budgets, 0)
    best = study.best.params
    assert data.targets[np.isclose(data.budgets, 1)].max() < np.median(data.targets[low])
    assert [best["x"], best["y"]] in data.rows[low].tolist()
    again = Data.of(Study.of(log), 7)
    assert again.targets.tolist() == Data.of(study, 7).targets.tolist()


def test_what_was_imagined_is_not_remembered():
    """A study that is read back when others have ended gives the answer of the one that has seen it all."""
    log = []
    play(Gp(startup=5), lambda trial: bowl(trial.params), searchspace=SQUARE, num_trials=16, workers=4, log=log)
    suggested = [(number, event) for number, event in enumerate(log) if isinstance(event, Suggested)]
    for position, event in suggested[::3]:
        assert event.seen == position
        again = Gp(startup=5).ask(Study.of(log[:position]), rng_for(0, event.trial))
        assert again.params == event.params


def test_a_budget_that_is_new_since_the_last_fit_is_no_trouble():
    """Between two fits trials may come to a budget that the hyperparameters do not know."""
    study = Study.of([opened(SQUARE)])
    for row in np.random.default_rng(0).random((34, 2)):
        params = dict(zip("xy", row.tolist(), strict=True))
        measured(study, params, bowl(params), 1.0)
    ask(study)
    measured(study, study.trials[1].params, 0.1, 3.0, 1)
    assert SQUARE.contains(ask(study))


def test_a_small_space_is_tried_out_without_repeats():
    """Every configuration of a discrete space is tried once before any is tried twice."""
    space = Searchspace(kind=["a", "b", "c"], n=Integer(1, 5))
    study = play(Gp(startup=4), lambda trial: trial.params["n"], searchspace=space, num_trials=15)
    assert len({tuple(trial.params.values()) for trial in study.trials.values()}) == 15


def test_many_parameters_are_searched_around_the_best():
    """From eight columns on the search stays in a region, and gets near the optimum; random search reaches 0.58."""
    space = Searchspace({f"x{number}": Float(0, 1) for number in range(12)})

    def value(trial):
        return sum((x - 0.7) ** 2 for x in trial.params.values())

    best = [
        play(Gp(), value, searchspace=space, num_trials=40, direction="min", seed=seed).best.value for seed in range(3)
    ]
    assert np.median(best) < 0.4


@pytest.mark.parametrize("settings", [{"startup": 1}, {"fantasies": 0}, {"startup": math.nan}])
def test_settings_that_make_no_sense_are_refused(settings):
    """A sentence, before anything starts."""
    with pytest.raises(ConfigError, match="startup is at least 2"):
        Gp(**settings)
