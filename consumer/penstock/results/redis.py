"""Results under a Redis key: what comes together is written together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final, NamedTuple

import redis.asyncio
from redis import exceptions

from penstock.errors import DeniedError, PenstockError, UnavailableError, UsageError
from penstock.wire.registry import REDIS_RESULT_CHANNEL, REDIS_RESULT_KEY, Event

_log = logging.getLogger(__name__)

#: Most results in one call, and most bytes of them.
_BATCH: Final = 256
_BATCH_BYTES: Final = 1024 * 1024
#: Seconds for one call, connecting included.
_TIMEOUT_S: Final = 5.0
#: Longest wait between two tries while Redis is away, in seconds.
_BACKOFF_CAP_S: Final = 5.0


class _Write(NamedTuple):
    job_id: str
    body: bytes
    reply_to: str | None
    done: Callable[[bool], None]


class RedisResults:
    """A ResultStore on Redis.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        namespace: Prefix of keys and channels.
        ttl_ms: Lifetime of a result in milliseconds.

    Raises:
        UsageError: The URL is malformed.
    """

    def __init__(self, url: str, *, namespace: str, ttl_ms: int) -> None:
        try:
            self._client = redis.asyncio.Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            )
        except ValueError:
            # The cause is not shown: it may quote a part of the password.
            raise UsageError(
                "the Redis URL is malformed; it is redis://user:password@host:port/db, and in user and password the "
                "characters / # ? @ : % are percent-encoded"
            ) from None
        self._key = REDIS_RESULT_KEY.replace("{namespace}", namespace)
        self._channel = REDIS_RESULT_CHANNEL.replace("{namespace}", namespace)
        self._ttl_ms = ttl_ms
        self._keep = self._client.register_script(files(__package__).joinpath("keep.lua").read_text())
        self._writes: list[_Write] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.up = False

    async def open(self) -> None:
        """Make sure that Redis answers, then take writes.

        Raises:
            UnavailableError: It does not answer.
            DeniedError: It refuses the user or the password.
        """
        try:
            await self._client.ping()
        except (exceptions.RedisError, OSError) as error:
            raise _translated(error) from error
        self.up = True
        self._task = asyncio.create_task(self._run(), name="penstock-redis")

    async def close(self) -> None:
        """Stop; writes that are not certain yet are dropped, their jobs will be redelivered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._client.aclose()

    @property
    def pending(self) -> int:
        """Writes that are not certain yet."""
        return len(self._writes)

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        """See ResultStore.put."""
        self._writes.append(_Write(job_id, body, reply_to, done))
        self._wake.set()

    async def _run(self) -> None:
        tries = 0
        while True:
            await self._wake.wait()
            batch = self._batch()
            try:
                answers = await self._send(batch)
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                self._set_up(False, error)
                # Written or not, writing again is harmless: the first result stays.
                await asyncio.sleep(min(_BACKOFF_CAP_S, 0.1 * 2.0**tries))
                tries = min(tries + 1, 10)
                continue
            tries = 0
            self._set_up(True, None)
            del self._writes[: len(batch)]
            if not self._writes:
                self._wake.clear()
            for write, answer in zip(batch, answers, strict=True):
                self._tell(write, first=answer == 1)

    @staticmethod
    def _tell(write: _Write, *, first: bool) -> None:
        """Report that a result is kept. A defect of ours in one settlement must not stop all later ones."""
        try:
            write.done(first)
        except Exception:  # noqa: BLE001 -- settlement and pika may raise anything
            _log.exception(
                "a stored result could not be settled; its job will be redelivered",
                extra={"event": Event.JOB_SETTLEMENT_DEFERRED, "job_id": write.job_id},
            )

    def _batch(self) -> list[_Write]:
        """The writes of one call: bounded in number and, but for a single large one, in bytes."""
        size = 0
        for count, write in enumerate(self._writes):
            size += len(write.body)
            if count == _BATCH or (count and size > _BATCH_BYTES):
                return self._writes[:count]
        return self._writes[:]

    async def _send(self, batch: list[_Write]) -> list[int]:
        """Keep a batch; returns 1 for each result that is kept, 0 where an earlier one was there."""
        keys = [self._key.replace("{job_id}", write.job_id) for write in batch]
        arguments: list[Any] = [self._ttl_ms]
        for write in batch:
            channel = self._channel.replace("{reply_to}", write.reply_to) if write.reply_to else ""
            arguments += (write.body, channel, write.job_id)
        answers: list[int] = await self._keep(keys, arguments)
        return answers

    def _set_up(self, up: bool, error: BaseException | None) -> None:
        if up == self.up:
            return
        self.up = up
        if up:
            _log.info("Redis answers again", extra={"event": Event.REDIS_AVAILABLE})
        else:
            _log.error(
                "Redis does not take results; their jobs stay unacknowledged and the write is tried again",
                extra={"event": Event.REDIS_UNAVAILABLE, "reason": str(error)},
            )


def _translated(error: BaseException) -> PenstockError:
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return DeniedError(f"Redis refuses the user or the password: {error}")
    return UnavailableError(f"Redis cannot be reached: {error}")
