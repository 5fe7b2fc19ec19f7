"""`penstock dev`: a worker that is replaced whenever its code changes.

The whole worker is, not only its children (SIGHUP to a worker does that): so new tasks, other lanes and limits count
at once, too. It is a process of its own; this one runs no user code, and therefore outlives whatever is wrong in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from penstock.cli.dev_watch import Snapshot, Watched, changes, forget_bytecode, snapshot
from penstock.cli.worker import add_options, log_as, settings_of
from penstock.errors import UsageError
from penstock.wire.registry import Event, Exit

_log = logging.getLogger(__name__)

_LOCAL_BROKER: Final = "amqp://guest:guest@127.0.0.1:5672/"
#: Seconds that running jobs have when the worker is replaced; what takes longer goes back to its queue.
_DRAIN_S: Final = 2.0
#: Seconds that a worker has to end beyond its drain, before it is killed.
_END_S: Final = 10.0
#: Seconds between two looks at the files; more when a look takes long, so that looking costs a twentieth of a core.
_LOOK_S: Final = 0.5
_LOOK_SHARE: Final = 20
#: Seconds until a broker or a Redis that could not be reached is tried again.
_RETRY_S: Final = 2.0
#: Statuses of a worker that no change of code can mend.
_FINAL: Final = frozenset({Exit.USAGE, Exit.NOPERM})
_REMEDY: Final = (
    "it is tried again. On this machine: docker run --rm -p 5672:5672 rabbitmq:4"
    " and docker run --rm -p 6379:6379 redis:7; elsewhere: --amqp-url and --redis-url"
)


def add(verbs: Any) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "dev",
        help="run a worker that is replaced whenever its code changes",
        description="Run a worker in the foreground, and replace it whenever a Python file changes, until Ctrl-C. "
        "Options are those of `penstock worker`, where they make sense.",
    )
    add_options(parser)
    parser.add_argument(
        "--watch",
        metavar="DIR",
        action="append",
        type=Path,
        help="watch the .py files below this folder, not those below the working directory; may be given again",
    )
    broker = os.environ.get("PENSTOCK_AMQP_URL") or _LOCAL_BROKER
    parser.set_defaults(run=_run, strict=False, amqp_url=broker, drain=_DRAIN_S, log="text")


def _run(options: argparse.Namespace) -> int:
    settings_of(options)  # what is wrong with them is said now, not by each worker
    folders = options.watch or [Path()]
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise UsageError(f"--watch {', '.join(missing)}: there is no such directory")
    told = {name: value for name, value in vars(options).items() if name not in ("run", "watch")}
    log_as(options)
    # A worker holds its code to its contracts: it fits them again when they change.
    watched = [*(Watched(folder, ".py") for folder in folders), Watched(Path(options.contracts), ".json")]
    return asyncio.run(_Dev(told, watched).run())


class _Dev:
    """Workers, one after the other.

    Args:
        told: The options of each worker.
        watched: The files that are its code.
    """

    def __init__(self, told: dict[str, Any], watched: Sequence[Watched]) -> None:
        self._told = told
        self._watched = watched
        self._stopping = asyncio.Event()
        self._worker: _Worker | None = None
        self._remedied = False

    async def run(self) -> int:
        """Serve until told to stop, or until a worker says what no change of code can mend; returns the status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop)
        folders = sorted({str(watched.folder.resolve()) for watched in self._watched if watched.folder.is_dir()})
        _log.info("watching for changes; Ctrl-C ends", extra={"event": Event.DEV_WATCHING, "folders": folders})
        seen = snapshot(self._watched)
        while not self._stopping.is_set():
            status = await self._serve(seen)
            if status in _FINAL:
                return status
            # Seen before the next worker starts: what is saved while it reads its code replaces it again.
            before, seen = seen, snapshot(self._watched)
            forget_bytecode(changes(before, seen))
        return Exit.OK

    def _stop(self) -> None:
        """End; told again: fast."""
        if self._stopping.is_set() and self._worker is not None:
            self._worker.tell_to_end()
        elif not self._stopping.is_set():
            _log.info("ending the worker", extra={"event": Event.DEV_STOPPING})
        self._stopping.set()

    async def _serve(self, seen: Snapshot) -> int:
        """Run a worker until its code is another than was seen; returns its status if it ended by itself, else OK."""
        self._worker = worker = await _Worker.start(self._told)
        changed = asyncio.create_task(self._change(seen), name="penstock-dev-watch")
        stopping = asyncio.create_task(self._stopping.wait())
        ended = asyncio.create_task(worker.ended())
        try:
            await asyncio.wait({changed, stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() or changed.done() or stopping.done():
                return Exit.OK
            status = ended.result()
            if status not in _FINAL:
                await asyncio.wait(
                    {changed, stopping}, timeout=self._pause_after(status), return_when=asyncio.FIRST_COMPLETED
                )
            return status
        finally:
            await worker.end(self._told["drain"] + _END_S)
            for task in (changed, stopping, ended):
                task.cancel()
            await asyncio.wait({changed, stopping, ended})

    def _pause_after(self, status: int) -> float | None:
        """Say why there is no worker; returns the seconds to the next one, None: a change of its code starts it."""
        if status != Exit.UNAVAILABLE:
            text = "the worker has ended; the next change of a file starts another one"
            _log.warning(text, extra={"event": Event.DEV_WAITING, "status": status})
            return None
        if not self._remedied:
            _log.warning(_REMEDY, extra={"event": Event.DEV_RETRYING})
        self._remedied = True
        return _RETRY_S

    async def _change(self, seen: Snapshot) -> None:
        """Return once something is another than was seen."""
        loop = asyncio.get_running_loop()
        files: list[Path] = []
        while not files:
            began = loop.time()
            files = changes(seen, snapshot(self._watched))
            took = loop.time() - began
            await asyncio.sleep(0 if files else max(_LOOK_S, _LOOK_SHARE * took))
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        _log.info(f"{files[0]}{more}: the worker is replaced", extra={"event": Event.DEV_CHANGED})


class _Worker:
    """One worker, in a session of its own: a Ctrl-C reaches it through `tell_to_end` only, once."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, told: dict[str, Any]) -> _Worker:
        """Start a worker with these options."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock.cli.dev_worker", stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert process.stdin is not None
        # Stays open, without another byte: the worker ends when this process is no more.
        process.stdin.write(json.dumps(told).encode() + b"\n")
        return cls(process)

    async def ended(self) -> int:
        """Wait for its end; returns its status."""
        return await self._process.wait()

    def tell_to_end(self) -> None:
        """Have it drain, or end fast if it drains already."""
        if self._process.returncode is None:
            self._process.terminate()

    async def end(self, seconds: float) -> None:
        """Have it drain, and kill it if that takes longer; its children end with it."""
        self.tell_to_end()
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
