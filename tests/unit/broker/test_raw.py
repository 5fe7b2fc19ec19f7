"""The short way in gives pika's channels the frames that the long way gives them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pika import frame, spec
from pika.exceptions import InvalidFrameError

from penstock.broker.raw import RawConnection


class Channel:
    """Records the content frames that it is handed."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def _handle_content_frame(self, content: Any) -> None:
        match content:
            case frame.Method():
                self.seen.append(("method", content.method.NAME, content.method.delivery_tag))
            case frame.Header():
                self.seen.append(
                    ("header", content.body_size, content.properties.message_id, content.properties.headers)
                )
            case frame.Body():
                self.seen.append(("body", content.fragment))


class Connection(RawConnection):
    """A connection without a network; frames that take pika's own way are recorded."""

    def __init__(self, channel: Channel) -> None:
        self._frame_buffer = b""
        self._channels = {1: channel}
        self.frames_received = self.bytes_received = 0
        self.slow: list[Any] = []

    def _process_frame(self, frame_value: Any) -> None:
        self.frames_received += 1
        if isinstance(frame_value, frame.Heartbeat):
            self.slow.append("heartbeat")
        elif isinstance(frame_value, frame.Method) and frame_value.method.NAME != "Basic.Deliver":
            self.slow.append(frame_value.method.NAME)
        else:
            self._channels[frame_value.channel_number]._handle_content_frame(frame_value)


def message(tag: int, *bodies: bytes) -> bytes:
    properties = spec.BasicProperties(message_id=f"m{tag}", headers={"x-attempt": tag})
    deliver = spec.Basic.Deliver("consumer", tag, False, "exchange", "t.f")
    frames = [frame.Method(1, deliver), frame.Header(1, sum(map(len, bodies)), properties)]
    marshaled: list[bytes] = [f.marshal() for f in [*frames, *(frame.Body(1, body) for body in bodies)]]
    return b"".join(marshaled)


def stream() -> bytes:
    heartbeat: bytes = frame.Heartbeat().marshal()
    confirm: bytes = frame.Method(1, spec.Basic.Ack(7, True)).marshal()
    return message(1, b"one") + heartbeat + message(2) + confirm + message(3, b"a" * 5000, b"\xce" * 9) + heartbeat


def expected() -> list[tuple[Any, ...]]:
    return [
        *[("method", "Basic.Deliver", 1), ("header", 3, "m1", {"x-attempt": 1}), ("body", b"one")],
        *[("method", "Basic.Deliver", 2), ("header", 0, "m2", {"x-attempt": 2})],
        *[("method", "Basic.Deliver", 3), ("header", 5009, "m3", {"x-attempt": 3})],
        *[("body", b"a" * 5000), ("body", b"\xce" * 9)],
    ]


@pytest.mark.parametrize("seed", range(20))
def test_frames_arrive_in_order_however_the_stream_is_cut(seed: int) -> None:
    # Given a stream of deliveries with other frames between them
    dice, data, channel = random.Random(seed), stream(), Channel()
    connection = Connection(channel)

    # When it arrives in pieces of any size
    start = 0
    while start < len(data):
        size = dice.choice((1, 3, 8, 50, 4096, 10**6))
        connection._on_data_available(data[start : start + size])
        start += size

    # Then every frame is handed on once, in order, and nothing is left over
    assert channel.seen == expected()
    assert connection.slow == ["heartbeat", "Basic.Ack", "heartbeat"]
    assert connection.frames_received == len(expected()) + 3
    assert connection.bytes_received == len(data)
    assert connection._frame_buffer == b""


def test_a_broken_frame_end_is_an_error_as_in_pika() -> None:
    data = bytearray(message(1, b"x"))
    data[-1] = 0
    with pytest.raises(InvalidFrameError):
        Connection(Channel())._on_data_available(bytes(data))
