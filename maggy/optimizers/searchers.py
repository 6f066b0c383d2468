"""What proposes configurations for others: the names that `Asha(searcher=…)` and `Hyperband(searcher=…)` take."""

from __future__ import annotations

from typing import cast

from maggy import plugins
from maggy.errors import ConfigError
from maggy.optimizers.auto import Auto
from maggy.optimizers.cqr import Cqr
from maggy.optimizers.foreign import Foreign, Wrapped
from maggy.optimizers.gp import Gp
from maggy.optimizers.model import Searcher
from maggy.optimizers.sobol import Sobol
from maggy.optimizers.tpe import Tpe

SEARCHERS: dict[str, type] = {"gp": Gp, "tpe": Tpe, "cqr": Cqr, "auto": Auto, "sobol": Sobol}
RANDOM = ("random", "randomsearch")


def searcher_of(given: str | Searcher | None) -> Searcher | None:
    """Return the searcher of this name, or the one that was given; None for random configurations.

    Raises `ConfigError` for an unknown name, with the nearest one, for what proposes nothing, and for an optimizer of
    another library.
    """
    if given is None or (isinstance(given, str) and given.lower() in RANDOM):
        return None
    if isinstance(given, Foreign | Wrapped) or (isinstance(given, str) and ":" in given):
        raise ConfigError(
            f"the searcher is {given if isinstance(given, str) else type(given).__name__!r}, an optimizer of another "
            "library: those know one loss for each configuration, and here there is one at each budget. Take one of "
            f"{', '.join(map(repr, SEARCHERS))}, or pass this one as optimizer="
        )
    if isinstance(given, str):
        return cast("Searcher", plugins.by_name("searcher", given, SEARCHERS))
    return cast("Searcher", plugins.checked("searcher", given, "propose", "tpe"))
