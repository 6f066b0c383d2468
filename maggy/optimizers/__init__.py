"""Optimizers: functions of the study."""

from maggy.optimizers.asha import Asha
from maggy.optimizers.base import Optimizer
from maggy.optimizers.cqr import Cqr
from maggy.optimizers.evolution import DifferentialEvolution
from maggy.optimizers.foreign import Foreign, Wrapped
from maggy.optimizers.gp import Gp
from maggy.optimizers.gridsearch import GridSearch
from maggy.optimizers.randomsearch import RandomSearch
from maggy.optimizers.single import SingleRun
from maggy.optimizers.tpe import Tpe

# The first name of a class is the one that logs carry; "asha-stopping" is a setting of Asha, made in `maggy.config`.
OPTIMIZERS: dict[str, type] = {
    "asha": Asha,
    "randomsearch": RandomSearch,
    "random": RandomSearch,
    "gridsearch": GridSearch,
    "grid": GridSearch,
    "gp": Gp,
    "tpe": Tpe,
    "cqr": Cqr,
    "foreign": Foreign,
    "de": DifferentialEvolution,
    "none": SingleRun,
}

__all__ = [
    "OPTIMIZERS",
    "Asha",
    "Cqr",
    "DifferentialEvolution",
    "Foreign",
    "Gp",
    "GridSearch",
    "Optimizer",
    "RandomSearch",
    "SingleRun",
    "Tpe",
    "Wrapped",
]
