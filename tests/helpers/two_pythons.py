"""Two queues of one worker, whose children run in two virtual environments with different versions of numpy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from penstock import Processes, Queue

#: The older one, which the set-up for tests makes of ops/dev/second.txt.
SECOND = Path(__file__).resolve().parents[2] / ".cache/second-venv"

newer = Queue("newer", lane=Processes(1))
older = Queue("older", lane=Processes(1, python=str(SECOND / "bin/python")))


@newer.task(name="look")
@older.task(name="look")
def look(values: list[float]) -> dict[str, Any]:
    """What numpy this is, and what it makes of numbers."""
    return {
        "prefix": sys.prefix,
        "numpy": np.__version__,
        "norm": float(np.linalg.norm(values)),
        # numpy 2 changed which type wins, so this one cannot stand in for that one.
        "sum": str((np.float32(values[0]) + 1.5).dtype),
    }
