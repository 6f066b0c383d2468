"""Where Maggy 0.5 and 1.x had the optimizers with a model."""

from maggy.compat.optimizers import GP, TPE

__all__ = ["GP", "TPE"]
