import pytest

from maggy.errors import ConfigError
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.optimizers import Asha
from maggy.optimizers.pasha import Rankings, noise_of
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.play import play

SPACE = Searchspace(x=(0.0, 1.0))
LEVELS = [1, 3, 9, 27]
NAN = float("nan")


def ended(number, curve, budget, parent=None):
    """Return what is recorded of a trial with this curve: step -> loss."""
    yield Suggested(0.0, number, {"x": 0.5}, budget, parent, 0)
    yield Started(0.0, number, 1, "executor")
    for step, loss in curve.items():
        yield Reported(0.0, number, 1, step, {"metric": loss})
    yield Ended(0.0, number, 1, "completed", list(curve.values())[-1], {})


def study_of(*rungs, direction="min", curves=()):
    """Return a study in which trial k of rung r has the loss rungs[r][k], and continues trial k of the rung below."""
    events, number, above = [], 0, None
    sign = 1 if direction == "min" else -1
    for budget, losses in zip(LEVELS, rungs, strict=False):
        first = number + 1
        for place, loss in enumerate(losses):
            number += 1
            curve = dict(curves[place]) if curves and budget == 1 else {}
            points = {step: sign * each for step, each in {**curve, budget: loss}.items()}
            events += ended(number, points, budget, None if above is None else above + place)
        above = first
    return Study.of([StudyOpened(0.0, {"direction": direction, "num_trials": 99}), *events])


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize(
    ("rungs", "reach"),
    [
        ([], 3),
        ([[0.1, 0.2, 0.3]], 3),
        ([[0.1, 0.2], [0.5, 0.6]], 3),  # in the same order
        ([[0.1, 0.2], [0.6, 0.5]], 9),  # in another one
        ([[0.1, 0.1], [0.6, 0.5]], 3),  # who was equal may come out in either order
        ([[0.1, 0.2, 0.3], [0.5]], 3),  # one alone has no order
        ([[0.1, 0.2], [0.6, 0.5], [0.4, 0.3]], 9),  # the third rung agrees with the second
        ([[0.1, 0.2], [0.6, 0.5], [0.3, 0.31]], 27),
        ([[0.1, 0.2], [0.5, 0.6], [0.4, 0.3]], 3),  # nobody asks above a rung that agrees
    ],
)
def test_the_top_rung_is_the_first_that_agrees(rungs, reach, direction):
    """A rung whose trials stood in the same order on the rung below has nothing new to tell."""
    assert study_of(*rungs, direction=direction).index(Rankings).reach(LEVELS) == reach


@pytest.mark.parametrize(
    ("before", "reach"),
    [
        ([0.3, 0.2], 3),  # 2 led, then 1, then 2 again by 0.125: it may have been noise that 1 led by 0.1
        ([0.1, 0.2], 9),  # 1 led as long as the rung below lasted
    ],
)
def test_within_the_noise_rankings_agree(before, reach):
    """Trials whose curves have crossed twice are as good as equal, if no further apart than they ended up."""
    study = study_of([0.1, 0.2], [0.625, 0.5], curves=[{0: each} for each in before])
    assert study.index(Rankings).reach(LEVELS) == reach


@pytest.mark.parametrize(
    ("curves", "noise"),
    [
        ([], 0),
        ([{1: 0.1}], 0),
        ([{1: 0.1, 2: 0.1, 3: 0.1}, {1: 0.2, 2: 0.3, 3: 0.5}], 0),  # never cross
        ([{1: 0.1, 2: 0.4, 3: 0.7}, {1: 0.2, 2: 0.3, 3: 0.5}], 0),  # cross once: one is better in the end
        ([{1: 0.1, 2: 0.4, 3: 0.25}, {1: 0.2, 2: 0.3, 3: 0.5}], 0.25),
        ([{1: 0.1, 2: 0.4, 3: 0.25, 4: 9.0}, {1: 0.2, 2: 0.3, 3: 0.5}], 0.25),  # at the last step of both
        ([{1: 0.1, 2: NAN, 3: 0.25}, {1: 0.2, 2: 0.3, 3: 0.5}], 0),
        ([{1: 0.0, 2: 0.4, 3: 0.25}, {1: 0.2, 2: 0.3, 3: 0.5}, {1: 0.1, 2: 0.2, 3: 0.3}], 0.25),
    ],
)
def test_noise_is_what_pairs_that_cross_twice_end_up_apart(curves, noise):
    """Bohdal et al., section 4: the 90th percentile of the final distances of such pairs."""
    assert noise_of(curves) == pytest.approx(noise)


def test_what_is_known_early_is_not_bought_at_length():
    """Where the first epochs tell all, nobody goes beyond the second rung; where they tell nothing, the best go on."""
    told = play(Asha(progressive=True), lambda t: t.params["x"], searchspace=SPACE, num_trials=60, workers=4)
    untold = play(
        Asha(progressive=True),
        lambda t: t.params["x"] * (-1 if t.budget in (1, 9) else 1),
        searchspace=SPACE,
        num_trials=60,
        workers=4,
    )
    assert max(trial.budget for trial in told.trials.values()) == 3
    assert max(trial.budget for trial in untold.trials.values()) == 27


def test_few_levels_are_asha():
    """With one or two rungs there is nothing to hold back."""
    for resource_max in (1, 3):
        plain, progressive = (
            play(Asha(resource_max=resource_max, progressive=each), lambda t: t.id, searchspace=SPACE)
            for each in (False, True)
        )
        assert [t.budget for t in plain.trials.values()] == [t.budget for t in progressive.trials.values()]


def test_the_stopping_form_cannot_be_progressive():
    """It gives R at once."""
    with pytest.raises(ConfigError, match="with mode='stopping' leave progressive out"):
        Asha(mode="stopping", progressive=True)
