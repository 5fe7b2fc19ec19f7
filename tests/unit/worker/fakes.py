"""Publisher, store and channel played by hand: they record what is asked and answer when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from penstock.broker.ports import Confirm, Publisher
from penstock.domain.delivery import Delivery
from penstock.memory_file import MemoryFile
from penstock.results.ports import BlobStore, ItemStore, ResultStore
from penstock.telemetry.metrics import Metrics
from penstock.wire.blob import Blob
from penstock.wire.result import Result, decode_result
from penstock.worker.claims import Claims
from penstock.worker.in_hand import InHand
from penstock.worker.settlement import Settlement
from tests.unit.builders import make_delivery, make_queue


@dataclass
class Published:
    """A message, and how to tell of its fate."""

    exchange: str
    key: str
    properties: Any
    body: bytes
    done: Callable[[Confirm], None]

    @property
    def headers(self) -> dict[str, Any]:
        return dict(self.properties.headers)

    @property
    def result(self) -> Result:
        return decode_result(self.body)


class FakePublisher(Publisher):
    """Keeps every message."""

    def __init__(self) -> None:
        self.messages: list[Published] = []

    @property
    def pending(self) -> int:
        return 0

    def publish(
        self,
        exchange: str,
        routing_key: str,
        properties: Any,
        body: bytes,
        done: Callable[[Confirm], None],
    ) -> None:
        self.messages.append(Published(exchange, routing_key, properties, body, done))

    @property
    def last(self) -> Published:
        return self.messages[-1]


@dataclass
class Put:
    """A write, and how to tell that it is certain."""

    job_id: str
    body: bytes
    reply_to: str | None
    done: Callable[[bool], None]
    #: None: it was short.
    as_blob: bool | None = None


@dataclass
class Find:
    """A look-up, and how to answer it."""

    job_id: str
    done: Callable[[bytes | None], None]


@dataclass
class Fetch:
    """A body to bring, and how to say what became of it."""

    job_id: str
    blob: Blob
    file: MemoryFile
    done: Callable[[bool | OSError], None]


@dataclass
class Keep:
    """A body to keep, and how to tell that it is kept."""

    job_id: str
    blob: Blob
    body: bytes
    ttl_ms: int
    done: Callable[[], None]


class FakeBlobs(BlobStore):
    """Keeps every call."""

    def __init__(self) -> None:
        self.fetches: list[Fetch] = []
        self.keeps: list[Keep] = []
        #: How long each body was to live, the last time that was said.
        self.lifetimes: dict[tuple[str, str], int] = {}

    def fetch(self, job_id: str, blob: Blob, file: MemoryFile, done: Callable[[bool | OSError], None]) -> None:
        self.fetches.append(Fetch(job_id, blob, file, done))

    def keep(self, job_id: str, blob: Blob, file: MemoryFile, ttl_ms: int, done: Callable[[], None]) -> None:
        self.keeps.append(Keep(job_id, blob, file.read(blob.size, 0), ttl_ms, done))

    def expire(self, job_id: str, blob: Blob, ttl_ms: int) -> None:
        self.lifetimes[job_id, blob.sha256] = ttl_ms


@dataclass
class Append:
    """Items or progress to keep, and how to tell whether they are kept."""

    job_id: str
    fence: int
    #: None: it is progress.
    at: int | None
    content: bytes
    reply_to: str | None
    done: Callable[[bool], None]


class FakeItems(ItemStore):
    """Keeps every call."""

    def __init__(self) -> None:
        self.calls: list[Append] = []

    def append(
        self, job_id: str, fence: int, at: int, items: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        self.calls.append(Append(job_id, fence, at, items, reply_to, done))

    def progress(
        self, job_id: str, fence: int, body: bytes, reply_to: str | None, done: Callable[[bool], None]
    ) -> None:
        self.calls.append(Append(job_id, fence, None, body, reply_to, done))


class FakeStore(ResultStore):
    """Keeps every call."""

    def __init__(self) -> None:
        self._items = FakeItems()
        self.puts: list[Put] = []
        self.finds: list[Find] = []
        self._blobs = FakeBlobs()

    @property
    def blobs(self) -> FakeBlobs:
        return self._blobs

    @property
    def items(self) -> FakeItems:
        return self._items

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    @property
    def up(self) -> bool:
        return True

    @property
    def trouble(self) -> str | None:
        return None

    @property
    def pending(self) -> int:
        return 0

    def find(self, job_id: str, done: Callable[[bytes | None], None]) -> None:
        self.finds.append(Find(job_id, done))

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        self.puts.append(Put(job_id, body, reply_to, done))

    def put_file(
        self,
        job_id: str,
        blob: Blob,
        file: MemoryFile,
        reply_to: str | None,
        done: Callable[[bool], None],
        *,
        as_blob: bool,
    ) -> None:
        self.puts.append(Put(job_id, file.read(blob.size, 0), reply_to, done, as_blob=as_blob))


class FakeChannel:
    """The consumer's channel: what was acked and what was given back; nothing once it is gone."""

    def __init__(self) -> None:
        self.open = True
        self.acked: list[int] = []
        self.given_back: list[tuple[int, bool]] = []

    def ack(self, tag: int) -> None:
        if self.open:
            self.acked.append(tag)

    def give_back(self, tag: int, *, counted: bool) -> None:
        if self.open:
            self.given_back.append((tag, counted))

    @property
    def untouched(self) -> bool:
        return not (self.acked or self.given_back)


class Desk:
    """A settlement and everything around it."""

    def __init__(self, topology: Any, *, stores: bool = True) -> None:
        self.gives_back_free = False
        self.publisher = FakePublisher()
        self.store = FakeStore()
        self.claims = Claims(self.store.blobs)
        self.in_hand = InHand(self.claims.release)
        self.channel = FakeChannel()
        self.metrics = Metrics([make_queue()])
        self.settlement = Settlement(
            self.publisher,
            self.store if stores else None,
            topology,
            in_hand=self.in_hand,
            gives_back_free=lambda: self.gives_back_free,
            worker="shop.worker-1",
            max_body_bytes=4096,
            metrics=self.metrics,
        )

    def delivery(self, **changes: Any) -> Delivery:
        """A delivery that this worker has in hand."""
        made = make_delivery(**{"channel": self.channel, "tag": 7, **changes})
        self.in_hand.meet(made)
        return made

    def sample(self, name: str, **labels: str) -> float:
        """The value of one series of the metrics page."""
        for family in text_string_to_metric_families(self.metrics.page().decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"the page has no {name} {labels}")
