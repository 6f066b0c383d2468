"""Stop rules: functions of a trial and its study."""

from maggy.earlystop.abstract import AbstractEarlyStop, NoStoppingRule
from maggy.earlystop.base import StopRule
from maggy.earlystop.extrapolation import Extrapolation
from maggy.earlystop.median import Median, Percentile
from maggy.earlystop.progress import NoProgress
from maggy.earlystop.threshold import Threshold

STOP_RULES: dict[str, type] = {
    "median": Median,
    "percentile": Percentile,
    "noprogress": NoProgress,
    "patience": NoProgress,
    "threshold": Threshold,
    "nan": Threshold,
    "curve": Extrapolation,
}

MedianStoppingRule = Median  # its name in Maggy 1.x

__all__ = [
    "STOP_RULES",
    "AbstractEarlyStop",
    "Extrapolation",
    "Median",
    "MedianStoppingRule",
    "NoProgress",
    "NoStoppingRule",
    "Percentile",
    "StopRule",
    "Threshold",
]
