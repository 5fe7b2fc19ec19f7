"""What stands for a child in tests of those who give it jobs."""

from __future__ import annotations

from penstock.lanes.frames import Frame, Kind, Reader


class FakeChild:
    """Notes the frames that it is sent."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._reader = Reader()
        self._unsent: list[bytes] = []

    def send(self, frame: bytes, _file: object = None) -> None:
        self._unsent.append(frame)

    def flush(self) -> None:
        self.frames += self._reader.feed(b"".join(self._unsent))
        self._unsent.clear()

    @property
    def jobs(self) -> list[str]:
        return [frame.meta[1] for frame in self.frames if frame.kind == Kind.JOB]
