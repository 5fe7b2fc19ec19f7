"""Commands: what a worker is told besides jobs. Whether they are to be heeded is decided here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from penstock.broker import messages
from penstock.broker.ports import Publisher
from penstock.domain.cancellation import Told
from penstock.domain.topology import Topology
from penstock.wire.headers import int_header, is_job_id, is_reply_to, str_header
from penstock.wire.registry import (
    HEADER_CREDIT,
    HEADER_FENCE,
    HEADER_JOB,
    HEADER_ORDER,
    HEADER_QUEUE,
    HEADER_WORKER,
    TYPE_CANCEL,
    TYPE_CREDIT,
    TYPE_ORDER,
    CancelStep,
    Order,
)
from penstock.worker.cancels import Cancels
from penstock.worker.in_hand import InHand

_log = logging.getLogger(__name__)

_ORDERS: Final = {order.value: order for order in Order}


class Commanded(Protocol):
    """A queue of the worker, as a command needs it."""

    def cancel(self, job_id: str, told: Told) -> bool:
        """Cancel a job if it is here: `told` is called once, now or later. False: it is not here."""
        ...

    def credit(self, job_id: str, fence: int, upto: int) -> None:
        """Let the start of a job that has this fence, if it is here, send so many items in all; -1: no more."""
        ...


class Control:
    """Carries commands out.

    Args:
        queues: The worker's.
        cancels: Where the jobs to be cancelled are remembered; the queues look there, too.
        in_hand: The jobs that the worker has.
        orders: Carries out what operators want; see Orders.carry_out.
        publisher: For acknowledgements.
        topology: Names of the namespace.
        worker: The worker's name.
        strict: Production mode: a command must say who sent it, and is acknowledged to its sender only.
    """

    def __init__(
        self,
        queues: Sequence[Commanded],
        cancels: Cancels,
        in_hand: InHand,
        orders: Callable[[Order, str | None, Callable[[bytes], None]], None],
        publisher: Publisher,
        topology: Topology,
        *,
        worker: str,
        strict: bool,
    ) -> None:
        self._queues = queues
        self._cancels = cancels
        self._in_hand = in_hand
        self._orders = orders
        self._publisher = publisher
        self._replies = topology.name("replies")
        self._worker = worker
        self._strict = strict

    def heard(self, properties: Any) -> None:
        """A command has arrived. What is none, of this version, is not for this worker."""
        headers, user = properties.headers or {}, properties.user_id
        job_id = str_header(headers, HEADER_JOB)
        order = _ORDERS.get(str_header(headers, HEADER_ORDER) or "")
        proper = job_id is not None and is_job_id(job_id)
        cancels, credits_ = proper and properties.type == TYPE_CANCEL, proper and properties.type == TYPE_CREDIT
        if not (cancels or credits_) and (properties.type != TYPE_ORDER or order is None):
            _log.debug("a command that this worker does not know: type %r", properties.type)
            return
        if self._strict and not user:
            _log.warning("a command without a user_id, which --strict requires, was not heeded")
            return
        reply_to = properties.reply_to
        answered = bool(reply_to) and is_reply_to(reply_to)
        if self._strict and answered:
            # The acknowledgement would go where somebody else listens.
            answered = reply_to.partition(".")[0] == user
        if credits_ and job_id is not None:
            self._credit(job_id, headers)
        elif cancels and job_id is not None:
            self._cancel(job_id, reply_to if answered else None)
        elif order is not None and str_header(headers, HEADER_WORKER) in (None, self._worker):
            self._order(order, str_header(headers, HEADER_QUEUE), reply_to if answered else None)

    def _credit(self, job_id: str, headers: Mapping[str, Any]) -> None:
        fence, upto = int_header(headers, HEADER_FENCE), int_header(headers, HEADER_CREDIT)
        if fence is not None and upto is not None and str_header(headers, HEADER_WORKER) == self._worker:
            for queue in self._queues:
                queue.credit(job_id, fence, upto)

    def _order(self, order: Order, queue: str | None, reply_to: str | None) -> None:
        def done(body: bytes) -> None:
            if reply_to is not None:
                self._publisher.publish(
                    self._replies, reply_to, messages.status(worker=self._worker), body, lambda _: None
                )

        self._orders(order, queue, done)

    def _cancel(self, job_id: str, reply_to: str | None) -> None:
        def told(step: CancelStep) -> None:
            if reply_to is not None:
                properties = messages.cancelled(job_id, worker=self._worker, step=step)
                # Whoever does not hear it asks again, or looks at the result.
                self._publisher.publish(self._replies, reply_to, properties, b"", lambda _: None)

        # First of all, because an attempt that fails right now is not to be followed by another.
        self._cancels.add(job_id)
        if not any(queue.cancel(job_id, told) for queue in self._queues):
            told(CancelStep.ENDED if self._in_hand.has(job_id) else CancelStep.UNKNOWN_HERE)
