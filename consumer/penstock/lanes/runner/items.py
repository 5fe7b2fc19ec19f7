"""A task that yields: its items are encoded, counted and sent one by one, and what it returns is its result.

While it waits for credit, and wherever else it stands at a `yield`, what interrupts it is raised there.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from functools import partial
from itertools import repeat
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from penstock.lanes.runner.credit import Credit
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.stop import Stop
from penstock.wire.failure import Failure
from penstock.wire.items import LENGTH_BYTES
from penstock.wire.registry import ErrorCode


class UnfitItemError(Exception):
    """An item cannot travel, or there are too many; that ends the attempt."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


#: After these there is nothing more to be yielded: an item cannot travel, or the parent is gone.
_FINAL: Final = (UnfitItemError, BrokenPipeError, ConnectionResetError)


class Items:
    """The items of one attempt.

    Args:
        outlet: Where they go.
        number: The job's frame number.
        encode: Makes the bytes of an item, or raises UnfitItemError.
        stop: Says whether the job is to end.
        unbroken: Does something that nothing may cut off.
        max_stored: Longest that all items may be together, with their lengths, in bytes; None: they are not stored.
    """

    def __init__(
        self,
        outlet: Outlet,
        number: int,
        encode: Callable[[Any, int], bytes],
        stop: Stop,
        unbroken: Callable[[Callable[[], Any]], None],
        max_stored: int | None,
    ) -> None:
        #: How many were sent.
        self.count = 0
        self._outlet = outlet
        self._number = number
        self._encode = encode
        self._stop = stop
        self._unbroken = unbroken
        self._max_stored = max_stored
        self._stored = 0

    def drain(self, generator: GeneratorType[Any, None, Any]) -> Any:
        """Send what a generator yields; returns what it returns.

        Raises:
            UnfitItemError: An item cannot be sent. Whatever the generator raises is passed on.
        """
        credit = self._outlet.credit
        credit.open(self._number)
        try:
            return self._drained(generator, credit)
        except BaseException:
            try:
                generator.close()
            except BaseException:  # noqa: BLE001 -- the attempt ends for another reason, and user code may raise anything
                traceback.print_exc()
            raise
        finally:
            self._unbroken(lambda: credit.close(self._number))

    def _drained(self, generator: GeneratorType[Any, None, Any], credit: Credit) -> Any:
        error: BaseException | None = None
        while True:
            try:
                # A loop of its own: what interrupts the jump back is to be seen at the `yield`, too.
                for _ in repeat(None):
                    item = next(generator) if error is None else generator.throw(error)
                    error = None
                    body = self._body(item)
                    self._stop.look()
                    while not credit.allows(self._number, self.count):
                        credit.wait(self._number, self.count, self._stop, self._unbroken)
                        self._stop.look()
                    self._unbroken(partial(self._send, body))
            except StopIteration as returned:
                return returned.value
            except _FINAL:
                raise
            except BaseException as raised:
                if generator.gi_frame is None:
                    raise
                # It came while the task stood at a `yield`, so there it is to be seen.
                error = raised

    async def drain_async(self, generator: AsyncGeneratorType[Any, None]) -> None:
        """As `drain`, of an async generator, which returns nothing."""
        credit = self._outlet.credit
        credit.open(self._number)
        try:
            await self._drained_async(generator, credit)
        except BaseException:
            try:
                await generator.aclose()
            except BaseException:  # noqa: BLE001 -- as above
                traceback.print_exc()
            raise
        finally:
            credit.close(self._number)

    async def _drained_async(self, generator: AsyncGeneratorType[Any, None], credit: Credit) -> None:
        error: BaseException | None = None
        while True:
            try:
                item = await (anext(generator) if error is None else generator.athrow(error))
                error = None
                body = self._body(item)
                # A task that never awaits would hold up all others, and never be seen to be cancelled.
                await asyncio.sleep(0)
                if not credit.allows(self._number, self.count):
                    await credit.wait_coroutine(self._number, self.count)
                self._send(body)
            except StopAsyncIteration:
                return
            except _FINAL:
                raise
            except BaseException as raised:
                if generator.ag_frame is None:
                    raise
                error = raised

    def _body(self, item: Any) -> bytes:
        body = self._encode(item, self.count)
        stored = self._stored + LENGTH_BYTES + len(body)
        if self._max_stored is not None and stored > self._max_stored:
            text = f"the items up to number {self.count} are {stored} bytes long; the limit is {self._max_stored}"
            raise UnfitItemError(Failure(code=ErrorCode.RESULT_TOO_LARGE, message=text, retryable=False))
        return body

    def _send(self, body: bytes) -> None:
        self._outlet.item(self._number, self.count, body)
        self.count += 1
        self._stored += LENGTH_BYTES + len(body)
