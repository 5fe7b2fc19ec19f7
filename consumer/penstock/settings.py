"""What a worker is told: built once, checked at once, then frozen."""

from __future__ import annotations

import math
import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from penstock.errors import UsageError
from penstock.wire.headers import is_namespace
from penstock.wire.registry import (
    CONSUMER_TIMEOUT_MS,
    HARD_MAX_BLOB_BYTES,
    HARD_MAX_BODY_BYTES,
    MAX_BLOB_BYTES,
    MAX_BODY_BYTES,
    NAMESPACE,
    RESULT_TTL_MS,
)

#: An error result with the longest message and task name must fit.
MIN_MAX_BODY_BYTES: Final = 4096
#: Where contracts lie unless something else is said.
DEFAULT_CONTRACTS: Final = "contracts/tasks"
#: A day: whatever is unacknowledged for longer is a defect.
_MAX_CONSUMER_TIMEOUT_S: Final = 86_400


def default_instance() -> str:
    """A name that no other worker has: host, process, four random digits."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The settings of one worker.

    Attributes:
        targets: The queues, each `MODULE:QUEUE`.
        amqp_url: RabbitMQ, `amqp://` or `amqps://`.
        redis_url: Redis for stored results; None: this worker stores none.
        namespace: Prefix of exchanges, queues and keys. Defaults to `penstock`.
        strict: Production mode: the topology is verified, never declared, and jobs must name their user.
            Defaults to False: missing exchanges and queues are declared.
        instance: The worker's own part of its name. Defaults to host, process id and a random suffix.
        http_host: Where /livez, /readyz and /metrics are served. Defaults to 127.0.0.1.
        http_port: Their port; 0: any free one; None: not served. Defaults to 9464.
        connect_timeout_s: Seconds to reach RabbitMQ at the start. Defaults to 10.
        consumer_timeout_s: Seconds for which a job may stay unacknowledged before RabbitMQ hands it out again; twice
            the longest timeout of a task, and what it waits for Redis or RabbitMQ besides. From RabbitMQ 4.3; older
            ones use their own setting. Defaults to an hour.
        drain_s: Seconds that running jobs have after SIGTERM. Defaults to 25, which fits the 30 of Kubernetes.
        max_body_bytes: Longest body in a message. Defaults to 1 MiB, at most 16 MiB.
        max_blob_bytes: Longest body that lies in Redis beside its message. Defaults to 64 MiB, at most 512 MiB.
        result_ttl_s: Lifetime of stored results in seconds. Defaults to a day.
        on_broken: What a worker does when every child of a queue is broken: `stay` pauses the queue and tries a child
            now and then; `exit` ends the worker, for whatever starts it to decide. Defaults to `stay`.
        contracts: The directory of contracts. Defaults to `contracts/tasks` below the working directory, if it is
            there.

    Raises:
        UsageError: A value is out of range; the message names all of them.
    """

    targets: tuple[str, ...]
    amqp_url: str
    redis_url: str | None = None
    namespace: str = NAMESPACE
    strict: bool = False
    instance: str = field(default_factory=default_instance)
    http_host: str = "127.0.0.1"
    http_port: int | None = 9464
    connect_timeout_s: float = 10.0
    consumer_timeout_s: float = CONSUMER_TIMEOUT_MS / 1000
    drain_s: float = 25.0
    max_body_bytes: int = MAX_BODY_BYTES
    max_blob_bytes: int = MAX_BLOB_BYTES
    result_ttl_s: float = RESULT_TTL_MS / 1000
    on_broken: Literal["stay", "exit"] = "stay"
    contracts: str = DEFAULT_CONTRACTS

    def __post_init__(self) -> None:
        """Check all values at once."""
        rules = (
            (not self.targets, "name at least one queue as MODULE:QUEUE"),
            (
                not is_namespace(self.namespace),
                f"namespace {self.namespace!r} has other characters than A-Z a-z 0-9 _ -",
            ),
            (
                not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.instance),
                f"name {self.instance!r} has other characters than A-Z a-z 0-9 _ -, or more than 64",
            ),
            (
                not 0 <= self.connect_timeout_s < math.inf,
                f"connect timeout {self.connect_timeout_s} is no number of seconds from 0",
            ),
            (
                not 1 <= self.consumer_timeout_s <= _MAX_CONSUMER_TIMEOUT_S,
                f"consumer timeout {self.consumer_timeout_s} is not between 1 and {_MAX_CONSUMER_TIMEOUT_S} seconds",
            ),
            (not 0 <= self.drain_s < math.inf, f"drain time {self.drain_s} is no number of seconds from 0"),
            (
                not MIN_MAX_BODY_BYTES <= self.max_body_bytes <= HARD_MAX_BODY_BYTES,
                f"longest body {self.max_body_bytes} is not between {MIN_MAX_BODY_BYTES} and {HARD_MAX_BODY_BYTES}",
            ),
            (
                not MIN_MAX_BODY_BYTES <= self.max_blob_bytes <= HARD_MAX_BLOB_BYTES,
                f"longest blob {self.max_blob_bytes} is not between {MIN_MAX_BODY_BYTES} and {HARD_MAX_BLOB_BYTES}",
            ),
            (
                not 1 <= self.result_ttl_s < math.inf,
                f"result lifetime {self.result_ttl_s} is no number of seconds from 1",
            ),
            (
                self.contracts != DEFAULT_CONTRACTS and not Path(self.contracts).is_dir(),
                f"{self.contracts}: there is no such directory of contracts",
            ),
        )
        problems = [text for wrong, text in rules if wrong]
        if problems:
            raise UsageError("; ".join(problems))
