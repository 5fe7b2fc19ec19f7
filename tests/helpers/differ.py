"""Go programs that say what they make of bodies: producer_go/internal/differ."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.helpers.go import build

#: Selectors of what is no task: any value, a job.v1, a result.v1, the document of a contract.
PROFILE, JOB, RESULT, DOCUMENT = 21, 22, 23, 24
#: So many bodies are on their way at once; more could fill both pipes, and nobody would read.
_BATCH = 50


class Verdict(NamedTuple):
    """What one language says of one body: see the package."""

    kind: str
    payload: bytes


class Differ:
    """Such a program, running."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, cases: list[tuple[int, bytes]]) -> list[Verdict]:
        """What Go says of these bodies, each with its selector."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        verdicts = []
        for start in range(0, len(cases), _BATCH):
            batch = cases[start : start + _BATCH]
            for selector, body in batch:
                stdin.write(struct.pack(">IB", 1 + len(body), selector) + body)
            stdin.flush()
            for _ in batch:
                (size,) = struct.unpack(">I", stdout.read(4))
                answer = stdout.read(size)
                verdicts.append(Verdict(chr(answer[0]), answer[1:]))
        return verdicts


@contextmanager
def differ(folder: Path) -> Iterator[Differ]:
    """Build the program of the tests' own tasks in a folder, and run it for as long as the `with` lasts."""
    with running(build("producer_go/internal/kitchen/differ", folder)) as made:
        yield made


@contextmanager
def running(program: Path) -> Iterator[Differ]:
    """Run a program for as long as the `with` lasts."""
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Differ(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
