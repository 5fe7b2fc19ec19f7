"""Results under a Redis key: what comes together is written, and looked up, together; what is long, in chunks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from typing import Any, Final, NamedTuple

import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from penstock.errors import DeniedError, PenstockError, UnavailableError, UsageError
from penstock.memory_file import MemoryFile
from penstock.results.blobs import RedisBlobs
from penstock.results.items import RedisItems
from penstock.results.patience import Patience
from penstock.wire.blob import Blob
from penstock.wire.registry import BLOB_GRACE_MS, REDIS_RESULT_CHANNEL, REDIS_RESULT_KEY, Event

_log = logging.getLogger(__name__)

#: Most results in one call, and most bytes of them.
_BATCH: Final = 256
_BATCH_BYTES: Final = 1024 * 1024
#: What a look-up counts for among those bytes, whose result may be of any length.
_FIND_BYTES: Final = 64 * 1024
#: Seconds for one call, connecting included.
_TIMEOUT_S: Final = 5.0
#: Seconds without a call after which Redis is asked whether it is still there.
_IDLE_S: Final = 5.0


class _Call(NamedTuple):
    """A result to keep, or with an empty body one to look up; `done` gets the script's answer."""

    job_id: str
    body: bytes
    reply_to: str | None
    done: Callable[[Any], None]


class RedisResults:
    """A ResultStore on Redis.

    Calls that fail for whatever reason are made again until they succeed, with all that came after them behind
    them: nothing is dropped while Redis is gone, full, loading, a replica, or knows another password.

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
                url,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                # We try again ourselves; tries behind our back would hide an outage for their whole length.
                retry=Retry(NoBackoff(), 0),
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
        self._script = self._client.register_script(_script("keep.lua"))
        self._promote = self._client.register_script(_script("promote.lua"))
        self.blobs = RedisBlobs(self._client, namespace=namespace)
        self.items = RedisItems(self._client, namespace=namespace, ttl_ms=ttl_ms)
        self._patience = Patience("results")
        self._patience.trouble = "not connected"
        self._calls: list[_Call] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make sure that Redis answers, then take calls.

        Raises:
            UnavailableError: It does not answer.
            DeniedError: It refuses the user or the password.
        """
        await self._once(self._client.ping())
        self._patience.trouble = None
        self._task = asyncio.create_task(self._run(), name="penstock-redis")

    async def close(self) -> None:
        """Stop; calls that have not ended are dropped, their jobs will be redelivered. Closing twice is fine."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.blobs.close()
        await self.items.close()
        await self._client.aclose()

    # ── the port ────────────────────────────────────────────────────────────────────────────────

    @property
    def up(self) -> bool:
        """Whether the last call succeeded."""
        return self.trouble is None

    @property
    def trouble(self) -> str | None:
        """Why the last call failed; None: it succeeded."""
        return self._patience.trouble or self.blobs.trouble or self.items.trouble

    @property
    def pending(self) -> int:
        """Calls that have not ended."""
        return len(self._calls) + self.blobs.pending + self.items.pending

    def put(self, job_id: str, body: bytes, reply_to: str | None, done: Callable[[bool], None]) -> None:
        """See ResultStore.put."""
        self._ask(_Call(job_id, body, reply_to, lambda answer: done(answer == 1)))

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
        """See ResultStore.put_file."""
        self.blobs.begin(self._put_file(job_id, blob, file, reply_to, as_blob=as_blob), done, job_id)

    def find(self, job_id: str, done: Callable[[bytes | None], None]) -> None:
        """See ResultStore.find."""
        self._ask(_Call(job_id, b"", None, done))

    # ── one call at once, for commands ──────────────────────────────────────────────────────────

    async def get(self, job_id: str) -> bytes | None:
        """The result of a job, None when there is none; asked once.

        Raises:
            UnavailableError: Redis does not answer.
            DeniedError: It refuses the user or the password.
        """
        found: bytes | None = await self._once(self._client.get(self._key_of(job_id)))
        return found

    async def forget(self, job_id: str) -> bool:
        """Delete the result of a job, so that another one can be kept; returns whether there was one. Asked once.

        Raises:
            UnavailableError: Redis does not answer, or takes no writes; the result may be deleted or not.
            DeniedError: It refuses the user or the password.
        """
        return bool(await self._once(self._client.delete(self._key_of(job_id))))

    @staticmethod
    async def _once(answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except (exceptions.RedisError, OSError) as error:
            raise _translated(error) from error

    # ── the calls of each turn of the loop together ─────────────────────────────────────────────

    def _ask(self, call: _Call) -> None:
        self._calls.append(call)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._until_asked()
            batch = self._batch()
            # Made or not, making the calls again is harmless: the first result stays.
            answers = await self._patience.ask(partial(self._send, batch))
            del self._calls[: len(batch)]
            for call, answer in zip(batch, answers, strict=True):
                self._tell(call, answer)

    async def _until_asked(self) -> None:
        """Wait for a call; at the latest after `_IDLE_S`, so that an outage is seen before a job meets it."""
        if self._calls:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    @staticmethod
    def _tell(call: _Call, answer: Any) -> None:
        """Pass an answer on. A defect of ours in one settlement must not stop all later ones."""
        try:
            call.done(answer)
        except Exception:  # noqa: BLE001 -- settlement and pika may raise anything
            _log.exception(
                "the store's answer could not be acted on; its job will be redelivered",
                extra={"event": Event.JOB_SETTLEMENT_DEFERRED, "job_id": call.job_id},
            )

    def _batch(self) -> list[_Call]:
        """What goes together: bounded in number and, but for a single large one, in bytes."""
        size = 0
        for count, call in enumerate(self._calls):
            size += len(call.body) or _FIND_BYTES
            if count == _BATCH or (count and size > _BATCH_BYTES):
                return self._calls[:count]
        return self._calls[:]

    async def _send(self, batch: list[_Call]) -> list[Any]:
        """The script's answers to a batch; an empty one only shows that Redis is there."""
        keys = [self._key_of(call.job_id) for call in batch]
        arguments: list[Any] = [self._ttl_ms]
        for call in batch:
            arguments += (call.body, self._channel_of(call.reply_to), call.job_id)
        answers: list[Any] = await self._script(keys, arguments)
        return answers

    async def _put_file(
        self, job_id: str, blob: Blob, file: MemoryFile, reply_to: str | None, *, as_blob: bool
    ) -> bool:
        keys = [self.blobs.key(job_id, blob), self._key_of(job_id)]
        arguments: list[Any] = [self._ttl_ms, self._channel_of(reply_to), job_id, "" if as_blob else "1"]
        while True:
            await self.blobs.kept(job_id, blob, file, BLOB_GRACE_MS)
            answer: int = await self.blobs.ask(partial(self._promote, keys, arguments))
            if answer >= 0:  # else the answer to an earlier try got lost, or it took longer than the blob lives
                return answer == 1

    def _channel_of(self, reply_to: str | None) -> str:
        return self._channel.replace("{reply_to}", reply_to) if reply_to else ""

    def _key_of(self, job_id: str) -> str:
        return self._key.replace("{job_id}", job_id)


def _script(name: str) -> str:
    return files(__package__).joinpath(name).read_text()


def _translated(error: BaseException) -> PenstockError:
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return DeniedError(f"Redis refuses the user or the password: {error}")
    return UnavailableError(f"Redis cannot be reached: {error}")
