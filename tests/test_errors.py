"""Tests of the texts that `maggy.errors` helps with."""

import pytest

from maggy.errors import amount


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0, "trial"), "0 trials"),
        ((1, "trial"), "1 trial"),
        ((1240, "trial"), "1,240 trials"),
        ((1, "trial has", "trials have"), "1 trial has"),
        ((2, "trial has", "trials have"), "2 trials have"),
    ],
)
def test_an_amount_has_a_singular(given, text):
    """Whatever is counted may be one."""
    assert amount(*given) == text
