"""Where Maggy 0.5 and 1.x had their optimizers; today's are in `maggy.optimizers`."""

from maggy import compat
from maggy.compat.abstract import AbstractOptimizer
from maggy.compat.optimizers import Asha, GridSearch, RandomSearch, SingleRun
from maggy.compat.views import Trial

__all__ = ["AbstractOptimizer", "Asha", "GridSearch", "RandomSearch", "SingleRun", "Trial"]

compat.tell(__name__)
