"""What proposes configurations for others: the names that `Asha(searcher=…)` and `Hyperband(searcher=…)` take."""

from __future__ import annotations

from maggy import plugins
from maggy.errors import ConfigError
from maggy.optimizers.auto import Auto
from maggy.optimizers.cqr import Cqr
from maggy.optimizers.gp import Gp
from maggy.optimizers.model import Searcher
from maggy.optimizers.sobol import Sobol
from maggy.optimizers.tpe import Tpe

SEARCHERS: dict[str, type] = {"gp": Gp, "tpe": Tpe, "cqr": Cqr, "auto": Auto, "sobol": Sobol}
RANDOM = ("random", "randomsearch")


def searcher_of(given: str | Searcher | None) -> Searcher | None:
    """Return the searcher of this name, or the one that was given; None for random configurations.

    Raises `ConfigError` for an unknown name, with the nearest one, and for what proposes nothing.
    """
    if given is None or (isinstance(given, str) and given.lower() in RANDOM):
        return None
    if isinstance(given, str):
        named: Searcher = plugins.by_name("searcher", given, SEARCHERS)
        return named
    if isinstance(given, type) or not callable(getattr(given, "propose", None)):
        what = f"the class {given.__name__}" if isinstance(given, type) else f"of type {type(given).__name__}"
        raise ConfigError(f"the searcher is {what}; pass a name such as 'tpe', or an instance with a propose() method")
    return given
