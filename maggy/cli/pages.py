"""The web pages, which need libraries that not everybody has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from maggy.errors import ConfigError


def imported(who: str) -> Any:
    """Return `maggy.ui.server`. Raises `ConfigError`, saying what to install, where a library of its is not there."""
    try:
        import_module("plotly")
        return import_module("maggy.ui.server")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "maggy":
            raise
        raise ConfigError(f"{who} needs {error.name}: pip install 'maggy[ui]'") from None
