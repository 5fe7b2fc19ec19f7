"""Every test of the suite runs on the broker in memory and on the real one, on the store in memory and on Redis."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ops.dev.private import Redis
from penstock.testing import FakeClock
from tests.conformance.rigs import NAMES, new_rig
from tests.conformance.stage import QUEUE, Rig, Stage
from tests.helpers.private import private_redis
from tests.helpers.servers import need
from tests.unit.waiting import until, within_deadline

#: Runs a test on a broker that is open.
Play = Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=NAMES)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = new_rig(request.param, FakeClock())
    yield made
    made.close()


@pytest.fixture
def play(rig: Rig) -> Play:
    async def run(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        try:
            broker = await rig.connect()
            await broker.see_to(rig.topology, [QUEUE], strict=False)
            await until(lambda: not broker.troubles())
            await test(Stage(rig, broker))
        finally:
            await rig.disconnect()

    return lambda test: within_deadline(run(test))


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Callable[[], Redis]]:
    """Starts a Redis that may be killed, when the first test wants one."""
    with ExitStack() as stack:
        started: list[Redis] = []

        def start() -> Redis:
            need("PENSTOCK_REDIS_URL")
            if not started:
                started.append(stack.enter_context(private_redis(durable=True)))
            return started[0]

        yield start
