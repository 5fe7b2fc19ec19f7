"""First source: servers that are already installed on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ops.dev.private.broker import Broker, local_broker
from ops.dev.private.janitor import Janitor
from ops.dev.private.program import Program
from ops.dev.private.redis import Redis, local_redis

SOURCE = "installed here"

# Debian's wrapper on PATH insists on root or the rabbitmq user; the script behind it does not.
_BROKER_FOLDERS = (
    "usr/lib/rabbitmq/bin",
    "opt/homebrew/opt/rabbitmq/sbin",
    "usr/local/opt/rabbitmq/sbin",
    "usr/local/sbin",
)


def broker(wanted: str | None, janitor: Janitor) -> Broker | None:
    """Return a broker of the wanted series, or None when this source cannot have it."""
    program = _find_broker()
    if program is None or not is_series(program.version, wanted):
        return None
    return local_broker(program, janitor)


def redis(wanted: str | None, janitor: Janitor, *, durable: bool = False) -> Redis | None:
    """Return a Redis, whatever the broker's series; None when none is installed."""
    del wanted
    program = _find_redis()
    return local_redis(program, janitor, durable=durable) if program else None


def _find_broker() -> Program | None:
    if shutil.which("epmd") is None:  # comes with every Erlang that has a broker
        return None
    for script in _broker_scripts():
        version = broker_version(script)
        if version is not None:
            return Program(path=str(script), version=version, source=SOURCE)
    return None


def _find_redis() -> Program | None:
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
            found = re.search(r"v=(\S+)", said.stdout)
            return Program(path=path, version=found[1] if found else "?", source=SOURCE)
    return None


def is_series(version: str, wanted: str | None) -> bool:
    """Say whether `3.10.8` is of the wanted series, for instance `3.10`. None wants anything."""
    return wanted is None or f"{version}.".startswith(f"{wanted}.")


def broker_version(script: Path) -> str | None:
    """Return the version of the broker that a start script belongs to; None when it is only a wrapper.

    Read from the name of the broker's own plugin: asking the program would boot an Erlang node.
    """
    plugins = script.resolve().parent.parent / "plugins"
    names = sorted(path.name for path in plugins.glob("rabbit-*"))
    return names[0].removeprefix("rabbit-").removesuffix(".ez") if names else None


def _broker_scripts() -> Iterator[Path]:
    """Yield the start scripts that exist, the likeliest first."""
    on_path = shutil.which("rabbitmq-server")
    places = [Path("/", folder, "rabbitmq-server") for folder in _BROKER_FOLDERS]
    for script in [*places, *([Path(on_path)] if on_path else [])]:
        if script.exists():
            yield script
