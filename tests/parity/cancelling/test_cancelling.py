"""Python's side of cancelling/expected.json: it gives, heeds, answers and reads what Go does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pika import BasicProperties

from penstock.admin.cancel import Acknowledgement, cancel
from penstock.broker import messages
from penstock.broker.ports import Confirm
from penstock.domain.cancellation import Told
from penstock.domain.topology import Topology
from penstock.wire.registry import CancelStep
from penstock.worker.cancels import Cancels
from penstock.worker.control import Control
from penstock.worker.in_hand import InHand
from tests.unit.worker.fakes import FakePublisher

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())
JOB, COMMAND, ACKNOWLEDGEMENT = EXPECTED["job"], EXPECTED["command"], EXPECTED["acknowledgement"]
WORKER = ACKNOWLEDGEMENT["headers"]["x-worker"]
REPLY_TO = "shop.cli-1"


def properties(message: dict[str, Any], **more: Any) -> BasicProperties:
    """The properties that a message of the file has."""
    fields = {name: value for name, value in message.items() if name not in ("exchange", "routing_key")}
    return BasicProperties(**{**fields, **more})


def answered(step: str) -> BasicProperties:
    return properties(ACKNOWLEDGEMENT, headers={**ACKNOWLEDGEMENT["headers"], "x-step": step})


class OneJob:
    """A queue whose every job is cancelled as it is told."""

    def __init__(self, step: CancelStep) -> None:
        self._step = step

    def cancel(self, job_id: str, told: Told) -> bool:
        assert job_id == JOB
        told(self._step)
        return True

    def credit(self, job_id: str, fence: int, upto: int) -> None:
        raise AssertionError(f"nobody reads items of {job_id}: {fence}, {upto}")


class Wire:
    """A session whose workers answer as the file says."""

    user = "shop"

    def __init__(self) -> None:
        self.published: list[tuple[str, str, BasicProperties, bytes]] = []

    async def listen(self, instance: str, heard: Any, _lost: Any) -> str:
        self._heard = heard
        return f"{self.user}.{instance}"

    async def publish(self, exchange: str, key: str, properties: BasicProperties, body: bytes) -> Confirm:
        self.published.append((exchange, key, properties, body))
        for step in EXPECTED["steps"]:
            self._heard(answered(step), b"")
        return Confirm.ACKED


def test_both_languages_know_the_same_steps() -> None:
    assert [str(step) for step in CancelStep] == EXPECTED["steps"]


@pytest.mark.parametrize("step", EXPECTED["steps"])
def test_a_strict_worker_heeds_the_command_and_answers_it(step: str) -> None:
    # Given a strict worker that has the job
    cancels, publisher = Cancels(), FakePublisher()
    control = Control(
        [OneJob(CancelStep(step))],
        cancels,
        InHand(),
        lambda *_: None,
        publisher,
        Topology(),
        worker=WORKER,
        strict=True,
    )

    # When it hears what Go publishes, with somewhere to answer
    control.heard(properties(COMMAND, user_id="shop", reply_to=REPLY_TO))

    # Then it will not run the job any more, and says so
    assert JOB in cancels
    (message,) = publisher.messages
    assert (message.exchange, message.key) == (f"penstock.{ACKNOWLEDGEMENT['exchange']}", REPLY_TO)
    assert (message.properties, message.body) == (answered(step), b"")


def test_the_command_line_gives_the_command_and_reads_every_answer() -> None:
    # When the command line cancels the job
    wire = Wire()
    heard = asyncio.run(cancel(wire, JOB))  # type: ignore[arg-type]

    # Then what it has published is what Go publishes, but for where it is to be answered
    ((exchange, key, published, body),) = wire.published
    assert (exchange, key, body) == (COMMAND["exchange"], COMMAND["routing_key"], b"")
    assert published == properties(COMMAND, user_id=wire.user, reply_to=published.reply_to)
    assert messages.cancel(JOB, user=wire.user) == properties(COMMAND, user_id=wire.user)

    # And each answer is understood
    assert heard == [Acknowledgement(worker=WORKER, step=CancelStep(step)) for step in EXPECTED["steps"]]
