"""The child of a threads lane: up to `width` jobs at once, each in a thread."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from penstock.lanes.frames import Frame, Kind
from penstock.lanes.runner.alarms import Alarms
from penstock.lanes.runner.boot import boot
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.credit import ThreadCredit
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.threadstop import ThreadStop


def run(parent: socket.socket) -> None:
    """Boot, say READY, begin jobs in their order and answer each when it ends; return when the parent closes."""
    credit = ThreadCredit()
    channel = Channel(parent, credit)
    frames = iter(channel)
    if (first := next(frames, None)) is None:
        return
    executor = boot(*first.meta, outlet=Outlet(channel, credit))
    channel.send(Kind.READY, 0, [])

    alarms = Alarms()
    stops: dict[int, ThreadStop] = {}

    def run_one(frame: Frame, stop: ThreadStop) -> None:
        try:
            answer = executor.run(frame.meta, frame.body, frame.fd, stop, frame.number)
            channel.send(Kind.OUTCOME, frame.number, *answer)
        except OSError:
            pass  # the parent is gone, and with it the reason to run
        finally:
            del stops[frame.number]

    # Leaving it waits for the jobs that there are.
    with ThreadPoolExecutor(executor.width, thread_name_prefix="penstock-slot") as pool:
        for frame in frames:
            if frame.kind == Kind.CANCEL:
                if (asked := stops.get(frame.number)) is not None:  # else it has just ended
                    asked.ask()
                continue
            stops[frame.number] = stop = ThreadStop(alarms, credit.look)
            pool.submit(run_one, frame, stop)
    executor.shut_down()
