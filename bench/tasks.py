"""What the benchmarks run: the cheapest tasks that still have arguments and a result, short and long."""

from __future__ import annotations

from collections.abc import Iterator

from penstock import Processes, Queue

bench = Queue("bench", lane=Processes(2))


@bench.task
def echo(data: bytes) -> bytes:
    """Give back what came."""
    return data


@bench.task
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@bench.task
def count(n: int) -> Iterator[int]:
    """Yield the numbers below n."""
    yield from range(n)


@bench.task
def nothing() -> None:
    """Do nothing: what is left is what penstock costs."""
