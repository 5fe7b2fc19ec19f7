"""Where the items and the progress of one start go: what `replied` and `stored` have in common, and nowhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from penstock.broker.ports import Confirm
from penstock.domain.delivery import Delivery
from penstock.domain.timer import Timer
from penstock.telemetry.metrics import Metrics

#: Lets a job send the items with a number below that; None: all.
Grant: TypeAlias = Callable[[Delivery, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What ways need of the worker.

    Attributes:
        publish: Publishes to a requester: its key, properties, body, and whom to tell of the fate.
        grant: Lets a job send more.
        metrics: Counts.
        worker: The worker's name.
        later: Calls something after so many seconds.
    """

    publish: Callable[[str, Any, bytes, Callable[[Confirm], None]], None]
    grant: Grant
    metrics: Metrics
    worker: str
    later: Callable[[float, Callable[[], None]], Timer]


class Way(Protocol):
    """Where the items and the progress of one start go."""

    @property
    def busy(self) -> bool:
        """Whether something was begun and has not ended."""
        ...

    def item(self, seq: int, body: bytes) -> None:
        """The job has yielded."""
        ...

    def progress(self, body: bytes) -> None:
        """The job has said how far it is."""
        ...

    def end(self) -> None:
        """The job has ended; what is on its way goes on."""
        ...


class Nowhere:
    """Nobody awaits the job, or not any more."""

    busy = False

    def item(self, seq: int, body: bytes) -> None:
        """See Way.item."""

    def progress(self, body: bytes) -> None:
        """See Way.progress."""

    def end(self) -> None:
        """See Way.end."""


class Newest:
    """Sends the newest of what comes, one at a time.

    Args:
        send: Sends one; `ended` is to be called when its fate is known.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._waiting: bytes | None = None
        #: Whether one is on its way.
        self.busy = False

    def put(self, body: bytes) -> None:
        """This is the newest now."""
        self._waiting = body
        self._next()

    def drop(self) -> None:
        """None is wanted any more."""
        self._waiting = None

    def ended(self) -> None:
        """The one on its way has ended."""
        self.busy = False
        self._next()

    def _next(self) -> None:
        if self._waiting is None or self.busy:
            return
        self.busy = True
        body, self._waiting = self._waiting, None
        self._send(body)


def taken(waiting: deque[bytes], most_bytes: int) -> list[bytes]:
    """The first of them, and those after it that fit with it into so many bytes; they wait no more."""
    first = [waiting.popleft()]
    size = len(first[0])
    while waiting and size + len(waiting[0]) <= most_bytes:
        size += len(waiting[0])
        first.append(waiting.popleft())
    return first
