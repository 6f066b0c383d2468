"""Optimizers: functions of the study."""

from collections.abc import Callable
from functools import partial

from maggy.optimizers.ablators import Greedy, Loco, Pairs
from maggy.optimizers.asha import Asha
from maggy.optimizers.auto import Auto
from maggy.optimizers.base import Optimizer
from maggy.optimizers.cqr import Cqr
from maggy.optimizers.evolution import DifferentialEvolution
from maggy.optimizers.foreign import Foreign, Wrapped
from maggy.optimizers.gp import Gp
from maggy.optimizers.gridsearch import GridSearch
from maggy.optimizers.halving import Halving
from maggy.optimizers.hyperband import Hyperband
from maggy.optimizers.randomsearch import RandomSearch
from maggy.optimizers.searchers import SEARCHERS
from maggy.optimizers.single import SingleRun
from maggy.optimizers.sobol import Sobol
from maggy.optimizers.tpe import Tpe

# The first name of a class is the one that logs carry.
OPTIMIZERS: dict[str, type] = {
    "asha": Asha,
    "randomsearch": RandomSearch,
    "random": RandomSearch,
    "gridsearch": GridSearch,
    "grid": GridSearch,
    "hyperband": Hyperband,
    "foreign": Foreign,
    "de": DifferentialEvolution,
    **SEARCHERS,
    "loco": Loco,
    "pairs": Pairs,
    "greedy": Greedy,
    "none": SingleRun,
}

# Names that stand for settings of one of them; logs carry the class and what was set.
VARIANTS: dict[str, Callable[[], Optimizer]] = {
    "asha-stopping": partial(Asha, mode="stopping"),
    "pasha": partial(Asha, progressive=True),
    "bayes": partial(Auto, random=False),
    "bohb": partial(Hyperband, searcher="tpe"),
    "forward": partial(Greedy, forward=True),
    "mobster": partial(Asha, searcher="gp"),
}

__all__ = [
    "OPTIMIZERS",
    "SEARCHERS",
    "VARIANTS",
    "Asha",
    "Auto",
    "Cqr",
    "DifferentialEvolution",
    "Foreign",
    "Gp",
    "Greedy",
    "GridSearch",
    "Halving",
    "Hyperband",
    "Loco",
    "Optimizer",
    "Pairs",
    "RandomSearch",
    "SingleRun",
    "Sobol",
    "Tpe",
    "Wrapped",
]
