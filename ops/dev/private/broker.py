"""A private RabbitMQ: its settings, its ports, its life."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ops.dev.private.janitor import Janitor
from ops.dev.private.probe import amqp_version, free_ports
from ops.dev.private.program import Process, Program
from ops.dev.private.server import Instance, Server

# The node registers its name with an epmd, and starts one as a daemon where none listens: a process that
# nobody would find afterwards. So its own epmd comes first, in the foreground of the same process group.
_LAUNCH = """\
epmd &
until epmd -names >/dev/null 2>&1; do kill -0 $! || exit 69; sleep 0.02; done
exec "$0"
"""


class Broker(Server):
    """A private RabbitMQ with the management and prometheus plugins, user guest, on loopback ports."""

    name = "rabbitmq"
    start_s = 120.0  # 5 to 8 s on an idle machine
    stop_s = 30.0

    #: How long a command of `rabbitmqctl` may take: it boots an Erlang node of its own. Seconds.
    control_s = 60.0

    def __init__(
        self, instance: Instance, *, amqp: int, management: int, prometheus: int, control: str = "rabbitmqctl"
    ) -> None:
        super().__init__(instance, port=amqp)
        self._control = control
        self.url = f"amqp://guest:guest@127.0.0.1:{amqp}/"
        self.management_url = f"http://guest:guest@127.0.0.1:{management}"
        self.prometheus_url = f"http://127.0.0.1:{prometheus}/metrics"

    def environment(self) -> dict[str, str]:
        """Return the variables by which commands find it."""
        found = {
            "PENSTOCK_AMQP_URL": self.url,
            "PENSTOCK_MANAGEMENT_URL": self.management_url,
            "PENSTOCK_PROMETHEUS_URL": self.prometheus_url,
        }
        return found if self.pid is None else {**found, "PENSTOCK_BROKER_PID": str(self.pid)}

    def control(self, *argv: str) -> str:
        """Run `rabbitmqctl` on it, which takes a second or two; return what it printed.

        Raises:
            subprocess.SubprocessError: the command failed, or did not end in time.
        """
        return self._instance.run([self._control, "--quiet", *argv], self.control_s)

    def _ask(self) -> str:
        return amqp_version("127.0.0.1", self.port)


def limits() -> str:
    """Return settings for a machine on which the broker is a guest; they can be kept without /proc."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return (
        "disk_free_limit.absolute = 50MB\n"
        f"vm_memory_high_watermark.absolute = {half}\n"
        "vm_memory_calculation_strategy = allocated\n"
    )


def local_broker(program: Program, janitor: Janitor) -> Broker:
    """Prepare, without starting it, a broker that runs as processes of this machine."""
    folder = program.new_folder(janitor, "rabbitmq")
    amqp, management, prometheus, distribution, epmd = free_ports(5)
    _write_settings(folder, amqp=amqp, management=management, prometheus=prometheus)
    env = _environment(program.seen(folder), distribution=distribution, epmd=epmd)
    argv = ["/bin/sh", "-c", _LAUNCH, program.path]
    instance = Process(program, argv, env=env, folder=folder, janitor=janitor)
    control = str(Path(program.path).with_name("rabbitmqctl"))
    return Broker(instance, amqp=amqp, management=management, prometheus=prometheus, control=control)


def _write_settings(folder: Path, *, amqp: int, management: int, prometheus: int) -> None:
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.default = 127.0.0.1:{amqp}\n"
        f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
        f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {prometheus}\n{limits()}"
        "log.console = true\nlog.console.use_colors = off\nlog.file = false\n"
    )
    (folder / "advanced.config").write_text("[].\n")
    (folder / "env.conf").touch()
    (folder / "plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
    cookie = folder / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16))
    cookie.chmod(0o400)


def _environment(home: str, *, distribution: int, epmd: int) -> dict[str, str]:
    """Point the node at its own files and ports, and away from every file of an installed broker."""
    threads = min(4, os.cpu_count() or 1)
    return {
        "HOME": home,
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"penstock{epmd}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONF_ENV_FILE": f"{home}/env.conf",
        "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq",
        "RABBITMQ_CONFIG_FILES": f"{home}/conf.d/*.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
        "RABBITMQ_MNESIA_BASE": f"{home}/data",
        "RABBITMQ_LOG_BASE": f"{home}/log",
        # Not bound to certain cores: on a small machine others need them too.
        "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"+S {threads}:{threads} -kernel inet_dist_use_interface {{127,0,0,1}}"
        ),
        # Makes the start script become the node instead of staying its parent.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
