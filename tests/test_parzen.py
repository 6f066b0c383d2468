"""Tests of `maggy.optimizers.bayes.parzen`: where its densities lead."""

from random import Random

from maggy.events import Ended, Started, StudyOpened, Suggested
from maggy.optimizers import Tpe
from maggy.optimizers.base import rng_for
from maggy.searchspace import Searchspace
from maggy.study import Study

SPACE = Searchspace(**dict.fromkeys("abcd", (0.0, 1.0)))


def measured(points, running=()):
    """Return a study of points with their losses, and of others that still run."""
    events = [StudyOpened(0.0, {"searchspace": SPACE.to_dict(), "direction": "min"})]
    for number, (point, loss) in enumerate([*points, *((point, None) for point in running)], 1):
        params = dict(zip(SPACE.keys(), point, strict=True))
        events += [Suggested(0.0, number, params, None, None, 0), Started(0.0, number, 1, "executor")]
        if loss is not None:
            events.append(Ended(0.0, number, 1, "completed", loss, {}))
    return Study.of(events)


def around(centre, count, rng):
    return [tuple(centre + rng.gauss(0, 0.02) for _ in range(len(SPACE))) for _ in range(count)]


def there(study, centre=0.5, asks=40):
    """Return the share of proposals that are near the centre."""
    proposed = [Tpe().propose(study, rng_for(0, number)) for number in range(asks)]
    return sum(all(abs(each - centre) < 0.15 for each in params.values()) for params in proposed) / asks


def test_a_spot_that_is_full_of_bad_ones_is_left():
    """Though all the good ones are there: else hundreds of trials at once go there and find nothing new."""
    rng = Random(0)
    spread = [(tuple(rng.random() for _ in range(len(SPACE))), 1.0) for _ in range(100)]
    good, bad = ([(point, loss) for point in around(0.5, count, rng)] for loss, count in ((0.1, 25), (0.5, 300)))
    assert there(measured([*spread, *good])) > 0.8
    assert there(measured([*spread, *good, *bad])) < 0.6


def test_a_spot_that_is_full_of_pending_ones_is_left():
    """They count as bad, and so as much as those that are."""
    rng = Random(0)
    spread = [(tuple(rng.random() for _ in range(len(SPACE))), 1.0) for _ in range(100)]
    good = [(point, 0.1) for point in around(0.5, 12, rng)]
    assert there(measured([*spread, *good])) > 0.8
    assert there(measured([*spread, *good], around(0.5, 150, rng))) < 0.3
