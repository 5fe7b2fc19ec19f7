"""What the lane of programs runs: the actions of lane_tasks.py, as a program does them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

#: Slots of the lane, as in lane_tasks.py, which a bare interpreter cannot import.
SLOTS = 4


def main(action: str, path: str) -> int:
    """Do it; returns the exit status."""
    if action == "fail":
        sys.stderr.write("ValueError: no good\n")
        return 1
    if action == "crash":
        # The child that runs programs; the program goes with it.
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if action == "flaky" and not Path(path).exists():
        Path(path).touch()
        sys.stderr.write("not yet\n")
        return 75
    if action == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if action == "meet":
        (Path(path) / str(os.getpid())).touch()
        while len(list(Path(path).iterdir())) < SLOTS:
            time.sleep(0.005)
    tidied: list[bool] = []
    if action == "tidy":
        signal.signal(signal.SIGTERM, lambda *_: tidied.append(True))
    while action in ("hang", "deaf") or (action == "tidy" and not tidied):
        time.sleep(0.005)
    sys.stdout.write(json.dumps({"pid": os.getpid(), "tidied": bool(tidied)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
