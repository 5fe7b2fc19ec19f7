"""Brings the bodies that are too long for a message from the store, as many at once as there is room for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.memory_file import MemoryFile
from penstock.results.ports import BlobStore
from penstock.wire.blob import Blob

#: Room for the bodies of jobs that this worker has, in bytes; one that is longer comes alone.
ROOM_BYTES: Final = 256 * 1024 * 1024


class Claims:
    """Holds the long bodies of a worker's jobs, each in a file in memory, until their jobs are settled.

    Args:
        blobs: Where they are.
        room_bytes: Most bytes that are held. Defaults to 256 MiB.
    """

    def __init__(self, blobs: BlobStore, room_bytes: int = ROOM_BYTES) -> None:
        self._blobs = blobs
        self._room_bytes = room_bytes
        self._waiting: deque[tuple[Delivery, Callable[[bool | OSError], None]]] = deque()
        #: Bytes by job, of those that are here or on their way.
        self._held: dict[str, int] = {}

    @property
    def held_bytes(self) -> int:
        """How many bytes are here or on their way."""
        return sum(self._held.values())

    def bring(self, delivery: Delivery, done: Callable[[bool | OSError], None]) -> None:
        """Put a job's body into `delivery.file`, when there is room.

        `done` gets False when there is no such body, an error when this machine has no room for it.
        """
        self._waiting.append((delivery, done))
        self._begin()

    def release(self, delivery: Delivery) -> None:
        """The job is settled: let go of its body."""
        if delivery.file is not None:
            delivery.file.close()
            delivery.file = None
        if self._held.pop(delivery.job_id, None) is not None:
            self._begin()

    def _begin(self) -> None:
        while self._waiting:
            delivery, done = self._waiting[0]
            blob = delivery.blob
            assert blob is not None
            if self._held and self.held_bytes + blob.size > self._room_bytes:
                return
            self._waiting.popleft()
            self._held[delivery.job_id] = blob.size
            self._fetch(delivery, blob, done)

    def _fetch(self, delivery: Delivery, blob: Blob, done: Callable[[bool | OSError], None]) -> None:
        try:
            file = MemoryFile.make()
        except OSError as error:
            done(error)
            return

        def fetched(found: bool | OSError) -> None:
            if found is True:
                delivery.file = file
            done(found)

        self._blobs.fetch(delivery.job_id, blob, file, fetched)
