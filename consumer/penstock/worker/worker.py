"""The parent process: builds the parts, joins them, and takes them down again."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from penstock import __version__
from penstock.broker.ports import Broker, Listener
from penstock.broker.rabbitmq import RabbitMQ
from penstock.domain.task import QueueSpec
from penstock.domain.topology import Topology
from penstock.errors import WorkerError
from penstock.lanes.catalog import describe
from penstock.lanes.memory import Container
from penstock.results.ports import ResultStore
from penstock.results.redis import RedisResults
from penstock.settings import WorkerSettings
from penstock.telemetry.metrics import Metrics
from penstock.wire.registry import Event, Exit
from penstock.worker import readings
from penstock.worker.cancels import Cancels
from penstock.worker.claims import Claims
from penstock.worker.control import Control
from penstock.worker.drain import Drain
from penstock.worker.guard import MemoryGuard
from penstock.worker.health import HealthServer
from penstock.worker.in_hand import InHand
from penstock.worker.orders import Orders
from penstock.worker.pause import IntakePause
from penstock.worker.readiness import Readiness
from penstock.worker.served import ServedQueue
from penstock.worker.settlement import Settlement
from penstock.worker.shutdown import Shutdown
from penstock.worker.signals import Signals

_log = logging.getLogger(__name__)

#: How often prefetches are fitted to the length of the jobs and intake is paused or resumed, in seconds.
_LOOK_S: Final = 0.1
#: Seconds for the broker to start all consumers.
_CONSUME_S: Final = 15.0


async def run(settings: WorkerSettings) -> Exit:
    """Run a worker until it is told to stop; returns its exit status.

    OK when every job that had started was finished and settled, TEMPFAIL when some will be handed out again.

    Raises:
        PenstockError: It cannot start or cannot go on; the error says why and what to do.
    """
    broker, store = connect(settings)
    worker = Worker(settings, await describe(settings.targets, settings.contracts), broker, store)
    worker.signals.listen()
    return await worker.run()


def connect(settings: WorkerSettings) -> tuple[Broker, ResultStore | None]:
    """The real broker and the real store, not opened yet.

    Raises:
        UsageError: A URL is malformed.
    """
    broker = RabbitMQ(
        settings.amqp_url,
        name=f"penstock worker {settings.instance}",
        consumer_timeout_ms=int(settings.consumer_timeout_s * 1000),
    )
    if settings.redis_url is None:
        return broker, None
    ttl_ms = int(settings.result_ttl_s * 1000)
    return broker, RedisResults(settings.redis_url, namespace=settings.namespace, ttl_ms=ttl_ms)


class Worker:
    """One replica.

    Args:
        settings: What it was told.
        specs: Its queues.
        broker: Where jobs come from and replies and copies go; opened and closed here.
        store: Where results are kept, opened and closed here; None: this worker keeps none.

    Attributes:
        queues: What it serves.
    """

    def __init__(
        self, settings: WorkerSettings, specs: list[QueueSpec], broker: Broker, store: ResultStore | None
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._store = store
        self.name = f"{broker.user}.{settings.instance}"
        self.shutdown = Shutdown()
        self._metrics = Metrics(specs)
        self._claims = Claims(store.blobs) if store else None
        self._in_hand = InHand(self._claims.release) if self._claims else InHand()
        self._cancels = Cancels()
        self.queues = self._serve(specs)
        self.signals = Signals(self.queues, self.shutdown)
        self._listener = self._listen()
        self._readiness = Readiness(self.queues, broker, store, self.shutdown)
        self._pause = IntakePause(self.queues, self._readiness.unsettleable)
        self._guard = MemoryGuard(self.queues, Container().read)
        self._health = HealthServer(self._readiness.not_ready, self._metrics.page)
        readings.register(self._metrics, self.queues, broker, store)

    def _serve(self, specs: list[QueueSpec]) -> list[ServedQueue]:
        settlement = Settlement(
            self._broker.publisher,
            self._store,
            Topology(self._settings.namespace),
            in_hand=self._in_hand,
            gives_back_free=lambda: self._broker.gives_back_free,
            worker=self.name,
            max_body_bytes=self._settings.max_body_bytes,
            metrics=self._metrics,
        )
        return [
            ServedQueue(
                spec,
                self._settings,
                worker=self.name,
                broker=self._broker,
                settlement=settlement,
                store=self._store,
                claims=self._claims,
                in_hand=self._in_hand,
                cancels=self._cancels,
                metrics=self._metrics,
                shutdown=self.shutdown,
            )
            for spec in specs
        ]

    def _listen(self) -> Listener:
        topology = Topology(self._settings.namespace)
        control = Control(
            self.queues,
            self._cancels,
            self._in_hand,
            Orders(self.queues, worker=self.name, not_ready=self.not_ready).carry_out,
            self._broker.publisher,
            topology,
            worker=self.name,
            strict=self._settings.strict,
        )
        queue = topology.control_queue(self._broker.user, self._settings.instance)
        return self._broker.listen(queue, control.heard)

    def not_ready(self) -> list[str]:
        """Why this worker would not run a job now; empty: it would."""
        return self._readiness.not_ready()

    async def run(self) -> Exit:
        """Start, serve until told to stop, drain, and take everything down; returns the exit status.

        Raises:
            PenstockError: It cannot start or cannot go on; the error says why and what to do.
        """
        starting = asyncio.create_task(self.start())
        stopping = asyncio.create_task(self.shutdown.requested.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return Exit.OK  # told to stop before there was anything to drain
            starting.result()
            await stopping
            return await self.drain()
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.wait({starting, stopping})
            await self.close()

    async def start(self) -> None:
        """Connect, see to the topology, start the children, consume."""
        settings = self._settings
        queues = [queue.spec.name for queue in self.queues]
        _log.info(
            "starting",
            extra={"event": Event.WORKER_STARTING, "worker": self.name, "queues": queues, "version": __version__},
        )
        port = None
        if settings.http_port is not None:
            port = await self._health.start(settings.http_host, settings.http_port)
        await self._broker.open(settings.connect_timeout_s)
        await self._broker.see_to(Topology(settings.namespace), queues, strict=settings.strict)
        if self._store is not None:
            await self._store.open()
        await asyncio.gather(*(queue.lane.start() for queue in self.queues))
        self._broker.consume()
        self._readiness.started = True
        await self._until_consuming()
        self._look()
        _log.info(
            "ready",
            extra={
                "event": Event.WORKER_READY,
                "worker": self.name,
                "queues": queues,
                "tasks": [task.title for queue in self.queues for task in queue.spec.all()],
                "broker": self._broker.version,
                "http": f"{settings.http_host}:{port}" if port else "off",
            },
        )

    async def _until_consuming(self) -> None:
        deadline = asyncio.get_running_loop().time() + _CONSUME_S
        # A worker that may not have a queue for commands works all the same, and has said so.
        while not (
            all(queue.consumer.consuming for queue in self.queues)
            and (self._listener.listening or self._listener.trouble)
        ):
            if asyncio.get_running_loop().time() > deadline:
                raise WorkerError("RabbitMQ does not start the consumers: " + "; ".join(self.not_ready()))
            await asyncio.sleep(0.005)

    def _look(self) -> None:
        """Fit intake to how things are, from time to time."""
        if self.shutdown.requested.is_set():
            return
        # First of all: whatever goes wrong below, it is looked at again.
        asyncio.get_running_loop().call_later(_LOOK_S, self._look)
        for queue in self.queues:
            queue.adjust()
        self._guard.look()
        self._pause.look()

    async def drain(self) -> Exit:
        """Stop intake, finish what runs, hand back the rest.

        Raises:
            Exception: The cause for which the worker stopped by itself.
        """
        drain = Drain(
            self.queues, self._broker, self._store, self._in_hand, self.shutdown, seconds=self._settings.drain_s
        )
        status = await drain.run()
        if self.shutdown.cause is not None:
            raise self.shutdown.cause
        return status

    async def close(self) -> None:
        """Take everything down; what is not settled will be redelivered."""
        for queue in self.queues:
            queue.lane.kill()
        await self._broker.close()
        if self._store is not None:
            await self._store.close()
        await self._health.stop()
