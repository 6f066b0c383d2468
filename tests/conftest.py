"""Which tests `make test` leaves to `make test-all`, which may run side by side, and that all can be interrupted."""

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["postgres"]

# Modules whose tests wait for real leases, outages and crowds: the chaos suite, together with what is marked so itself.
CHAOS = {
    "test_ui_browser",
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


def pytest_configure(config):
    """Let Ctrl-C be heard by what tests start: a shell has what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


settings.register_profile("maggy", deadline=None)  # machines are busy; timings are no tests
settings.load_profile("maggy")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen and handed out
def pytest_collection_modifyitems(items):
    """Keep the tests with Spark in one process: each has a JVM of its own, which wants the whole machine."""
    for item in items:
        if item.path.stem in CHAOS:
            item.add_marker(pytest.mark.chaos)
        if item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.xdist_group("spark"))
