"""Claims: long bodies are brought in their order, no more at once than there is room for."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.delivery import Delivery
from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob
from penstock.worker.claims import Claims
from tests.unit.builders import job_id, make_delivery
from tests.unit.worker.fakes import FakeBlobs

ROOM = 100


class Stage:
    """Claims with little room, and what they answered."""

    def __init__(self) -> None:
        self.blobs = FakeBlobs()
        self.claims = Claims(self.blobs, ROOM)
        self.answers: list[tuple[str, Any]] = []

    def bring(self, number: int, size: int) -> Delivery:
        delivery = make_delivery(job_id=job_id(number), blob=Blob("ab" * 32, size), body=b"")
        self.claims.bring(delivery, lambda found: self.answers.append((delivery.job_id, found)))
        return delivery

    @property
    def asked(self) -> list[str]:
        return [fetch.job_id for fetch in self.blobs.fetches]


def test_a_body_that_is_brought_is_in_the_deliverys_file_until_it_is_released() -> None:
    # Given a job
    stage = Stage()
    delivery = stage.bring(1, 5)
    assert delivery.file is None
    assert stage.answers == []

    # When the store has given its body
    (fetch,) = stage.blobs.fetches
    fetch.file.write(b"12345", 0)
    fetch.done(True)

    # Then the job has it, until it is released
    file: MemoryFile | None = delivery.file
    assert file is not None
    assert (file.read(10, 0), stage.claims.held_bytes) == (b"12345", 5)
    stage.claims.release(delivery)
    assert (file.fileno(), delivery.file, stage.claims.held_bytes) == (-1, None, 0)


def test_what_has_no_room_waits_in_its_order() -> None:
    # Given bodies that are longer than the room together
    stage = Stage()
    first, second = stage.bring(1, 60), stage.bring(2, 40)
    stage.bring(3, 1)
    stage.bring(4, 1)
    assert stage.asked == [first.job_id, second.job_id]

    # When one is released, then those that waited are brought
    stage.claims.release(second)
    assert stage.asked == [job_id(1), job_id(2), job_id(3), job_id(4)]


def test_the_short_do_not_overtake_the_long() -> None:
    stage = Stage()
    first = stage.bring(1, 60)
    stage.bring(2, 50)
    stage.bring(3, 1)
    assert stage.asked == [job_id(1)]
    stage.claims.release(first)
    assert stage.asked == [job_id(1), job_id(2), job_id(3)]


def test_a_body_longer_than_the_room_comes_alone() -> None:
    stage = Stage()
    big = stage.bring(1, 10 * ROOM)
    stage.bring(2, 1)
    assert stage.asked == [job_id(1)]
    stage.claims.release(big)
    assert stage.asked == [job_id(1), job_id(2)]


def test_a_body_that_is_not_there_is_said_and_leaves_no_file() -> None:
    stage = Stage()
    delivery = stage.bring(1, 5)
    stage.blobs.fetches[0].done(False)
    assert stage.answers == [(delivery.job_id, False)]
    assert delivery.file is None


def test_without_a_descriptor_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> MemoryFile:
        raise OSError("too many open files")

    monkeypatch.setattr(MemoryFile, "make", none_left)
    stage = Stage()
    delivery = stage.bring(1, 5)
    assert [str(found) for _, found in stage.answers] == ["too many open files"]
    stage.claims.release(delivery)
    assert stage.claims.held_bytes == 0


def test_releasing_a_job_without_a_long_body_changes_nothing() -> None:
    stage = Stage()
    stage.bring(1, 60)
    stage.claims.release(make_delivery(job_id=job_id(2)))
    assert stage.claims.held_bytes == 60
