"""Items and progress on their way into the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.results.ports import ItemStore
from penstock.wire.items import framed
from penstock.wire.registry import STREAM_WINDOW
from penstock.worker.ways import Means, Newest, Way, taken

#: Bytes of items after which a call of the store has enough.
_CALL_BYTES: Final = 1024 * 1024


class Stored:
    """Into the store, in order: one call at a time takes all that has come meanwhile.

    Args:
        means: What it needs of the worker.
        store: Where they are kept.
        delivery: The job.
        changed: Called when it is busy no longer, or may not write any more.
    """

    def __init__(
        self, means: Means, store: ItemStore, delivery: Delivery, changed: Callable[[Way, bool], None]
    ) -> None:
        self._granted = STREAM_WINDOW
        self._means = means
        self._store = store
        self._delivery = delivery
        self._changed = changed
        self._waiting: deque[bytes] = deque()
        self._count = 0
        self._bytes = 0
        self._writing = False
        self._progress = Newest(self._tell)
        self._gone = False

    @property
    def busy(self) -> bool:
        """See Way.busy."""
        return self._writing or self._progress.busy

    def end(self) -> None:
        """See Way.end."""

    def item(self, seq: int, body: bytes) -> None:  # noqa: ARG002 -- they come in order
        """See Way.item."""
        self._waiting.append(framed(body))
        self._write()

    def progress(self, body: bytes) -> None:
        """See Way.progress."""
        self._progress.put(body)

    def _write(self) -> None:
        if self._writing or not self._waiting:
            return
        self._writing = True
        items = taken(self._waiting, _CALL_BYTES)
        content = b"".join(items)

        def done(kept: bool) -> None:
            self._writing = False
            if kept:
                self._bytes += len(content)
                self._count += len(items)
                self._means.metrics.items_sent(self._delivery, len(items))
                self._grant()
                self._write()
            self._ended(kept)

        delivery = self._delivery
        self._store.append(delivery.job_id, delivery.fence, self._bytes, content, delivery.reply_to, done)

    def _grant(self) -> None:
        # Not for each item: the job has half of the window to go on with meanwhile.
        if self._count + STREAM_WINDOW - self._granted >= STREAM_WINDOW // 2:
            self._granted = self._count + STREAM_WINDOW
            self._means.grant(self._delivery, self._granted)

    def _tell(self, body: bytes) -> None:
        def done(kept: bool) -> None:
            if not kept:
                self._progress.drop()
            self._progress.ended()
            self._ended(kept)

        delivery = self._delivery
        self._store.progress(delivery.job_id, delivery.fence, body, delivery.reply_to, done)

    def _ended(self, kept: bool) -> None:
        if not kept:
            self._gone = True
            self._waiting.clear()
            self._progress.drop()
        if self._gone or not self.busy:
            self._changed(self, self._gone)
