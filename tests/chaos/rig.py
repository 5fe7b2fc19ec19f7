"""The servers of a campaign: one RabbitMQ and one durable Redis, started once and mended between runs."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pika
import redis

from ops.dev.private import Janitor, new_broker, new_redis
from penstock.domain.topology import Topology
from tests.chaos.hosts import CLIENTS, SERVERS, TwoHosts
from tests.chaos.plan import QUEUE
from tests.helpers import management
from tests.helpers.wait import until

#: RabbitMQ waits 180 s before it tries again to dead-letter into a queue that was full; a campaign has no time
#: for that. Milliseconds.
DEAD_LETTER_AGAIN_MS = 5_000
#: Size of the disk that Redis gets where we may mount one, in MiB; it takes memory as far as it is used.
DISK_MIB = 192


class Rig:
    """The servers, and what the orchestrator itself does with them, never through a forwarder."""

    def __init__(self, series: str, janitor: Janitor, hosts: TwoHosts | None = None) -> None:
        self.series = series
        self.janitor = janitor
        #: Where the clients live; None: here.
        self.hosts = hosts
        self.broker = new_broker(series, janitor)
        self.redis = new_redis(series, janitor, durable=True)
        self.small_disk = self._mount_disk()
        self._namespaces = 0
        #: The last run broke the law, or did not come to its end: there may be messages that no client can see.
        self.spoilt = False
        self.topology = Topology("chaos")
        if self.broker.folder is not None:
            self._configure(self.broker.folder)

    def _configure(self, folder: Path) -> None:
        setting = f"{{dead_letter_worker_publisher_confirm_timeout, {DEAD_LETTER_AGAIN_MS}}}"
        (folder / "advanced.config").write_text(f"[{{rabbit, [{setting}]}}].\n")
        if self.hosts is not None:
            (folder / "conf.d").mkdir()
            (folder / "conf.d/hosts.conf").write_text(
                f"listeners.tcp.hosts = {SERVERS}:{self.broker.port + 1}\nloopback_users = none\n"
            )

    def start(self) -> None:
        """Start both; what runs already is left alone."""
        self.redis.start()
        if self.hosts is not None:
            with contextlib.closing(self.store()) as store:
                store.config_set("protected-mode", "no")
                store.config_set("bind", f"127.0.0.1 {SERVERS}")
        self.broker.start()

    def client_url(self, server: str) -> str:
        """`rabbitmq` or `redis` for workers and producers, which notice a silent RabbitMQ by heartbeats of 2 s."""
        if server == "redis":
            return f"redis://{SERVERS}:{self.redis.port}/0" if self.hosts else self.redis.url
        if self.hosts:
            return f"amqp://guest:guest@{SERVERS}:{self.broker.port + 1}/?heartbeat=2"
        return f"{self.broker.url}?heartbeat=2"

    @property
    def client_prefix(self) -> tuple[str, ...]:
        """A command that becomes a worker or a producer, on the host where these live."""
        return self.hosts.enter if self.hosts else ()

    @property
    def client_address(self) -> str:
        """The address under which the orchestrator finds a worker."""
        return CLIENTS if self.hosts else "127.0.0.1"

    def connection(self) -> pika.BlockingConnection:
        """A connection of the orchestrator's own."""
        return pika.BlockingConnection(pika.URLParameters(self.broker.url))

    def manage(self, method: str, path: str, body: object = None) -> None:
        """One request to RabbitMQ's management API."""
        management.call(method, path, body, url=self.broker.management_url)

    def store(self) -> redis.Redis:
        """A Redis client of the orchestrator's own."""
        return redis.Redis.from_url(self.redis.url, socket_timeout=10)

    # ── between runs ────────────────────────────────────────────────────────────────────────────

    def clear(self) -> None:
        """Make everything as before the first run: servers up, queues there and empty, no results."""
        self.start()
        with contextlib.closing(self.store()) as store:
            until(lambda: self._flush(store), "Redis takes writes", 20)
        if self.spoilt or any(self.depths().values()):
            self._renew_namespace()
        self.spoilt = False

    def _flush(self, store: redis.Redis) -> bool:
        try:
            store.config_set("maxmemory", 0)
            store.flushall()
            store.config_set("auto-aof-rewrite-min-size", 16 * 1024 * 1024)
        except redis.RedisError:
            return False
        return True

    def _renew_namespace(self) -> None:
        """Leave what cannot be emptied behind, with its names."""
        with self.connection() as connection:
            channel = connection.channel()
            for queue in self.topology.queues([QUEUE]):
                channel.queue_delete(queue.name)
            for exchange in self.topology.exchanges():
                channel.exchange_delete(exchange.name)
        self._namespaces += 1
        self.topology = Topology(f"chaos-{self._namespaces}")

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def depths(self) -> dict[str, int]:
        """Messages that are ready in each queue of the namespace that exists."""
        names = [queue.name for queue in self.topology.queues([QUEUE])]
        with self.connection() as connection:
            return {name: depth for name in names if (depth := _depth(connection, name)) is not None}

    def work_left(self) -> dict[str, int]:
        """The same without the dead queue: what should be empty when everything has ended."""
        dead = self.topology.dead_queue(QUEUE)
        return {name: depth for name, depth in self.depths().items() if depth and name != dead}

    def take_dead(self) -> Iterable[tuple[str, str]]:
        """Empty the dead queue; yields job id and error code."""
        name = self.topology.dead_queue(QUEUE)
        with self.connection() as connection:
            channel = connection.channel()
            while True:
                method, properties, _ = channel.basic_get(name)
                if method is None:
                    return
                yield properties.message_id, (properties.headers or {}).get("x-error-code", "?")
                channel.basic_ack(method.delivery_tag)

    def stored(self) -> Iterable[bytes]:
        """Every stored result."""
        with contextlib.closing(self.store()) as store:
            keys = list(store.scan_iter(f"{self.topology.namespace}:result:*", count=2000))
            for first in range(0, len(keys), 1000):
                yield from (body for body in store.mget(keys[first : first + 1000]) if isinstance(body, bytes))

    # ── a small disk ────────────────────────────────────────────────────────────────────────────

    def _mount_disk(self) -> Path | None:
        """Give Redis a disk of its own that can be filled; None where we may not mount one."""
        folder = self.redis.folder
        if folder is None:
            return None
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "penstock-chaos", str(folder)]
        done = subprocess.run(mount, capture_output=True, check=False, timeout=10)
        return folder if done.returncode == 0 else None


def _depth(connection: pika.BlockingConnection, queue: str) -> int | None:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).method.message_count)
    except pika.exceptions.ChannelClosedByBroker:
        return None
    finally:
        if channel.is_open:
            channel.close()
