"""What operators tell a worker besides cancelling: look, pause, resume, resize, restart its children, tell stacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from penstock import __version__
from penstock.wire.codec import encode
from penstock.wire.registry import Order
from penstock.worker.served import ServedQueue

#: Seconds after which an order shows in how the worker is.
_SETTLE_S: Final = 0.3


class Orders:
    """Carries orders out, and says how the worker is afterwards.

    Args:
        queues: The worker's.
        worker: The worker's name.
        not_ready: Why the worker would not run a job now.
    """

    def __init__(self, queues: Sequence[ServedQueue], *, worker: str, not_ready: Callable[[], list[str]]) -> None:
        self._queues = queues
        self._worker = worker
        self._not_ready = not_ready
        self._telling: set[asyncio.Task[None]] = set()

    def carry_out(self, order: Order, queue: str | None, slots: int | None, done: Callable[[bytes], None]) -> None:
        """Do what is asked, for one queue or for all; `done` gets the canonical msgpack of what there is to say.

        A worker that does not serve the queue says nothing. One that cannot do what is asked says why.

        Args:
            order: What is to be done.
            queue: The queue that it is about; None: all of them.
            slots: For `resize`: how many jobs are to run at once; None: that was not said.
            done: Called once, now or later.
        """
        meant = [each for each in self._queues if queue in (None, each.spec.name)]
        if not meant:
            return
        if order is Order.STACKS:
            task = asyncio.get_running_loop().create_task(self._tell(meant, done), name="penstock-stacks")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
            return
        refused: dict[str, str] = {}
        for each in meant:
            if order is Order.RESIZE and (why := self._resize(each, slots)) is not None:
                refused[each.spec.name] = why
            elif order is Order.RESTART:
                each.lane.restart()
            elif order in (Order.PAUSE, Order.RESUME):
                each.held = order is Order.PAUSE
        if order is Order.LOOK:
            done(self._status(meant))
        else:
            asyncio.get_running_loop().call_later(_SETTLE_S, lambda: done(self._status(meant, refused=refused)))

    @staticmethod
    def _resize(queue: ServedQueue, slots: int | None) -> str | None:
        """Resize a queue's lane; returns why not."""
        return "x-slots is no integer" if slots is None else queue.resize(slots, by="order")

    async def _tell(self, queues: Sequence[ServedQueue], done: Callable[[bytes], None]) -> None:
        stacks = {queue.spec.name: await queue.lane.stacks() for queue in queues}
        done(self._status(queues, stacks=stacks))

    def _status(
        self,
        queues: Sequence[ServedQueue],
        *,
        stacks: Mapping[str, dict[int, str]] | None = None,
        refused: Mapping[str, str] | None = None,
    ) -> bytes:
        status: dict[str, Any] = {
            "worker": self._worker,
            "version": __version__,
            "not_ready": self._not_ready(),
            "queues": [
                self._of(queue, (stacks or {}).get(queue.spec.name), (refused or {}).get(queue.spec.name))
                for queue in queues
            ],
        }
        return encode(status)

    @staticmethod
    def _of(queue: ServedQueue, stacks: dict[int, str] | None, refused: str | None) -> dict[str, Any]:
        said: dict[str, Any] = {
            "queue": queue.spec.name,
            "lane": queue.spec.lane.kind,
            "paused": queue.held,
            "room": queue.lane.room,
            "slots": {state: count for state, count in sorted(queue.lane.states().items()) if count},
            "jobs": queue.lane.in_progress,
            "tasks": [task.title for task in queue.spec.all()],
        }
        if stacks is not None:
            said["stacks"] = {str(pid): stack for pid, stack in stacks.items()}
        if refused is not None:
            said["refused"] = refused
        return said
