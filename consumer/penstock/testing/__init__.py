"""For tests: a whole worker for the tasks of a project, and a broker and a store without a network.

    with Harness("myproject.tasks:stats") as harness:
        assert harness.call("stats.norm", {"x": [3, 4]}) == 5.0

MemoryBroker and MemoryStore pass the suite that RabbitMQ and Redis pass.
"""

from penstock.testing.broker import MemoryBroker
from penstock.testing.clock import FakeClock
from penstock.testing.harness import DeadJob, Harness, JobFailedError, JobRestartedError
from penstock.testing.messages import Properties
from penstock.testing.server import MemoryServer
from penstock.testing.store import MemoryStore

__all__ = [
    # a worker
    "DeadJob",
    "Harness",
    "JobFailedError",
    "JobRestartedError",
    # what it runs on
    "FakeClock",
    "MemoryBroker",
    "MemoryServer",
    "MemoryStore",
    "Properties",
]
