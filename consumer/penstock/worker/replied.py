"""Items and progress on their way to the requester, as messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from penstock.broker import messages
from penstock.broker.ports import Confirm
from penstock.domain.delivery import Delivery
from penstock.domain.timer import Timer
from penstock.wire.items import together
from penstock.wire.registry import CREDIT_AGAIN_MS, STREAM_WINDOW
from penstock.worker.settlement import pause_s
from penstock.worker.ways import Means, Newest, Way, taken

#: Seconds that a job waits for credit before its last item is repeated.
_STARVED_S: Final = CREDIT_AGAIN_MS / 1000
#: Bytes of items after which a message has enough.
_MESSAGE_BYTES: Final = 64 * 1024


class Replied:
    """To the requester, as messages.

    What comes in one turn of the loop is one message: that costs the broker, and both ends, a fraction. Messages are
    pipelined: waiting for each confirm would cost a round trip. What the broker refuses is published again, in order,
    once it has said something of all that are on their way. If it took some that came later, the reader sees a gap and
    says so; the broker does that when its queue is full or is being deleted.

    While the job waits for credit nothing is sent, and so nothing can be returned. So the last item is repeated now and
    then: readers drop what they have, and a requester that is gone is noticed.

    Args:
        means: What it needs of the worker.
        delivery: The job.
        changed: Called when it is busy no longer, or has nobody to send to.

    Attributes:
        granted: Below which number items may be sent.
        read: Whether somebody reads the items; who does not may want to know of the progress.
    """

    def __init__(self, means: Means, delivery: Delivery, changed: Callable[[Way, bool], None]) -> None:
        self.granted = STREAM_WINDOW
        self.read = True
        self._means = means
        self._delivery = delivery
        self._changed = changed
        self._on_their_way = 0
        #: Items that are to be sent, and the number of the first.
        self._waiting: deque[bytes] = deque()
        self._next = 0
        self._sends_soon = False
        #: Those of messages that the broker has not taken, by the number of the first.
        self._refused: dict[int, list[bytes]] = {}
        self._waits = False
        #: How often in a row the broker has refused.
        self._tries = 0
        self._progress = Newest(self._tell)
        self._gone = False
        self._ended = False
        #: The newest item, and what looks whether the job waits still.
        self._last = (-1, b"")
        self._watch: Timer | None = None

    @property
    def busy(self) -> bool:
        """See Way.busy."""
        return bool(self._on_their_way or self._refused or self._waiting)

    def item(self, seq: int, body: bytes) -> None:
        """See Way.item."""
        if not self.read:
            return
        self._last = seq, body
        if self._watch is None and self._starves:
            self._watch = self._means.later(_STARVED_S, self._look)
        if not self._waiting:
            self._next = seq
        self._waiting.append(body)
        if not (self._sends_soon or self._refused):
            self._sends_soon = True
            self._means.later(0.0, self._send_waiting)

    def progress(self, body: bytes) -> None:
        """See Way.progress: one at a time. One that is refused is followed by a newer one, or by the result."""
        self._progress.put(body)

    def end(self) -> None:
        """See Way.end."""
        self._ended = True
        self._stop_watch()

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def drop_items(self) -> None:
        """Nobody reads the items: no more are sent, nor is what was refused."""
        self.read = False
        self._stop_watch()
        self._refused.clear()
        self._waiting.clear()

    def _leave(self) -> None:
        """There is nobody to send to."""
        self.drop_items()
        self._gone = True
        self._progress.drop()

    @property
    def _starves(self) -> bool:
        return self._last[0] + 1 >= self.granted

    def _look(self) -> None:
        """Repeat the last item if the job waits still."""
        self._watch = None
        if self._starves:
            self._watch = self._means.later(_STARVED_S, self._look)
            if not self.busy:
                seq, body = self._last
                self._send_items(seq, [body], lambda _: None)

    def _send_waiting(self) -> None:
        self._sends_soon = False
        while self._waiting and not self._refused:
            items, seq = taken(self._waiting, _MESSAGE_BYTES), self._next
            self._next += len(items)
            self._publish(seq, items)

    def _publish(self, seq: int, items: list[bytes]) -> None:
        def done(confirm: Confirm) -> None:
            if confirm is Confirm.ACKED:
                self._tries = 0
                self._means.metrics.items_sent(self._delivery, len(items))
            elif confirm is Confirm.REFUSED and self.read:
                self._refused[seq] = items

        self._send_items(seq, items, done)

    def _send_items(self, seq: int, items: list[bytes], done: Callable[[Confirm], None]) -> None:
        self._send(messages.items(self._delivery, seq, worker=self._means.worker), together(items), done)

    def _tell(self, body: bytes) -> None:
        properties = messages.progress(self._delivery, worker=self._means.worker)
        self._send(properties, body, lambda _: self._progress.ended())

    def _send(self, properties: Any, body: bytes, done: Callable[[Confirm], None]) -> None:
        def confirmed(confirm: Confirm) -> None:
            self._on_their_way -= 1
            if confirm is Confirm.RETURNED:
                self._leave()
            done(confirm)
            if self._refused and not (self._on_their_way or self._waits):
                self._waits = True
                self._means.later(pause_s(self._tries), self._again)
                self._tries += 1
            if self._gone or not self.busy:
                self._changed(self, self._gone)

        self._on_their_way += 1
        assert self._delivery.reply_to is not None
        self._means.publish(self._delivery.reply_to, properties, body, confirmed)

    def _again(self) -> None:
        """Publish again what was refused, and what came after it."""
        self._waits = False
        refused, self._refused = sorted(self._refused.items()), {}
        # A job that runs still may be handed out to this worker again, and is settled then.
        if self._delivery.channel.open or not self._ended:
            for seq, items in refused:
                self._publish(seq, items)
            self._send_waiting()
        else:
            # It will be handed out, and its next start yields all of them.
            self._leave()
            self._changed(self, True)
