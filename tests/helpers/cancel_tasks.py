"""Tasks that are cancelled, on every kind of lane: each leaves a mark when it has begun."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from penstock import Async, Cancelled, Commands, Processes, Queue, Retry, Serial, Threads, current_job

#: The same name for all, for one of them is served at a time.
processes = Queue("t", lane=Processes(1))
serial = Queue("t", lane=Serial())
threads = Queue("t", lane=Threads(2))
asynchronous = Queue("t", lane=Async(2))
commands = Queue("t", lane=Commands(1))

RETRY = Retry(attempts=3, base=0.1, cap=0.1, jitter="none")
_FOR_EVER = 600.0


def begun(path: str) -> None:
    """Leave a mark."""
    with Path(path).open("a") as file:
        file.write(f"{current_job().id}\n")


def hold(path: str) -> None:
    """Wait in a call that a signal interrupts."""
    begun(path)
    time.sleep(_FOR_EVER)


def translate(path: str) -> None:
    """Make something else of the cancellation, that would be tried again."""
    begun(path)
    try:
        time.sleep(_FOR_EVER)
    except Cancelled:
        raise OSError("interrupted") from None


def save(path: str) -> str:
    """End well all the same, as a task may that has its result."""
    begun(path)
    try:
        time.sleep(_FOR_EVER)
    except Cancelled:
        pass
    return f"saved, cancelled: {current_job().cancelled}"


def deaf(path: str) -> None:
    """Hear no signal, as code that stays in a library for long."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    begun(path)
    time.sleep(_FOR_EVER)


def note(path: str) -> str:
    """End at once."""
    begun(path)
    return "noted"


def look(path: str) -> None:
    """Look whether it is to end, as a task in a thread may before it is interrupted."""
    begun(path)
    while not current_job().cancelled:
        time.sleep(0.005)
    raise Cancelled


def hold_in_steps(path: str) -> None:
    """Wait in steps of Python code, and look at nothing."""
    begun(path)
    while True:
        time.sleep(0.005)


def look_and_save(path: str) -> str:
    """Look, and end well."""
    try:
        look(path)
    except Cancelled:
        pass
    return f"saved, cancelled: {current_job().cancelled}"


def inattentive(path: str) -> None:
    """Do not look, and wait outside of Python until a pipe is opened."""
    os.mkfifo(f"{path}.go")
    begun(path)
    os.close(os.open(f"{path}.go", os.O_RDONLY))
    while True:
        time.sleep(0.005)


async def hold_async(path: str) -> None:
    """Wait for ever."""
    begun(path)
    await asyncio.sleep(_FOR_EVER)


async def save_async(path: str) -> str:
    """End well all the same."""
    begun(path)
    try:
        await asyncio.sleep(_FOR_EVER)
    except asyncio.CancelledError:
        pass
    return f"saved, cancelled: {current_job().cancelled}"


async def note_async(path: str) -> str:
    """End at once."""
    return note(path)


for queue in (processes, serial):
    for function in (hold, save, deaf):
        queue.task(function)
    queue.task(retry=RETRY)(translate)
    queue.task(note)
threads.task(name="hold")(look)
threads.task(name="save")(look_and_save)
threads.task(note)
threads.task(inattentive)
threads.task(name="wait")(hold_in_steps)
asynchronous.task(name="hold")(hold_async)
asynchronous.task(name="save")(save_async)
asynchronous.task(name="note")(note_async)

_PROGRAM = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).open('a').write('begun\\n'); time.sleep({})"
commands.command("hold", [sys.executable, "-S", "-c", _PROGRAM.format(_FOR_EVER), "{path}"], stdout="none")
commands.command("note", [sys.executable, "-S", "-c", _PROGRAM.format(0), "{path}"], stdout="none")
