"""Which acknowledgements to send: as few as possible, never for a job that is not settled."""

from __future__ import annotations

from typing import NamedTuple


class Acks(NamedTuple):
    """What to send now: one `multiple=True` ack up to a tag, and single acks."""

    up_to: int | None
    single: list[int]


class AckBook:
    """The outstanding tags of one channel, in the order of delivery.

    Everything up to the first unsettled tag is acked with one frame. A tag that is settled behind a slow job is
    held for one call of `collect` and then acked on its own, so that it is not delivered again if the worker dies
    while the slow job runs. Acked tags are forgotten: the prefetch bounds what is remembered.

    An ack with `multiple=True` names a tag that is still outstanding, else RabbitMQ closes the channel with 406.
    """

    def __init__(self) -> None:
        self._outstanding: dict[int, None] = {}
        self._settled: set[int] = set()
        self._held: set[int] = set()

    def deliver(self, tag: int) -> None:
        """The broker has handed this tag out."""
        self._outstanding[tag] = None

    def settle(self, tag: int) -> None:
        """The tag may be acked."""
        if tag in self._outstanding:
            self._settled.add(tag)

    def forget(self, tag: int) -> None:
        """The tag was rejected or returned: it is no longer outstanding."""
        self._outstanding.pop(tag, None)
        self._settled.discard(tag)

    @property
    def outstanding(self) -> int:
        """How many tags the broker waits for."""
        return len(self._outstanding)

    @property
    def holds(self) -> bool:
        """Whether `collect` has something to do, now or at its next call."""
        return bool(self._settled)

    def collect(self) -> Acks:
        """The acks to send now."""
        leading = []
        for tag in self._outstanding:
            if tag not in self._settled:
                break
            leading.append(tag)
        for tag in leading:
            self.forget(tag)
        # What was held already at the last call has waited long enough.
        single = sorted(self._settled & self._held)
        for tag in single:
            self.forget(tag)
        self._held = set(self._settled)
        return Acks(leading[-1] if leading else None, single)
