"""Drivers that every module here may have."""

from contextlib import ExitStack, closing

import pytest
from driving import Driving


@pytest.fixture
def driving(tmp_path):
    """Give a function that makes a driver with its store in a file, and end what it made."""
    with ExitStack() as made:
        yield lambda **options: made.enter_context(
            closing(Driving(tmp_path / "maggy.db", tmp_path / "progress", **options))
        )
