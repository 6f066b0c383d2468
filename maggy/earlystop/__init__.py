"""Stop rules: functions of a trial and its study."""

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

__all__ = ["STOP_RULES", "Extrapolation", "Median", "NoProgress", "Percentile", "StopRule", "Threshold"]
