import pytest

from maggy.errors import ConfigError
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.optimizers import Asha
from maggy.optimizers.base import rng_for
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play
from maggy.trial import DONE, WAIT, Suggestion

SPACE = Searchspace(x=(0.0, 1.0))


def study_of(*events, direction="max", num_trials=9):
    settings = {"searchspace": SPACE.to_dict(), "direction": direction, "num_trials": num_trials}
    return Study.of([StudyOpened(0.0, settings), *events])


def trial(number, value=None, *, budget=1, parent=None, status="completed"):
    """Return what is recorded of a trial that has ended with a value, or that runs where none is given."""
    events = [Suggested(0.0, number, {"x": number / 100}, budget, parent, 0), Started(0.0, number, 1, "executor")]
    return [*events, Ended(0.0, number, 1, status, value, {})] if value is not None else events


def trials(*values, budget=1):
    return [event for number, value in enumerate(values, 1) for event in trial(number, value, budget=budget)]


def ask(study, **settings):
    return Asha(**{"resource_max": 9} | settings).ask(study, rng_for(0, study.next_id))


# -- the promotion form ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "values", "promoted"),
    [
        ("max", [0.1, 0.3, 0.2], 2),  # ⌊3/3⌋ = 1
        ("min", [0.1, 0.3, 0.2], 1),
        ("max", [0.1, 0.3], None),  # ⌊2/3⌋ = 0: sample
        ("max", [0.0, -1.0, -2.0], 1),  # 0.0 is a result
        ("max", [0.3, 0.3, 0.3], 1),
    ],
)
def test_the_best_third_goes_on(direction, values, promoted):
    """The best trial that has earned it is continued with its parameters at the next rung; else a new one begins."""
    answer = ask(study_of(*trials(*values), direction=direction))
    if promoted is None:
        assert (answer.budget, answer.parent) == (1, None)
        assert SPACE.contains(answer.params)
    else:
        why = f"rung 1: rank 1 of {len(values)}"
        assert answer == Suggestion({"x": promoted / 100}, 3, promoted, why)


def test_the_highest_rung_goes_first():
    """Where several rungs have somebody to promote, the one nearest the top does."""
    events = [
        *trials(*range(9)),
        *(event for place in (1, 2, 3) for event in trial(9 + place, place, budget=3, parent=place)),
    ]
    assert ask(study_of(*events)) == Suggestion({"x": 0.12}, 9, 12, "rung 3: rank 1 of 3")


def test_the_top_rung_goes_nowhere():
    """Trials at the largest budget are never continued."""
    assert ask(study_of(*trials(1.0, 2.0, 3.0, budget=9))).parent is None


@pytest.mark.parametrize(
    ("pending", "answer"),
    [
        ([], DONE),
        (trial(4, budget=1), WAIT),  # it may be promoted, or lift another
        (trial(4, budget=3, parent=2), WAIT),
        (trial(4, budget=9, parent=2), DONE),  # at the top nobody is lifted
        (trial(4, budget=1)[:1], WAIT),  # queued ones count too
    ],
)
def test_when_all_are_sampled(pending, answer):
    """ASHA waits while a trial below the top may still end, and is done when none can."""
    promoted = trial(3, 0.0, budget=3, parent=2)
    study = study_of(
        *trials(0.1, 0.3), *promoted, *pending, num_trials=2 + (bool(pending) and pending[0].parent is None)
    )
    assert ask(study) is answer


def test_a_study_from_end_to_end():
    """Of 27 configurations 9 reach the second rung, 3 the third, 1 the top, whatever the direction (fault 6)."""
    for direction, best in (("max", max), ("min", min)):
        study = play(Asha(), lambda each: each.params["x"], searchspace=SPACE, num_trials=27, direction=direction)
        budgets = [each.budget for each in study.trials.values()]
        assert study.sampled == budgets.count(1) == 27
        assert 9 <= budgets.count(3) <= 15  # asynchronous promotion is rash at times
        assert budgets.count(27) >= 1
        assert study.best.budget == 27
        assert study.best.params["x"] == best(each.params["x"] for each in study.trials.values())


def test_the_study_does_not_end_at_the_first_trial_on_the_top_rung():
    """Fault 6 of Maggy 1.1.2: with the top reached, what is left to sample is sampled."""
    study = play(Asha(resource_max=3), lambda each: each.params["x"], searchspace=SPACE, num_trials=30, workers=4)
    assert study.sampled == 30
    assert [each.budget for each in study.trials.values()].count(3) >= 10


def test_a_promoted_trial_continues_its_parent():
    """Every continued trial has its parent's parameters, a larger budget, and is its parent's only child."""
    study = play(Asha(), lambda each: each.params["x"], searchspace=SPACE, num_trials=40, workers=5)
    children = [each for each in study.trials.values() if each.parent is not None]
    assert len({each.parent for each in children}) == len(children)
    for each in children:
        parent = study.trials[each.parent]
        assert (each.params, each.budget) == (parent.params, parent.budget * 3)


# -- the stopping form -----------------------------------------------------------------------------


def reason(direction, before, value, *, step=1, **settings):
    """Judge a trial that reports `value` at `step`, when those in `before` have reported theirs at step 1."""
    numbers = range(1, len(before) + 1)
    events = [event for number in numbers for event in trial(number, budget=9)]
    events += [Reported(0.0, number, 1, 1, {"metric": each}) for number, each in zip(numbers, before, strict=True)]
    mine = len(before) + 1
    study = study_of(
        *events, *trial(mine, budget=9), Reported(0.0, mine, 1, step, {"metric": value}), direction=direction
    )
    return Asha(**{"mode": "stopping", "resource_max": 9} | settings).reason_to_stop(study.trials[mine], study)


@pytest.mark.parametrize(
    ("before", "value", "stops"),
    [
        ([], 0.0, False),  # the first goes on
        ([0.5], 0.6, False),  # ⌈2/3⌉ = 1: the new best
        ([0.5], 0.4, True),
        ([0.5], 0.5, False),  # ties go on
        ([0.5, 0.4], 0.3, True),  # ⌈3/3⌉ = 1
        ([0.5, 0.4, 0.3], 0.45, False),  # ⌈4/3⌉ = 2
        ([0.5, 0.4, 0.3], 0.35, True),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 0.45, False),  # ⌈6/3⌉ = 2
        ([0.5, 0.4, 0.3, 0.2, 0.1], 0.35, True),
        ([0.5], float("nan"), True),
        ([float("nan")], 0.1, False),
        ([float("inf")], 0.1, False),  # infinity is no best that could stop others
    ],
)
def test_the_stopping_form_keeps_the_best_third(before, value, stops):
    """At a rung a trial goes on if it is among the best ⌈n/η⌉ of the n who were there; min f is max -f."""
    assert (reason("max", before, value) is not None) is stops
    assert (reason("min", [-each for each in before], -value) is not None) is stops


def test_a_stop_has_its_reason():
    """The reason gives the rung, the value and the bar, as the user measures them."""
    for direction, sign in (("max", 1), ("min", -1)):
        text = reason(direction, [sign * 0.5], sign * 0.4)
        assert text == f"rung 1: {sign * 0.4} is not among the best 1/3 of 2 (cut-off {sign * 0.5})"


@pytest.mark.parametrize("step", [1, 2, 9, 20])
def test_sparse_reports_are_judged_at_every_rung_passed(step):
    """A report that jumps over rungs is held against those who were at each of them."""
    assert reason("max", [0.5], 0.4, step=step) is not None


def test_between_rungs_nobody_is_stopped():
    """Only the report that reaches a rung is judged."""
    events = [*trial(1, budget=9), *trial(2, budget=9)]
    events += [Reported(0.0, 1, 1, step, {"metric": 0.5}) for step in range(1, 10)]
    study, asha = study_of(*events), Asha(mode="stopping", resource_max=9)
    stops = []
    for step in range(1, 12):
        study.apply(Reported(0.0, 2, 1, step, {"metric": 0.1}))
        stops.append(asha.reason_to_stop(study.trials[2], study) is not None)
    assert [step for step, stop in enumerate(stops, 1) if stop] == [1, 3]  # not at 9, where it is done


def test_the_stopping_form_gives_all_at_once():
    """Every trial has the whole budget, and none a parent; when all are sampled it is done."""
    assert ask(study_of(), mode="stopping").budget == 9
    assert ask(study_of(*trials(0.1, 0.2), num_trials=2), mode="stopping") is DONE


def test_the_promotion_form_stops_nobody():
    """A trial ends at its rung by itself."""
    assert reason("max", [0.5], 0.1, mode="promotion") is None
    assert [Asha().stops, Asha(mode="stopping").stops] == [False, True]


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduction_factor": 1}, "ASHA's reduction_factor is 1; it must be over 1, 3 is usual"),
        ({"reduction_factor": float("nan")}, "ASHA's reduction_factor is nan"),
        ({"resource_min": 0}, "ASHA's budgets go from resource_min=0 to resource_max=27; it must be 0 < resource_min"),
        ({"resource_min": 5, "resource_max": 4}, "ASHA's budgets go from resource_min=5 to resource_max=4"),
        ({"resource_max": float("inf")}, "resource_max=inf; it must be .*, both finite"),
        ({"resource_min": float("nan")}, "resource_min=nan"),
        ({"mode": "hyperband"}, "ASHA's mode is 'hyperband'; it must be 'promotion' or 'stopping'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    """The error gives the setting and what would be right."""
    with pytest.raises(ConfigError, match=message):
        Asha(**settings)


def test_one_rung_is_random_search():
    """With a single level there is nothing to promote, and the study ends."""
    study = play(Asha(resource_min=5, resource_max=5), lambda each: each.params["x"], searchspace=SPACE, num_trials=6)
    assert [each.budget for each in study.trials.values()] == [5] * 6
