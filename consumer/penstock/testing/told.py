"""What a job has told before its result: the items and the progress of its newest start."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field

from penstock.testing.messages import Message
from penstock.wire.headers import int_header, str_header
from penstock.wire.items import FENCE_BYTES, apart, decode_progress, fence_of, items_of
from penstock.wire.registry import HEADER_FENCE, HEADER_SEQ, HEADER_WORKER, TYPE_ITEM


@dataclass(slots=True)
class Told:
    """What one start of a job has told.

    Attributes:
        fence: Of the start; a later one has a larger one.
        worker: Who wants credit for more; None: nobody, because it lies in the store.
        items: The bodies of its items, from the first one on.
        progress: Fraction and text; None: it has said nothing.
    """

    fence: int
    worker: str | None = None
    items: list[bytes] = field(default_factory=list)
    progress: tuple[float, str] | None = None

    @classmethod
    def stored(cls, log: bytes | None, newest: bytes | None) -> Told | None:
        """What lies in the store; None: nothing."""
        fence = max((fence_of(written) for written in (log, newest) if written), default=None)
        if fence is None:
            return None
        told = cls(fence)
        if log and fence_of(log) == fence:
            told.items = list(items_of(log))
        if newest and fence_of(newest) == fence:
            told.progress = decode_progress(newest[FENCE_BYTES:])
        return told


def hear(told: MutableMapping[str, Told], message: Message) -> None:
    """Note an item or a progress by its job; what an earlier start says is dropped, and what comes twice."""
    job_id, headers = message.properties.correlation_id or "", message.headers
    fence, seq = int_header(headers, HEADER_FENCE), int_header(headers, HEADER_SEQ)
    if fence is None or (job_id in told and told[job_id].fence > fence):
        return
    if job_id not in told or told[job_id].fence < fence:
        told[job_id] = Told(fence, str_header(headers, HEADER_WORKER))
    if message.properties.type != TYPE_ITEM:
        told[job_id].progress = decode_progress(message.body)
    elif seq is not None and seq <= (had := len(told[job_id].items)):
        told[job_id].items += apart(message.body)[had - seq :]
