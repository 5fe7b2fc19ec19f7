"""Which acknowledgements to send: as few as possible, never for a job that is not settled."""

from __future__ import annotations

from typing import NamedTuple


class Acks(NamedTuple):
    """What to send now: one `multiple=True` ack up to a tag, and single acks."""

    up_to: int | None
    single: list[int]


class AckBook:
    """The settled tags of one channel.

    Tags run from 1. Everything up to the first unsettled tag is acked with one frame. A tag that is settled
    behind a slow job is held for one call of `collect` and then acked on its own, so that it is not delivered
    again if the worker dies while the slow job runs.

    An ack with `multiple=True` must name a tag that is still outstanding (else RabbitMQ closes the channel with
    406), hence the book of tags that were settled singly.
    """

    def __init__(self) -> None:
        self._low = 0
        self._settled: set[int] = set()
        self._held: set[int] = set()
        self._gone: set[int] = set()

    def settle(self, tag: int) -> None:
        """The tag may be acked."""
        self._settled.add(tag)

    def forget(self, tag: int) -> None:
        """The tag was rejected or returned: it is no longer outstanding."""
        self._gone.add(tag)

    @property
    def holds(self) -> bool:
        """Whether `collect` has something to do, now or at its next call."""
        return bool(self._settled)

    def collect(self) -> Acks:
        """The acks to send now."""
        up_to = self._advance()
        # What was held already at the last call has waited long enough.
        single = sorted(self._settled & self._held)
        self._settled.difference_update(single)
        self._gone.update(single)
        self._held = set(self._settled)
        return Acks(up_to, single)

    def _advance(self) -> int | None:
        settled, gone, low = self._settled, self._gone, self._low
        up_to = None
        while True:
            following = low + 1
            if following in settled:
                settled.discard(following)
                up_to = following
            elif following in gone:
                gone.discard(following)
            else:
                break
            low = following
        self._low = low
        return up_to
