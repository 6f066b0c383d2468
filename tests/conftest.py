"""Which tests `make test` leaves to `make test-all`, and which may run side by side."""

import pytest

# Modules whose tests wait for real leases, outages and crowds: the chaos suite, together with what is marked so itself.
CHAOS = {
    "test_attacks_door",
    "test_driver_killed",
    "test_frozen",
    "test_frozen_lines",
    "test_many_agents",
    "test_partition_links",
    "test_partition_messages",
    "test_store_clocks",
    "test_store_outage",
    "test_store_owners",
    "test_store_views",
}


@pytest.hookimpl(tryfirst=True)  # before tests are chosen and handed out
def pytest_collection_modifyitems(items):
    """Keep the tests with Spark in one process: each has a JVM of its own, which wants the whole machine."""
    for item in items:
        if item.path.stem in CHAOS:
            item.add_marker(pytest.mark.chaos)
        if item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.xdist_group("spark"))
