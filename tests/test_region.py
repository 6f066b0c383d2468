import numpy as np
import pytest

from maggy.optimizers.bayes.region import FIRST, LARGEST, SMALLEST, bounds, side


def losses(text):
    """Return losses after a first one: a star is a new best, a dot is not."""
    best, found = 0.0, [0.0]
    for mark in text:
        best -= mark == "*"
        found.append(best if mark == "*" else best + 1)
    return np.array(found)


@pytest.mark.parametrize(
    ("history", "length"),
    [
        ("", FIRST),
        ("**", FIRST),
        ("***", LARGEST),
        ("******", LARGEST),
        ("**.*", FIRST),
        ("...", FIRST),
        ("....", FIRST / 2),
        ("...*....", FIRST / 2),
        ("........***", FIRST / 2),
        ("." * 4 * 6, FIRST / 64),
        ("." * 4 * 7, FIRST),  # 0.8 / 128 is too small: it begins anew
    ],
)
def test_the_region_grows_with_success_and_shrinks_without(history, length):
    """Three new best in a row double it, four others in a row halve it, within bounds."""
    assert side(losses(history), 1, 4) == length
    assert SMALLEST <= length <= LARGEST


def test_what_was_drawn_at_the_start_is_no_success():
    """The first measurements are not judged: nobody looked for the best there."""
    assert side(losses("***..."), 7, 3) == side(np.array([]), 7, 3) == FIRST
    assert side(losses("***..."), 4, 3) == FIRST / 2


def test_bounds_follow_the_length_scales():
    """A region is longer where the function changes slowly, has the volume of its side, and ends at 0 and 1."""
    low, high = bounds(np.array([0.5, 0.5, 0.01]), np.array([0.2, 0.8, 0.4]), 0.1)
    assert high - low == pytest.approx([0.05, 0.2, 0.06])
    assert low[2] == 0
