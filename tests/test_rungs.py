import math

import pytest

from maggy.events import Ended, Lost, Reported, Started, StudyOpened, Suggested
from maggy.optimizers.rungs import RANDOM, Milestones, Place, Rung, Rungs, levels
from maggy.study import Study


def study_of(*events, direction="min"):
    return Study.of([StudyOpened(0.0, {"direction": direction}), *events])


def ended(number, value, *, budget=1, parent=None, status="completed", why=None):
    return [
        Suggested(0.0, number, {}, budget, parent, 0, why=why),
        Started(0.0, number, 1, "executor"),
        Ended(0.0, number, 1, status, value, {}),
    ]


def running(number, budget=1, parent=None):
    return ended(number, None, budget=budget, parent=parent)[:2]


def reports(number, attempt=1, **points):
    """Return what a trial reports: 0.5 at step 1 and 0.25 at step 3 are s1=0.5, s3=0.25."""
    return [Reported(0.0, number, attempt, int(step[1:]), {"metric": value}) for step, value in points.items()]


# -- levels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lowest", "highest", "factor", "expected"),
    [
        (1, 27, 3, [1, 3, 9, 27]),
        (1, 243, 3, [1, 3, 9, 27, 81, 243]),  # log₃ 243 = 4.999… loses the top
        (1, 1000, 10, [1, 10, 100, 1000]),  # log₁₀ 1000 = 2.999…
        (1, 100, 3, [1, 3, 9, 27, 81, 100]),  # the top is what was asked for
        (1, 1, 3, [1]),
        (2, 3, 4, [2, 3]),
        (1, 4, 2, [1, 2, 4]),
        (1, 10, 2.5, [1, 2.5, 6.25, 10]),
        (0.7, 6.3, 3, [0.7, 2.1, 6.3]),  # 0.7·3·3 = 6.299…9 is the top, no rung of its own
        (0.1, 0.3, 3, [0.1, 0.3]),  # 0.1·3 = 0.30…04 is the top too
        (0.1, 0.9, 3, [0.1, 0.3, 0.9]),
        (1, 27.1, 3, [1, 3, 9, 27, 27.1]),
    ],
)
def test_levels(lowest, highest, factor, expected):
    """Each level is η times the one below, the top is the largest budget, and rounding neither adds nor loses one."""
    assert levels(lowest, highest, factor) == pytest.approx(expected, rel=1e-12)
    assert len(levels(lowest, highest, factor)) == len(expected)
    assert levels(lowest, highest, factor)[-1] == highest


@pytest.mark.parametrize("factor", [2, 3, 4, 10, 1.5, 2.718])
@pytest.mark.parametrize("rungs", range(12))
def test_powers_have_their_number_of_levels(factor, rungs):
    """From r to r·ηᵏ there are k + 1 levels, for any r."""
    for lowest in (1, 3, 0.1, 0.7, 1e-3):
        assert len(levels(lowest, lowest * factor**rungs, factor)) == rungs + 1


# -- promotion -------------------------------------------------------------------------------------


def promoted(study, factor=3):
    """Return whom the lowest rung would promote."""
    place = study.index(Rungs).promotable(Rung(1, 1), factor)
    return place and place.trial


@pytest.mark.parametrize(
    ("losses", "factor", "promotable"),
    [
        ([], 3, None),
        ([1], 3, None),  # ⌊1/3⌋ = 0
        ([1, 2], 3, None),  # ⌊2/3⌋ = 0
        ([3, 1, 2], 3, 2),  # ⌊3/3⌋ = 1: the best
        ([3, 1, 2, 0, 5], 3, 4),  # ⌊5/3⌋ = 1: the new best
        ([2, 1], 2, 2),  # ⌊2/2⌋ = 1
        ([1, 1, 1], 3, 1),  # of equals the first
        ([5, 4, 3, 2, 1], 2.5, 5),  # ⌊5/2.5⌋ = 2
        ([2, 1], 2.5, None),  # ⌊2/2.5⌋ = 0
        ([3, 1, 2], 0.1 * 3 * 10, 2),  # 3/3.0…04 = 0.99… is 1
        ([math.nan, math.nan, 1], 3, None),  # only one of use: ⌊1/3⌋ = 0
        ([math.nan, 3, -math.inf, 2, 1], 3, 5),  # three of use
        ([0.0, -0.0, 1], 3, 1),  # zeros are equal
    ],
)
def test_promotable(losses, factor, promotable):
    """The best of the best ⌊n/η⌋ of those who completed with a finite value."""
    study = study_of(*(event for number, loss in enumerate(losses, 1) for event in ended(number, loss)))
    assert promoted(study, factor) == promotable


@pytest.mark.parametrize(
    ("losses", "continued", "promotable"),
    [
        ([1, 2, 3], [1], None),  # ⌊3/3⌋ = 1, and it went
        ([1, 2, 3, 4, 5], [1], None),  # ⌊5/3⌋ = 1
        ([1, 2, 3, 4, 5, 6], [1], 2),  # ⌊6/3⌋ = 2: the second
        ([1, 2, 3, 4, 5, 6], [2], 1),
        ([1, 2, 3, 4, 5, 6], [1, 2], None),
        ([1, 2, 3, 4, 5, 6, 0, 7, 8], [1, 2], 7),  # ⌊9/3⌋ = 3: 7, 1, 2, of which 7 is left
        ([3, 2, 1, 9, 9, 9], [1], 3),  # 1 fell out of the best two after it went
    ],
)
def test_nobody_is_promoted_twice(losses, continued, promotable):
    """Who is continued by another trial keeps the place, and does not go again."""
    events = [event for number, loss in enumerate(losses, 1) for event in ended(number, loss)]
    children = [running(len(losses) + place, 3, parent) for place, parent in enumerate(continued, 1)]
    study = study_of(*events, *(event for child in children for event in child))
    assert promoted(study, 3) == promotable


def test_promotion_heeds_the_direction():
    """With max the largest value goes on: fault 6 of Maggy 1.1.2 promoted the worst for min."""
    events = [event for number, value in enumerate([1, 3, 2], 1) for event in ended(number, value)]
    assert promoted(study_of(*events, direction="max")) == 2
    assert promoted(study_of(*events, direction="min")) == 1


def test_only_completed_trials_of_the_budget_stand_on_a_rung():
    """Stopped, failed, running trials and those of other budgets do not count."""
    study = study_of(
        *ended(1, 0.1, status="stopped"), *ended(2, 0.2, status="failed"), *ended(3, 0.3, budget=3), *running(4)
    )
    assert [study.index(Rungs).at(Rung(budget, budget)) for budget in (1, 3, None)] == [[], [(0.3, 3)], []]


def test_a_parent_that_completes_after_its_child_began_is_not_promoted():
    """An optimizer may continue a trial that still runs; it has gone on already."""
    early = study_of()
    early.index(Rungs)
    events = [*running(1), *running(2, 3, parent=1), *ended(1, 0.5)[2:]]
    for event in events:
        early.apply(event)
    for study in (early, study_of(*events)):
        assert study.index(Rungs).at(Rung(1, 1)) == [(0.5, 1)]
        assert promoted(study, 1) is None


def test_brackets_have_rungs_of_their_own():
    """Trials of one budget that began with different ones are not compared; a chain keeps its beginning."""
    events = [
        *ended(1, 0.1),
        *ended(2, 0.2, budget=3),
        *ended(3, 0.3, budget=3, parent=1),
        *ended(4, 0.4, budget=9, parent=3),
        *ended(5, 0.5, budget=9, parent=2),
        *running(6, budget=9),
    ]
    rungs = study_of(*events).index(Rungs)
    assert rungs.began == {1: 1, 3: 1, 9: 1}
    assert rungs.at(Rung(1, 3)) == [(0.3, 3)]
    assert rungs.at(Rung(3, 3)) == [(0.2, 2)]
    assert [rungs.at(Rung(first, 9)) for first in (1, 3, 9)] == [[(0.4, 4)], [(0.5, 5)], []]
    assert rungs.promotable(Rung(1, 9), 1) == Place(4, 1, 1)


def test_random_configurations_beside_a_models_have_rungs_of_their_own():
    """They stand among all, too; why one began is said by its first trial, others of it have reasons of their own."""
    events = [
        *ended(1, 0.1),
        *ended(2, 0.2, why=RANDOM),
        *ended(3, 0.3, why="points_to_evaluate"),
        *ended(4, 0.4, budget=3, parent=2, why="rung 1: rank 1 of 1"),
        *ended(5, 0.5, budget=3, parent=1),
    ]
    rungs = study_of(*events).index(Rungs)
    assert rungs.began == {1: 3}
    assert [rungs.at(Rung(1, 1, apart)) for apart in (False, True)] == [[(0.1, 1), (0.2, 2), (0.3, 3)], [(0.2, 2)]]
    assert [rungs.at(Rung(1, 3, apart)) for apart in (False, True)] == [[(0.4, 4), (0.5, 5)], [(0.4, 4)]]
    assert rungs.promotable(Rung(1, 3, apart=True), 1) == Place(4, 1, 1)
    assert rungs.promotable(Rung(1, 1, apart=True), 1) is None  # it has gone on from both


@pytest.mark.parametrize(
    ("others", "randoms", "continued", "promotable"),
    [
        ([0.1, 0.2, 0.9], [0.3, 0.4, 0.5], [], 1),  # two places, of which a random one is sure of one
        ([0.1, 0.2, 0.9], [0.3, 0.4, 0.5], [1], None),
        ([0.1, 0.2, 0.9], [0.3, 0.4, 0.5], [1, 4], None),
        ([0.3, 0.4, 0.9], [0.1, 0.2, 0.5], [4], 5),  # the other place is for whoever is best
        ([0.2, 0.4, 0.9], [0.1, 0.3, 0.5], [4], 1),
        ([0.2, 0.4, 0.9, 0.8], [0.1, 0.3], [], 5),  # two random ones are sure of none
        ([0.2, 0.4, 0.9, 0.8], [0.1, 0.3], [5], 1),
        ([0.2, 0.4, 0.9, 0.8], [0.1, 0.3], [1, 5], None),
    ],
)
def test_random_configurations_take_their_places_from_the_rungs(others, randoms, continued, promotable):
    """A third goes on, in all: who is sure of a place among the random ones takes none of the others'."""
    events = [event for number, loss in enumerate(others, 1) for event in ended(number, loss)]
    for number, loss in enumerate(randoms, len(others) + 1):
        events += ended(number, loss, why=RANDOM)
    for number, parent in enumerate(continued, 7):
        events += running(number, 3, parent)
    place = study_of(*events).index(Rungs).promotable(Rung(1, 1), 3)
    assert (place and place.trial) == promotable


def test_a_place_is_told():
    """Who is promoted is told with its rank and how many there are."""
    values = [5, 1, 4, 3, 2, 6]
    events = [event for number, loss in enumerate(values, 1) for event in ended(number, loss)]
    study = study_of(*events, *running(7, 3, parent=2))
    assert study.index(Rungs).promotable(Rung(1, 1), 3) == Place(5, 2, 6)


# -- milestones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "level", "value"),
    [
        ({"s1": 0.1, "s2": 0.2, "s3": 0.3}, 3, 0.3),
        ({"s1": 0.1, "s2": 0.2, "s3": 0.3, "s4": 0.4}, 3, 0.3),  # later values do not count
        ({"s0": 0.1, "s1": 0.2, "s2": 0.3}, 3, 0.3),  # from 0: step 2 is the third unit
        ({"s1": 0.1, "s2": 0.2}, 3, None),
        ({"s0": 0.1, "s1": 0.2}, 3, None),
        ({"s2": 0.2, "s5": 0.5, "s9": 0.9}, 3, 0.5),  # sparse: the first at or after
        ({"s5": 0.5}, 3, 0.5),
        ({"s0": 0.1, "s9": 0.9}, 3, 0.9),
        ({"s1": 0.1, "s2": 0.2, "s3": 0.3}, 2.5, 0.3),  # between units: the next
        ({"s0": 0.1, "s1": 0.2, "s2": 0.3}, 2.5, 0.3),
        ({"s0": 0.1}, 1, 0.1),
        ({"s0": 0.1}, 0.5, 0.1),
        ({"s1": 0.1, "s3": math.nan}, 3, math.inf),  # NaN is the worst
        ({"s1": 0.1, "s3": -math.inf}, 3, math.inf),  # and so is what is too good to be true
        ({}, 1, None),
    ],
)
def test_a_milestone_is_the_first_value_at_a_level(points, level, value):
    """A trial's place at a level is its value when it first had done so many units."""
    study = study_of(*running(1), *reports(1, **points))
    assert study.index(Milestones).at(level) == ([] if value is None else [(value, 1)])


@pytest.mark.parametrize(
    ("second", "value"),
    [
        ({"s1": 0.9}, None),  # from scratch: not there yet
        ({"s1": 0.9, "s2": 0.8, "s3": 0.7}, 0.7),
        ({"s3": 0.7}, 0.7),  # from the checkpoint before
        ({"s2": 0.8}, None),
        ({"s4": 0.6}, 0.3),  # from beyond: the first attempt's stands
        ({"s2": 0.8, "s6": 0.6}, 0.6),
        ({"s0": 0.9, "s1": 0.8, "s2": 0.7}, 0.7),  # counting otherwise
    ],
)
def test_a_retried_attempt_replaces_its_milestone(second, value):
    """What an earlier attempt left counts up to where the later one took over, and no further."""
    study = study_of(*running(1), *running(2), *reports(2, s3=0.5))
    study.index(Milestones).at(3)
    for event in (*reports(1, s1=0.1, s2=0.2, s3=0.3), Lost(0.0, 1, 1, "gone"), Started(0.0, 1, 2, "other")):
        study.apply(event)
    assert study.index(Milestones).at(3) == [(0.3, 1), (0.5, 2)]
    for event in reports(1, 2, **second):
        study.apply(event)
    assert study.index(Milestones).at(3) == sorted([(0.5, 2), *([] if value is None else [(value, 1)])])


def test_milestones_are_ranked_by_loss_then_number():
    """The best stands first, of equals the older trial."""
    values = {1: 0.5, 2: 0.7, 3: math.nan, 4: 0.7}
    study = study_of(
        *(event for number in values for event in running(number)),
        *(event for number, value in values.items() for event in reports(number, s1=value)),
        direction="max",
    )
    assert study.index(Milestones).at(1) == [(-0.7, 2), (-0.7, 4), (-0.5, 1), (math.inf, 3)]
