"""A worker's parts as far as its readiness, its drain and its metrics page look at them."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from penstock.broker.ports import ConnectionState


class FakeConsumer:
    """A consumer whose state the test sets."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.flushed = 0

    @property
    def consuming(self) -> bool:
        return self.trouble is None

    def flush(self) -> None:
        self.flushed += 1


class FakeLane:
    """A lane of two idle children."""

    def __init__(self) -> None:
        self.in_progress = 3
        self.room = 2
        self.exits = Counter({"crash": 1})
        self.counts = Counter({"idle": 2})
        self.hurried = False
        self.trouble: str | None = None

    def states(self) -> Counter[str]:
        return self.counts

    def hurry(self) -> None:
        self.hurried = True


class FakeQueue:
    """A queue of a worker."""

    def __init__(self, name: str = "stats") -> None:
        self.spec = SimpleNamespace(name=name)
        self.consumer = FakeConsumer()
        self.lane = FakeLane()
        self.paused = False
        self.held = False

    @property
    def trouble(self) -> str | None:
        return self.lane.trouble


class FakeBroker:
    """A broker whose troubles the test makes."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.states: list[ConnectionState] = []
        self.publisher = SimpleNamespace(pending=0)

    def troubles(self) -> list[str]:
        return list(self.found)

    def connections(self) -> list[ConnectionState]:
        return self.states


class FakeStore:
    """A store whose trouble the test makes."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.pending = 0

    @property
    def up(self) -> bool:
        return self.trouble is None


def cast_any(value: object) -> Any:
    """A fake, where the real thing is asked for."""
    return value
