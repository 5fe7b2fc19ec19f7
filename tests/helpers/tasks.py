"""Tasks that the worker of the integration tests runs."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from penstock import Processes, Queue, Retry, current_job

t = Queue("t", lane=Processes(2))
solo = Queue("solo", lane=Processes(1))
_warm: list[int] = []


@solo.startup
@t.startup
def warm_up() -> None:
    _warm.append(os.getpid())


@t.task
def noop() -> None:
    return None


@t.task
def add(a: int, b: int = 10) -> int:
    return a + b


@t.task(name="sum")
def sum_of(a: int, b: int) -> int:
    return a + b


@t.task
def echo(value: Any) -> Any:
    return value


@t.task
def warmed() -> bool:
    return _warm == [os.getpid()]


@t.task
def whoami() -> dict[str, Any]:
    job = current_job()
    return {
        "id": job.id,
        "task": job.task,
        "attempt": job.attempt,
        "remaining": job.remaining,
        "meta": dict(job.meta),
    }


@t.task(retry=Retry(attempts=3, base=0.1, cap=0.1, jitter="none"))
def flaky(succeed_at: int) -> int:
    attempt = current_job().attempt
    if attempt < succeed_at:
        raise RuntimeError(f"attempt {attempt} fails")
    return attempt


@t.task(retry=Retry(attempts=3, base=0.1, never=(KeyError,)))
def never() -> None:
    raise KeyError("not retried")


@t.task
def crash() -> None:
    ctypes.string_at(0)


@t.task(timeout=0.5)
def hang() -> None:
    time.sleep(60)


@t.task
def unfit() -> object:
    return object()


@t.task
def hold(path: str, seconds: float) -> float:
    """Say by a file that it has begun, then take its time."""
    Path(path).write_text(current_job().id)
    time.sleep(seconds)
    return seconds


t.expose("math:sqrt")


@solo.task
def pid() -> int:
    return os.getpid()


@solo.task(name="hold")
def solo_hold(path: str, seconds: float) -> float:
    return hold(path, seconds)
