"""What every broker does with commands: each worker that is connected hears them, and nobody else ever will."""

from __future__ import annotations

from typing import Any

from penstock.broker import messages
from penstock.broker.ports import Confirm, Listener
from tests.conformance.conftest import Play
from tests.conformance.stage import Stage
from tests.unit.builders import job_id
from tests.unit.waiting import until


class Ear:
    """A listener, and the jobs of the commands that it has heard."""

    def __init__(self, stage: Stage, instance: str) -> None:
        self.heard: list[str] = []
        self.commands: list[Any] = []
        self.listener: Listener = stage.broker.listen(
            stage.topology.control_queue(stage.broker.user, instance), self._hear
        )
        self.stage = stage

    def _hear(self, properties: Any) -> None:
        self.heard.append(properties.headers["x-job"])
        self.commands.append(properties)
        if properties.headers["x-job"] == job_id(13):
            raise RuntimeError("a defect")

    async def listen(self) -> None:
        self.stage.broker.consume()
        await until(lambda: self.listener.listening)
        assert self.listener.trouble is None


def command(stage: Stage, number: int, **given: Any) -> Confirm:
    """Publish the command to cancel a job."""
    properties = messages.cancel(job_id(number), user="guest", **given)
    names = ("headers", "type", "message_id", "correlation_id", "reply_to", "user_id", "delivery_mode")
    return stage.rig.publish(
        stage.topology.name("control"), "", b"", **{name: getattr(properties, name) for name in names}
    )


def test_every_worker_hears_a_command_and_who_sent_it(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given two workers
        ears = [Ear(stage, "w-1"), Ear(await stage.another(), "w-2")]
        assert not any(ear.listener.listening for ear in ears)
        for ear in ears:
            await ear.listen()

        # When commands are given
        for number in range(3):
            assert command(stage, number, reply_to="guest.cli-1") is Confirm.ACKED

        # Then both hear them, in their order
        for ear in ears:
            await until(lambda ear=ear: len(ear.heard) == 3)  # type: ignore[misc]
            assert ear.heard == [job_id(number) for number in range(3)]
            heard = ear.commands[0]
            assert (heard.type, heard.user_id, heard.reply_to) == ("cancel.v1", "guest", "guest.cli-1")

    play(test)


def test_a_command_that_nobody_hears_comes_back_and_is_heard_by_nobody_later(play: Play) -> None:
    async def test(stage: Stage) -> None:
        assert command(stage, 1) is Confirm.RETURNED
        ear = Ear(stage, "w-1")
        await ear.listen()
        assert command(stage, 2) is Confirm.ACKED
        await until(lambda: bool(ear.heard))
        assert ear.heard == [job_id(2)]

    play(test)


def test_over_the_next_connection_commands_are_heard_again(play: Play) -> None:
    async def test(stage: Stage) -> None:
        # Given a worker that has lost its connection
        ear = Ear(stage, "w-1")
        await ear.listen()
        stage.rig.lose()
        await until(lambda: bool(stage.broker.troubles()))
        assert not ear.listener.listening
        assert ear.listener.trouble is not None

        # When it is back, even if the broker has not noticed that the old connection is gone
        stage.rig.restore()
        await until(lambda: ear.listener.listening)
        command(stage, 1)

        # Then it hears, once
        await until(lambda: bool(ear.heard))
        command(stage, 2)
        await until(lambda: len(ear.heard) >= 2)
        assert ear.heard == [job_id(1), job_id(2)]

    play(test)


def test_a_defect_in_one_command_costs_that_command_alone(play: Play) -> None:
    async def test(stage: Stage) -> None:
        ear = Ear(stage, "w-1")
        await ear.listen()
        for number in (13, 14):
            command(stage, number)
        await until(lambda: len(ear.heard) == 2)
        assert ear.listener.listening

    play(test)


def test_a_worker_that_has_closed_hears_nothing(play: Play) -> None:
    async def test(stage: Stage) -> None:
        ear = Ear(stage, "w-1")
        await ear.listen()
        await stage.broker.close()
        await until(lambda: command(stage, 1) is Confirm.RETURNED)

    play(test)
