"""F45: many executors at one driver. `benchmarks/agents.py` does it with a thousand."""

import agents


def test_f45_two_hundred_executors_are_served():
    """F45: beats, reports and outcomes of two hundred are no trouble; the bounds are for a busy machine."""
    figures = agents.measure(200, seconds=4, trial=1.0)
    print(figures)
    assert figures["broken"] == 0
    assert figures["error"] == "None"
    assert figures["rounds"] > 100
    assert figures["round_ms_p99"] < 2000
    assert figures["rss_mb"] < 200
