"""Runs a command with a private RabbitMQ and a private Redis, and removes both afterwards.

    python3 ops/dev/servers.py [--broker 3.10|4.3] -- COMMAND ARGS...

The command finds them by PENSTOCK_AMQP_URL, PENSTOCK_REDIS_URL and PENSTOCK_MANAGEMENT_URL. Its exit code
is returned; 69 when there are no servers to be had. Needs nothing but Python 3.11.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

sys.path[0] = str(Path(__file__).resolve().parents[2])

from ops.dev.apt import AptError  # noqa: E402
from ops.dev.private import Janitor, NoSourceError, ServerFailedError, start_servers  # noqa: E402

UNAVAILABLE = 69
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: How long an interrupted command may clean up before it gets SIGTERM, and then SIGKILL. Seconds.
PATIENCE_S = 20.0


class Interrupted(BaseException):
    """The user has had enough while the servers were starting."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


class Foreground:
    """The command, and what an interrupted user does to it.

    Nothing here raises out of a signal handler: there is one `wait`, and it ends when the command does.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: int | None = None
        self._next = [signal.SIGTERM, signal.SIGKILL]

    def run(self, command: list[str], env: dict[str, str]) -> int:
        """Run the command; return its exit code, 128 + N when signal N ended it."""
        _on_signals(self._pass_on)
        signal.signal(signal.SIGALRM, self._lose_patience)
        try:
            self._process = subprocess.Popen(command, env=env)
        except OSError as error:
            print(f"penstock: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
        if self._early is not None:
            self._process.send_signal(self._early)
        code = self._process.wait()
        signal.alarm(0)
        return code if code >= 0 else 128 - code

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        if self._process is None:
            self._early = number
        elif number != signal.SIGINT:  # a Ctrl-C goes to the whole process group: it has it already
            self._process.send_signal(number)

    def _lose_patience(self, _number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
        if self._process is not None and self._next:
            self._process.send_signal(self._next.pop(0))


def main() -> int:
    """Parse the command line, run the command, return the exit code."""
    parser = _parser()
    options = parser.parse_args()
    if not options.command:
        parser.error("which command? Write it after --")
    _on_signals(_interrupt)
    with Janitor() as janitor:
        try:
            found = start_servers(os.environ, options.broker or None, janitor)
            return Foreground().run(options.command, {**os.environ, **found})
        except (NoSourceError, ServerFailedError, AptError) as error:
            print(f"penstock: {error}", file=sys.stderr)
            return UNAVAILABLE
        except Interrupted as interrupted:
            return interrupted.code
        finally:
            _on_signals(signal.SIG_IGN)  # what is left is short, and must be done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="servers.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--broker",
        metavar="SERIES",
        default=os.environ.get("BROKER"),
        help="RabbitMQ series, such as 3.10 or 4.3; defaults to $BROKER, else any",
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    return parser


def _on_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


if __name__ == "__main__":
    sys.exit(main())
