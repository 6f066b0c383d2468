"""For training functions that do something to their agent: which process that is."""

import os
from pathlib import Path


def agent():
    """Return the agent's process number: between it and a trial's process stands the guard."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
