"""One short line per step, on standard error: standard output belongs to the command that is run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def say(what: str, text: str) -> None:
    """Print one line such as `rabbitmq   3.10.8 on port 24567, installed here (5.2 s)`."""
    print(f"{what:<10} {text}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str, doing: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done, until the yielded function says what came of it."""
    began = time.monotonic()
    terminal = sys.stderr.isatty()

    def wipe() -> None:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def done(text: str) -> None:
        took = time.monotonic() - began
        wipe()
        say(what, f"{text} ({took:.{0 if took >= 10 else 1}f} s)")

    if terminal:
        print(f"{what:<10} {doing} ...", end="", file=sys.stderr, flush=True)
    try:
        yield done
    except BaseException:
        wipe()
        raise


def short(path: Path) -> str:
    """Return a path with the home folder as `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
