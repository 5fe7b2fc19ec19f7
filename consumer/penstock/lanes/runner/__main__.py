"""A child process, `python -m penstock.lanes.runner FD STACK_FD PARENT_PID START ...`.

Then follows KIND to run jobs, `template KIND MODULE:QUEUE` to be forked for each child of a lane, or
`describe CONTRACTS MODULE:QUEUE ...` to describe queues. KIND is that of the queue's lane, FD the child's end of the
socketpair that its parent made, STACK_FD the file for its last stack, START what the child is started with, in JSON.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from penstock.domain.confine import Start
from penstock.domain.imports import failure_text
from penstock.errors import ContractError
from penstock.lanes.frames import Kind, pack
from penstock.lanes.runner import coroutines, processes, template, threads
from penstock.lanes.runner.boot import StartUpError, describe
from penstock.lanes.runner.confine import confine, settle
from penstock.lanes.runner.laststack import leave_last_stack
from penstock.lanes.runner.lifeline import die_before_parent, die_with_parent
from penstock.wire.registry import Exit

#: By the kind of lane: what serves the parent until it closes.
RUNNERS: Final[Mapping[str, Callable[[socket.socket], None]]] = {
    "processes": processes.run,
    "serial": processes.run,
    "commands": processes.run,
    "threads": threads.run,
    "async": coroutines.run,
}


def main(arguments: list[str]) -> int:
    """Run one child from birth to end; returns its exit status."""
    fd, stack_fd, parent_pid, start, mode, *targets = arguments
    die_with_parent(int(parent_pid))
    die_before_parent()
    leave_last_stack(int(stack_fd))
    # Ctrl-C in a terminal is for the parent, which drains; SIGTERM keeps its default.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = socket.socket(fileno=int(fd))
    # What user code starts must not hold the line: its end tells the parent that the child is gone.
    parent.set_inheritable(False)
    sys.path.insert(0, str(Path.cwd()))
    try:
        confine(Start.from_wire(json.loads(start)))
        if mode == "describe":
            contracts, *names = targets
            catalog = [spec.to_wire() for spec in describe(names, contracts)]
            parent.sendall(pack(Kind.CATALOG, 0, [catalog]))
        elif mode == "template":
            mode, target = targets
            forked = template.run(template.Line(parent, int(stack_fd), int(parent_pid)), target)
            if forked is not None:
                parent = forked.line
                settle(forked.start)
                RUNNERS[mode](parent)
        else:
            RUNNERS[mode](parent)
    except (BrokenPipeError, ConnectionResetError):
        return Exit.OK  # the parent is gone, and with it the reason to run
    except StartUpError as error:
        parent.sendall(pack(Kind.FAILED, 0, [failure_text(error.__cause__ or error), False]))
        return Exit.TEMPFAIL
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- user code may raise anything while it is imported
        parent.sendall(pack(Kind.FAILED, 0, [failure_text(error), isinstance(error, ContractError)]))
        return Exit.CONFIG
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
