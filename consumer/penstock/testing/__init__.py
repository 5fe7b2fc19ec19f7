"""Brokers and stores without a network, for tests: verified by the suite that RabbitMQ and Redis pass."""

from penstock.testing.broker import MemoryBroker
from penstock.testing.clock import FakeClock
from penstock.testing.messages import Properties
from penstock.testing.server import MemoryServer
from penstock.testing.store import MemoryStore

__all__ = ["FakeClock", "MemoryBroker", "MemoryServer", "MemoryStore", "Properties"]
