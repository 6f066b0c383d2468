"""A store under load: sixteen trials that report all the time, while somebody looks at them all the time."""

import pytest
from load import measure


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_locked_under_load(tmp_path, request, kind):
    """Sixteen reporters, a hundred reports a second each, and `maggy leaderboard` in a loop, for five seconds."""
    store = str(tmp_path / "maggy.db") if kind == "sqlite" else request.getfixturevalue("postgres").url()
    seen = measure(store, reporters=16, rate=100.0, seconds=5.0, trial=2.5)
    assert (seen["failed"], seen["failure"]) == (0, [])
    assert seen["reports"] == seen["wanted"] == 16 * 500
    assert (seen["trials_whole"], seen["attempts_lost"]) == (32, 0)
    assert seen["leaderboards"] > 0
