"""Tasks that the worker of the integration tests runs."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from penstock import Processes, Queue, Reject, Retry, RetryAfter, current_job

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


@t.task
def crash_once(path: str) -> dict[str, Any]:
    """Kill the child at the first attempt; then say who shares the second one's."""
    if current_job().attempt == 1:
        Path(path).write_text(str(os.getpid()))
        ctypes.string_at(0)
    return {"attempt": current_job().attempt, "pid": os.getpid(), "warm": _warm == [os.getpid()]}


@t.task(timeout=0.5)
def hang() -> None:
    time.sleep(60)


@t.task(timeout=0.5, retry=Retry(hangs=2, base=0.1, jitter="none"))
def hang_twice() -> None:
    time.sleep(60)


@t.task
def not_yet(seconds: float) -> dict[str, Any]:
    """Ask for another attempt, then say when it came."""
    if current_job().attempt == 1:
        raise RetryAfter(seconds, "not yet")
    return {"attempt": current_job().attempt, "at": time.time()}


@t.task(retry=Retry())
def hopeless() -> None:
    raise Reject("this cannot succeed")


@t.task(retry=Retry(attempts=4, base=0.05, cap=0.05, jitter="none", in_slot=0.1))
def quick(succeed_at: int) -> int:
    attempt = current_job().attempt
    if attempt < succeed_at:
        raise RuntimeError(f"attempt {attempt} fails")
    return attempt


@t.task(retry=Retry(attempts=9, base=2, cap=2, jitter="none", elapsed=3))
def impatient() -> None:
    raise RuntimeError("fails")


@t.task(retry=Retry(attempts=9, base=2, jitter="none"))
def slow_to_heal() -> None:
    raise RuntimeError("fails")


@t.task(retry=Retry(attempts=2, base=0, cap=0))
def fences(path: str) -> list[int]:
    """Collect the fence of every start."""
    with Path(path).open("a") as file:
        file.write(f"{current_job().fence}\n")
    if current_job().attempt == 1:
        raise RuntimeError("once more")
    return [int(line) for line in Path(path).read_text().split()]


@t.task
def count(path: str) -> int:
    """Note that it runs."""
    with Path(path).open("a") as file:
        file.write("x")
    return len(Path(path).read_text())


@t.task(retry=Retry(attempts=2, base=0.1, jitter="none"))
def second_time(value: Any, good: bool) -> Any:
    """Fails at first, and again unless it is good; gives back what it got."""
    if current_job().attempt == 1 or not good:
        raise OSError("not yet")
    return value


@t.task
def unfit() -> object:
    return object()


@t.task
def hold(path: str, seconds: float) -> float:
    """Say by a line in a file that it has begun, then take its time."""
    with Path(path).open("a") as file:
        file.write(f"{current_job().id}\n")
    time.sleep(seconds)
    return seconds


t.expose("math:sqrt")


@solo.task
def pid() -> int:
    return os.getpid()


@solo.task(name="hold")
def solo_hold(path: str, seconds: float) -> float:
    return hold(path, seconds)
