"""Which GPUs the trials of a slot may see: what is said in the environment with which their process is exec-ed.

Spark assigns GPUs to tasks but tells no library of it. Where it assigns none, the driver has done so for each slot, or
nobody: then the environment is left as it is. AMD's runtime heeds the same variable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"


def environment(shares: Sequence[str], slot: int) -> dict[str, str]:
    """Return what to add to the environment of a slot's trials; `shares` has the driver's wish for each slot."""
    addresses = _assigned() or shares[slot : slot + 1]
    return {VISIBLE: ",".join(addresses)} if addresses else {}


def _assigned() -> list[str]:
    """Return the GPUs that Spark has assigned to this task; none where this is no task, or PySpark is not loaded."""
    module = sys.modules.get("pyspark.taskcontext")
    context = module.TaskContext.get() if module else None
    gpus = context.resources().get("gpu") if context else None
    return list(gpus.addresses) if gpus else []
