"""Second source: a Docker engine that answers. Official images, published on 127.0.0.1 only."""

from __future__ import annotations

import functools
import io
import secrets
import shutil
import subprocess
import tarfile
from pathlib import Path

from ops.dev.private.broker import Broker, limits
from ops.dev.private.janitor import Janitor
from ops.dev.private.probe import free_ports
from ops.dev.private.redis import Redis
from ops.dev.private.server import ServerFailedError
from ops.dev.say import say, step

SOURCE = "Docker image {}"
DEFAULT_BROKER = "4.3"
REDIS_IMAGE = "redis:7"

#: How long an engine may take to say that it is there, an image to come, any other request. Seconds.
ASK_S = 10.0
PULL_S = 900.0
REQUEST_S = 60.0

# The official management image turns off the queue figures of the management API; a fresh server has them.
_SETTINGS = "management_agent.disable_metrics_collector = false\n"


def broker(wanted: str | None, janitor: Janitor) -> Broker | None:
    """Return a broker of the wanted series, or None when this source cannot have it."""
    image = f"rabbitmq:{wanted or DEFAULT_BROKER}-management"
    if not _usable(image):
        return None
    amqp, management, prometheus = free_ports(3)
    ports = {amqp: 5672, management: 15672, prometheus: 15692}
    container = Container(image, ports, janitor)
    container.create()
    container.put("/etc/rabbitmq/conf.d/90-penstock.conf", limits() + _SETTINGS)
    return Broker(container, amqp=amqp, management=management, prometheus=prometheus)


def redis(wanted: str | None, janitor: Janitor, *, durable: bool = False) -> Redis | None:
    """Return a Redis, whatever the broker's series; None when there is no engine."""
    del wanted
    if not _usable(REDIS_IMAGE):
        return None
    (port,) = free_ports(1)
    container = Container(REDIS_IMAGE, {port: 6379}, janitor)
    container.create("redis-server", "--save", "", "--appendonly", "yes" if durable else "no")
    return Redis(container, port=port)


class Container:
    """A server instance that is a container; its data live as long as the container does."""

    def __init__(self, image: str, ports: dict[int, int], janitor: Janitor) -> None:
        self.version = image.partition(":")[2].partition("-")[0]
        self.source = SOURCE.format(image)
        self.folder: Path | None = None
        self._image = image
        self._ports = ports
        self._janitor = janitor
        self._name = f"penstock-{secrets.token_hex(4)}"

    def create(self, *argv: str) -> None:
        """Make the container without starting it."""
        self._janitor.note(f"container {_docker()} {self._name}")
        publish = [f"--publish=127.0.0.1:{ours}:{theirs}" for ours, theirs in self._ports.items()]
        _request("create", "--name", self._name, *publish, self._image, *argv)

    def put(self, path: str, text: str) -> None:
        """Write one file into the container. As a stream: the engine may not see this machine's folders."""
        folder, _, name = path.rpartition("/")
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
        _request("cp", "-", f"{self._name}:{folder}", stdin=stream.getvalue())

    def start(self) -> None:
        """Start it; a running one is left alone."""
        _request("start", self._name)

    def stop(self, timeout_s: float) -> None:
        """Ask it to end by itself; the engine kills it after `timeout_s`."""
        _request("stop", f"-t{timeout_s:.0f}", self._name)

    def kill(self) -> None:
        """Kill it; one that does not run is left alone."""
        if self.alive():
            _request("kill", self._name)

    def pause(self) -> None:
        """Stop all its processes where they are; one that does not run is left alone."""
        if self.alive():
            _request("pause", self._name)

    def resume(self) -> None:
        """Let them go on."""
        if self.alive():
            _request("unpause", self._name)

    def run(self, argv: list[str], timeout_s: float) -> str:
        """Run a command in the container; return what it printed."""
        return _request("exec", self._name, *argv, timeout_s=timeout_s)

    def alive(self) -> bool:
        """Say whether it runs."""
        return _request("inspect", "--format={{.State.Running}}", self._name).strip() == "true"

    def log_tail(self) -> str:
        """Return the last lines that the server wrote."""
        return _request("logs", "--tail=25", self._name)

    @property
    def pid(self) -> int | None:
        """None: a container's processes are the engine's."""
        return None


def _docker() -> str:
    return shutil.which("docker") or "docker"


@functools.cache
def _engine_answers() -> bool:
    """Say whether an engine answers, and is this very machine's: only its ports are on our loopback."""
    if shutil.which("docker") is None:
        return False
    try:
        where = _request("context", "inspect", "--format={{.Endpoints.docker.Host}}", timeout_s=ASK_S)
        _request("info", timeout_s=ASK_S)
    except ServerFailedError:
        return False
    return where.startswith("unix:")


def _usable(image: str) -> bool:
    """Say whether the image is there; fetch it if not."""
    if not _engine_answers():
        return False
    try:
        _request("image", "inspect", image)
    except ServerFailedError:
        try:
            with step("image", f"pulling {image}, once") as done:
                _request("pull", "--quiet", image, timeout_s=PULL_S)
                done(f"{image} pulled")
        except ServerFailedError as error:
            say("image", f"{image} cannot be had: {error}")
            return False
    return True


def _request(*argv: str, stdin: bytes | None = None, timeout_s: float = REQUEST_S) -> str:
    """Ask the engine; return what it printed.

    Raises:
        ServerFailedError: it refused, or did not answer in time.
    """
    try:
        done = subprocess.run(
            [_docker(), *argv], input=stdin or b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=timeout_s, start_new_session=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"docker {argv[0]}: no answer within {timeout_s:.0f} s"
        raise ServerFailedError(msg) from error
    said = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        msg = f"docker {argv[0]}: {said.strip()}"
        raise ServerFailedError(msg)
    return said
