"""RawConnection: its short ways in and out change nothing but what they cost."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from pika import frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection

from penstock.broker.raw import RawConnection

PROPERTIES = spec.BasicProperties(
    message_id="id", type="job.v1", reply_to="shop.web", priority=3, headers={"x-attempt": 2**40, "x": ["a", None]}
)


class Ear:
    """A channel that notes the frames that it is handed."""

    def __init__(self, heard: list[Any]) -> None:
        self._heard = heard

    def _handle_content_frame(self, value: Any) -> None:
        self._heard.append(told(value))


def told(value: Any) -> tuple[Any, ...]:
    """A frame in a form that can be compared."""
    if isinstance(value, frame.Method):
        return "method", value.channel_number, value.method.NAME, vars(value.method)
    if isinstance(value, frame.Header):
        return "header", value.channel_number, value.body_size, vars(value.properties)
    if isinstance(value, frame.Body):
        return "body", value.channel_number, value.fragment
    return (type(value).__name__, value.channel_number)


def listening(base: type[Any], channels: tuple[int, ...] = (1, 2)) -> tuple[Any, list[Any]]:
    """A connection of this class that was never opened, and what its channels are handed."""
    heard: list[Any] = []

    class Listening(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._frame_buffer = b""
            self._channels = {number: Ear(heard) for number in channels}
            self.frames_received = self.bytes_received = 0

        def _process_frame(self, value: Any) -> None:
            # What pika does with a frame, as far as these tests need it.
            self.frames_received += 1
            if value.channel_number in self._channels:
                self._channels[value.channel_number]._handle_content_frame(value)
            else:
                heard.append(told(value))

    return Listening(), heard


def delivery(channel: int, tag: int, body: bytes, *, pieces: int = 1) -> bytes:
    """The bytes of one delivery."""
    method = spec.Basic.Deliver("ctag", tag, False, "penstock.jobs", "stats.norm")
    step = max(1, -(-len(body) // pieces))
    fragments = [body[start : start + step] for start in range(0, len(body), step)]
    return b"".join(
        [
            frame.Method(channel, method).marshal(),
            frame.Header(channel, len(body), PROPERTIES).marshal(),
            *(frame.Body(channel, fragment).marshal() for fragment in fragments),
        ]
    )


def returned(channel: int) -> bytes:
    """A message that found no queue: content, but no delivery."""
    method = spec.Basic.Return(312, "NO_ROUTE", "penstock.replies", "shop.web")
    frames = (
        frame.Method(channel, method),
        frame.Header(channel, 2, spec.BasicProperties(correlation_id="id")),
        frame.Body(channel, b"xy"),
    )
    return b"".join(each.marshal() for each in frames)


STREAM = b"".join(
    [
        delivery(1, 1, b"first"),
        frame.Heartbeat().marshal(),
        delivery(1, 2, b""),
        frame.Method(1, spec.Basic.Ack(delivery_tag=5, multiple=True)).marshal(),
        delivery(2, 3, b"in three pieces", pieces=3),
        returned(2),
        delivery(9, 1, b"for a channel that is gone"),
        frame.Method(0, spec.Connection.Blocked("memory")).marshal(),
        delivery(1, 4, bytes(range(256))),
    ]
)


def heard_by(base: type[Any], pieces: list[bytes]) -> tuple[list[Any], int, bytes]:
    connection, heard = listening(base)
    for piece in pieces:
        connection._on_data_available(piece)
    return heard, connection.frames_received, connection._frame_buffer


def cut(places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(places), len(STREAM)]
    return [STREAM[a:b] for a, b in pairwise(bounds) if a < b]


def test_the_short_way_hands_out_what_the_long_way_does() -> None:
    # Given deliveries among frames of every other kind
    heard, frames, rest = heard_by(AsyncioConnection, [STREAM])

    # When both read them, then they agree
    assert heard_by(RawConnection, [STREAM]) == (heard, frames, rest)
    assert len(heard) > 20
    assert rest == b""


def test_deliveries_take_the_short_way_and_everything_else_the_long_one() -> None:
    # Given a connection that notes what it hands to pika
    connection, heard = listening(RawConnection)
    long_way: list[Any] = []
    connection._process_frame = lambda value: long_way.append(told(value))

    # When deliveries come, then pika's table of callbacks sees none of their frames
    connection._on_data_available(delivery(1, 1, b"first") + delivery(2, 2, b"second", pieces=2))
    assert long_way == []
    assert len(heard) == 7

    # And of other frames it sees all that are no content
    connection._on_data_available(frame.Method(1, spec.Basic.CancelOk("ctag")).marshal())
    assert [kind for kind, *_ in long_way] == ["method"]


@pytest.mark.parametrize("first", range(0, len(STREAM), 7))
def test_wherever_the_stream_is_cut_the_frames_are_the_same(first: int) -> None:
    heard, frames, _ = heard_by(AsyncioConnection, [STREAM])
    assert heard_by(RawConnection, cut([first])) == (heard, frames, b"")


@pytest.mark.parametrize("seed", range(30))
def test_in_pieces_of_any_size_the_frames_are_the_same(seed: int) -> None:
    dice = random.Random(seed)
    places = [dice.randrange(len(STREAM)) for _ in range(dice.choice((2, 20, 400)))]
    heard, frames, _ = heard_by(AsyncioConnection, [STREAM])
    assert heard_by(RawConnection, cut(places)) == (heard, frames, b"")


def test_byte_by_byte_the_frames_are_the_same() -> None:
    heard, frames, _ = heard_by(AsyncioConnection, [STREAM])
    assert heard_by(RawConnection, cut(list(range(len(STREAM))))) == (heard, frames, b"")


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"\x00", lambda data: b"\x09" + data[1:]])
def test_a_broken_frame_is_left_to_pika(damage: Callable[[bytes], bytes]) -> None:
    # Given a frame whose end or kind is wrong
    broken = damage(frame.Body(1, b"xy").marshal())

    # When each reads it, then both complain in the same way
    complaints = []
    for base in (AsyncioConnection, RawConnection):
        connection, heard = listening(base)
        with pytest.raises(Exception) as complaint:  # noqa: PT011 -- whatever pika raises
            connection._on_data_available(broken)
        complaints.append((complaint.type, str(complaint.value), heard))
    assert complaints[0] == complaints[1]


def test_the_frames_of_one_turn_leave_in_one_write() -> None:
    # Given a connection whose turns and transport are the test's
    written: list[bytes] = []
    soon: list[Callable[[], None]] = []

    class Writing(RawConnection):
        is_closed = False
        ioloop = SimpleNamespace(call_soon=soon.append)

        def __init__(self) -> None:
            self._pending = []
            self._transport = object()
            self.frames_sent = self.bytes_sent = 0

        def _adapter_emit_data(self, data: bytes) -> None:
            written.append(data)

    connection = Writing()

    # When two messages are written in one turn
    connection._output_marshaled_frames([b"a", b"bc"])
    connection._output_marshaled_frames([b"d"])
    assert written == []
    for call in soon:
        call()

    # Then one write has all of it, and the heartbeat checker has seen it
    assert written == [b"abcd"]
    assert len(soon) == 1
    assert (connection.frames_sent, connection.bytes_sent) == (3, 4)

    # And the next turn has a write of its own
    connection._output_marshaled_frames([b"e"])
    soon[-1]()
    assert written == [b"abcd", b"e"]

    # And after the connection is lost nothing is written
    connection._output_marshaled_frames([b"f"])
    connection._transport = None
    soon[-1]()
    assert written == [b"abcd", b"e"]
