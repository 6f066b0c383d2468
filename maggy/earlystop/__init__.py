"""Stop rules: functions of a trial and its study."""

from maggy.earlystop.base import StopRule
from maggy.earlystop.median import Median
from maggy.earlystop.progress import NoProgress
from maggy.earlystop.threshold import Threshold

STOP_RULES: dict[str, type] = {"median": Median, "noprogress": NoProgress, "threshold": Threshold, "nan": Threshold}

__all__ = ["STOP_RULES", "Median", "NoProgress", "StopRule", "Threshold"]
