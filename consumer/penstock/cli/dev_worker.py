"""`python -m penstock.cli.dev_worker`: the worker of `penstock dev`, in a process of its own.

It reads its options from stdin, one line of JSON, so that no URL with a password is in the list of processes. It
drains and ends when stdin closes: it does not outlive `penstock dev`, not even one that was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from typing import Final

from penstock.cli import status_of
from penstock.cli.worker import serve

_STDIN: Final = 0


def main() -> int:
    """Run the worker; returns its exit status."""
    with open(_STDIN, "rb", buffering=0, closefd=False) as told:
        options = argparse.Namespace(**json.loads(told.readline()), run=serve)
    threading.Thread(target=_end_with_owner, name="penstock-dev-owner", daemon=True).start()
    return status_of(options)


def _end_with_owner() -> None:
    # Not sys.stdin: a thread that holds its lock makes the interpreter's end a fatal error.
    while os.read(_STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
