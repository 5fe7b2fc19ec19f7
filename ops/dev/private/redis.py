"""A private Redis (or Valkey)."""

from __future__ import annotations

from ops.dev.private.janitor import Janitor
from ops.dev.private.probe import free_ports, redis_version
from ops.dev.private.program import Process, Program
from ops.dev.private.server import Instance, Server


class Redis(Server):
    """A private Redis, without a password, on a loopback port."""

    name = "redis"

    def __init__(self, instance: Instance, *, port: int) -> None:
        super().__init__(instance, port=port)
        self.url = f"redis://127.0.0.1:{port}/0"

    def environment(self) -> dict[str, str]:
        """Return the variables by which commands find it."""
        found = {"PENSTOCK_REDIS_URL": self.url}
        return found if self.pid is None else {**found, "PENSTOCK_REDIS_PID": str(self.pid)}

    def _ask(self) -> str:
        return redis_version("127.0.0.1", self.port)


def local_redis(program: Program, janitor: Janitor, *, durable: bool = False) -> Redis:
    """Prepare, without starting it, a Redis that runs as a process of this machine.

    With `durable` every write has gone to a file before it is answered, and so outlives `kill`; without, a restarted
    server is empty. Nothing is synced: with `everysec` Redis puts writes off while it syncs, and with `always` it ends
    when the disk is full.
    """
    folder = program.new_folder(janitor, "redis")
    (port,) = free_ports(1)
    home = program.seen(folder)
    argv = [
        program.path, "--bind", "127.0.0.1", "--port", str(port), "--dir", home,
        "--save", "", "--appendonly", "yes" if durable else "no", "--appendfsync", "no", "--daemonize", "no",
    ]  # fmt: skip
    instance = Process(program, argv, env={"HOME": home}, folder=folder, janitor=janitor)
    return Redis(instance, port=port)
