"""Fixtures of all tests.

`running` is a producer whose worker is shared by the tests of a module; tests that start, stop or harm workers
take `producer` and `start_worker`, on a namespace of their own.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest

from penstock.domain.topology import Topology
from tests.helpers.producer import Producer
from tests.helpers.servers import need
from tests.helpers.worker import ROOT, WorkerProcess

#: Queues that tests declare; removed with their namespace.
QUEUES = ("t", "solo", "bound")
_ADDRESSES = ("PENSTOCK_AMQP_URL", "PENSTOCK_REDIS_URL", "PENSTOCK_MANAGEMENT_URL", "PENSTOCK_CI")


@pytest.fixture(autouse=True, scope="session")
def _no_accidental_settings() -> Iterator[None]:
    """Tests see the servers' addresses and nothing else of penstock's environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("PENSTOCK_") and name not in _ADDRESSES:
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Whoever is started in the background by a shell ignores SIGINT, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def namespace(url: str, queues: Sequence[str] = QUEUES) -> Iterator[Topology]:
    """A namespace of its own; what was declared under it is removed afterwards."""
    made = Topology(f"test-{secrets.token_hex(4)}")
    yield made
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for queue in made.queues(queues):
            channel.queue_delete(queue.name)
        for exchange in made.exchanges():
            channel.exchange_delete(exchange.name)


@pytest.fixture
def amqp_url() -> str:
    return need("PENSTOCK_AMQP_URL")


@pytest.fixture
def redis_url() -> str:
    return need("PENSTOCK_REDIS_URL")


@pytest.fixture
def topology(amqp_url: str) -> Iterator[Topology]:
    with namespace(amqp_url) as made:
        yield made


@pytest.fixture
def producer(amqp_url: str, topology: Topology) -> Iterator[Producer]:
    with Producer(amqp_url, topology) as made:
        yield made


@pytest.fixture
def start_worker(topology: Topology, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers on the test's namespace; those that still run are stopped afterwards."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, target: str = "tests.helpers.tasks:t", cwd: Path = ROOT) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        worker = WorkerProcess(log, target, "--namespace", topology.namespace, *arguments, cwd=cwd)
        started.append(worker)
        return worker.await_ready()

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def worker(start_worker: Callable[..., WorkerProcess]) -> WorkerProcess:
    """A worker of queue `t`."""
    return start_worker()


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Producer]:
    url = need("PENSTOCK_AMQP_URL")
    log = tmp_path_factory.mktemp("running") / "worker.log"
    with namespace(url) as topology, Producer(url, topology) as made:
        worker = WorkerProcess(log, "tests.helpers.tasks:t", "--namespace", topology.namespace)
        try:
            worker.await_ready()
            yield made
        finally:
            worker.stop()


@pytest.fixture
def running(_running: Producer) -> Producer:
    """A producer beside a running worker of queue `t`; the dead queue is empty."""
    _running.channel.queue_purge(_running.topology.dead_queue("t"))
    return _running
