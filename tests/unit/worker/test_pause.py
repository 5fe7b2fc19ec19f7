"""IntakePause: no job is taken while none could be settled, and it is said once."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.worker.pause import IntakePause


class FakeQueue:
    """A queue that notes what it is told."""

    def __init__(self, name: str) -> None:
        self.spec = SimpleNamespace(name=name)
        self.told: list[str] = []
        self.trouble: str | None = None

    def give_back_waiting(self) -> None:
        self.told.append("give back")

    def pause(self, why: str) -> None:
        self.told.append(f"pause: {why}")

    def resume(self) -> None:
        self.told.append("resume")


def events(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [(record.__dict__["event"], record.__dict__["queues"]) for record in caplog.records]


def test_all_queues_pause_with_the_reasons_and_go_on_when_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock")
    queues = [FakeQueue("stats"), FakeQueue("img")]
    reasons: list[str] = []
    pause = IntakePause(cast("Any", queues), lambda: reasons)

    # Given nothing in the way, then nothing happens
    pause.look()
    assert queues[0].told == []

    # When something is, for some time, and then something else as well
    reasons.append("Redis is away")
    pause.look()
    pause.look()
    reasons.append("no connection")
    pause.look()

    # Then the queues know the reasons of the moment
    assert queues[0].told == queues[1].told
    assert queues[0].told == [
        "pause: Redis is away",
        "pause: Redis is away",
        "pause: Redis is away; no connection",
    ]

    # And when all is well again, they go on, once
    reasons.clear()
    pause.look()
    pause.look()
    assert queues[0].told[3:] == queues[1].told[3:] == ["resume"]

    # And the log has one line for each turn
    assert events(caplog) == [
        ("intake.paused", ["stats", "img"]),
        ("intake.resumed", ["stats", "img"]),
    ]


def test_a_queue_whose_children_are_broken_pauses_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock")
    queues = [FakeQueue("stats"), FakeQueue("img")]
    reasons: list[str] = []
    pause = IntakePause(cast("Any", queues), lambda: reasons)

    # When most children of one queue are broken
    queues[1].trouble = "2 of 4 children are broken"
    pause.look()

    # Then it takes no jobs, and those that no child has go back
    assert queues[0].told == []
    assert queues[1].told == ["pause: 2 of 4 children are broken", "give back"]

    # And when Redis is away besides, both are paused and nothing more is given back
    reasons.append("Redis is away")
    pause.look()
    assert (queues[0].told, queues[1].told[2:]) == (["pause: Redis is away"], ["pause: Redis is away"])

    # And each goes on when it can
    reasons.clear()
    pause.look()
    queues[1].trouble = None
    pause.look()
    assert queues[0].told[1:] == ["resume"]
    assert queues[1].told[-1] == "resume"
    assert events(caplog) == [
        ("intake.paused", ["img"]),
        ("intake.paused", ["stats"]),
        ("intake.resumed", ["stats"]),
        ("intake.resumed", ["img"]),
    ]
