import sys

import pytest

from maggy import compat

OLD_PATHS = (
    *("maggy.config", "maggy.experiment_config", "maggy.optimizer", "maggy.optimizer.bayes"),
    *("maggy.pruner", "maggy.ablation.ablator"),
)


@pytest.fixture(autouse=True)
def _nobody_was_warned(monkeypatch):
    """Each test is a process of its own as far as warnings and old modules go."""
    monkeypatch.setattr(compat, "_told", set())
    for path in OLD_PATHS:
        monkeypatch.delitem(sys.modules, path, raising=False)


@pytest.fixture
def quietly(monkeypatch):
    """Let nothing warn: that is another test's."""
    monkeypatch.setattr(compat, "_told", {"all"})
