"""The child of a lane that runs one job after the other, in its main thread: processes, serial, commands."""

from __future__ import annotations

import socket

from penstock.lanes.frames import Kind
from penstock.lanes.runner.boot import boot
from penstock.lanes.runner.channel import Channel
from penstock.lanes.runner.credit import OwnCredit
from penstock.lanes.runner.execute import Executor
from penstock.lanes.runner.lifeline import die_with_group
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.stop import Interrupt
from penstock.lanes.runner.together import serve


def run(parent: socket.socket) -> None:
    """Boot, say READY, answer each JOB with its OUTCOME, and return when the parent closes.

    An outcome is sent before the next job starts, so that the parent knows which job a dead child was running.
    """
    credit = OwnCredit()
    channel = credit.channel = Channel(parent, credit)
    executor: Executor | None = None
    interrupt = Interrupt(None)
    for frame in channel:
        if executor is not None:
            stop = interrupt.job(frame.number)
            channel.send(
                Kind.OUTCOME, frame.number, *executor.run(frame.meta, frame.body, frame.fd, stop, frame.number)
            )
        else:
            executor = boot(*frame.meta, outlet=Outlet(channel, credit))
            interrupt = Interrupt(frame.fd)
            interrupt.listen()
            if executor.programs:
                die_with_group()
            channel.send(Kind.READY, 0, [])
            if executor.batches:
                serve(channel, executor, interrupt)
    if executor is not None:
        executor.shut_down()
