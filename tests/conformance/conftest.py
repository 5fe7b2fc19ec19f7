"""Every test of the suite runs on the broker in memory and on the real one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.conformance.rigs import MEMORY, RabbitRig
from tests.conformance.stage import QUEUE, Rig, Stage
from tests.helpers.servers import need
from tests.unit.waiting import until, within_deadline

#: Runs a test on a broker that is open.
Play = Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[*MEMORY, "RabbitMQ"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = MEMORY[request.param]() if request.param in MEMORY else RabbitRig(need("PENSTOCK_AMQP_URL"))
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
