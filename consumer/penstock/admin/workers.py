"""Telling workers something, and hearing how they are."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from penstock.broker import messages
from penstock.broker.ports import Confirm
from penstock.broker.session import Session
from penstock.errors import UnavailableError, UsageError
from penstock.settings import default_instance
from penstock.wire.codec import decode
from penstock.wire.failure import WireError
from penstock.wire.headers import is_reply_to
from penstock.wire.registry import MAX_SLOTS, TYPE_STATUS, Order

#: Longest wait for answers, in seconds, and the one by default.
MAX_WAIT_S: Final = 60.0
WAIT_S: Final = 2.0
#: What every worker says of itself.
_SAID: Final = {"worker", "version", "not_ready", "queues"}


async def tell(
    session: Session,
    order: Order,
    *,
    queue: str | None = None,
    worker: str | None = None,
    slots: int | None = None,
    wait_s: float = WAIT_S,
) -> list[dict[str, Any]]:
    """Tell workers to do something; returns how each is afterwards, in the order of their names.

    Args:
        session: Open.
        order: What they are to do.
        queue: The queue that it is about; those that do not serve it neither heed nor answer. Defaults to all queues.
        worker: The only one that is to heed it. Defaults to every one.
        slots: For Order.RESIZE: how many jobs of the queue are to run at once. Who cannot says so in `refused`.
        wait_s: Seconds to wait for answers, less when the only one has answered.

    Raises:
        UsageError: The wait or the number of slots is out of range, or the user's name cannot be part of a reply
            queue's.
        TopologyError: There is no control exchange.
        DeniedError: The user may not give commands, or have a reply queue.
        UnavailableError: No worker is connected; or the broker is gone, and the command was heard or not.
    """
    if not 0 < wait_s <= MAX_WAIT_S:
        raise UsageError(f"--wait {wait_s:g} is not above 0 and at most {MAX_WAIT_S:g} s")
    if slots is not None and not 1 <= slots <= MAX_SLOTS:
        raise UsageError(f"{slots} slots: there can be 1 to {MAX_SLOTS}")
    instance = default_instance()
    if not is_reply_to(f"{session.user}.{instance}"):
        raise UsageError(f"user {session.user!r} has other characters than A-Z a-z 0-9 _ - and can get no answers")
    answers: dict[str, dict[str, Any]] = {}
    enough = asyncio.Event()

    def heard(properties: Any, body: bytes) -> None:
        status = _status(body) if properties.type == TYPE_STATUS else None
        if status is not None:
            answers[status["worker"]] = status
            if status["worker"] == worker:
                enough.set()

    reply_to = await session.listen(instance, heard, enough.set)
    properties = messages.order(order, queue=queue, worker=worker, user=session.user, reply_to=reply_to, slots=slots)
    confirm = await session.publish("control", "", properties, b"")
    if confirm is Confirm.RETURNED:
        raise UnavailableError("no worker is connected")
    if confirm is not Confirm.ACKED:
        raise UnavailableError("the broker refuses the command now; try again")
    try:
        await asyncio.wait_for(enough.wait(), wait_s)
    except TimeoutError:
        pass
    return [answers[name] for name in sorted(answers)]


def _status(body: bytes) -> dict[str, Any] | None:
    """What a worker says of itself; None: this is no worker's answer."""
    try:
        status = decode(body)
    except WireError:
        return None
    if type(status) is not dict or not status.keys() >= _SAID or type(status["worker"]) is not str:
        return None
    return status
