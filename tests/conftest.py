"""How tests share a machine: several at once, since most of them wait, but those with Spark one after the other."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist looks
def pytest_collection_modifyitems(items):
    """Keep the tests with Spark in one process: each has a JVM of its own, which wants the whole machine."""
    for item in items:
        if item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.xdist_group("spark"))
