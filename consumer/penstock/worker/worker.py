"""The parent process: builds the parts, joins them, and takes them down again."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from penstock import __version__
from penstock.broker import declare
from penstock.broker.connection import Connection, server_version
from penstock.broker.publisher import Publisher
from penstock.domain.task import QueueSpec
from penstock.domain.topology import Topology
from penstock.errors import WorkerError
from penstock.lanes.catalog import describe
from penstock.results.redis import RedisResults
from penstock.settings import WorkerSettings
from penstock.telemetry.metrics import Labels, Metrics
from penstock.wire.registry import Event, Exit
from penstock.worker.health import HealthServer
from penstock.worker.in_hand import InHand
from penstock.worker.served import ServedQueue
from penstock.worker.settlement import Settlement
from penstock.worker.shutdown import Shutdown

_log = logging.getLogger(__name__)

#: How often prefetches are fitted to the length of the jobs, in seconds.
_ADJUST_S: Final = 0.1
#: Seconds that the last confirms may take when the worker stops.
_SETTLE_S: Final = 5.0
#: Seconds for the broker to start all consumers.
_CONSUME_S: Final = 15.0


async def run(settings: WorkerSettings) -> Exit:
    """Run a worker until it is told to stop; returns its exit status.

    OK when every running job was settled, TEMPFAIL when some had to be handed back.

    Raises:
        PenstockError: It cannot start or cannot go on; the error says why and what to do.
    """
    worker = Worker(settings, await describe(settings.targets))
    worker.shutdown.listen()
    starting = asyncio.create_task(worker.start())
    stopping = asyncio.create_task(worker.shutdown.requested.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return Exit.OK  # told to stop before there was anything to drain
        starting.result()
        await stopping
        return await worker.drain()
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait({starting, stopping})
        await worker.close()


class Worker:
    """One replica.

    Args:
        settings: What it was told.
        specs: Its queues.
    """

    def __init__(self, settings: WorkerSettings, specs: list[QueueSpec]) -> None:
        self._settings = settings
        self._topology = Topology(settings.namespace)
        self.shutdown = Shutdown()
        self._metrics = Metrics(specs)
        self._publisher = Publisher()
        self._consume = self._connection("consume", self._attach_consumers)
        self._publish = self._connection("publish", self._publisher.attach)
        self.name = f"{self._consume.user}.{settings.instance}"
        self._store: RedisResults | None = None
        if settings.redis_url is not None:
            ttl_ms = int(settings.result_ttl_s * 1000)
            self._store = RedisResults(settings.redis_url, namespace=settings.namespace, ttl_ms=ttl_ms)
        in_hand = InHand()
        settlement = Settlement(
            self._publisher,
            self._store,
            self._topology,
            in_hand=in_hand,
            gives_back_free=lambda: False,
            worker=self.name,
            metrics=self._metrics,
        )
        self._queues = [
            ServedQueue(
                spec,
                settings,
                worker=self.name,
                settlement=settlement,
                store=self._store,
                in_hand=in_hand,
                metrics=self._metrics,
                shutdown=self.shutdown,
            )
            for spec in specs
        ]
        self._health = HealthServer(self.not_ready, self._metrics.page)
        self._started = False
        self._register_readings()

    def _connection(self, label: str, on_open: Any) -> Connection:
        name = f"penstock worker {self._settings.instance} {label}"
        return Connection(self._settings.amqp_url, name=name, label=label, on_open=on_open)

    # ── start ───────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Connect, see to the topology, start the children, consume."""
        settings = self._settings
        queues = [queue.spec.name for queue in self._queues]
        _log.info(
            "starting",
            extra={
                "event": Event.WORKER_STARTING,
                "worker": self.name,
                "queues": queues,
                "version": __version__,
            },
        )
        port = None
        if settings.http_port is not None:
            port = await self._health.start(settings.http_host, settings.http_port)
        await self._consume.open(settings.connect_timeout_s)
        await self._publish.open(settings.connect_timeout_s)
        await self._see_to_topology(queues)
        if self._store is not None:
            await self._store.open()
        await asyncio.gather(*(queue.lane.start() for queue in self._queues))
        self._started = True
        self._attach_consumers(self._consume.current)
        await self._until_consuming()
        asyncio.get_running_loop().call_later(_ADJUST_S, self._adjust)
        _log.info(
            "ready",
            extra={
                "event": Event.WORKER_READY,
                "worker": self.name,
                "queues": queues,
                "tasks": [task for queue in self._queues for task in queue.spec.tasks],
                "broker": server_version(self._consume.current),
                "http": f"{settings.http_host}:{port}" if port else "off",
            },
        )

    async def _see_to_topology(self, queues: list[str]) -> None:
        see_to = declare.verify if self._settings.strict else declare.apply
        await see_to(self._consume.current, self._topology, queues)

    def _attach_consumers(self, connection: Any) -> None:
        """Consume over a new connection, once there are children to run what arrives."""
        if self._started:
            for queue in self._queues:
                queue.consumer.attach(connection)

    async def _until_consuming(self) -> None:
        deadline = asyncio.get_running_loop().time() + _CONSUME_S
        while not all(queue.consumer.consuming for queue in self._queues):
            if asyncio.get_running_loop().time() > deadline:
                raise WorkerError("RabbitMQ does not start the consumers: " + "; ".join(self.not_ready()))
            await asyncio.sleep(0.005)

    def _adjust(self) -> None:
        if not self.shutdown.requested.is_set():
            for queue in self._queues:
                queue.adjust()
            asyncio.get_running_loop().call_later(_ADJUST_S, self._adjust)

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def not_ready(self) -> list[str]:
        """Why this worker would not run a job now; empty: it would."""
        if self.shutdown.requested.is_set():
            return ["draining"]
        if not self._started:
            return ["starting"]
        reasons = [
            f"no connection to RabbitMQ ({connection.label})"
            for connection in (self._consume, self._publish)
            if not connection.up
        ]
        reasons += [f"queue {q.spec.name}: {q.consumer.trouble}" for q in self._queues if not q.consumer.consuming]
        for queue in self._queues:
            states = queue.lane.states()
            if not states["idle"] + states["busy"]:
                reasons.append(f"queue {queue.spec.name}: no child is ready")
        if self._store is not None and not self._store.up:
            reasons.append("Redis does not take results")
        return reasons

    def _register_readings(self) -> None:
        connections = (self._consume, self._publish)
        read = self._metrics.read
        read("penstock_build_info", lambda: {(__version__,): 1.0})
        read(
            "penstock_jobs_in_progress",
            lambda: {(q.spec.name,): float(q.lane.in_progress) for q in self._queues},
        )
        read("penstock_slots", lambda: self._per_queue(lambda queue: queue.lane.states()))
        read("penstock_child_exits_total", lambda: self._per_queue(lambda queue: queue.lane.exits))
        read("penstock_amqp_connection_up", lambda: {(c.label,): float(c.up) for c in connections})
        read(
            "penstock_amqp_reconnects_total",
            lambda: {(c.label,): float(max(0, c.opened - 1)) for c in connections},
        )
        read("penstock_redis_up", lambda: {(): float(self._store.up)} if self._store else {})

    def _per_queue(self, counts: Any) -> dict[Labels, float]:
        return {(q.spec.name, key): float(n) for q in self._queues for key, n in counts(q).items()}

    # ── stop ────────────────────────────────────────────────────────────────────────────────────

    async def drain(self) -> Exit:
        """Stop intake, finish what runs, hand back the rest.

        Raises:
            Exception: The cause for which the worker stopped by itself.
        """
        _log.info(
            "draining: intake has stopped, running jobs are being finished",
            extra={"event": Event.WORKER_DRAINING, "worker": self.name, "seconds": self._settings.drain_s},
        )
        draining = asyncio.gather(*(queue.drain(self._settings.drain_s) for queue in self._queues))
        hurrying = asyncio.create_task(self._hurry())
        cut = sum(await draining)
        hurrying.cancel()
        settled = await self._settle_rest()
        _log.info(
            "stopped: every running job was settled" if settled and not cut else "stopped: jobs were handed back",
            extra={
                "event": Event.WORKER_STOPPED,
                "worker": self.name,
                "handed_back": cut,
                "settled": settled,
            },
        )
        if self.shutdown.cause is not None:
            raise self.shutdown.cause
        return Exit.OK if settled and not cut else Exit.TEMPFAIL

    async def _hurry(self) -> None:
        """At the second signal, kill the children that still run a job."""
        await self.shutdown.hurried.wait()
        for queue in self._queues:
            queue.lane.hurry()

    async def _settle_rest(self) -> bool:
        """Wait for the last confirms and send the last acks; returns whether all came."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (0.5 if self.shutdown.hurried.is_set() else _SETTLE_S)
        while self._publisher.pending or (self._store is not None and self._store.pending):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(0.005)
        for queue in self._queues:
            queue.consumer.flush()
        return True

    async def close(self) -> None:
        """Take everything down; what is not settled will be redelivered."""
        for queue in self._queues:
            queue.lane.kill()
        self._publisher.stop()
        await self._consume.close()
        await self._publish.close()
        if self._store is not None:
            await self._store.close()
        await self._health.stop()
