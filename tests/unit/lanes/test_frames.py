"""Frames: what one side packs the other side reads, however the stream is cut."""

from __future__ import annotations

import os
import random
import socket
import struct
from itertools import pairwise

import pytest

from penstock.lanes.frames import Frame, Kind, Reader, pack, receive, send_with
from penstock.memory_file import MemoryFile

FRAMES = [
    Frame(Kind.READY, 0, [], b""),
    Frame(Kind.JOB, 1, ["stats.norm", "id", 1, None, 2**63, 10_000, 0], b"\x00\xff" * 3),
    Frame(Kind.OUTCOME, 2**32 - 1, ["raised", 12, "CODE", "ä", False, None, 0.5, None, 1], b""),
    Frame(Kind.FAILED, 7, ["what happened", False], b""),
]
STREAM = b"".join(pack(Kind(frame.kind), frame.number, frame.meta, frame.body) for frame in FRAMES)


def read(pieces: list[bytes]) -> list[Frame]:
    reader = Reader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


def cut(stream: bytes, *places: int) -> list[bytes]:
    bounds = [0, *sorted(places), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds) if a < b]


def test_a_frame_is_laid_out_as_the_protocol_says() -> None:
    # Given an outcome with a body
    packed = pack(Kind.OUTCOME, 3, ["ok"], b"body")

    # When it is taken apart by hand
    length, kind, number, meta_length = struct.unpack_from(">IBII", packed)

    # Then the length counts everything after itself
    assert (length, kind, number, meta_length) == (len(packed) - 4, 5, 3, 4)
    assert packed[13:] == b"\x91\xa2ok" + b"body"


def test_a_whole_stream_is_read_at_once() -> None:
    assert read([STREAM]) == FRAMES


@pytest.mark.parametrize("place", range(1, len(STREAM)))
def test_a_stream_that_is_cut_in_two_anywhere_gives_the_same_frames(place: int) -> None:
    assert read(cut(STREAM, place)) == FRAMES


def test_a_stream_that_is_cut_in_three_anywhere_gives_the_same_frames() -> None:
    for first in range(1, len(STREAM)):
        for second in range(first + 1, len(STREAM)):
            assert read(cut(STREAM, first, second)) == FRAMES


def test_a_stream_that_comes_byte_by_byte_gives_the_same_frames() -> None:
    assert read([bytes([byte]) for byte in STREAM]) == FRAMES


@pytest.mark.parametrize("seed", range(20))
def test_many_frames_in_pieces_of_any_size_are_read_in_order(seed: int) -> None:
    # Given two hundred frames with bodies of all sizes
    dice = random.Random(seed)
    frames = [Frame(Kind.JOB, n, [n], dice.randbytes(dice.choice((0, 1, 40, 3000)))) for n in range(200)]
    stream = b"".join(pack(Kind.JOB, frame.number, frame.meta, frame.body) for frame in frames)

    # When they arrive in pieces
    pieces = cut(stream, *(dice.randrange(len(stream)) for _ in range(dice.choice((1, 30, 2000)))))

    # Then none is lost, changed or moved
    assert read(pieces) == frames


def test_a_frame_is_handed_out_with_its_last_byte_and_not_before() -> None:
    # Given a frame but for its last byte
    reader = Reader()
    assert reader.feed(STREAM[:-1]) == FRAMES[:-1]

    # When the byte comes, then the frame is there, and nothing is left
    assert reader.feed(STREAM[-1:]) == FRAMES[-1:]
    assert reader.feed(STREAM) == FRAMES


def test_a_body_of_many_megabytes_is_read_whole_and_followed_by_the_next_frame() -> None:
    # Given 8 MB between two small frames, in the pieces that a socket gives
    body = random.Random(1).randbytes(8 * 1024 * 1024)
    stream = STREAM + pack(Kind.JOB, 9, ["big"], body) + STREAM
    step = 64 * 1024

    # When it is read
    frames = read([stream[start : start + step] for start in range(0, len(stream), step)])

    # Then it is whole
    assert frames == [*FRAMES, Frame(Kind.JOB, 9, ["big"], body), *FRAMES]


def test_a_large_body_is_not_copied_again_with_every_piece() -> None:
    """8 MB in pieces of 64 KB: joining at every piece would copy 512 MB."""
    # Given a reader that has the head of a large frame
    stream = pack(Kind.JOB, 9, [], bytes(8 * 1024 * 1024))
    reader = Reader()
    step = 64 * 1024

    # When the pieces come, then they are kept as they are until the frame is complete
    for start in range(0, len(stream) - step, step):
        assert reader.feed(stream[start : start + step]) == []
    assert sum(len(piece) for piece in reader._pieces) >= len(stream) - step
    assert max(len(piece) for piece in reader._pieces) <= step


# ── descriptors ─────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_with_a_descriptor_gets_the_one_that_came_with_it() -> None:
    # Given a line, and frames of which two have a file
    here, there = socket.socketpair()
    with here, there:
        for number, content in enumerate([b"first", None, b"third"]):
            packed = pack(Kind.JOB, number, ["meta"], b"", with_fd=content is not None)
            if content is None:
                here.sendall(packed)
            else:
                assert send_with(here, packed, MemoryFile.holding(content).fileno()) == len(packed)

        # When they are read in pieces of any size
        reader, frames = Reader(), list[Frame]()
        while len(frames) < 3:
            frames += reader.feed(*receive(there, 7))

    # Then each has its own
    assert [(frame.kind, frame.number, frame.meta) for frame in frames] == [(4, n, ["meta"]) for n in range(3)]
    assert frames[1].fd is None
    files = {frame.number: MemoryFile(frame.fd) for frame in frames if frame.fd is not None}
    assert {number: file.read(100, 0) for number, file in files.items()} == {0: b"first", 2: b"third"}
    assert not any(os.get_inheritable(file.fileno()) for file in files.values())


def test_a_frame_whose_descriptor_got_lost_says_so() -> None:
    (frame,) = Reader().feed(pack(Kind.JOB, 1, [], b"", with_fd=True))
    assert (frame.kind, frame.fd) == (Kind.JOB, None)
