"""A private RabbitMQ and a private Redis for the demo, the tests and the benchmark.

    with Janitor() as janitor:
        broker = new_broker("4.3", janitor)
        broker.start()
        ...                     # broker.url, broker.kill(), broker.start(), broker.restart()

Whatever happens to this process, the janitor stops the servers and removes their data.
"""

from __future__ import annotations

from ops.dev.private.broker import Broker
from ops.dev.private.choose import NoSourceError, new_broker, new_redis, start_servers
from ops.dev.private.janitor import Janitor
from ops.dev.private.redis import Redis
from ops.dev.private.server import Server, ServerFailedError

__all__ = [
    "Broker",
    "Janitor",
    "NoSourceError",
    "Redis",
    "Server",
    "ServerFailedError",
    "new_broker",
    "new_redis",
    "start_servers",
]
