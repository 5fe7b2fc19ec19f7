"""What the benchmarks run: the cheapest task that still has arguments and a result."""

from __future__ import annotations

from penstock import Processes, Queue

bench = Queue("bench", lane=Processes(2))


@bench.task
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
