"""Heartbeats: a dead peer is noticed soon, and a worker that was stopped for a while blames nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pika import exceptions

from penstock.broker.raw import Heartbeats


class FakeConnection:
    """Counts bytes and keeps timers; the test moves the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bytes_received = self.bytes_sent = 0
        self.sent = 0
        self.ended_by: Exception | None = None
        self._timers: dict[int, tuple[float, Callable[[], None]]] = {}
        self._made = 0

    def _adapter_call_later(self, delay_s: float, callback: Callable[[], None]) -> int:
        self._made += 1
        self._timers[self._made] = (self.now + delay_s, callback)
        return self._made

    def _adapter_remove_timeout(self, timer: int) -> None:
        self._timers.pop(timer, None)

    def _send_frame(self, _: Any) -> None:
        self.sent += 1

    def _terminate_stream(self, error: Exception) -> None:
        self.ended_by = error
        self._timers.clear()

    def run_until(self, moment: float) -> None:
        while self._timers and min(due for due, _ in self._timers.values()) <= moment:
            number = min(self._timers, key=lambda number: self._timers[number][0])
            due, callback = self._timers.pop(number)
            self.now = max(self.now, due)
            callback()
        self.now = max(self.now, moment)


def test_a_peer_that_falls_silent_is_dead_after_one_and_a_half_to_two_heartbeats() -> None:
    # Given a peer that speaks last right after the ear was turned to it
    connection = FakeConnection()
    Heartbeats(connection, 10)
    connection.run_until(5.1)
    connection.bytes_received += 8

    # When it says nothing more
    connection.run_until(19.9)
    assert connection.ended_by is None
    connection.run_until(25.1)

    # Then it is dead
    assert isinstance(connection.ended_by, exceptions.AMQPHeartbeatTimeout)
    assert connection.now - 5.1 <= 20


def test_a_peer_that_speaks_now_and_then_lives() -> None:
    connection = FakeConnection()
    Heartbeats(connection, 10)
    for moment in range(12, 1200, 12):
        connection.run_until(moment)
        connection.bytes_received += 8
    assert connection.ended_by is None


def test_we_speak_twice_in_a_heartbeat() -> None:
    connection = FakeConnection()
    Heartbeats(connection, 10)
    for moment in range(5, 101, 5):
        connection.run_until(moment)
        connection.bytes_received += 8
    assert connection.sent == 20


def test_after_a_stop_of_our_own_what_came_meanwhile_is_read_before_anybody_is_taken_for_dead() -> None:
    # Given a process that was stopped for minutes; its timers are all due
    connection = FakeConnection()
    heartbeats = Heartbeats(connection, 10)
    connection.now = 600.0

    # When they fire, once each, and then what has come is read
    for _ in range(2):
        heartbeats._check_heartbeat()
    assert connection.ended_by is None
    connection.bytes_received += 1000
    heartbeats._check_heartbeat()

    # Then the connection is kept
    assert connection.ended_by is None


@pytest.mark.parametrize("timeout_s", [1, 60])
def test_stopping_leaves_no_timer(timeout_s: int) -> None:
    connection = FakeConnection()
    Heartbeats(connection, timeout_s).stop()
    connection.run_until(1000)
    assert (connection.sent, connection.ended_by) == (0, None)
