"""Where Maggy 1.x had its pruner; Hyperband is an optimizer today, `maggy.Hyperband`."""

from maggy import compat
from maggy.compat.gone import AbstractPruner

__all__ = ["AbstractPruner"]

compat.tell(__name__)
