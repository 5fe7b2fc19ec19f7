"""A job as the parent sees it: headers and properties, and a body that stays sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.domain.spent import Spent
from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob
from penstock.wire.registry import ResultMode


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One hand-out of a job by the broker.

    Attributes:
        type: The message's type; "" when absent.
        task: The task's name, from the routing key.
        queue: The queue's name.
        job_id: The job's id, from message_id.
        attempt: Number of the attempt that this delivery starts, from 1.
        returns: How often this message was handed out before without an end, against the delivery limit.
        fence: A number that is larger for every later start of the same job: replay, attempt, message, hand-out.
        again: Whether the job may have ended before: the broker has handed the message out already, it is a retry
            copy, or its producer published it twice.
        spent: What the job has spent of its budgets before.
        repeat: How often its producer had published the job before this message, not knowing what became of it: the
            answer to an earlier message may have found nobody.
        replays: How often it was replayed from the dead queue.
        version: Header x-task-version; None when absent.
        deadline_ms: Header x-deadline, Unix ms; None: no deadline.
        not_before_ms: Header x-not-before, Unix ms; None: at once.
        mode: Where the result goes.
        reply_to: Routing key of the requester on the replies exchange; None: nobody awaits a reply.
        user: The producer's user; None when unknown.
        priority: The message's priority; None when absent.
        kept: Texts of the producer's that travel with every copy.
        body: job.v1 bytes, unread; empty when they lie in the store.
        tag: The delivery tag, valid on `channel` only.
        channel: The consumer that settles it; opaque here. It and `tag` change when the broker hands the job out
            again while this worker still has it.
        max_result: Longest result that the requester takes, in bytes; 0: it has not said.
        blob: What lies in the store; None: nothing.
        file: The blob's bytes, unread, once they are here; None: they are not.
        yields: Whether its task yields items, as far as that is known.
    """

    type: str
    task: str
    queue: str
    job_id: str
    attempt: int
    returns: int
    fence: int
    again: bool
    spent: Spent
    repeat: int
    replays: int
    version: int | None
    deadline_ms: int | None
    not_before_ms: int | None
    mode: ResultMode
    reply_to: str | None
    user: str | None
    priority: int | None
    kept: Mapping[str, Any]
    body: bytes
    tag: int
    channel: Any
    max_result: int = 0
    blob: Blob | None = None
    file: MemoryFile | None = None
    yields: bool = False

    @property
    def stores(self) -> bool:
        """Whether the result, and what the task yields before it, is to be stored."""
        return self.mode is ResultMode.STORED or self.mode is ResultMode.REPLY_AND_STORED
