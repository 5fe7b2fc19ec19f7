"""What a private RabbitMQ and a private Redis have in common: a life that can be interrupted at will."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from ops.dev.private.probe import NotReadyError, wait_until_ready


class ServerFailedError(Exception):
    """A server did not start; the message says why and has the end of its log."""


class Instance(Protocol):
    """One server, wherever it runs, that can be started again and again on the same data and ports."""

    #: Version as its package names it, for instance `3.10.8`.
    version: str
    #: Where it comes from, in words for the user.
    source: str
    #: Where its data are on this machine; None when they are elsewhere.
    folder: Path | None

    def start(self) -> None:
        """Start it without waiting; a running one is left alone."""

    def stop(self, timeout_s: float) -> None:
        """Let it end by itself, by force after `timeout_s`."""

    def kill(self) -> None:
        """Kill it at once; one that does not run is left alone."""

    def pause(self) -> None:
        """Stop it where it is; one that does not run is left alone."""

    def resume(self) -> None:
        """Let it go on."""

    def run(self, argv: list[str], timeout_s: float) -> str:
        """Run a command beside it; return what it printed."""
        ...

    def alive(self) -> bool:
        """Say whether it runs."""
        ...

    def log_tail(self) -> str:
        """Return the last lines that the server wrote."""
        ...

    @property
    def pid(self) -> int | None:
        """The process whose SIGKILL is a crash of the whole server; None when it does not run here."""
        ...


class Server(ABC):
    """A private server: `start`, `stop`, `kill` and `restart`, all on the same data and ports.

    Each may be called in any state and any number of times. Its folder goes when its janitor does.
    """

    #: The name in front of the user.
    name = "server"
    #: How long it may take to answer, and to end by itself. Seconds, generous for a busy machine.
    start_s = 30.0
    stop_s = 10.0

    def __init__(self, instance: Instance, *, port: int) -> None:
        self._instance = instance
        #: The loopback port of its main protocol.
        self.port = port
        #: The package's version, and once the server runs the one that it names itself.
        self.version = instance.version
        self.source = instance.source

    @property
    def pid(self) -> int | None:
        """The process whose SIGKILL is a crash of the whole server; None when it does not run here."""
        return self._instance.pid

    def alive(self) -> bool:
        """Say whether it runs."""
        return self._instance.alive()

    def start(self) -> None:
        """Start it and wait until it answers in its own protocol.

        Raises:
            ServerFailedError: it ended, or did not answer in time.
        """
        self._instance.start()
        try:
            self.version = wait_until_ready(self._ask, alive=self.alive, timeout_s=self.start_s)
        except NotReadyError as error:
            who = f"{self.name} {self.version} ({self.source})"
            msg = f"{who} did not start: {error}. Its last lines:\n{self._instance.log_tail()}"
            raise ServerFailedError(msg) from error

    def stop(self) -> None:
        """End it the polite way (SIGTERM), by force after `stop_s`."""
        self._instance.stop(self.stop_s)

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        self._instance.kill()

    def restart(self) -> None:
        """Stop it, then start it."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop all its processes where they are (SIGSTOP): it keeps its connections and answers nothing."""
        self._instance.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._instance.resume()

    @property
    def folder(self) -> Path | None:
        """Where its data are on this machine; None when they are elsewhere."""
        return self._instance.folder

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables by which commands find it."""

    @abstractmethod
    def _ask(self) -> str:
        """Return the version that the server names, or raise NotReadyError."""
