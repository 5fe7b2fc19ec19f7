"""Where the items and the progress of one start of a job go: to its requester, into the store, or nowhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from penstock.broker import messages
from penstock.broker.ports import Confirm
from penstock.domain.delivery import Delivery
from penstock.results.ports import ItemStore
from penstock.telemetry.metrics import Metrics
from penstock.wire.items import framed, together
from penstock.wire.registry import CREDIT_AGAIN_MS, STREAM_WINDOW
from penstock.worker.settlement import pause_s

#: Seconds that a job waits for credit before its last item is repeated.
_STARVED_S: Final = CREDIT_AGAIN_MS / 1000
#: Bytes of items after which a message, and a call of the store, have enough.
_MESSAGE_BYTES: Final = 64 * 1024
_CALL_BYTES: Final = 1024 * 1024

#: Lets a job send the items with a number below that; None: all.
Grant: TypeAlias = Callable[[Delivery, int | None], None]


class Timer(Protocol):
    """What will be called later."""

    def cancel(self) -> None:
        """Do not call it."""
        ...


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
    """Where the items and the progress of one start go.

    Attributes:
        granted: Below which number items may be sent.
    """

    granted: int

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

    granted = 0
    busy = False

    def item(self, seq: int, body: bytes) -> None:
        """See Way.item."""

    def progress(self, body: bytes) -> None:
        """See Way.progress."""

    def end(self) -> None:
        """See Way.end."""


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
    """

    def __init__(self, means: Means, delivery: Delivery, changed: Callable[[Way, bool], None]) -> None:
        self.granted = STREAM_WINDOW
        #: Whether somebody reads the items; who does not may want to know of the progress.
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
        self._newest: bytes | None = None
        self._telling = False
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
        self._newest = body
        self._tell()

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
        self._newest = None

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
            items, seq = _taken(self._waiting, _MESSAGE_BYTES), self._next
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

    def _tell(self) -> None:
        if self._telling or self._newest is None:
            return
        self._telling = True
        body, self._newest = self._newest, None

        def done(_: Confirm) -> None:
            self._telling = False
            self._tell()

        self._send(messages.progress(self._delivery, worker=self._means.worker), body, done)

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
        self.granted = STREAM_WINDOW
        self._means = means
        self._store = store
        self._delivery = delivery
        self._changed = changed
        self._waiting: deque[bytes] = deque()
        self._count = 0
        self._bytes = 0
        self._writing = False
        self._newest: bytes | None = None
        self._telling = False
        self._gone = False

    @property
    def busy(self) -> bool:
        """See Way.busy."""
        return self._writing or self._telling

    def end(self) -> None:
        """See Way.end."""

    def item(self, seq: int, body: bytes) -> None:  # noqa: ARG002 -- they come in order
        """See Way.item."""
        self._waiting.append(framed(body))
        self._write()

    def progress(self, body: bytes) -> None:
        """See Way.progress."""
        self._newest = body
        self._tell()

    def _write(self) -> None:
        if self._writing or not self._waiting:
            return
        self._writing = True
        items = _taken(self._waiting, _CALL_BYTES)
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
        if self._count + STREAM_WINDOW - self.granted >= STREAM_WINDOW // 2:
            self.granted = self._count + STREAM_WINDOW
            self._means.grant(self._delivery, self.granted)

    def _tell(self) -> None:
        if self._telling or self._newest is None:
            return
        self._telling = True
        body, self._newest = self._newest, None

        def done(kept: bool) -> None:
            self._telling = False
            if kept:
                self._tell()
            self._ended(kept)

        delivery = self._delivery
        self._store.progress(delivery.job_id, delivery.fence, body, delivery.reply_to, done)

    def _ended(self, kept: bool) -> None:
        if not kept:
            self._gone = True
            self._waiting.clear()
            self._newest = None
        if self._gone or not self.busy:
            self._changed(self, self._gone)


def _taken(waiting: deque[bytes], most_bytes: int) -> list[bytes]:
    """The first of them, and those after it that fit with it into so many bytes; they wait no more."""
    taken = [waiting.popleft()]
    size = len(taken[0])
    while waiting and size + len(waiting[0]) <= most_bytes:
        size += len(waiting[0])
        taken.append(waiting.popleft())
    return taken
