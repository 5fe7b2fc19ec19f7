"""The world of one run: servers, workers, producer, and the forwarders between them."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.chaos.players import ProducerPlayer, WorkerPlayer
from tests.chaos.rig import Rig
from tests.helpers.forwarder import Forwarder

#: A connection: who (`worker`, `producer`), to which server (`rabbitmq`, `redis`).
Link = tuple[str, str]

HERE = Path(__file__).resolve().parent
TARGET = "tests.chaos.tasks:chaos"
#: The producer gives up after this; the run's own bound comes first. Seconds.
PRODUCER_BOUND_S = 600


class World:
    """Everything that a fault can get hold of.

    Args:
        rig: The servers.
        folder: Of this run, for ledgers and logs.
        mark: Text in the environment of every process of the run, by which strays are found.
        links: The connections that go through a forwarder.
        environment: Further environment of the workers.
    """

    def __init__(
        self, rig: Rig, folder: Path, *, mark: str, links: Iterable[Link], environment: Mapping[str, str]
    ) -> None:
        self.rig = rig
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.mark = mark
        self.workers: list[WorkerPlayer] = []
        self.producer: ProducerPlayer | None = None
        #: Set when the run is over, however it ended.
        self.over = threading.Event()
        self.clock = folder / "clock"
        self.set_clock(0.0)
        self._environment = dict(environment)
        # A forwarder lives here; on two hosts there is none.
        self.forwarders = {link: Forwarder(rig.client_url(link[1])) for link in dict.fromkeys(links)}

    def url(self, who: str, server: str) -> str:
        """Where `who` finds a server."""
        if (forwarder := self.forwarders.get((who, server))) is not None:
            return forwarder.url
        return self.rig.client_url(server)

    def add_workers(self, count: int) -> None:
        """Start workers."""
        arguments = (
            *(TARGET, "--namespace", self.rig.topology.namespace),
            *("--drain", "15", "--http", f"{self.rig.client_address}:0"),
        )
        environment = {
            "PENSTOCK_AMQP_URL": self.url("worker", "rabbitmq"),
            "PENSTOCK_REDIS_URL": self.url("worker", "redis"),
            "PENSTOCK_CHAOS_LEDGER": str(self.folder),
            "PENSTOCK_CHAOS_MARK": self.mark,
            "PENSTOCK_CHAOS_CLOCK": str(self.clock),
            **self._environment,
        }
        for _ in range(count):
            name = f"worker-{len(self.workers)}"
            player = WorkerPlayer(
                name,
                self.folder,
                arguments,
                environment=environment,
                prefix=self.rig.client_prefix,
                janitor=self.rig.janitor,
            )
            self.workers.append(player)
            player.start()

    def add_producer(self, program: Path, *, rate: float) -> None:
        """Start the producer on the plan in the run's folder."""
        command = [
            *self.rig.client_prefix,
            str(program),
            "-plan",
            str(self.folder / "plan.jsonl"),
            "-journal",
            str(self.journal),
            "-namespace",
            self.rig.topology.namespace,
            "-rate",
            str(rate),
            "-bound",
            f"{PRODUCER_BOUND_S}s",
        ]
        environment = {
            "PENSTOCK_AMQP_URL": self.url("producer", "rabbitmq"),
            "PENSTOCK_REDIS_URL": self.url("producer", "redis"),
            "PENSTOCK_CHAOS_MARK": self.mark,
        }
        self.producer = ProducerPlayer(command, self.folder, self.journal, environment, self.rig.janitor)
        self.producer.start()

    def pause(self, seconds: float) -> None:
        """Wait, unless the run is over."""
        self.over.wait(seconds)

    def set_clock(self, offset_s: float) -> None:
        """What the workers' clocks are ahead (or behind) of the true one; see inject/sitecustomize.py."""
        with self.clock.open("r+b" if self.clock.exists() else "wb") as file:
            file.write(struct.pack("<d", offset_s))

    def tend(self) -> None:
        """Start again what has ended by itself."""
        for player in self.workers:
            player.tend()
        if self.producer is not None:
            self.producer.tend()

    @property
    def surprises(self) -> list[str]:
        """Ends that no fault explains."""
        found = [text for player in self.workers for text in player.surprises]
        return found + (self.producer.surprises if self.producer else [])

    def logged(self, event: str) -> int:
        """How many log records of an event the workers have written."""
        return sum(len(player.records(event)) for player in self.workers)

    @property
    def disruptions(self) -> int:
        """How often a worker lost all deliveries that it had in hand: with its life, connection or channel."""
        lost = [
            record
            for player in self.workers
            for record in player.records("amqp.disconnected")
            if record["connection"] == "consume" and "reason" in record  # else it is an attempt that failed
        ]
        deaths = sum(player.lives - 1 for player in self.workers)
        return len(lost) + deaths + self.logged("amqp.consumer_cancelled")

    def close(self) -> None:
        """End every process and forwarder of the run; twice is fine."""
        if self.producer is not None:
            self.producer.stop()
        for player in self.workers:
            player.stop(20)
        for forwarder in self.forwarders.values():
            forwarder.close()
