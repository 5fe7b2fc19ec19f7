"""Declaring the topology, and finding out whether it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, Final

from pika import exceptions
from pika.exchange_type import ExchangeType

from penstock.broker.raw import RawConnection
from penstock.domain.topology import Exchange, Queue, Topology
from penstock.errors import DeniedError, PenstockError, TopologyError, UnavailableError

_TIMEOUT_S: Final = 30.0
_NOT_FOUND, _ACCESS_REFUSED, _PRECONDITION_FAILED = 404, 403, 406


async def apply(connection: RawConnection, topology: Topology, queues: Iterable[str]) -> int:
    """Declare every exchange, queue and binding; what is there already stays as it is. Returns how many.

    Raises:
        TopologyError: An object exists with other arguments.
        DeniedError: The user may not configure it.
        UnavailableError: The broker does not answer.
    """
    count = 0
    channel = await _channel(connection)
    for exchange in topology.exchanges():
        await _declare_exchange(channel, exchange=exchange, passive=False)
        count += 1
    for queue in topology.queues(queues):
        await _declare_queue(channel, queue=queue, passive=False)
        for source, key in queue.bindings:
            bind = partial(channel.queue_bind, queue.name, source, key)
            await _call(channel, f"binding of {queue.name}", bind)
        count += 1
    channel.close()
    return count


async def verify(connection: RawConnection, topology: Topology, queues: Iterable[str]) -> None:
    """Make sure that everything is there, without permission to configure.

    Raises:
        TopologyError: Something is missing; the message names all of it and the command that makes it.
        UnavailableError: The broker does not answer.
    """
    names = list(queues)
    missing = [what async for what, there in inspect(connection, topology, names) if not there]
    if missing:
        raise TopologyError(f"the broker lacks {', '.join(missing)}; {remedy(names)}")


async def inspect(
    connection: RawConnection, topology: Topology, queues: Iterable[str]
) -> AsyncIterator[tuple[str, bool]]:
    """Every exchange and queue, and whether it exists.

    A passive declaration tells that much; RabbitMQ does not compare the arguments then.
    """
    for exchange in topology.exchanges():
        there = await _exists(connection, partial(_declare_exchange, exchange=exchange, passive=True))
        yield f"exchange {exchange.name}", there
    for queue in topology.queues(queues):
        there = await _exists(connection, partial(_declare_queue, queue=queue, passive=True))
        yield f"queue {queue.name}", there


def remedy(queues: Iterable[str]) -> str:
    """How to make what is missing."""
    return f"make it with: penstock topology apply {' '.join(queues)}".rstrip()


async def _exists(connection: RawConnection, declare: Callable[[Any], Any]) -> bool:
    """Whether a passive declaration succeeds; each needs its own channel, as a failure closes it.

    An object that this user has no permission on may well be there: its owner will know.
    """
    channel = await _channel(connection)
    try:
        await declare(channel)
    except TopologyError:
        return False
    except DeniedError:
        return True
    channel.close()
    return True


async def _declare_exchange(channel: Any, *, exchange: Exchange, passive: bool) -> None:
    await _call(
        channel,
        f"exchange {exchange.name}",
        partial(
            channel.exchange_declare,
            exchange.name,
            ExchangeType[exchange.type],
            passive=passive,
            durable=True,
            internal=exchange.internal,
            arguments=dict(exchange.arguments),
        ),
    )


async def _declare_queue(channel: Any, *, queue: Queue, passive: bool) -> None:
    await _call(
        channel,
        f"queue {queue.name}",
        partial(
            channel.queue_declare,
            queue.name,
            passive=passive,
            durable=True,
            arguments=dict(queue.arguments),
        ),
    )


async def _channel(connection: RawConnection) -> Any:
    opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.channel(on_open_callback=opened.set_result)
    return await _answer(opened)


async def _call(channel: Any, what: str, start: Callable[..., Any]) -> None:
    """One request of pika's and its answer; a channel that closes instead is an error."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(_: Any) -> None:
        if not answer.done():
            answer.set_result(None)

    def closed(_: Any, reason: BaseException) -> None:
        if not answer.done():
            answer.set_exception(_translated(reason, what))

    channel.add_on_close_callback(closed)
    start(callback=done)
    await _answer(answer)


async def _answer(future: asyncio.Future[Any]) -> Any:
    try:
        return await asyncio.wait_for(future, _TIMEOUT_S)
    except TimeoutError:
        raise UnavailableError(f"RabbitMQ did not answer within {_TIMEOUT_S:g} s") from None


def _translated(reason: BaseException, what: str) -> PenstockError:
    if not isinstance(reason, exceptions.ChannelClosedByBroker):
        return UnavailableError(f"{what}: the connection to RabbitMQ was lost: {reason}")
    text = reason.reply_text
    if reason.reply_code == _ACCESS_REFUSED:
        return DeniedError(f"{what}: RabbitMQ refuses this user the permission: {text}")
    if reason.reply_code == _NOT_FOUND:
        return TopologyError(f"{what} does not exist")
    if reason.reply_code == _PRECONDITION_FAILED:
        return TopologyError(
            f"{what} exists with other arguments than this version of penstock uses: {text}. Arguments cannot be "
            "changed in place: drain and delete it, then run penstock topology apply, or use another --namespace"
        )
    return TopologyError(f"{what}: {text}")
