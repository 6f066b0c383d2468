"""Where Maggy 1.x had its ablators; today they are optimizers, in `maggy.optimizers`."""

from maggy import compat
from maggy.compat.gone import AbstractAblator
from maggy.optimizers import Loco

LOCO = Loco  # its name in Maggy 1.x

__all__ = ["LOCO", "AbstractAblator"]

compat.tell(__name__)
