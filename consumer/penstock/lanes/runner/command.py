"""Runs the program of a job: stdin from its argument, the result from stdout, stderr kept as evidence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import IO, Any, Final

from penstock.domain.command import Command, CommandFailedError, CommandInterruptedError
from penstock.domain.context import SoftTimeoutError

_STDERR_BYTES: Final = 4096


def run(
    command: Command,
    arguments: Mapping[str, Any],
    *,
    max_bytes: int,
    unbroken: Callable[[Callable[[], Any]], None],
) -> Any:
    """One run; returns the result.

    The streams are files, so that no program waits for us, whatever it reads and writes first. A program whose soft
    limit is over gets SIGTERM; when it then ends with status 0, its output is the result.

    Args:
        command: The program.
        arguments: The job's.
        max_bytes: The longest output that is read.
        unbroken: Does something that nothing may cut off.

    Raises:
        SoftTimeoutError: The limit was over, and the program ended with another status than 0.
        CommandFailedError: The program ended with another status than 0, or its output is not what was said.
        CommandInterruptedError: It ended with a status of `retry_on`, or by a signal.
        OSError: It cannot be started.
    """
    argv = command.filled(arguments)
    with ExitStack() as stack:
        files: list[IO[bytes]] = []
        # Else a descriptor might be left that nobody knows.
        unbroken(lambda: files.extend(stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)))
        stdin, stdout, stderr = files
        if command.stdin is not None:
            stdin.write(_input(arguments[command.stdin]))
            stdin.seek(0)
        # No shell, and the child's own session: the program ends when its child is killed.
        status, late = _ended(
            lambda: subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr),  # noqa: S603 -- that is the task
            unbroken,
        )
        if status != 0:
            raise _noted(late, _tail(stderr)) if late else _failure(command, argv[0], status, _tail(stderr))
        try:
            return _output(command.stdout, stdout, max_bytes)
        except ValueError as error:
            raise _noted(CommandFailedError(f"{argv[0]}: {error}"), _tail(stderr)) from None


def _ended(
    start: Callable[[], subprocess.Popen[bytes]], unbroken: Callable[[Callable[[], Any]], None]
) -> tuple[int, SoftTimeoutError | None]:
    """The exit status of a program, and what says that its soft limit was over; it ends with whatever ends the job."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        try:
            # Else one might have been started that nobody knows.
            unbroken(lambda: started.append(start()))
            return _status(started[0], unbroken), None
        except SoftTimeoutError as late:
            if not started:
                raise
            started[0].terminate()
            return started[0].wait(), late
    except BaseException:
        # A limit that is over now must not come between.
        unbroken(lambda: _kill(started))
        raise


def _kill(started: list[subprocess.Popen[bytes]]) -> None:
    for program in started:
        program.kill()
        program.wait()


def _status(program: subprocess.Popen[bytes], unbroken: Callable[[Callable[[], Any]], None]) -> int:
    """The exit status of a program, once it has ended.

    Only the waiting may be cut off. A status that was taken from the system, and not kept, is lost; Popen calls it 0.
    """
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    unbroken(program.wait)
    return program.wait()


def _input(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode()


def _output(kind: str, stdout: IO[bytes], max_bytes: int) -> Any:
    """What the program wrote; ValueError when it is not what was said."""
    if kind == "none":
        return None
    stdout.seek(0)
    data = stdout.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"its output is longer than {max_bytes} bytes")
    if kind == "bytes":
        return data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("its output is not UTF-8") from None
    if kind == "text":
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"its output is not JSON: {error}") from None


def _failure(command: Command, program: str, status: int, stderr: str) -> Exception:
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    last = stderr.strip().rpartition("\n")[2][:200]
    kind = CommandInterruptedError if status < 0 or status in command.retry_on else CommandFailedError
    return _noted(kind(f"{program} {how}" + (f": {last}" if last else "")), stderr)


def _noted(error: Exception, stderr: str) -> Exception:
    if stderr:
        error.add_note(f"stderr:\n{stderr}")
    return error


def _tail(stderr: IO[bytes]) -> str:
    end = stderr.seek(0, 2)
    stderr.seek(max(0, end - _STDERR_BYTES))
    return stderr.read().decode(errors="replace")
