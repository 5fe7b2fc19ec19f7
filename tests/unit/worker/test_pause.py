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
