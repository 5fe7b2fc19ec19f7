"""What operators tell a worker besides cancelling: look, pause, resume, restart its children, tell their stacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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

    def carry_out(self, order: Order, queue: str | None, done: Callable[[bytes], None]) -> None:
        """Do what is asked, for one queue or for all; `done` gets the canonical msgpack of what there is to say.

        A worker that does not serve the queue says nothing.
        """
        meant = [each for each in self._queues if queue in (None, each.spec.name)]
        if not meant:
            return
        if order is Order.STACKS:
            task = asyncio.get_running_loop().create_task(self._tell(meant, done), name="penstock-stacks")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
            return
        for each in meant:
            if order is Order.RESTART:
                each.lane.restart()
            elif order in (Order.PAUSE, Order.RESUME):
                each.held = order is Order.PAUSE
        if order is Order.LOOK:
            done(self._status(meant))
        else:
            asyncio.get_running_loop().call_later(_SETTLE_S, lambda: done(self._status(meant)))

    async def _tell(self, queues: Sequence[ServedQueue], done: Callable[[bytes], None]) -> None:
        stacks = {queue.spec.name: await queue.lane.stacks() for queue in queues}
        done(self._status(queues, stacks))

    def _status(self, queues: Sequence[ServedQueue], stacks: dict[str, dict[int, str]] | None = None) -> bytes:
        status: dict[str, Any] = {
            "worker": self._worker,
            "version": __version__,
            "not_ready": self._not_ready(),
            "queues": [self._of(queue, (stacks or {}).get(queue.spec.name)) for queue in queues],
        }
        return encode(status)

    @staticmethod
    def _of(queue: ServedQueue, stacks: dict[int, str] | None) -> dict[str, Any]:
        said: dict[str, Any] = {
            "queue": queue.spec.name,
            "lane": queue.spec.lane.kind,
            "paused": queue.held,
            "slots": {state: count for state, count in sorted(queue.lane.states().items()) if count},
            "jobs": queue.lane.in_progress,
            "tasks": [task.title for task in queue.spec.all()],
        }
        if stacks is not None:
            said["stacks"] = {str(pid): stack for pid, stack in stacks.items()}
        return said
